//! What a broker is told. Where it was said, and whether it is right, is the business of whoever makes one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use mqtt_operate::{
    Anonymous, DenyAction, Flapping, FlappingBy, HomeDown, Limits, ListenerLimits, Mqtt, Rate, SessionLimits, Sys,
    SysSubscribe,
};
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
    /// In a cluster.
    pub on_home_down: HomeDown,
}

/// What of it holds until the broker ends; for the rest see [`Terms`](crate::terms::Terms).
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) node: String,
    pub(crate) listeners: BTreeMap<String, ListenerLimits>,
    pub(crate) store: Option<Store>,
    pub(crate) recovery_grace: Duration,
    pub(crate) sys: Sys,
    pub(crate) on_home_down: HomeDown,
}

impl From<Config> for Fixed {
    fn from(Config { node, listeners, store, recovery_grace, sys, on_home_down, .. }: Config) -> Self {
        Self { node, listeners, store, recovery_grace, sys, on_home_down }
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
            on_home_down: HomeDown::default(),
        }
    }
}
