//! The checked form: what the broker is told, in the types it counts in.

mod auth;
mod listener;

use std::{collections::BTreeMap, fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use mqtt_net::Address;
use serde::{Deserialize, Serialize};

pub use self::auth::{Anonymous, Auth, AuthDefault, DenyAction, HttpAuth};
pub use self::listener::{
    CertName, CrlStale, Listener, ListenerKind, ListenerLimits, ListenerTls, ListenerWeb, Origins, Rate, Verify,
};
use crate::error::Place;

/// All settings, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who this broker is.
    pub node: Node,
    /// Which other brokers it is one with; `None`: it is alone.
    pub cluster: Option<Cluster>,
    /// Where clients come in: `mqtt` first, the others by name. Those that are off are not in it.
    pub listeners: Vec<Listener>,
    /// What holds for all clients.
    pub mqtt: Mqtt,
    /// The dashboard and the REST API.
    pub admin: Admin,
    /// Who may come in.
    pub auth: Auth,
    /// Bounds.
    pub limits: Limits,
    /// Bounds of one session's queue.
    pub session: SessionLimits,
    /// Where sessions, messages and who is online are kept; `None` forgets them with the process.
    pub data_dir: Option<PathBuf>,
    /// How that is written.
    pub storage: Storage,
    /// From the start after the broker died to when those are reported gone who were online and have not come back.
    pub recovery_grace: Duration,
    /// What the broker publishes about itself.
    pub sys: Sys,
    /// The log.
    pub log: Log,
    /// What modules are told, by their names; who is not in it has its defaults.
    pub modules: BTreeMap<String, ModuleConfig>,
    /// Threads.
    pub runtime: Runtime,
    /// Where all of this was said, for people to look at.
    pub sources: Sources,
}

/// The keys of the file form, with where each was said. Two configurations that say the same are equal wherever that was.
#[derive(Clone, Debug, Default)]
pub struct Sources(pub(crate) Arc<[Said]>);

/// A key, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Dotted.
    pub key: String,
    /// What it means.
    pub about: String,
    /// As TOML; `None`: not set, or not to be shown.
    pub value: Option<String>,
    /// Where it was said; `None`: nowhere, it is the default.
    pub place: Option<Place>,
}

impl std::ops::Deref for Sources {
    type Target = [Said];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<Said> for Sources {
    fn from_iter<I: IntoIterator<Item = Said>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl PartialEq for Sources {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Who this broker is.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// A topic level: not empty, without `/`, `+` and `#`.
    pub name: String,
}

/// A cluster that the broker is a node of.
#[derive(Clone, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Addresses of nats-servers, at least one.
    pub nats: Vec<String>,
    /// Host and port of each one's monitoring.
    pub monitors: Vec<String>,
    /// By which they let it in.
    pub user: Option<String>,
    /// See [`Self::user`].
    pub password: Option<String>,
    /// Who signs their certificates; `None`: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show, and its key.
    pub shown: Option<(PathBuf, PathBuf)>,
    /// Servers that may lose what they have promised will do.
    pub is_unsafe: bool,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name).field("nats", &self.nats).finish_non_exhaustive()
    }
}

/// What holds for all clients.
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

/// The dashboard and the REST API.
#[derive(Clone, PartialEq)]
pub struct Admin {
    /// Where to listen; `None`: nowhere.
    pub bind: Option<SocketAddr>,
    /// TLS, if it speaks that.
    pub tls: Option<ListenerTls>,
    /// The operator's; `None`: the kept one, or one that is made.
    pub password: Option<String>,
    /// Further names by which it is reached, some with a port.
    pub hosts: Vec<String>,
    /// Proxies that say who has logged in with them.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say it.
    pub user_header: Option<String>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "..");
        let mut shown = f.debug_struct("Admin");
        shown.field("bind", &self.bind).field("tls", &self.tls).field("password", &password);
        shown.field("hosts", &self.hosts).field("trusted_proxies", &self.trusted_proxies);
        shown.field("user_header", &self.user_header).finish()
    }
}

/// Bounds; sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The largest packet taken, fixed header included.
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
    /// Messages that each client may publish.
    pub message_rate: Option<Rate>,
    /// Bytes that each client may send.
    pub byte_rate: Option<Rate>,
    /// Clients at once from one address.
    pub connections_per_address: Option<usize>,
    /// Connections from one address that are accepted and not let in.
    pub half_open_per_address: Option<usize>,
    /// Connections from one address.
    pub connect_rate_per_address: Option<Rate>,
    /// So late the broker's threads may be before those who come have to wait.
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
    /// Its user name.
    Username,
    /// Its address.
    Address,
}

/// Bounds of one session's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLimits {
    /// Messages.
    pub max_queued: usize,
    /// Bytes of topics and payloads.
    pub max_queued_bytes: usize,
}

/// How what outlives the process is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// What an acknowledged message survives.
    pub durability: Durability,
}

/// What an acknowledged message survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The broker's end, `kill -9` included.
    Process,
    /// The system's end too.
    Power,
}

/// What the broker publishes about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Sys {
    /// Between two rounds of `stats`, `metrics`, `version` and `sysdescr`.
    pub interval: Duration,
    /// Between two of `uptime` and `datetime`.
    pub heartbeat: Duration,
    /// Who may subscribe below `$SYS/`.
    pub subscribe: SysSubscribe,
}

/// Who may subscribe below `$SYS/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SysSubscribe {
    /// Peers on this machine.
    Loopback,
    /// Everyone.
    All,
    /// No one.
    None,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: an object a line.
    Json,
}

/// What a module is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModuleConfig {
    /// Whether it runs; `None` when nobody said.
    pub enabled: Option<bool>,
    /// Its own settings, an object; null for its defaults.
    pub settings: serde_json::Value,
}

/// Threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Worker threads; `None` is one for each core.
    pub workers: Option<NonZeroUsize>,
}

impl Config {
    /// Has every listener take a port that the system chooses.
    pub fn use_free_ports(&mut self) {
        for listener in &mut self.listeners {
            if let Address::Ip(address) = &mut listener.bind {
                address.set_port(0);
            }
        }
    }
}
