//! Frames between nodes, by subjects that no stream keeps.

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{NatsConfig, away};
use crate::{Inbox, LogError, Wire};

/// By a connection of its own: however much goes between nodes, what they agree on does not wait behind it.
#[derive(Clone, Debug)]
pub struct NatsWire {
    client: Client,
    prefix: String,
}

/// Of one node.
pub struct NatsInbox(Subscriber);

impl NatsWire {
    /// Connects to servers that are [fit](super::NatsLog::connect).
    ///
    /// # Errors
    /// None answers.
    pub async fn connect(config: &NatsConfig) -> Result<Self, LogError> {
        let client = config.options().connect(&config.servers[..]).await.map_err(away)?;
        Ok(Self { client, prefix: format!("node.{}", config.cluster) })
    }

    /// A name may have what means something else in a subject.
    fn subject(&self, node: &str) -> String {
        let hex: String = node.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{hex}", self.prefix)
    }
}

impl Wire for NatsWire {
    type Inbox = NatsInbox;

    async fn listen(&self, node: &str) -> Result<NatsInbox, LogError> {
        self.client.subscribe(self.subject(node)).await.map(NatsInbox).map_err(away)
    }

    async fn send(&self, node: &str, frame: Bytes) {
        // Without a connection it would wait and come in a heap when there is one again.
        if self.client.connection_state() == async_nats::connection::State::Connected {
            // What is lost is sent again.
            let _ = self.client.publish(self.subject(node), frame).await;
        }
    }
}

impl Inbox for NatsInbox {
    async fn next(&mut self) -> Option<Bytes> {
        Some(self.0.next().await?.payload)
    }
}
