//! Packets over a TCP connection, with blocking calls.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::{Decoder, Packet, Role, Version};
use socket2::{Domain, SockRef, Type};

/// The broker may be busy, but not for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection is over.
#[derive(Debug)]
pub(crate) struct Gone(String);

impl Gone {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Gone {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    version: Version,
    decoder: Decoder,
    input: BytesMut,
    out: BytesMut,
    wait: Duration,
}

impl Socket {
    pub(crate) fn open(addr: SocketAddr, source: Ipv4Addr, version: Version) -> Result<Self, Gone> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect(&addr.into())?;
        socket.set_tcp_nodelay(true)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: socket.into(),
            version,
            decoder: Decoder::new(Role::Client(version), u32::MAX),
            input: BytesMut::new(),
            out: BytesMut::new(),
            wait: Duration::ZERO,
        })
    }

    pub(crate) fn port(&self) -> Result<u16, Gone> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Sent by the next [`Self::read`] or [`Self::flush`].
    pub(crate) fn push(&mut self, packet: &Packet) {
        packet.encode(self.version, &mut self.out).expect("packets of this program are small");
    }

    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Sends what was pushed, and reads once if something comes in time.
    pub(crate) fn read(&mut self, wait: Duration) -> Result<(), Gone> {
        self.flush()?;
        if self.wait != wait {
            self.stream.set_read_timeout(Some(wait))?;
            self.wait = wait;
        }
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(Gone::new("the broker closed the connection")),
            Ok(read) => {
                self.input.extend_from_slice(&buffer[..read]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A packet that was read.
    pub(crate) fn poll(&mut self) -> Result<Option<Packet>, Gone> {
        let input = &mut self.input;
        self.decoder.decode(input).map_err(|error| Gone::new(format!("the broker sent no packet: {error}")))
    }

    /// The next packet, which must come.
    pub(crate) fn next(&mut self) -> Result<Packet, Gone> {
        loop {
            if let Some(packet) = self.poll()? {
                return Ok(packet);
            }
            let had = self.input.len();
            self.read(PATIENCE)?;
            if self.input.len() == had {
                return Err(Gone::new("the broker is silent"));
            }
        }
    }

    /// RST in place of FIN.
    pub(crate) fn cut(self) {
        // Without the option it is closed, which is a way to go too.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
