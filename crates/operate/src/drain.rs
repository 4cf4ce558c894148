//! A broker that is to be restarted, and sends its clients elsewhere first.

use std::time::Duration;

/// How clients are to be sent elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// They are told evenly over this time; zero: all at once.
    pub over: Duration,
    /// Where to, as clients of MQTT 5 are told. `None`: what other nodes of the cluster say of themselves, if they do.
    pub to: Option<String>,
}

/// How far that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainState {
    /// When it began: milliseconds since the Unix epoch.
    pub since: u64,
    /// Over which time clients are told: milliseconds.
    pub over_ms: u64,
    /// Clients that were connected when it began.
    pub clients: usize,
    /// Clients that still are.
    pub left: usize,
    /// Where they are told to go, if they are told.
    pub to: Option<String>,
}
