//! What one node of a cluster asks another in an operator's name.

use std::pin::Pin;

/// Somebody wants to look at something of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// The node that asks.
    pub from: String,
    /// What for: a path of the REST API, with its query.
    pub path: String,
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// As in HTTP.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

/// Bytes of a [`Reply`], at the most: messages of clients take the same way.
pub const MAX_REPLY: usize = 1 << 20;

/// Answers what other nodes ask. Who asks may look at everything and change nothing.
pub trait Answering: Send + Sync + 'static {
    /// Answers, or is dropped if that takes too long.
    fn answer(&self, inquiry: Inquiry) -> Pin<Box<dyn Future<Output = Reply> + Send>>;
}

/// Why there is no answer of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// No node of this name is known.
    #[error("there is no such node")]
    Unknown,
    /// It is dead, or has left.
    #[error("the node does not live")]
    Down,
    /// As much is asked of it as may be at once.
    #[error("as much is asked of the node as may be at once")]
    Busy,
    /// It did not answer in time.
    #[error("the node does not answer")]
    Silent,
}
