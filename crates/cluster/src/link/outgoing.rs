//! The way out: what is to be said, and what may have to be said again.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use super::{Ack, MAX_DATA};

/// On their way at once: bytes.
const WINDOW: u64 = 4 * 1024 * 1024;

/// On their way at once. Small ones fill what a receiver may hold before their bytes do.
const MAX_FRAMES: usize = 1024;

/// After so long without progress all that is on its way is sent again.
const PATIENCE: Duration = Duration::from_millis(500);

/// One way of a link.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Not sent yet.
    unsent: BytesMut,
    /// Where that begins in the stream.
    next: u64,
    /// Sent and not known to have arrived: where each begins, and what it is.
    sent: VecDeque<(u64, Bytes)>,
    /// Of these, the next that is sent again.
    again: Option<usize>,
    /// Where pieces end that are not known to be done with.
    ends: VecDeque<u64>,
    received: u64,
    handled: u64,
    /// When something was acknowledged, or sent while nothing was on its way.
    progress: Option<Instant>,
}

impl Outgoing {
    /// Adds a piece, which is made of these parts; says where it ends.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) -> u64 {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        self.unsent.put_u32(len as u32);
        parts.iter().for_each(|part| self.unsent.put_slice(part));
        let end = self.end();
        self.ends.push_back(end);
        end
    }

    /// Where the stream ends so far.
    pub(crate) fn end(&self) -> u64 {
        self.next + self.unsent.len() as u64
    }

    /// Nothing waits to be sent for the first time.
    pub(crate) fn is_idle(&self) -> bool {
        self.unsent.is_empty()
    }

    /// All pieces that end here or before are done with.
    pub(crate) const fn handled(&self) -> u64 {
        self.handled
    }

    /// Pieces that are not known to be done with.
    pub(crate) fn pending(&self) -> usize {
        self.ends.len()
    }

    /// Bytes that are not known to have arrived.
    pub(crate) fn held(&self) -> u64 {
        self.end() - self.received
    }

    /// What is to be sent next, and where in the stream that is.
    pub(crate) fn poll_data(&mut self, now: Instant) -> Option<(u64, Bytes)> {
        if let Some(at) = self.again {
            if let Some((offset, data)) = self.sent.get(at) {
                self.again = Some(at + 1);
                return Some((*offset, data.clone()));
            }
            self.again = None;
        }
        if self.unsent.is_empty() || self.next - self.received >= WINDOW || self.sent.len() >= MAX_FRAMES {
            return None;
        }
        let data = self.unsent.split_to(self.unsent.len().min(MAX_DATA)).freeze();
        let offset = self.next;
        if self.sent.is_empty() {
            self.progress = Some(now);
        }
        self.next += data.len() as u64;
        self.sent.push_back((offset, data.clone()));
        Some((offset, data))
    }

    /// The other one says how far it is.
    pub(crate) fn note_ack(&mut self, ack: Ack, now: Instant) {
        // What nobody has sent can't have arrived; an ack that is late says less than is known.
        if ack.received > self.next || ack.handled > ack.received {
            return;
        }
        if ack.received > self.received || ack.handled > self.handled {
            self.progress = Some(now);
        }
        self.handled = self.handled.max(ack.handled);
        while self.ends.front().is_some_and(|end| *end <= self.handled) {
            self.ends.pop_front();
        }
        self.received = self.received.max(ack.received);
        while self.sent.front().is_some_and(|(offset, data)| offset + data.len() as u64 <= self.received) {
            self.sent.pop_front();
            self.again = self.again.map(|at| at.saturating_sub(1));
        }
        // One round at a time: of each frame behind the lost one the other says so.
        if ack.has_gap && ack.received == self.received && self.again.is_none() && !self.sent.is_empty() {
            self.again = Some(0);
        }
    }

    /// Something is on its way for too long: it is sent again.
    pub(crate) fn look(&mut self, now: Instant) {
        let is_late = self.progress.is_some_and(|since| now.duration_since(since) >= PATIENCE);
        if is_late && self.again.is_none() && !self.sent.is_empty() {
            self.again = Some(0);
            self.progress = Some(now);
        }
    }
}
