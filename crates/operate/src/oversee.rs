//! What an operator watches: how the broker is, and what is wrong with it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;
use tokio::sync::mpsc::Receiver;

/// What an operator watches of a broker.
pub trait Oversee: Send + Sync + 'static {
    /// How it is.
    fn health(&self) -> Health;

    /// Alarms, those that are active first, then the others; of each the newest first.
    fn alarms(&self) -> Vec<Alarm>;

    /// Declares an alarm over; false if it is not active. It comes back when its cause does, not while that lasts.
    fn deactivate_alarm(&self, name: &str) -> bool;

    /// Forgets the alarms that are over.
    fn forget_alarms(&self);

    /// Traces what a client id sends and gets from now on; `None`: too many are traced.
    fn trace(self: Arc<Self>, client_id: &str) -> Option<Trace>;
}

/// How a broker is.
#[derive(Clone, Debug)]
pub struct Health {
    /// It ends.
    pub stopping: bool,
    /// Nothing can be written to the store, so QoS 1 and 2 are refused.
    pub store_failing: bool,
    /// Bytes of the store's files; `None`: there is no store.
    pub store_bytes: Option<u64>,
    /// Resident memory at which nothing more is queued, in bytes.
    pub memory_limit: usize,
    /// When the process began, in milliseconds since the Unix epoch.
    pub started_at: u64,
    /// Presence events that some subscriber did not get, for its queue or its socket was full.
    pub presence_dropped: u64,
}

/// A trace; it ends when this is dropped.
pub struct Trace {
    /// A line for each packet.
    pub lines: Receiver<TraceLine>,
    /// How many were not kept for whoever reads the lines too slowly.
    pub dropped: Arc<AtomicU64>,
    /// Ends the trace when it is dropped.
    pub end: Box<dyn Send + Sync>,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceLine {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Which way it went.
    pub direction: Direction,
    /// For people; passwords are not in it.
    pub packet: String,
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The client sent it.
    In,
    /// The client got it.
    Out,
}

/// Something that is or was wrong, as EMQ X 4.3 shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// What: `store_failing`.
    pub name: String,
    /// For people.
    pub message: String,
    /// More about it.
    pub details: serde_json::Value,
    /// When it began, in microseconds since the Unix epoch.
    pub activate_at: u64,
    /// When it was over, in microseconds since the Unix epoch, or `"infinity"`.
    pub deactivate_at: Until,
    /// It is not over.
    pub activated: bool,
}

/// A time that may not have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Until {
    /// Microseconds since the Unix epoch.
    At(u64),
    /// Not yet.
    #[serde(serialize_with = "infinity")]
    Infinity,
}

fn infinity<S: serde::Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("infinity")
}

impl Alarm {
    /// One that begins.
    pub fn new(name: impl Into<String>, message: impl Into<String>, details: serde_json::Value, now_us: u64) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
            details,
            activate_at: now_us,
            deactivate_at: Until::Infinity,
            activated: true,
        }
    }

    /// The same, over.
    #[must_use]
    pub fn over(self, now_us: u64) -> Self {
        Self { deactivate_at: Until::At(now_us.max(self.activate_at)), activated: false, ..self }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alarm_looks_like_emqxs() {
        let alarm = Alarm::new("a", "b", json!({"c": 1}), 2);
        let mut shown = json!({
            "name": "a", "message": "b", "details": {"c": 1}, "activate_at": 2, "deactivate_at": "infinity", "activated": true,
        });
        assert_eq!(serde_json::to_value(&alarm).unwrap(), shown);
        (shown["deactivate_at"], shown["activated"]) = (json!(3), json!(false));
        assert_eq!(serde_json::to_value(alarm.over(3)).unwrap(), shown);
    }
}
