//! Why a bridge is down.

use std::io;

use mqtt_codec::ReasonCode;

/// Why a bridge is down, for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}: {1}")]
    Connect(String, io::Error),
    #[error("{0}")]
    Tls(String),
    #[error("it does not answer in time")]
    Late,
    #[error("it refuses the bridge: {}", .0.name())]
    Refused(ReasonCode),
    #[error(
        "it does not let a client say that it is a bridge, and without that it would send back what it is sent: {0}"
    )]
    Echo(String),
    #[error(
        "it takes the bridge for one and sends back what it is sent all the same (EMQ X, unless ignore_loop_deliver is set): {0}"
    )]
    Echoes(String),
    #[error("it refuses the subscription to {0:?}: {name}", name = .1.name())]
    Subscription(String, ReasonCode),
    #[error("it has closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("it disconnects: {}", .0.name())]
    Disconnected(ReasonCode),
    #[error("it sends what MQTT has no place for: {0}")]
    Malformed(String),
    #[error("nothing comes from it, not even the answer to a ping")]
    Silent,
    #[error("it takes nothing")]
    Stuck,
    #[error("it has no room: {}", .0.name())]
    Full(ReasonCode),
    /// The same of this broker.
    #[error("this broker: {0}")]
    Here(Box<Self>),
    #[error("this broker has no clients")]
    NoBroker,
    #[error("restarted by an operator")]
    Restarted,
}

impl Trouble {
    /// It is this broker's.
    pub(crate) fn here(self) -> Self {
        Self::Here(Box::new(self))
    }
}
