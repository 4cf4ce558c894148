//! TLS and WebSocket at the driver's end.

use std::io::{self, ErrorKind, Read, Write};

use rustls::{ClientConnection, HandshakeKind};

/// The bytes of a key for masks; the broker has to take it off again whatever it is.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x96, 0x3C];

/// The longest header of a frame that a server sends.
const HEAD: usize = 10;

/// What stands between a socket and MQTT.
#[derive(Debug)]
pub struct Layers {
    tls: Option<Box<ClientConnection>>,
    web: Option<Web>,
}

impl Layers {
    /// TLS below, WebSocket above it.
    pub const fn new(tls: Option<Box<ClientConnection>>, web: Option<Web>) -> Self {
        Self { tls, web }
    }

    /// How TLS began, once it has.
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.handshake_kind()
    }

    /// Reads bytes of MQTT; fewer than there is room for means that no more are there.
    pub fn read(&mut self, socket: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.tls {
            None => socket.read(buffer)?,
            Some(tls) => opened(tls, socket, buffer)?,
        };
        match &mut self.web {
            Some(web) if read > 0 => match web.unwrap(&mut buffer[..read])? {
                0 => Err(ErrorKind::WouldBlock.into()),
                bytes => Ok(bytes),
            },
            _ => Ok(read),
        }
    }

    /// Writes bytes of MQTT. What the socket does not take stays in `out`, or here.
    pub fn write(&mut self, socket: &mut (impl Read + Write), out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(web) = &mut self.web {
            web.wrap(out);
        }
        let out = self.web.as_mut().map_or(out, |web| &mut web.out);
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(out)?;
            out.clear();
            return sealed(tls, socket);
        }
        let mut written = 0;
        while written < out.len() {
            match socket.write(&out[written..]) {
                Ok(wrote) => written += wrote,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        out.drain(..written);
        Ok(())
    }
}

/// What came in records.
fn opened(tls: &mut ClientConnection, socket: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
    let mut used = 0;
    while used < buffer.len() {
        match tls.reader().read(&mut buffer[used..]) {
            Ok(0) => return Ok(used),
            Ok(read) => {
                used += read;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        match tls.read_tls(socket) {
            Ok(0) => return Ok(used),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && used > 0 => return Ok(used),
            Err(error) => return Err(error),
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        // The handshake's next step, and what waited for its end.
        sealed(tls, socket)?;
    }
    Ok(used)
}

fn sealed(tls: &mut ClientConnection, socket: &mut impl Write) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A WebSocket: every flush is one masked frame, what comes is taken out of its frames.
#[derive(Debug)]
pub struct Web {
    /// The answer to the upgrade has not come to its end: this is what came of it.
    answer: Option<Vec<u8>>,
    /// Of a frame's header, what came.
    head: [u8; HEAD],
    head_len: usize,
    /// Of the frame's payload, what is to come.
    left: usize,
    out: Vec<u8>,
}

impl Web {
    /// One that asks for the upgrade first.
    pub fn greeting(path: &str) -> Self {
        let out = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIGJlbmNoJ3Mga2V5IQ==\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        Self { answer: Some(Vec::new()), head: [0; HEAD], head_len: 0, left: 0, out: out.into_bytes() }
    }

    /// Puts what is to go out into a frame, if the upgrade is done.
    fn wrap(&mut self, bytes: &mut Vec<u8>) {
        if self.answer.is_some() || bytes.is_empty() {
            return;
        }
        self.out.push(0x82);
        match bytes.len() {
            len @ 0..126 => self.out.push(0x80 | len as u8),
            len @ 126..0x1_0000 => {
                self.out.push(0x80 | 126);
                self.out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                self.out.push(0x80 | 127);
                self.out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        self.out.extend_from_slice(&MASK);
        let masked = bytes.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        self.out.extend(masked);
        bytes.clear();
    }

    /// Moves the payloads together at the front and says how long they are.
    fn unwrap(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut at = match &mut self.answer {
            None => 0,
            Some(answer) => {
                let before = answer.len();
                answer.extend_from_slice(bytes);
                let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(0) };
                if !answer.starts_with(b"HTTP/1.1 101") {
                    return Err(io::Error::other(String::from_utf8_lossy(answer).into_owned()));
                }
                self.answer = None;
                end + 4 - before
            }
        };
        let mut used = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let take = self.left.min(bytes.len() - at);
                bytes.copy_within(at..at + take, used);
                (at, used, self.left) = (at + take, used + take, self.left - take);
                continue;
            }
            self.head[self.head_len] = bytes[at];
            (at, self.head_len) = (at + 1, self.head_len + 1);
            if let Some(len) = payload(&self.head[..self.head_len]) {
                if self.head[0] & 0x0F > 2 {
                    return Err(io::Error::other("a control frame, which no broker has a reason for here"));
                }
                (self.left, self.head_len) = (len, 0);
            }
        }
        Ok(used)
    }

    /// The upgrade was answered.
    pub const fn is_open(&self) -> bool {
        self.answer.is_none()
    }
}

impl Layers {
    /// Bytes of MQTT can be written, or are kept until they can.
    pub const fn takes(&self) -> bool {
        match &self.web {
            Some(web) => web.is_open(),
            None => true,
        }
    }
}

/// The length that a frame's header says, once it is there as a whole.
fn payload(head: &[u8]) -> Option<usize> {
    match (head.get(1)? & 0x7F, head) {
        (126, [_, _, high, low, ..]) => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        (127, [_, _, eight @ ..]) => Some(u64::from_be_bytes(eight.try_into().ok()?) as usize),
        (126 | 127, _) => None,
        (len, _) => Some(usize::from(len)),
    }
}
