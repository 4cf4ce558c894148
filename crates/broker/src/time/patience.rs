//! How long the broker waits for others: a clock that stands still while the broker itself did.
//!
//! A client that is silent may have been silent, or the broker may have been deaf: paused, without a share of the
//! processor, waiting for a disk. So what is waited for is not measured by a clock on the wall. A task beats a few times
//! a second; time passes up to a little after its last beat and no further until the next one. What a beat is late is no
//! time that anyone was waited for, and every deadline moves by it, whatever it is a deadline of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two beats.
pub(crate) const BEAT: Duration = Duration::from_millis(100);

/// How far time passes after a beat without another one. A busy machine wakes a task late by some milliseconds without
/// being late with anything else.
const AHEAD_MS: u64 = 250;

/// A beat that is later than this is a stall, which operators are told of. What is shorter is credited all the same.
pub(crate) const STALL_MS: u64 = 1000;

/// A moment as patience counts them: milliseconds since the start, less those in which the broker was late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Patient(pub(crate) u64);

impl Patient {
    pub(crate) const fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_millis() as u64))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Patience {
    /// No moment is after this one until the next beat.
    end: AtomicU64,
    /// Milliseconds that the broker was late, in all.
    late: AtomicU64,
    stalls: AtomicU64,
    last_stall: AtomicU64,
    stalled: AtomicU64,
}

/// How often and how long the broker stood still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalls {
    pub(crate) count: u64,
    /// Milliseconds of the last one.
    pub(crate) last_ms: u64,
    /// Milliseconds of all.
    pub(crate) total_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            end: AtomicU64::new(AHEAD_MS),
            late: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            last_stall: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        }
    }
}

impl Patience {
    /// The moment it is; `uptime_ms` reads the milliseconds since the start.
    pub(crate) fn now(&self, uptime_ms: impl FnOnce() -> u64) -> Patient {
        // In this order, and `beat` writes in the other one: whoever sees its `end` sees its `late`, and an uptime that is
        // not from before it. Otherwise a moment could be one that is past by a whole stall.
        let end = self.end.load(Ordering::Acquire);
        let late = self.late.load(Ordering::Acquire);
        Patient(uptime_ms().saturating_sub(late).min(end))
    }

    /// For the one task that beats. Returns how late this one was.
    pub(crate) fn beat(&self, uptime_ms: u64) -> u64 {
        let late = self.late.load(Ordering::Relaxed);
        let moment = uptime_ms.saturating_sub(late);
        let excess = moment.saturating_sub(self.end.load(Ordering::Relaxed));
        self.late.store(late + excess, Ordering::Release);
        self.end.store(moment - excess + AHEAD_MS, Ordering::Release);
        if excess >= STALL_MS {
            self.last_stall.store(excess, Ordering::Relaxed);
            self.stalled.fetch_add(excess, Ordering::Relaxed);
            self.stalls.fetch_add(1, Ordering::Release);
        }
        excess
    }

    pub(crate) fn stalls(&self) -> Stalls {
        Stalls {
            count: self.stalls.load(Ordering::Acquire),
            last_ms: self.last_stall.load(Ordering::Relaxed),
            total_ms: self.stalled.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn time_passes_while_beats_come() {
        let patience = Patience::default();
        for uptime in (100..10_000).step_by(100) {
            assert_eq!(patience.now(|| uptime), Patient(uptime));
            assert_eq!(patience.beat(uptime), 0);
        }
        assert_eq!(patience.stalls(), Stalls::default());
    }

    #[test]
    fn a_pause_is_no_time_whoever_looks_first() {
        let patience = Patience::default();
        patience.beat(100);
        // Before the late beat, and after it.
        assert_eq!(patience.now(|| 7_100), Patient(350));
        assert_eq!(patience.beat(7_100), 6_750);
        assert_eq!(patience.now(|| 7_100), Patient(350));
        assert_eq!(patience.now(|| 7_200), Patient(450));
        assert_eq!(patience.stalls(), Stalls { count: 1, last_ms: 6_750, total_ms: 6_750 });
    }

    #[test]
    fn beats_that_are_always_late_slow_time_down() {
        let patience = Patience::default();
        let mut uptime = 0;
        for _ in 0..10 {
            uptime += 1_000;
            patience.beat(uptime);
        }
        assert_eq!(patience.now(|| uptime), Patient(10 * AHEAD_MS));
    }

    #[test]
    fn no_moment_is_before_one_that_was() {
        let patience = Arc::new(Patience::default());
        let uptime = Arc::new(AtomicU64::new(0));
        let readers = [(); 2].map(|()| {
            let (patience, uptime) = (Arc::clone(&patience), Arc::clone(&uptime));
            std::thread::spawn(move || {
                let mut last = Patient(0);
                while uptime.load(Ordering::SeqCst) < 40_000_000 {
                    let now = patience.now(|| uptime.load(Ordering::SeqCst));
                    assert!(now >= last, "{now:?} after {last:?}");
                    last = now;
                }
            })
        });
        for n in 0..40_000 {
            let now = uptime.fetch_add(if n % 7 == 0 { 5_000 } else { 100 }, Ordering::SeqCst);
            patience.beat(now);
        }
        uptime.store(u64::MAX / 2, Ordering::SeqCst);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }
}
