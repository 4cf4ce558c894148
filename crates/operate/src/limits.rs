//! What holds for clients: bounds of what they take, and for how long what is waited for. By default as in a broker that nobody told
//! anything.

use std::fmt;
use std::time::Duration;

/// What holds for each connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Mqtt {
    /// From accept to a whole CONNECT.
    pub connect_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a 3.x session with clean session 0 is kept without a connection.
    pub session_expiry: Duration,
    /// The longest session expiry a v5 client gets, in seconds; [`u32::MAX`] is no cap.
    pub max_session_expiry: u32,
    /// The keep alive forced on v5 clients, in seconds; `None` lets each choose.
    pub server_keep_alive: Option<u16>,
}

/// Bounds; sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The largest packet taken, fixed header included; clients are told at most 268,435,455, beyond which some refuse it.
    pub max_packet_size: u32,
    /// Unacknowledged QoS 1 and 2 publishes taken from one client; never 0.
    pub receive_maximum: u16,
    /// Topic aliases a client may set.
    pub topic_alias_maximum: u16,
    /// Topic aliases set towards a client that allows as many.
    pub outgoing_aliases: u16,
    /// Unacknowledged deliveries to a client that allows as many; never 0.
    pub max_inflight: u16,
    /// Bytes waiting for one client's socket.
    pub outbox: usize,
    /// After this long without taking a byte of a full outbox, a client is disconnected.
    pub slow_consumer_timeout: Duration,
    /// What is held for all clients together; `None`: three quarters of what the machine has.
    pub memory: Option<usize>,
    /// Retained messages.
    pub retained_messages: usize,
    /// Bytes of a client id.
    pub max_client_id: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_client: usize,
    /// Levels of a topic or a filter.
    pub max_topic_levels: usize,
    /// Levels of all different wildcard shapes among one client's filters.
    pub shape_levels: usize,
    /// Messages that each client may publish; of who sends more nothing is read for a while.
    pub message_rate: Option<Rate>,
    /// Bytes that each client may send.
    pub byte_rate: Option<Rate>,
    /// Clients at once from one address, or one network of version 6.
    pub connections_per_address: Option<usize>,
    /// Connections from one address that are accepted and not let in.
    pub half_open_per_address: Option<usize>,
    /// Connections from one address.
    pub connect_rate_per_address: Option<Rate>,
    /// So late the broker's threads may be before those who come have to wait; `None`: they never have to.
    pub lateness: Option<Duration>,
    /// Who comes and goes too often.
    pub flapping: Flapping,
}

/// When a client comes and goes too often, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// How often it may come; `None`: nobody looks.
    pub rate: Option<Rate>,
    /// How long it is banned that comes more often.
    pub ban: Duration,
    /// What it is known by.
    pub by: Vec<FlappingBy>,
}

/// What a client is known by that comes too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlappingBy {
    /// Its client id.
    ClientId,
    /// Its user name, if it has one.
    Username,
    /// Its address, or its network of version 6.
    Address,
}

/// So many within a time, all of them at once if none came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Things or bytes; never 0.
    pub amount: u64,
    /// Within this time.
    pub per: Duration,
}

/// Bounds for who comes in by one listener. Where nothing is said the general ones hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Clients at once.
    pub max_connections: Option<usize>,
    /// Connections that are taken.
    pub connect_rate: Option<Rate>,
    /// Messages that each client may publish.
    pub message_rate: Option<Rate>,
    /// Bytes that each client may send.
    pub byte_rate: Option<Rate>,
    /// As in [`Limits`].
    pub max_packet_size: Option<u32>,
    /// As in [`Limits`].
    pub receive_maximum: Option<u16>,
    /// As in [`Limits`].
    pub max_inflight: Option<u16>,
    /// As in [`Limits`].
    pub subscriptions_per_client: Option<usize>,
    /// As in [`Limits`].
    pub max_topic_levels: Option<usize>,
    /// As in [`SessionLimits`].
    pub max_queued: Option<usize>,
    /// As in [`SessionLimits`].
    pub max_queued_bytes: Option<usize>,
}

/// Bounds of one session's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLimits {
    /// Messages.
    pub max_queued: usize,
    /// Bytes of topics and payloads.
    pub max_queued_bytes: usize,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            max_connections: 1_000_000,
            session_expiry: Duration::from_secs(7200),
            max_session_expiry: u32::MAX,
            server_keep_alive: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_packet_size: 16 << 20,
            receive_maximum: 100,
            topic_alias_maximum: 32,
            outgoing_aliases: 32,
            max_inflight: 100,
            outbox: 1 << 20,
            slow_consumer_timeout: Duration::from_secs(30),
            memory: None,
            retained_messages: 1_000_000,
            max_client_id: 1024,
            subscriptions_per_client: 100_000,
            max_topic_levels: 128,
            shape_levels: 1_024,
            message_rate: None,
            byte_rate: None,
            connections_per_address: None,
            half_open_per_address: None,
            connect_rate_per_address: None,
            lateness: None,
            flapping: Flapping::default(),
        }
    }
}

impl Default for Flapping {
    fn default() -> Self {
        Self { rate: None, ban: Duration::from_secs(300), by: vec![FlappingBy::ClientId] }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { max_queued: 1_000_000, max_queued_bytes: 256 << 20 }
    }
}

/// As the configuration writes it.
impl fmt::Display for FlappingBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientId => "clientid",
            Self::Username => "username",
            Self::Address => "address",
        })
    }
}
