//! What happens to clients.

use std::net::SocketAddr;
use std::sync::Arc;

use bytestring::ByteString;
use mqtt_codec::{Filter, ReasonCode, SubscribeOptions, Version};

/// What stays true of a connection from CONNECT to its end.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// After assignment, if the server made it.
    pub client_id: ByteString,
    /// As authenticated.
    pub username: Option<ByteString>,
    /// Protocol version.
    pub version: Version,
    /// The peer, by the PROXY protocol where that is on.
    pub peer: SocketAddr,
    /// The listener's port.
    pub port: u16,
    /// The listener's name.
    pub listener: Arc<str>,
    /// Seconds, as sent in CONNECT.
    pub keep_alive: u16,
    /// Clean session or clean start.
    pub clean_start: bool,
    /// Seconds; 4,294,967,295 is for ever.
    pub expiry_interval: u32,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
    /// The client went on with a session.
    pub session_present: bool,
    /// Grows with every start of the broker.
    pub epoch: u64,
    /// Unique per connection within an epoch.
    pub conn_id: u64,
}

/// Something that happened to a client. Facts of one client come one at a time and in order.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// A client is in; CONNACK has not left yet.
    Connected {
        /// Who.
        client: &'a ConnectionInfo,
        /// Counts the facts of going and coming of this client id.
        seq: u64,
    },
    /// A client is gone.
    Disconnected {
        /// Who.
        client: &'a ConnectionInfo,
        /// Why.
        reason: Reason,
        /// Milliseconds since the Unix epoch; never after the `connected_at` of the connection that replaces it.
        at: u64,
        /// Counts the facts of going and coming of this client id.
        seq: u64,
    },
    /// A subscription was made or changed.
    Subscribed {
        /// Who.
        client: &'a ConnectionInfo,
        /// To what.
        filter: &'a Filter,
        /// How.
        options: SubscribeOptions,
    },
    /// A subscription was given up.
    Unsubscribed {
        /// Who.
        client: &'a ConnectionInfo,
        /// From what.
        filter: &'a Filter,
    },
}

/// Which side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// The client, politely or not.
    Client,
    /// The broker.
    Server,
    /// An operator.
    Admin,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// DISCONNECT with this code from the client.
    Client(ReasonCode),
    /// The peer closed without DISCONNECT: `tcp_closed`, `ssl_closed`, `ws_closed`, `quic_closed`.
    Closed(&'static str),
    /// The POSIX name of a socket error in lower case: `econnreset`.
    Socket(&'static str),
    /// No packet for one and a half keep alives.
    KeepAliveTimeout,
    /// By an operator.
    Kicked,
    /// The same client id connected and went on with the session.
    TakenOver,
    /// The same client id connected with a clean start.
    Discarded,
    /// What the broker refused, by the code of its DISCONNECT.
    Refused(ReasonCode),
    /// Took no bytes for too long.
    SlowConsumer,
    /// The broker stops.
    ServerShuttingDown,
    /// The broker died; found at the next start.
    NodeDown,
    /// The listener was stopped.
    ListenerStopped,
    /// A fault of ours.
    InternalError,
}

impl Reason {
    /// As presence events show it: `normal`, `tcp_closed`, `keepalive_timeout`, ...
    pub fn name(self) -> &'static str {
        todo!()
    }

    /// Who ended the connection.
    pub fn initiator(self) -> Initiator {
        todo!()
    }
}
