//! A client on a plain socket, with blocking calls that all end.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

use super::stage::Going;
use super::wire::{Connect, PINGREQ, PINGRESP, SUBACK, subscribe};

/// For one answer, before it counts as none.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// After so long a writer looks whether the attack goes on.
const LOOK: Duration = Duration::from_millis(100);

/// Sockets from one source address before the next is taken: closed ones hold their ports for a minute.
const PORTS_PER_ADDRESS: u32 = 2_000;

/// Bytes that the kernel holds at the least for a socket that is not read.
pub(super) const NARROW: usize = 4_096;

/// Where a client comes from.
#[derive(Clone, Copy)]
pub(super) enum From {
    /// 127.0.0.1, as those do who want no harm.
    Home,
    /// Another address below 127.0.0.0/8, the same for long.
    Abroad,
    /// One of 250 others, each time the next.
    Crowd,
}

pub(super) fn open(addr: SocketAddr, from: From) -> Result<TcpStream> {
    dial(addr, from, None)
}

/// With so many bytes for what is not read yet, or as many as the system likes.
pub(super) fn dial(addr: SocketAddr, from: From, unread: Option<usize>) -> Result<TcpStream> {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let step = match from {
        From::Home => None,
        From::Abroad => Some(PORTS_PER_ADDRESS),
        From::Crowd => Some(1),
    };
    if let Some(step) = step {
        let number = 2 + (OPENED.fetch_add(1, Relaxed) / step % 250) as u8;
        let [.., process] = std::process::id().to_be_bytes();
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 5, process, number), 0)).into())?;
    }
    if let Some(bytes) = unread {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect_timeout(&addr.into(), PATIENCE).with_context(|| format!("no connection to {addr}"))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// What came.
pub(super) struct Packet {
    pub(super) first: u8,
    pub(super) body: Vec<u8>,
}

impl Packet {
    pub(super) const fn kind(&self) -> u8 {
        self.first & 0xF0
    }
}

/// One that has its CONNACK.
pub(super) struct Client {
    input: BufReader<TcpStream>,
}

impl Client {
    /// Connects from abroad.
    pub(super) fn connect(addr: SocketAddr, connect: &Connect<'_>) -> Result<Self> {
        Self::connect_from(addr, connect, From::Abroad)
    }

    pub(super) fn connect_from(addr: SocketAddr, connect: &Connect<'_>, from: From) -> Result<Self> {
        Self::enter(open(addr, from)?, connect)
    }

    /// One that is not going to read: the kernel holds little for it, and the broker the rest.
    pub(super) fn connect_deaf(addr: SocketAddr, connect: &Connect<'_>) -> Result<Self> {
        Self::enter(dial(addr, From::Abroad, Some(NARROW))?, connect)
    }

    /// Something else than MQTT, or MQTT in something else, is spoken here.
    pub(super) fn of_another_kind(stream: TcpStream) -> Self {
        Self { input: BufReader::new(stream) }
    }

    fn enter(stream: TcpStream, connect: &Connect<'_>) -> Result<Self> {
        let mut client = Self { input: BufReader::new(stream) };
        client.send(&connect.bytes())?;
        let answer = client.read().context("no CONNACK")?;
        match (answer.first, &answer.body[..]) {
            (0x20, [_, 0, ..]) => Ok(client),
            (0x20, [_, code, ..]) => bail!("CONNACK says {code:#04x}"),
            (first, _) => bail!("{first:#04x} in place of CONNACK"),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.input.get_ref()
    }

    /// What is read is waited for until the connection ends.
    pub(super) fn be_patient(&self) -> io::Result<()> {
        self.stream().set_read_timeout(None)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.input.get_mut().write_all(bytes)
    }

    pub(super) fn read(&mut self) -> io::Result<Packet> {
        let mut first = [0];
        self.input.read_exact(&mut first)?;
        let (mut remaining, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            remaining |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] < 0x80 {
                break;
            }
            if shift > 21 {
                return Err(io::Error::new(ErrorKind::InvalidData, "a length of more than four bytes"));
            }
        }
        let mut body = vec![0; remaining];
        self.input.read_exact(&mut body)?;
        Ok(Packet { first: first[0], body })
    }

    /// The next packet of this kind; others are passed over.
    pub(super) fn wait_for(&mut self, kind: u8) -> io::Result<Packet> {
        loop {
            let packet = self.read()?;
            if packet.kind() == kind {
                return Ok(packet);
            }
        }
    }

    /// The codes of SUBACK.
    pub(super) fn subscribe<'a>(&mut self, filters: impl IntoIterator<Item = &'a str>, qos: u8) -> Result<Vec<u8>> {
        self.send(&subscribe(filters, qos))?;
        let answer = self.wait_for(SUBACK).context("no SUBACK")?;
        Ok(answer.body.get(2..).context("SUBACK has no packet id")?.to_vec())
    }

    /// Back once the broker has handled all that was sent before.
    pub(super) fn ping(&mut self) -> io::Result<()> {
        self.send(&PINGREQ)?;
        self.wait_for(PINGRESP).map(drop)
    }

    /// Sends these bytes again and again, and reads and forgets what is answered, until the attack is over or the
    /// broker closes.
    pub(super) fn storm(mut self, bytes: &[u8], going: &Going) {
        let Ok(stream) = self.stream().try_clone() else { return };
        thread::scope(|scope| {
            scope.spawn(|| self.forget());
            let _ = repeat(&stream, bytes, going);
            // This ends the reader too; an error says that the broker has closed.
            let _ = stream.shutdown(Shutdown::Both);
        });
    }

    /// Reads until the connection ends.
    pub(super) fn forget(&mut self) {
        loop {
            match self.input.fill_buf() {
                Ok([]) => return,
                Ok(read) => {
                    let read = read.len();
                    self.input.consume(read);
                }
                // Silence is no end: whoever closes the socket ends this.
                Err(error) if is_slow(&error) => {}
                Err(_) => return,
            }
        }
    }
}

/// Sends these bytes again and again until the attack is over or the broker closes.
pub(super) fn repeat(mut stream: &TcpStream, bytes: &[u8], going: &Going) -> io::Result<()> {
    stream.set_write_timeout(Some(LOOK))?;
    let mut from = 0;
    while going.goes_on() {
        match stream.write(&bytes[from..]) {
            Ok(wrote) => from = (from + wrote) % bytes.len(),
            Err(error) if is_slow(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_slow(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
