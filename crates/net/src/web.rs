//! WebSocket over a socket or over TLS: MQTT's bytes are what is in its binary messages (MQTT 5, section 6).

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use parking_lot::Mutex;

use crate::carrier::{self, Carrier, Taken};
use crate::web::frame::{CLOSE, Close, Frames, Heard, PONG};

pub(crate) mod frame;
#[cfg(test)]
mod tests;
mod upgrade;

pub use upgrade::{Origins, Upgrade};
pub(crate) use upgrade::{request, upgrade};

/// Slices of MQTT's bytes in one frame.
const SLICES: usize = 32;

/// The head of a frame of ours: no mask, so at most this.
const HEAD: usize = 10;

/// A peer that must not be told more than this, for a control frame takes no more.
const CONTROL: usize = 125;

/// WebSocket over another carrier. An idle one holds no buffer: frames are opened where they were read.
pub struct Web<C> {
    below: C,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frames: Frames,
    /// What was read with the request.
    early: Vec<u8>,
    /// Bytes of the frame being written that are still to come, as its head has told the peer.
    owed: usize,
    /// A control frame to be written when no other is under way, and how much of it has left.
    control: Option<Box<Control>>,
    /// Pings that have come meanwhile, of which the last is to be answered after it.
    pings: usize,
    /// The head of the frame being written, as far as it has not left.
    head: Head,
}

/// A whole control frame.
struct Control {
    bytes: Vec<u8>,
    written: usize,
    /// The carrier below was shown it, and may have sealed it though it has not taken it: no other may come in its place.
    is_offered: bool,
    /// It is the last that is written.
    closes: bool,
}

#[derive(Clone, Copy, Default)]
struct Head {
    bytes: [u8; HEAD],
    start: u8,
    end: u8,
}

impl<C> fmt::Debug for Web<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}

impl Head {
    fn new(length: usize) -> Self {
        let mut bytes = [0; HEAD];
        bytes[0] = frame::BINARY | frame::FINAL;
        let end = match length {
            0..=125 => {
                bytes[1] = length as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, start: 0, end }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }
}

impl Control {
    fn new(kind: u8, payload: &[u8], closes: bool) -> Box<Self> {
        let payload = &payload[..payload.len().min(CONTROL)];
        let mut bytes = vec![frame::FINAL | kind, payload.len() as u8];
        bytes.extend_from_slice(payload);
        Box::new(Self { bytes, written: 0, is_offered: false, closes })
    }
}

impl<C: Carrier> Web<C> {
    fn new(below: C, early: Vec<u8>) -> Self {
        Self { below, state: Mutex::new(State { early, ..State::default() }) }
    }

    /// Takes what stands in `input` from `start` on out of its frames.
    fn open(&self, input: &mut BytesMut, start: usize) -> io::Result<Taken> {
        let mut state = self.state.lock();
        let Heard { bytes, pings, end } = state.frames.take(input, start);
        if pings > 0 && !state.is_closing() {
            // Only the last one has to be answered (RFC 6455, 5.5.3): many of them are one answer.
            state.pings += pings;
        }
        if let Some(close) = end {
            state.close(close);
        }
        let written = state.write_control(&self.below);
        match (written, end) {
            (Err(error), _) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Err(error),
            (_, Some(close)) if bytes == 0 => close.result(),
            _ if bytes > 0 => Ok(Taken::Bytes(bytes)),
            _ => Ok(Taken::Nothing),
        }
    }

    /// Nothing is read before the socket takes the answer to what was read.
    fn waits_to_answer(&self) -> bool {
        let mut state = self.state.lock();
        state.owed == 0 && state.is_behind() && state.cannot_answer(&self.below)
    }

    /// What is known without another read: what came with the request, or that the other end has ended it.
    fn take_known(&self, input: &mut BytesMut) -> Option<io::Result<usize>> {
        let (early, end) = {
            let mut state = self.state.lock();
            (mem::take(&mut state.early), state.frames.end())
        };
        if let Some(close) = end {
            return Some(close.result().map(|_| 0));
        }
        if early.is_empty() {
            return None;
        }
        let start = input.len();
        input.extend_from_slice(&early);
        match self.open(input, start) {
            Ok(Taken::Nothing) => None,
            Ok(Taken::Bytes(bytes)) => Some(Ok(bytes)),
            Ok(Taken::End) => Some(Ok(0)),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<C: Carrier> Carrier for Web<C> {
    fn poll_receive(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        if let Some(known) = self.take_known(input) {
            return Poll::Ready(known);
        }
        // Not in the middle of another frame: that is written by who delivers, and only they know when.
        while self.waits_to_answer() {
            ready!(self.below.poll_sendable(context));
        }
        carrier::poll_receive_through(&self.below, context, input, |input, start| self.open(input, start))
    }

    fn receive_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>> {
        let known = self.take_known(input);
        if known.is_some() || self.waits_to_answer() {
            return known;
        }
        carrier::receive_through_now(&self.below, input, room, |input, start| self.open(input, start))
    }

    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.write_control(&self.below)?;
        if state.is_closing() {
            // Nothing may follow a Close.
            return Err(ErrorKind::BrokenPipe.into());
        }
        let slices = &slices[..slices.len().min(SLICES)];
        if state.owed == 0 {
            state.owed = slices.iter().map(|slice| slice.len()).sum();
            state.head = Head::new(state.owed);
        }
        let head = state.head;
        let head = head.rest();
        let mut all = [IoSlice::new(&[]); SLICES + 1];
        let mut filled = 0;
        if !head.is_empty() {
            all[0] = IoSlice::new(head);
            filled = 1;
        }
        // What was offered since then is not in this frame.
        let mut left = state.owed;
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            all[filled] = IoSlice::new(part);
            filled += 1;
            left -= part.len();
            if left == 0 {
                break;
            }
        }
        let written = self.below.try_send(&all[..filled])?;
        let of_head = written.min(head.len());
        state.head.start += of_head as u8;
        let taken = written - of_head;
        state.owed -= taken;
        if taken == 0 {
            // Only some of the head has left: the rest of it is tried by who tries again.
            return Err(ErrorKind::Interrupted.into());
        }
        if state.owed == 0 {
            // A control frame that had to wait for the end of this one. If there is no room it leaves with the next.
            let _ = state.write_control(&self.below);
        }
        Ok(taken)
    }

    fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.below.poll_sendable(context)
    }

    fn is_behind(&self) -> bool {
        let mut state = self.state.lock();
        state.is_behind() && (state.owed > 0 || state.cannot_answer(&self.below))
    }

    fn is_trusted(&self) -> bool {
        self.below.is_trusted()
    }

    fn finish(&self) {
        let mut state = self.state.lock();
        state.close(Close::Normal);
        // If the socket takes no more, the peer misses a courtesy.
        let _ = state.write_control(&self.below);
        self.below.finish();
    }

    fn held(&self) -> usize {
        let early = self.state.lock().early.capacity();
        early + self.below.held()
    }
}

impl State {
    fn is_closing(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.closes)
    }

    /// One ping may wait for its answer. Who sends another one meanwhile has none answered that it does not take, and would be read
    /// from for nothing as fast as it sends.
    fn is_behind(&self) -> bool {
        self.pings + usize::from(self.control.is_some()) > 1
    }

    fn cannot_answer(&mut self, below: &impl Carrier) -> bool {
        // What else is wrong with the socket is found out by who reads.
        self.write_control(below).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    fn close(&mut self, close: Close) {
        self.pings = 0;
        if !self.is_closing() {
            let code = close.code().to_be_bytes();
            self.control = Some(match self.control.take() {
                // In the middle of one: the other end can't be told any more without taking it for something else.
                Some(mut under_way) if under_way.is_offered => {
                    under_way.bytes.extend_from_slice(&Control::new(CLOSE, &code, true).bytes);
                    under_way.closes = true;
                    under_way
                }
                _ => Control::new(CLOSE, &code, true),
            });
        }
    }

    /// Writes the control frame that waits, and an answer to the last ping, if no other frame is under way.
    fn write_control(&mut self, below: &impl Carrier) -> io::Result<()> {
        if self.owed > 0 {
            return Ok(());
        }
        loop {
            if self.control.is_none() && mem::take(&mut self.pings) > 0 {
                self.control = Some(Control::new(PONG, self.frames.ping(), false));
            }
            let Some(control) = &mut self.control else { return Ok(()) };
            while control.written < control.bytes.len() {
                control.is_offered = true;
                control.written += below.try_send(&[IoSlice::new(&control.bytes[control.written..])])?;
            }
            if control.closes {
                return Ok(());
            }
            self.control = None;
        }
    }
}
