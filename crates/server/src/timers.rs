//! Everything that happens later: keep alive, slow consumers, delayed wills, session expiry.
//!
//! One ordered map and one task for the whole broker, so that an idle connection owns an entry of a few words and
//! wakes nobody until its time has come.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::task::Waker;

use mqtt_session::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::client::Client;
use crate::connection::Connection;

/// What to look at when the time has come. Whether anything is due is decided there: deadlines move.
#[derive(Debug)]
pub(crate) enum Timer {
    /// Silent for too long, or taking nothing for too long?
    Connection(Weak<Connection>),
    /// No CONNECT yet?
    Arrival(Waker),
    /// A will to publish, a session to end?
    Client(Weak<Client>),
}

/// Names an entry, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    at: Timestamp,
    number: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: Mutex<Entries>,
    /// Told when an entry comes before all others.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    next_number: u64,
    by_time: BTreeMap<TimerKey, Timer>,
}

impl Timers {
    pub(crate) fn insert(&self, at: Timestamp, timer: Timer) -> TimerKey {
        let mut entries = self.entries.lock();
        let key = TimerKey { at, number: entries.next_number };
        entries.next_number += 1;
        let is_first = entries.by_time.first_key_value().is_none_or(|(first, _)| at < first.at);
        entries.by_time.insert(key, timer);
        drop(entries);
        if is_first {
            self.earlier.notify_one();
        }
        key
    }

    pub(crate) fn cancel(&self, key: TimerKey) {
        self.entries.lock().by_time.remove(&key);
    }

    /// The first entry if it is due.
    pub(crate) fn pop_due(&self, now: Timestamp) -> Option<Timer> {
        let mut entries = self.entries.lock();
        let first = entries.by_time.first_entry()?;
        (first.key().at <= now).then(|| first.remove())
    }

    /// When the first entry is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.entries.lock().by_time.first_key_value().map(|(key, _)| key.at)
    }

    /// Returns when an entry has come before all others.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }
}
