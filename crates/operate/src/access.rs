//! What holds for who may come in and what clients may do, where neither a rule nor a module says it.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// Whether it lets in somebody from this address.
    pub fn lets_in(self, peer: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Loopback => peer.to_canonical().is_loopback(),
            Self::None => false,
        }
    }
}

/// What becomes of a client that publishes or subscribes as rules and modules forbid. Below `$SYS`, which is the broker's own,
/// nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DenyAction {
    /// It is told, where its version of MQTT has a way to.
    Ignore,
    /// Its connection ends.
    Disconnect,
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

/// What becomes of a client of a cluster that comes while the node that keeps its session is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HomeDown {
    /// It has a new session, and what waited for it at that node is lost.
    #[default]
    Fresh,
    /// It is refused until that node is back.
    Wait,
}

impl Default for Sys {
    fn default() -> Self {
        let (interval, heartbeat) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { interval, heartbeat, subscribe: SysSubscribe::Loopback }
    }
}
