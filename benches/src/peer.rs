//! One client's connection.

use std::cell::Cell;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::net::TcpStream;
use rustls::HandshakeKind;

use crate::door::Door;
use crate::layers::Layers;
use crate::wire::{Seen, skim};

/// Bytes read at once.
const READ: usize = 256 * 1024;

/// How long an answer may take before the driver gives up, and how often it looks for it.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_micros(20);

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A client: its socket, what is between that and MQTT, the bytes on their way out and a half frame on its way in.
#[derive(Debug)]
pub struct Peer {
    /// For registering.
    pub socket: TcpStream,
    /// To be flushed.
    pub out: Vec<u8>,
    layers: Layers,
    half: Vec<u8>,
}

impl Peer {
    /// Connects, sends `frames` in turn and waits for an answer to each.
    pub fn connect(door: &Door, frames: &[Vec<u8>]) -> Result<Self> {
        let mut peer = Self::open(door)?;
        for frame in frames {
            peer.out.extend_from_slice(frame);
            let (mut is_answered, begun) = (false, Instant::now());
            loop {
                peer.flush()?;
                peer.read(|seen| is_answered |= seen == Seen::Answer)?;
                if is_answered {
                    break;
                }
                if begun.elapsed() > PATIENCE {
                    bail!("no answer within {PATIENCE:?}");
                }
                thread::sleep(LOOK);
            }
        }
        Ok(peer)
    }

    /// A connection on which nothing of MQTT was said.
    pub fn open(door: &Door) -> Result<Self> {
        let (socket, layers) = door.open()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpStream::from_std(socket), out: Vec::new(), layers, half: Vec::new() })
    }

    /// How TLS began, once it has.
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.layers.handshake()
    }

    /// Reads what is there.
    pub fn read(&mut self, mut see: impl FnMut(Seen<'_>)) -> Result<()> {
        let was_open = self.layers.takes();
        let mut buffer = BUFFER.take();
        buffer.resize(READ, 0);
        loop {
            let kept = self.half.len();
            buffer[..kept].copy_from_slice(&self.half);
            match self.layers.read(&mut self.socket, &mut buffer[kept..]) {
                Ok(0) => bail!("the broker closed a connection"),
                Ok(read) => {
                    let end = kept + read;
                    let used = skim(&buffer[..end], &mut self.out, &mut see);
                    self.half.clear();
                    self.half.extend_from_slice(&buffer[used..end]);
                    if end < READ {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        BUFFER.set(buffer);
        // What had to wait for the upgrade.
        if was_open { Ok(()) } else { self.flush() }
    }

    /// Writes what is to go out; what the socket does not take stays.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.layers.write(&mut self.socket, &mut self.out)?)
    }
}
