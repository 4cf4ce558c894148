//! Bytes ready to leave.

use std::io::IoSlice;

use mqtt_codec::{Packet, Version};

/// Encoded packets in the order in which they leave. Large payloads are kept as shared slices, small ones copied.
///
/// Empty, it owns no memory.
#[derive(Debug, Default)]
pub struct Outbox {
    len: usize,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes waiting.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True if nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a packet.
    pub fn push(&mut self, packet: &Packet, version: Version) {
        let _ = (packet, version);
        todo!()
    }

    /// Fills `slices` from the front of the outbox and returns how many were filled.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let _ = slices;
        todo!()
    }

    /// Forgets the first `written` bytes.
    pub fn advance(&mut self, written: usize) {
        let _ = written;
        todo!()
    }

    /// Puts `rest` (taken from this outbox before, partly written) in front of what came since.
    pub fn put_back(&mut self, rest: Self) {
        let _ = rest;
        todo!()
    }

    /// Drops everything, keeping small buffers for re-use.
    pub fn clear(&mut self) {
        todo!()
    }
}
