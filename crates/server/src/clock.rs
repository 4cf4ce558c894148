//! The only place that reads the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mqtt_session::Timestamp;

/// Unix time that never steps back: the system's clock at the start, then the monotonic one.
///
/// Sessions and timers live by it, so that a stepped system clock ends no session. What people read (the times in
/// presence events) is [`wall_ms`].
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), started_ms: wall_ms() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.started_ms + self.uptime_ms())
    }

    pub(crate) fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The moment `at` for tokio's timers.
    pub(crate) fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        let since_start = at.0.saturating_sub(self.started_ms);
        tokio::time::Instant::from_std(self.started + std::time::Duration::from_millis(since_start))
    }
}

/// The system's clock: milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
