//! Messages for a stream of NATS JetStream, by whoever must know that they are there for good.
//!
//! A message is published when JetStream has acknowledged it. What is published again by the same [`id`](Message::id) while the stream
//! remembers that one (two minutes, unless it is set otherwise) is there once. Nothing waits here: where there is no connection, the next who
//! publishes makes one, and what was under way when it was lost may be there or not.
//!
//! It needs tokio's time and sockets, and the feature `client`: without it there is no [`Publisher`] to be had, and none of what it is made of.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mqtt_jetstream::{Login, Message, Publisher, Servers};
//!
//! # async fn publish() -> Result<(), Box<dyn std::error::Error>> {
//! let publisher = Publisher::new(Servers {
//!     urls: vec!["nats://127.0.0.1:4222".to_owned()],
//!     login: Login::None,
//!     tls: None,
//!     name: "an example".to_owned(),
//!     stream: None,
//!     timeout: Duration::from_secs(5),
//! })?;
//! let greet = |id: &str, subject: &str| Message {
//!     subject: subject.to_owned(),
//!     id: id.to_owned(),
//!     headers: Vec::new(),
//!     body: "hello".into(),
//! };
//! // The second one waits for the first one's acknowledgement, the third one for nobody.
//! let lanes = vec![vec![greet("1", "greetings.a"), greet("2", "greetings.a")], vec![greet("3", "greetings.b")]];
//! publisher.publish(lanes, 256, |id| println!("{id} is there")).await?;
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use bytes::Bytes;
pub use rustls::ClientConfig;

#[cfg(not(feature = "client"))]
#[path = "absent.rs"]
mod publisher;
#[cfg(feature = "client")]
mod publisher;

pub use publisher::Publisher;

/// How nats-servers are reached.
#[derive(Clone)]
pub struct Servers {
    /// `nats://host:port` or `tls://host:port`; one is enough to find the others.
    pub urls: Vec<String>,
    /// What they ask for.
    pub login: Login,
    /// For `tls://`, and for servers that ask for TLS.
    pub tls: Option<ClientConfig>,
    /// By which they show this client.
    pub name: String,
    /// Which stream has to take what is published; `None`: whichever does.
    pub stream: Option<String>,
    /// To connect to one of them, and for an acknowledgement.
    pub timeout: Duration,
}

/// Who a client says it is.
#[derive(Clone, Default)]
pub enum Login {
    /// Nobody.
    #[default]
    None,
    /// A user.
    User {
        /// Their name.
        name: String,
        /// Their password.
        password: String,
    },
    /// Whoever has this.
    Token(String),
}

/// To be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Tokens with dots in between.
    pub subject: String,
    /// `Nats-Msg-Id`: no other message of the stream has it.
    pub id: String,
    /// Beside those that JetStream reads: visible ASCII and blanks.
    pub headers: Vec<(&'static str, String)>,
    /// What it says.
    pub body: Bytes,
}

/// It is not certain that a message is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpublished {
    /// It can't be taken as it is, now or later.
    #[error("{0}")]
    Refused(String),
    /// It is to be published again.
    #[error("{0}")]
    NotNow(String),
}
