//! How nodes reach each other beside the log.

use bytes::Bytes;

use crate::LogError;

/// Carries frames from node to node. It may lose them, double them and let them overtake each other.
pub trait Wire: Send + Sync + 'static {
    /// What comes for a node.
    type Inbox: Inbox;

    /// From now on frames for this node come here.
    fn listen(&self, node: &str) -> impl Future<Output = Result<Self::Inbox, LogError>> + Send;

    /// Sends a frame, if it can. Where it can't at once, waiting for long helps nobody: it is sent again.
    fn send(&self, node: &str, frame: Bytes) -> impl Future<Output = ()> + Send;
}

/// Where frames come.
pub trait Inbox: Send + 'static {
    /// The next one. `None`: there will be no more, and who wants some listens anew.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}
