//! The only place that reads the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqtt_session::Timestamp;
use mqtt_storage::Alive;

use crate::time::patience::{Patience, Patient};

/// How often the store is told that the broker lives. So exact is `disconnected_at` after the broker died.
pub(crate) const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Longer than this no broker is away without its sessions mattering to nobody any more: 30 days in milliseconds.
const MAX_AWAY: u64 = 30 * 24 * 3600 * 1000;

/// Milliseconds that pass evenly: since the Unix epoch by the system's clock at the very first start, and on from there by
/// the monotonic one.
///
/// Sessions and timers live by it, so that a stepped system clock ends no session. What people read (the times in
/// facts of coming and going) is [`wall_ms`].
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: u64,
    /// Which start of the system this is; 0 where it does not tell.
    boot: u128,
    /// By so much the system's clock went on while the broker was away and is not believed; milliseconds.
    pub(crate) disbelieved_ms: u64,
    pub(crate) patience: Patience,
}

impl Clock {
    /// Goes on where that of the last process was.
    pub(crate) fn new(last: Option<Alive>) -> Self {
        let boot = boot();
        let wall = wall_ms();
        let (mut started_ms, mut disbelieved_ms) = (wall, 0);
        if let Some(last) = last {
            let passed = passed_since(last, boot, wall);
            started_ms = last.clock.0.saturating_add(passed.unwrap_or(0));
            disbelieved_ms = if passed.is_none() { wall.saturating_sub(last.wall) } else { 0 };
        }
        Self { started: Instant::now(), started_ms, boot, disbelieved_ms, patience: Patience::default() }
    }

    /// For the store: that the broker lives.
    pub(crate) fn alive(&self) -> Alive {
        Alive { wall: wall_ms(), clock: self.now(), boot: self.boot, since_boot: since_boot_ms() }
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
        self.uptime().as_millis() as u64
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Clock {
    /// Waits for a moment.
    pub(crate) async fn wait_until(&self, at: Patient) {
        loop {
            let left = at.0.saturating_sub(self.patient().0);
            if left == 0 {
                return;
            }
            // It may be longer if the broker is late meanwhile.
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }

    /// What `wanted` gives; `None` if that is not there in time.
    pub(crate) async fn wait_for<T>(&self, wanted: impl Future<Output = T>, until: Patient) -> Option<T> {
        tokio::select! {
            // First: what has come while the broker was late has come in time.
            biased;
            given = wanted => Some(given),
            () = self.wait_until(until) => None,
        }
    }
}

/// Milliseconds since a broker lived. Its own clock is gone, the system's may have been set; while the system has not been
/// started again, there is one that tells it.
///
/// Else the system's has to be believed, but not that so much has passed that every session would be over: more often a
/// clock is wrong by years, as it is without a battery, than a broker is away for as long. Then nobody knows (`None`), and
/// sessions live longer than they were to, which harms less than to lose them all.
fn passed_since(last: Alive, boot: u128, wall: u64) -> Option<u64> {
    if boot != 0 && last.boot == boot {
        return Some(since_boot_ms().saturating_sub(last.since_boot));
    }
    let passed = wall.saturating_sub(last.wall);
    if passed <= MAX_AWAY {
        return Some(passed);
    }
    tracing::warn!(
        days = passed / (24 * 3600 * 1000),
        "the system's clock has jumped since the broker last lived: sessions go on as if no time had passed",
    );
    None
}

/// Which start of the system this is; 0 where it does not tell.
fn boot() -> u128 {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&id.trim().replace('-', ""), 16).unwrap_or(0)
}

/// Milliseconds since the system's start, those in which it slept included, as far as it tells: to a hundredth of a second.
fn since_boot_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok());
    seconds.map_or(0, |seconds| (seconds * 1000.0) as u64)
}

/// The system's clock: milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumped_over_a_restart_of_the_system_ends_no_session() {
        const HOUR: u64 = 3600 * 1000;
        let last = Alive { wall: 1000 * HOUR, boot: 1, ..Alive::default() };
        for (hours, passed) in [(0, Some(0)), (2, Some(2)), (720, Some(720)), (721, None), (400 * 24, None)] {
            let passed = passed.map(|hours: u64| hours * HOUR);
            assert_eq!(passed_since(last, 2, (1000 + hours) * HOUR), passed, "{hours} hours");
        }
        // Set back: nothing has passed.
        assert_eq!(passed_since(last, 2, 0), Some(0));
    }
}
