//! The way in: what has arrived, put together to pieces.

use bytes::{Buf, Bytes, BytesMut};

use super::{Ack, LENGTH, MAX_PIECE};

/// One way of a link.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    received: u64,
    handled: u64,
    /// Of pieces that are not whole yet.
    partial: BytesMut,
    has_gap: bool,
}

/// What became of a frame's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    /// It was there already, or is too far on.
    Nothing,
    /// No node says such.
    Bad,
}

impl Incoming {
    /// Takes data that begins here in the stream, if it is the next.
    pub(crate) fn take(&mut self, offset: u64, data: &[u8]) -> Taken {
        self.has_gap = offset > self.received;
        let old = self.received.saturating_sub(offset);
        if self.has_gap || old >= data.len() as u64 {
            return Taken::Nothing;
        }
        let data = &data[old as usize..];
        self.partial.extend_from_slice(data);
        self.received += data.len() as u64;
        if self.length().is_some_and(|len| len > MAX_PIECE) { Taken::Bad } else { Taken::New }
    }

    /// The next whole piece.
    pub(crate) fn poll_piece(&mut self) -> Option<Bytes> {
        let len = self.length().filter(|len| *len <= MAX_PIECE)?;
        if self.partial.len() < LENGTH + len {
            return None;
        }
        self.partial.advance(LENGTH);
        Some(self.partial.split_to(len).freeze())
    }

    /// All pieces that were polled are done with.
    pub(crate) fn note_handled(&mut self) {
        self.handled = self.received - self.partial.len() as u64;
    }

    pub(crate) const fn ack(&self) -> Ack {
        Ack { received: self.received, handled: self.handled, has_gap: self.has_gap }
    }

    fn length(&self) -> Option<usize> {
        let length = self.partial.first_chunk::<LENGTH>()?;
        Some(u32::from_be_bytes(*length) as usize)
    }
}
