//! WebSocket's frames, as a client sends them (RFC 6455, section 5).

use std::io::{self, ErrorKind};
use std::mem;

use bytes::BytesMut;

use crate::carrier::Taken;

/// It is the last frame of its message.
pub(crate) const FINAL: u8 = 0x80;
/// The kinds of frames.
const CONTINUED: u8 = 0;
const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The longest head: two bytes, eight of length, four of mask.
const HEAD: usize = 14;

/// Bytes in a control frame, at most.
const CONTROL: u64 = 125;

/// Takes what a client sends out of its frames, however these are cut. It holds no more than a head and a control frame.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of `head` that have come.
    heard: usize,
    /// The frame whose payload comes; `None`: a head comes.
    frame: Option<Frame>,
    /// A message has begun and not ended.
    is_within_message: bool,
    /// Of the control frame that comes.
    control: Vec<u8>,
    /// Of the last ping.
    ping: Vec<u8>,
    end: Option<Close>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: u8,
    is_final: bool,
    mask: [u8; 4],
    /// Bytes of its payload that have come.
    came: u64,
    left: u64,
}

/// What some bytes have brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Of binary messages.
    pub(crate) bytes: usize,
    pub(crate) pings: usize,
    /// Nothing more is looked at.
    pub(crate) end: Option<Close>,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The client has said so.
    Normal,
    /// It does not obey RFC 6455.
    Wrong(&'static str),
    /// [MQTT-6.0.0-1]: MQTT comes in binary messages.
    Text,
}

impl Close {
    /// RFC 6455, section 7.4.1.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Wrong(_) => 1002,
            Self::Text => 1003,
        }
    }

    /// As whoever reads is told.
    pub(crate) fn result(self) -> io::Result<Taken> {
        let wrong = match self {
            Self::Normal => return Ok(Taken::End),
            Self::Wrong(wrong) => wrong,
            Self::Text => "WebSocket: a text message, and MQTT wants binary ones",
        };
        Err(io::Error::new(ErrorKind::InvalidData, wrong))
    }
}

impl Frames {
    /// Of the last ping.
    pub(crate) fn ping(&self) -> &[u8] {
        &self.ping
    }

    pub(crate) const fn end(&self) -> Option<Close> {
        self.end
    }

    /// Puts in place of what stands in `input` from `start` on what of MQTT is in it.
    pub(crate) fn take(&mut self, input: &mut BytesMut, start: usize) -> Heard {
        let (mut read, mut write, mut pings) = (start, start, 0);
        while self.end.is_none() && read < input.len() {
            let Some(frame) = &mut self.frame else {
                read += self.take_head(&input[read..]);
                if self.frame.is_some_and(|frame| frame.left == 0) {
                    pings += self.finish();
                }
                continue;
            };
            let there = usize::try_from(frame.left).unwrap_or(usize::MAX).min(input.len() - read);
            let payload = &mut input[read..read + there];
            unmask(payload, frame.mask, frame.came);
            frame.came += there as u64;
            frame.left -= there as u64;
            let is_whole = frame.left == 0;
            if frame.kind < CLOSE {
                input.copy_within(read..read + there, write);
                write += there;
            } else {
                self.control.extend_from_slice(payload);
            }
            read += there;
            if is_whole {
                pings += self.finish();
            }
        }
        input.truncate(write);
        Heard { bytes: write - start, pings, end: self.end }
    }

    /// Takes bytes of a head, and begins its frame when it is whole.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let wanted = self.head_len();
            if self.heard == wanted {
                break;
            }
            let part = (wanted - self.heard).min(bytes.len() - taken);
            if part == 0 {
                return taken;
            }
            self.head[self.heard..self.heard + part].copy_from_slice(&bytes[taken..taken + part]);
            self.heard += part;
            taken += part;
        }
        self.heard = 0;
        match self.begin() {
            Ok(frame) => self.frame = Some(frame),
            Err(close) => self.end = Some(close),
        }
        taken
    }

    /// As far as it is known by now.
    const fn head_len(&self) -> usize {
        if self.heard < 2 {
            return 2;
        }
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        match self.head[1] & 0x7f {
            126 => 4 + mask,
            127 => 10 + mask,
            _ => 2 + mask,
        }
    }

    fn begin(&self) -> Result<Frame, Close> {
        let head = &self.head;
        let (is_final, reserved, kind) = (head[0] & FINAL != 0, head[0] & 0x70, head[0] & 0x0f);
        let (length, mask_at) = match head[1] & 0x7f {
            126 => (u64::from(u16::from_be_bytes([head[2], head[3]])), 4),
            127 => {
                let [_, _, a, b, c, d, e, f, g, h, ..] = *head;
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10)
            }
            short => (u64::from(short), 2),
        };
        let least = match mask_at {
            4 => 126,
            10 => 0x1_0000,
            _ => 0,
        };
        let wrong = if reserved != 0 {
            Some("WebSocket: reserved bits of an extension that was not agreed on")
        } else if head[1] & 0x80 == 0 {
            Some("WebSocket: a frame without a mask")
        } else if length < least || length > i64::MAX as u64 {
            Some("WebSocket: a length that is not in its shortest form")
        } else {
            match kind {
                CONTINUED if !self.is_within_message => Some("WebSocket: the rest of a message that has not begun"),
                BINARY | TEXT if self.is_within_message => Some("WebSocket: a message within another"),
                TEXT => return Err(Close::Text),
                CONTINUED | BINARY => None,
                CLOSE | PING | PONG if !is_final || length > CONTROL => {
                    Some("WebSocket: a control frame that is cut or too long")
                }
                CLOSE | PING | PONG => None,
                _ => Some("WebSocket: an unknown kind of frame"),
            }
        };
        let mask = [head[mask_at], head[mask_at + 1], head[mask_at + 2], head[mask_at + 3]];
        match wrong {
            Some(wrong) => Err(Close::Wrong(wrong)),
            None => Ok(Frame { kind, is_final, mask, came: 0, left: length }),
        }
    }

    /// The frame is whole. Returns 1 for a ping.
    fn finish(&mut self) -> usize {
        let Some(frame) = self.frame.take() else { return 0 };
        let control = mem::take(&mut self.control);
        match frame.kind {
            CLOSE => self.end = Some(how_it_closes(&control)),
            PING => {
                self.ping = control;
                return 1;
            }
            PONG => {}
            _ => self.is_within_message = !frame.is_final,
        }
        0
    }
}

/// RFC 6455, section 7.4: no code, or one that may stand there.
fn how_it_closes(payload: &[u8]) -> Close {
    let wrong = Close::Wrong("WebSocket: a Close with a wrong code");
    match payload {
        [] => Close::Normal,
        [high, low, why @ ..] => match u16::from_be_bytes([*high, *low]) {
            1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(why).is_ok() => Close::Normal,
            _ => wrong,
        },
        _ => wrong,
    }
}

/// `came` bytes of the payload came before these.
fn unmask(payload: &mut [u8], mask: [u8; 4], came: u64) {
    let mut turned = mask;
    turned.rotate_left((came % 4) as usize);
    let wide =
        u64::from_ne_bytes([turned[0], turned[1], turned[2], turned[3], turned[0], turned[1], turned[2], turned[3]]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(word) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= mask;
    }
}
