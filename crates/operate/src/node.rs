//! A broker, and the machine it runs on.

use std::io;

/// A broker and how it is.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// As in `$SYS/brokers/${node}`.
    pub name: String,
    /// Its version.
    pub version: &'static str,
    /// Since it was started, in milliseconds.
    pub uptime_ms: u64,
    /// Clients with a connection.
    pub connections: usize,
    /// Clients there may be at once.
    pub max_connections: usize,
    /// Resident memory of the process in bytes.
    pub memory_used: u64,
    /// Grows with every start.
    pub epoch: u64,
}

/// The machine and the process a broker runs in; 0 where the system does not tell.
#[derive(Clone, Debug, Default)]
pub struct HostState {
    /// Processes that wanted to run over 1, 5 and 15 minutes.
    pub load: [f32; 3],
    /// Memory of the machine in bytes.
    pub memory_total: u64,
    /// Files the process may have open, sockets among them.
    pub max_fds: u64,
    /// Tasks of the process.
    pub tasks: usize,
    /// Since the broker was started, in words.
    pub uptime: String,
}

/// What clients come in by.
#[derive(Clone, Debug)]
pub struct ListenerState {
    /// Its name.
    pub name: String,
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Where it listens: an IP address and a port, or `unix:/PATH`.
    pub address: String,
    /// False while it is stopped.
    pub running: bool,
    /// Clients that came in by it and are there.
    pub connections: usize,
    /// Clients there may be at once: by it, or else by all listeners together.
    pub max_connections: usize,
}

/// Why a listener was not started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// There is none of this name.
    #[error("there is no such listener")]
    NotFound,
    /// It runs.
    #[error("the listener runs already")]
    AlreadyStarted,
    /// It does not run.
    #[error("the listener does not run")]
    NotStarted,
    /// Nobody comes in any more.
    #[error("the broker ends")]
    Ending,
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where it is to listen.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// How a broker is.
#[derive(Clone, Debug)]
pub struct Health {
    /// It ends.
    pub stopping: bool,
    /// It sends its clients elsewhere.
    pub draining: bool,
    /// Nothing can be written to the store, so QoS 1 and 2 are refused.
    pub store_failing: bool,
    /// Bytes of the store's files; `None`: there is no store.
    pub store_bytes: Option<u64>,
    /// Bytes held for clients.
    pub memory_held: usize,
    /// Bytes that may be; nobody new comes in from there on.
    pub memory_limit: usize,
    /// When the process began, in milliseconds since the Unix epoch.
    pub started_at: u64,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// MQTT over TCP.
    Mqtt,
    /// Over TLS.
    Mqtts,
    /// Over WebSocket.
    Ws,
    /// Over WebSocket and TLS.
    Wss,
}
