//! What two nodes say to each other beside the log: pieces, in order, each once, however frames are lost.
//!
//! A link is a stream of bytes each way, and lives as long as both nodes do: whoever begins another life begins all
//! its links anew. A frame says which bytes of the stream it has and how far the other one's has come, and what is
//! not acknowledged is sent again.

mod frame;
mod incoming;
mod outgoing;

pub(crate) use frame::{Ack, Frame};
pub(crate) use incoming::{Incoming, Taken};
pub(crate) use outgoing::Outgoing;

/// Bytes of the stream in one frame, at most: nats-server takes 1 MiB by default.
pub(crate) const MAX_DATA: usize = 256 * 1024;

/// Longer than any MQTT packet.
const MAX_PIECE: usize = 300 * 1024 * 1024;

/// In front of each piece.
const LENGTH: usize = size_of::<u32>();

#[cfg(test)]
mod tests;
