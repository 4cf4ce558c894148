//! The checked form: what the broker is told, in the types it counts in.

mod auth;
mod listener;

use std::{collections::BTreeMap, fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use mqtt_net::Address;
pub use mqtt_operate::{Flapping, FlappingBy, HomeDown, Limits, Mqtt, Rate, SessionLimits, Sys, SysSubscribe};
use serde::{Deserialize, Serialize};

pub use self::auth::{Anonymous, Auth, AuthDefault, DenyAction, HttpAuth};
pub use self::listener::{
    CertName, CrlStale, Listener, ListenerKind, ListenerLimits, ListenerTls, ListenerWeb, Origins, Verify,
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
    /// Where clients find it, as other nodes of its cluster tell them.
    pub reference: Option<String>,
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
    /// What becomes of who comes while the node that keeps its session is down.
    pub on_home_down: HomeDown,
    /// Servers that may lose what they have promised will do.
    pub is_unsafe: bool,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name).field("nats", &self.nats).finish_non_exhaustive()
    }
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
