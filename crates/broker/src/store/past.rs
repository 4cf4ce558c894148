//! What of earlier processes the broker goes on from.

use mqtt_codec::Will;
use mqtt_hooks::ConnectionInfo;
use mqtt_storage::{Alive, Bounds, Loaded, OnlineRecord};

use crate::store::online::Online;
use crate::time::clock::{ALIVE_EVERY, wall_ms};

/// What of earlier processes the broker goes on from.
#[derive(Default)]
pub(crate) struct Past {
    /// The numbers that they have given.
    pub(crate) bounds: Bounds,
    /// When the last one is known to have lived.
    pub(crate) alive: Option<Alive>,
    /// The latest time, by the system's clock, of which it is known that something happened then.
    pub(crate) seen_ms: u64,
    pub(crate) online: Vec<Online>,
}

impl Past {
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let read = |(connection, record): (&u64, &OnlineRecord<'_>)| {
            let read = Online::read(record);
            // It stays in the store: nobody knows whose going there is to tell.
            read.inspect_err(|error| tracing::warn!(connection, %error, "a record of who is online is left out")).ok()
        };
        let online: Vec<_> = loaded.online.iter().filter_map(read).collect();
        let seen = loaded.sessions.iter().map(|session| session.record.last_fact_ms);
        let seen = seen.chain(online.iter().map(|online| online.info.connected_at));
        let seen_ms = seen.chain(loaded.alive.map(|alive| alive.wall)).max().unwrap_or(0);
        Self { bounds: loaded.bounds, alive: loaded.alive, seen_ms, online }
    }

    /// The system's time that nothing may be told before, because something may have been told then.
    ///
    /// Mostly that is past anyway. If the clock was set back meanwhile, facts stand still until it is there again: whom
    /// something was told of within the last second nobody knows.
    pub(crate) fn floor_ms(&self) -> u64 {
        if wall_ms() < self.seen_ms { self.seen_ms.saturating_add(ALIVE_EVERY.as_millis() as u64) } else { 0 }
    }
}

/// A client that was online when the process died.
#[derive(Debug)]
pub(crate) struct Fallen {
    pub(crate) info: ConnectionInfo,
    /// The last time the broker is known to have lived: milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// Of a connection whose session ended with it.
    pub(crate) will: Option<Will>,
}
