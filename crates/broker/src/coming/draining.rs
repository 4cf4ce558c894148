//! Whether clients are sent elsewhere, and how far that has come.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytestring::ByteString;
use mqtt_operate::Drain;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::time::clock::wall_ms;

/// Clients are sent elsewhere, if they are. It is forgotten with the process.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    /// For all who come.
    is_on: AtomicBool,
    under: Mutex<Option<Under>>,
    /// It is another now than it was.
    pub(super) changed: Notify,
    /// Counts who was told where to go, so that not all go to the same.
    turn: AtomicUsize,
}

/// Clients are sent elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Under {
    pub(super) began: Instant,
    /// The same in milliseconds since the Unix epoch.
    pub(super) since: u64,
    pub(super) over: Duration,
    /// Who was there then.
    pub(super) clients: usize,
    pub(super) to: Option<ByteString>,
}

impl Draining {
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Nobody comes in from now on.
    pub(super) fn begin(&self, Drain { over, to }: Drain, clients: usize) {
        let under = Under { began: Instant::now(), since: wall_ms(), over, clients, to: to.map(ByteString::from) };
        let mut now = self.under.lock();
        *now = Some(under);
        self.is_on.store(true, Relaxed);
        drop(now);
        self.changed.notify_one();
    }

    /// False if they are not.
    pub(super) fn end(&self) -> bool {
        let mut now = self.under.lock();
        let was_on = now.take().is_some();
        self.is_on.store(false, Relaxed);
        drop(now);
        self.changed.notify_one();
        was_on
    }

    pub(super) fn under(&self) -> Option<Under> {
        self.under.lock().clone()
    }

    pub(super) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Relaxed)
    }
}

impl Under {
    /// So many of `all` are to be told by now.
    pub(super) fn due(&self, all: usize) -> usize {
        due(all, self.began.elapsed(), self.over)
    }
}

fn due(all: usize, elapsed: Duration, over: Duration) -> usize {
    if elapsed >= over {
        return all;
    }
    // The first at once, so the last is told before the time is over.
    let before = all as f64 * elapsed.div_duration_f64(over);
    all.min((before as usize).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_all_are_by_the_end() {
        let seconds = Duration::from_secs;
        for (all, elapsed, over, told) in [
            (0, 0, 10, 0),
            (1, 0, 10, 1),
            (10, 0, 10, 1),
            (10, 5, 10, 6),
            (10, 9, 10, 10),
            (10, 10, 10, 10),
            (7, 0, 0, 7),
        ] {
            assert_eq!(due(all, seconds(elapsed), seconds(over)), told, "{all} {elapsed} {over}");
        }
        assert_eq!(due(usize::MAX, Duration::MAX - Duration::from_nanos(1), Duration::MAX), usize::MAX);
    }
}
