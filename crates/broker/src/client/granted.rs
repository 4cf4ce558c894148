//! What a client was let in by.

use std::sync::Arc;

use bytes::Bytes;
use mqtt_hooks::Rules;
use mqtt_session::Timestamp;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// What a client is let in by.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    pub(crate) rules: Rules,
    /// How long it may stay, by the clock of the broker.
    pub(crate) until: Option<Timestamp>,
    /// Of extended authentication.
    pub(crate) method: Option<Arc<str>>,
}

/// What a connection keeps of that.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) rules: Rules,
    pub(super) method: Option<Arc<str>>,
    /// Ends the connection when what the client was let in by expires.
    pub(super) stay: Option<Running>,
    pub(super) renewal: Option<Renewal>,
}

/// The client is being authenticated again.
#[derive(Debug)]
pub(super) struct Renewal {
    /// Takes what the client says to the challenge that it was sent last.
    pub(super) answer: Option<oneshot::Sender<Bytes>>,
    pub(super) _asking: Running,
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Running(pub(super) AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
