//! One client's socket.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use crate::wire::{Seen, skim};

/// Bytes read at once.
const READ: usize = 256 * 1024;

/// Ports that one source address may use before the next is taken.
const PORTS_PER_ADDRESS: u32 = 2_000;

/// How long an answer may take before the driver gives up.
const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A client: its socket, the bytes on their way out and a half frame on its way in.
#[derive(Debug)]
pub struct Peer {
    /// For registering.
    pub socket: TcpStream,
    /// To be flushed.
    pub out: Vec<u8>,
    half: Vec<u8>,
}

/// Opens a socket. Source addresses change within 127.0.0.0/8, so that closed ones in TIME_WAIT leave ports.
fn open(addr: SocketAddr) -> Result<std::net::TcpStream> {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let number = 2 + (OPENED.fetch_add(1, Relaxed) / PORTS_PER_ADDRESS % 250) as u8;
    let [.., high, low] = std::process::id().to_be_bytes();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 1 + high % 250, low, number), 0)).into())?;
    socket.connect(&addr.into()).with_context(|| format!("no connection to {addr}"))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

impl Peer {
    /// Connects, sends `frames` in turn and waits for an answer to each.
    pub fn connect(addr: SocketAddr, frames: &[Vec<u8>]) -> Result<Self> {
        let mut socket = open(addr)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        for frame in frames {
            socket.write_all(frame)?;
            answer(&mut socket)?;
        }
        Self::new(socket)
    }

    /// A connection on which nothing was said.
    pub fn open(addr: SocketAddr) -> Result<Self> {
        Self::new(open(addr)?)
    }

    fn new(socket: std::net::TcpStream) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpStream::from_std(socket), out: Vec::new(), half: Vec::new() })
    }

    /// Reads what is there.
    pub fn read(&mut self, mut see: impl FnMut(Seen<'_>)) -> Result<()> {
        let mut buffer = BUFFER.take();
        buffer.resize(READ, 0);
        loop {
            let kept = self.half.len();
            buffer[..kept].copy_from_slice(&self.half);
            match self.socket.read(&mut buffer[kept..]) {
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
        Ok(())
    }

    /// Writes what is to go out; what the socket does not take stays.
    pub fn flush(&mut self) -> Result<()> {
        let mut written = 0;
        while written < self.out.len() {
            match self.socket.write(&self.out[written..]) {
                Ok(wrote) => written += wrote,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.out.drain(..written);
        Ok(())
    }
}

/// Waits for one small packet.
fn answer(socket: &mut std::net::TcpStream) -> Result<()> {
    let mut header = [0; 2];
    socket.read_exact(&mut header).context("no answer")?;
    let mut length = usize::from(header[1] & 0x7F);
    if header[1] >= 0x80 {
        let mut more = [0];
        socket.read_exact(&mut more)?;
        length |= usize::from(more[0]) << 7;
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    Ok(())
}
