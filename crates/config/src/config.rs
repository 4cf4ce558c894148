//! The checked form: what the broker is told, in the types it counts in.

use std::{collections::BTreeMap, fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::Place;

/// All settings, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who this broker is.
    pub node: Node,
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

/// Where clients come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// As events, rules and the REST API tell it; no two are called the same.
    pub name: String,
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Where to listen.
    pub bind: Address,
    /// The address is the default, and another program may have it.
    pub may_be_taken: bool,
    /// Connections the kernel holds before they are accepted.
    pub backlog: u32,
    /// TLS, for the kinds that have it.
    pub tls: Option<ListenerTls>,
    /// WebSocket, for the kinds that have it.
    pub web: Option<ListenerWeb>,
    /// Proxies that begin with a header of the PROXY protocol.
    pub proxy_from: Vec<IpNet>,
    /// Bounds of its own.
    pub limits: ListenerLimits,
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

/// So many within a time, all of them at once if none came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Things or bytes.
    pub amount: u64,
    /// Within this time.
    pub per: Duration,
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Port 0 lets the system choose.
    Ip(SocketAddr),
    /// A socket of this machine.
    Unix {
        /// Where.
        path: PathBuf,
        /// Who may connect, as `chmod` takes it.
        mode: u32,
    },
}

impl Address {
    /// True if only this machine can reach it; `::ffff:127.0.0.1` counts.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    /// 0: it has none, or the system chooses it.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix { .. } => 0,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What TLS at a listener is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Files of certificates with their chains.
    pub certs: Vec<PathBuf>,
    /// Files of their keys, as many.
    pub keys: Vec<PathBuf>,
    /// The file of who signs clients' certificates.
    pub ca: Option<PathBuf>,
    /// The file of revoked clients' certificates.
    pub crl: Option<PathBuf>,
    /// What becomes of clients with certificates when it is out of date.
    pub crl_stale: CrlStale,
    /// Whether clients have to show one.
    pub verify: Verify,
    /// What of it is the user name.
    pub username_from: Option<CertName>,
    /// What of it is the client id.
    pub clientid_from: Option<CertName>,
}

/// A name that stands in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertName {
    /// The common name.
    Cn,
    /// The whole subject.
    Dn,
    /// The first DNS name.
    SanDns,
    /// The first URI.
    SanUri,
    /// SHA-256.
    Fingerprint,
}

/// What becomes of clients with certificates when the list of revoked ones is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CrlStale {
    /// It holds all the same.
    #[default]
    Allow,
    /// None comes in.
    Refuse,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// They aren't asked.
    #[default]
    None,
    /// One that is shown has to be good.
    Optional,
    /// They have to.
    Required,
}

/// Which requests begin a WebSocket at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerWeb {
    /// Begins with `/`.
    pub path: String,
    /// Pages that may connect.
    pub origins: Origins,
    /// Proxies whose `X-Forwarded-For` counts.
    pub forwarded_from: Vec<IpNet>,
}

/// Pages that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// Those of this machine.
    Local,
    /// These.
    These(Vec<String>),
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
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

/// Who may come in.
#[derive(Clone, PartialEq)]
pub struct Auth {
    /// Who may come in and proves nothing.
    pub anonymous: Anonymous,
    /// Users with their passwords' hashes.
    pub password_file: Option<PathBuf>,
    /// Tokens are signed with it.
    pub jwt_secret: Option<String>,
    /// Or with one of the keys in this file.
    pub jwt_keys: Option<PathBuf>,
    /// A service to ask by HTTP.
    pub http: HttpAuth,
    /// What clients may do, each a table.
    pub rules: Vec<serde_json::Value>,
    /// More of them.
    pub acl_file: Option<PathBuf>,
    /// What holds where none is about it.
    pub default: AuthDefault,
    /// What becomes of a client that does what it may not.
    pub deny_action: DenyAction,
    /// A listener that others reach, and nothing here says who comes in: what to say and not to start, unless some module
    /// asks clients who they are.
    pub unguarded: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.jwt_secret.as_ref().map(|_| "..");
        let mut shown = f.debug_struct("Auth");
        shown.field("anonymous", &self.anonymous).field("unguarded", &self.unguarded).field("jwt_secret", &secret);
        shown.field("files", &[&self.password_file, &self.jwt_keys, &self.acl_file]).field("rules", &self.rules);
        shown
            .field("http_url", &self.http.url)
            .field("default", &self.default)
            .field("deny_action", &self.deny_action)
            .finish()
    }
}

/// A service to ask by HTTP, as it is said.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HttpAuth {
    /// Its address.
    pub url: Option<String>,
    /// Asked who may do everything.
    pub super_url: Option<String>,
    /// How it is asked.
    pub method: Option<String>,
    /// Headers, one a line.
    pub headers: Option<String>,
    /// What it is told.
    pub params: Option<String>,
    /// Who signs certificates.
    pub ca: Option<PathBuf>,
}

/// What holds where no rule is about what a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthDefault {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// What becomes of a client that does what it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DenyAction {
    /// It is told, where its version of MQTT has a way to.
    Ignore,
    /// Its connection ends.
    Disconnect,
}

/// Who may come in without saying who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Everyone.
    All,
    /// Peers on this machine.
    Loopback,
    /// No one.
    None,
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
