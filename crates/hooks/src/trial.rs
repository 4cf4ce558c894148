//! A module's test of itself, which operators start, and the clients that it makes for it.

use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::{Filter, Message};

use crate::Host;

/// Tries out what a module does on the broker it runs on.
#[async_trait::async_trait]
pub trait Trial: Send + Sync {
    /// Runs the test, which takes some seconds at the most. Its module runs.
    async fn run(&self, host: Arc<dyn Host>) -> Report;
}

/// What came of a [`Trial`].
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What went wrong; `None`: nothing.
    pub error: Option<String>,
    /// The messages that came of it, as they came.
    pub messages: Vec<Came>,
}

/// A message that came of a [`Trial`].
#[derive(Clone, Debug)]
pub struct Came {
    /// What it says and where.
    pub message: Message,
    /// From what led to it to its coming.
    pub after: Duration,
}

/// A client of a module's own, which to the broker is like any other: rules and limits hold for it, and what it does is
/// told.
///
/// Each call answers within some seconds. Errors are for people.
#[async_trait::async_trait]
pub trait Client: Send {
    /// Subscribes with QoS 0.
    async fn subscribe(&mut self, filter: &Filter) -> Result<(), String>;

    /// The next message.
    async fn receive(&mut self) -> Result<Message, String>;

    /// Leaves with DISCONNECT. One that is dropped instead is gone as if its socket were closed.
    async fn disconnect(self: Box<Self>) -> Result<(), String>;
}
