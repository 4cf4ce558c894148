//! A connection of a module's own to the broker.

use std::io;
use std::task::{Context, Poll};

use bytes::BytesMut;

/// What ids of clients begin with that modules have by [`Host::open`](crate::Host::open). Nobody else comes in with such an id: it
/// would take over what waits for the module.
pub const OWN_CLIENTS: &str = "$bridge:";

/// One end of a connection. Dropped, it is closed.
pub trait Wire: Send {
    /// Appends what has come to `input`, some 16 KiB at a time at the most; 0: nothing more comes.
    fn poll_read(&mut self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Takes some of `bytes`, and says how many.
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// What was taken has left.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }
}

/// What a client's session holds for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that wait for their turn.
    pub queued: usize,
    /// As many may.
    pub max_queued: usize,
    /// Messages that were sent and not acknowledged.
    pub inflight: usize,
    /// Messages for which there was no room.
    pub dropped: u64,
}
