//! How much may come within a time: a bucket that fills evenly.

use std::time::Duration;

use crate::config::Rate;

/// A bucket in 8 bytes. It holds what a [`Rate`] allows within its time, and is full at the beginning.
///
/// What is noted is when it is full again. All moments are times since the start of the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    /// In nanoseconds.
    full_at: u64,
}

impl Bucket {
    pub(crate) const FULL: Self = Self { full_at: 0 };

    /// Takes so much; false: there is not as much in it, and nothing was taken.
    pub(crate) fn take(&mut self, amount: u64, rate: Rate, now: Duration) -> bool {
        let is_there = self.wait(amount, rate, now).is_zero();
        if is_there {
            self.spend(amount, rate, now);
        }
        is_there
    }

    /// Takes so much, also if it is more than there is: what is missing then has to come in before there is anything.
    pub(crate) fn spend(&mut self, amount: u64, rate: Rate, now: Duration) {
        self.full_at = self.full_at.max(nanos(now)).saturating_add(time_of(amount, rate));
    }

    /// How long until there is so much in it.
    pub(crate) fn wait(self, amount: u64, rate: Rate, now: Duration) -> Duration {
        let missing = self.full_at.saturating_sub(nanos(now)).saturating_add(time_of(amount, rate));
        Duration::from_nanos(missing.saturating_sub(nanos(rate.per)))
    }
}

/// How long it takes until so much has come in.
fn time_of(amount: u64, rate: Rate) -> u64 {
    let nanos = u128::from(amount) * rate.per.as_nanos() / u128::from(rate.amount.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { amount: 10, per: Duration::from_secs(1) };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn all_of_it_is_there_at_once_and_comes_in_evenly() {
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, ms| (0..20).filter(|_| bucket.take(1, RATE, at(ms))).count();
        assert_eq!(taken(&mut bucket, 5_000), 10);
        assert_eq!(bucket.wait(1, RATE, at(5_000)), at(100));
        assert_eq!(taken(&mut bucket, 5_099), 0);
        assert_eq!(taken(&mut bucket, 5_100), 1);
        assert_eq!(taken(&mut bucket, 5_550), 4);
        // It holds no more than that, however long nobody came.
        assert_eq!(taken(&mut bucket, 500_000), 10);
    }

    #[test]
    fn what_was_spent_beyond_it_comes_in_first() {
        let mut bucket = Bucket::default();
        bucket.spend(30, RATE, at(0));
        assert_eq!(bucket.wait(1, RATE, at(0)), at(2_100));
        assert!(!bucket.take(1, RATE, at(2_000)) && bucket.take(1, RATE, at(2_100)));
    }
}
