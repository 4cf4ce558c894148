//! What a broker is told. Where it was said, and whether it is right, is the business of whoever makes one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use mqtt_operate::{Flapping, FlappingBy, Limits, ListenerLimits, Mqtt, Rate, SessionLimits};
use mqtt_storage::Durability;

/// What a broker is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The node's name: a topic level, not empty, without `/`, `+` and `#`.
    pub node: String,
    /// Who may come in and proves nothing.
    pub anonymous: Anonymous,
    /// What becomes of a client that does what it may not.
    pub deny_action: DenyAction,
    /// What holds for each connection.
    pub mqtt: Mqtt,
    /// Bounds.
    pub limits: Limits,
    /// Bounds of one session's queue.
    pub session: SessionLimits,
    /// Bounds for who comes in by the listener of a name; who is not in it has no others than the general ones.
    pub listeners: BTreeMap<String, ListenerLimits>,
    /// Where what outlives the process is kept; `None`: nothing does.
    pub store: Option<Store>,
    /// From the start after the broker died to when those are reported gone who were online and have not come back.
    pub recovery_grace: Duration,
    /// What the broker publishes about itself.
    pub sys: Sys,
}

/// What becomes of a client that publishes or subscribes as rules and modules forbid. Below `$SYS`, which is the broker's own,
/// nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyAction {
    /// It is told, where its version of MQTT has a way to.
    Ignore,
    /// Its connection ends.
    Disconnect,
}

/// Who may come in without saying who they are; and while there are no authenticators, whatever they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Everyone.
    All,
    /// Peers on this machine.
    Loopback,
    /// No one.
    None,
}

impl Anonymous {
    pub(crate) fn lets_in(self, peer: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Loopback => peer.to_canonical().is_loopback(),
            Self::None => false,
        }
    }
}

impl Config {
    /// Levels that topics may have, in general and by single listeners.
    pub(crate) fn all_topic_levels(&self) -> impl Iterator<Item = usize> {
        let by_listeners = self.listeners.values().filter_map(|limits| limits.max_topic_levels);
        by_listeners.chain([self.limits.max_topic_levels])
    }
}

/// Where what outlives the process is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// What an acknowledged message survives.
    pub durability: Durability,
    /// The module that gets the events of coming and going that earlier versions kept there.
    pub events_for: Option<&'static str>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysSubscribe {
    /// Peers on this machine.
    Loopback,
    /// Everyone.
    All,
    /// No one.
    None,
}

impl Default for Config {
    /// Everyone may come in, and nothing outlives the process.
    fn default() -> Self {
        Self {
            node: "rollcall@127.0.0.1".to_owned(),
            anonymous: Anonymous::All,
            deny_action: DenyAction::Ignore,
            mqtt: Mqtt::default(),
            limits: Limits::default(),
            session: SessionLimits::default(),
            listeners: BTreeMap::new(),
            store: None,
            recovery_grace: Duration::from_secs(5),
            sys: Sys::default(),
        }
    }
}

impl Default for Sys {
    fn default() -> Self {
        let (interval, heartbeat) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { interval, heartbeat, subscribe: SysSubscribe::Loopback }
    }
}
