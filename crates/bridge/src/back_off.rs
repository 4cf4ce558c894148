//! How long to wait before the next attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A connection that lasts as long is a success, whatever ends it.
const LASTS: Duration = Duration::from_secs(10);

/// Doubles with each attempt that fails, up to a bound.
#[derive(Debug)]
pub(crate) struct BackOff {
    least: Duration,
    most: Duration,
    next: Duration,
    random: RandomState,
    count: u64,
}

impl BackOff {
    pub(crate) fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, next: least, random: RandomState::new(), count: 0 }
    }

    /// A connection was there for as long.
    pub(crate) fn note_lasted(&mut self, time: Duration) {
        if time >= LASTS {
            self.next = self.least;
        }
    }

    /// The time to wait now: from three quarters of it on, so that many bridges to one broker that is back do not come at once.
    pub(crate) fn take(&mut self) -> Duration {
        let wait = self.next.min(self.most);
        self.next = (self.next * 2).min(self.most);
        self.count += 1;
        // Seeded anew in each process, which is as random as this has to be.
        let part = self.random.hash_one(self.count) % 256;
        wait.mul_f64(0.75 + part as f64 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_get_rarer_until_one_lasts() {
        let second = Duration::from_secs(1);
        let mut back_off = BackOff::new(second, second * 5);
        for expected in [1, 2, 4, 5, 5] {
            let (wait, expected) = (back_off.take(), second * expected);
            assert!(wait <= expected && wait >= expected * 3 / 4, "{wait:?} {expected:?}");
        }
        back_off.note_lasted(second);
        assert!(back_off.take() > second * 3);
        back_off.note_lasted(second * 10);
        assert!(back_off.take() <= second);
    }
}
