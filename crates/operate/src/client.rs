//! Clients, their sessions and their connections.

use std::net::SocketAddr;

use mqtt_codec::Version;

/// Which clients.
pub struct ClientQuery<'a> {
    /// Those whose ids come after this one.
    pub after: Option<&'a str>,
    /// Only ids that start so.
    pub prefix: &'a str,
    /// How many of those that are wanted are left out first.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
    /// Which of them; asked in order of ids until there are enough. `None`: all.
    pub wanted: Option<&'a dyn Fn(&ClientState) -> bool>,
}

/// A client and its session. What belongs to a connection is there only while there is one.
#[derive(Clone, Debug)]
pub struct ClientState {
    /// Its id.
    pub client_id: String,
    /// The connection it has.
    pub connection: Option<ConnectionState>,
    /// While it is away: the one it had last, as far as that is known. What has gone over it is not.
    pub last: Option<ConnectionState>,
    /// When its session began, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it went, in milliseconds since the Unix epoch; `None` while it is online.
    pub disconnected_at: Option<u64>,
    /// The version it last spoke.
    pub version: Version,
    /// Seconds the session outlives its connection; 4,294,967,295 is for ever.
    pub expiry_interval: u32,
    /// Filters subscribed to.
    pub subscriptions: usize,
    /// The most there may be.
    pub max_subscriptions: usize,
    /// Messages sent and not acknowledged.
    pub inflight: usize,
    /// The most there may be.
    pub max_inflight: usize,
    /// Messages that wait.
    pub queued: usize,
    /// The most there may be.
    pub max_queued: usize,
    /// Messages that could not be kept for it.
    pub dropped: u64,
    /// QoS 2 messages of it that it has not released.
    pub unreleased: usize,
    /// The most there may be.
    pub max_unreleased: usize,
}

impl ClientState {
    /// The connection it has, or had last.
    pub fn latest(&self) -> Option<&ConnectionState> {
        self.connection.as_ref().or(self.last.as_ref())
    }
}

/// A client's connection.
#[derive(Clone, Debug)]
pub struct ConnectionState {
    /// As authenticated.
    pub username: Option<String>,
    /// The peer.
    pub peer: SocketAddr,
    /// The listener's port.
    pub port: u16,
    /// The listener's name.
    pub listener: String,
    /// The groups it is in, as it had them when it came in.
    pub tags: Vec<String>,
    /// Seconds, as sent in CONNECT.
    pub keep_alive: u16,
    /// It says that it is a bridge of another broker.
    pub is_bridge: bool,
    /// Clean session or clean start.
    pub clean_start: bool,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
    /// Unique within an epoch.
    pub conn_id: u64,
    /// What has gone over it.
    pub traffic: Traffic,
}

/// What has gone over a connection since it began, seen from the broker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bytes.
    pub recv_oct: u64,
    /// Reads.
    pub recv_cnt: u64,
    /// Packets.
    pub recv_pkt: u64,
    /// PUBLISH packets.
    pub recv_msg: u64,
    /// Bytes.
    pub send_oct: u64,
    /// Writes.
    pub send_cnt: u64,
    /// Packets.
    pub send_pkt: u64,
    /// PUBLISH packets.
    pub send_msg: u64,
}
