//! The only place that reads the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqtt_session::Timestamp;
use mqtt_storage::Alive;

use crate::patience::{Patience, Patient};

/// How often the store is told that the broker lives. So exact is `disconnected_at` after the broker died.
pub(crate) const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Milliseconds that pass evenly: since the Unix epoch by the system's clock at the very first start, and on from there by
/// the monotonic one.
///
/// Sessions and timers live by it, so that a stepped system clock ends no session. What people read (the times in
/// presence events) is [`wall_ms`].
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: u64,
    pub(crate) patience: Patience,
}

impl Clock {
    /// Goes on where that of the last process was, by what the system's clock says has passed meanwhile, if it says so:
    /// it may have been set.
    pub(crate) fn new(last: Option<Alive>) -> Self {
        let wall = wall_ms();
        let started_ms = last.map_or(wall, |last| last.clock.0.saturating_add(wall.saturating_sub(last.wall)));
        Self { started: Instant::now(), started_ms, patience: Patience::default() }
    }

    /// The system's time that nothing may be told before, because something may have been told then.
    ///
    /// Mostly that is past anyway. If the clock was set back while no broker ran, facts stand still until it is there
    /// again: whom something was told of within the last second nobody knows.
    pub(crate) fn floor_ms(last: Option<Alive>) -> u64 {
        last.filter(|last| wall_ms() < last.wall)
            .map_or(0, |last| last.wall.saturating_add(ALIVE_EVERY.as_millis() as u64))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.started_ms + self.uptime_ms())
    }

    /// What others are waited for by.
    pub(crate) fn patient(&self) -> Patient {
        self.patience.now(|| self.uptime_ms())
    }

    /// [`Self::now`] and [`Self::patient`] with one look at the system's clock, for the way of each packet.
    pub(crate) fn both(&self) -> (Timestamp, Patient) {
        let mut uptime = 0;
        let patient = self.patience.now(|| {
            uptime = self.uptime_ms();
            uptime
        });
        (Timestamp(self.started_ms + uptime), patient)
    }

    pub(crate) fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// The system's clock: milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
