//! How often each of many comes, in memory that does not grow with them.
//!
//! Each is a bucket in a place that is found by a hash of who it is. Where all places that somebody may have are taken, the
//! one is forgotten whose bucket is the fullest, and so has been idle for longest: who comes from ever new addresses makes
//! the table forget the calm ones.

use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::config::Rate;
use crate::time::bucket::Bucket;

/// Places that one may have; they lie side by side.
const WAYS: usize = 8;

/// Sets of them: half a MiB in all.
const SETS: usize = 4096;

/// How often each of many comes.
#[derive(Debug)]
pub(crate) struct Rates {
    rate: Rate,
    /// Nobody outside knows who shares a place with whom.
    hasher: RandomState,
    sets: Box<[Mutex<[Place; WAYS]>]>,
}

/// The bucket of somebody; as it is at first it is full, and nobody's.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    who: u64,
    bucket: Bucket,
}

impl Rates {
    pub(crate) fn new(rate: Rate) -> Self {
        let sets = (0..SETS).map(|_| Mutex::default()).collect();
        Self { rate, hasher: RandomState::default(), sets }
    }

    pub(crate) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts one more of whom; false: they come too often, and it is not counted.
    pub(crate) fn take(&self, who: impl Hash, now: Duration) -> bool {
        self.with(who, |bucket| bucket.take(1, self.rate, now))
    }

    /// Less than half is left of what of whom may come at once.
    pub(crate) fn is_low(&self, who: impl Hash, now: Duration) -> bool {
        self.with(who, |bucket| !bucket.wait(self.rate.amount.div_ceil(2), self.rate, now).is_zero())
    }

    /// As if whom had never come.
    pub(crate) fn forget(&self, who: impl Hash) {
        self.with(who, |bucket| *bucket = Bucket::FULL);
    }

    /// Between two who may come without end.
    pub(crate) fn interval(&self) -> Duration {
        let nanos = self.rate.per.as_nanos() / u128::from(self.rate.amount.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn with<T>(&self, who: impl Hash, does: impl FnOnce(&mut Bucket) -> T) -> T {
        let who = self.hasher.hash_one(who);
        let mut set = self.sets[who as usize % SETS].lock();
        let found = set.iter().position(|place| place.who == who);
        let at = found.unwrap_or_else(|| {
            let fullest = (0..WAYS).min_by_key(|&way| set[way].bucket).unwrap_or(0);
            set[fullest] = Place { who, bucket: Bucket::default() };
            fullest
        });
        does(&mut set[at].bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn each_has_a_rate_of_its_own() {
        let rates = Rates::new(Rate { amount: 2, per: Duration::from_secs(60) });
        for who in 0..100 {
            assert!(rates.take(who, NOW) && rates.take(who, NOW) && !rates.take(who, NOW), "{who}");
        }
        assert!(rates.take(7, NOW + Duration::from_secs(30)));
    }

    #[test]
    fn who_comes_most_is_not_forgotten_for_those_who_come_once() {
        let rates = Rates::new(Rate { amount: 10, per: Duration::from_secs(60) });
        while rates.take("often", NOW) {}
        for who in 0..1_000_000 {
            rates.take(who, NOW);
        }
        assert!(!rates.take("often", NOW));
    }
}
