//! How long it takes to tell.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the buckets in microseconds; the last bucket has none.
pub const LATENCY_BOUNDS: [u64; 13] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// A histogram that many threads add to.
#[derive(Debug, Default)]
pub(super) struct Latency {
    counts: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    total_ns: AtomicU64,
}

/// A histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyCounts {
    /// How many took up to the bound at the same place in [`LATENCY_BOUNDS`] and longer than the one before; at last
    /// those that took longer than any.
    pub counts: [u64; LATENCY_BOUNDS.len() + 1],
    /// All together.
    pub total: Duration,
}

impl Latency {
    pub(super) fn note(&self, took: Duration) {
        let bucket = LATENCY_BOUNDS.partition_point(|&bound| Duration::from_micros(bound) < took);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.total_ns.fetch_add(took.as_nanos() as u64, Relaxed);
    }

    pub(super) fn counts(&self) -> LatencyCounts {
        let mut counts = [0; LATENCY_BOUNDS.len() + 1];
        for (count, counted) in counts.iter_mut().zip(&self.counts) {
            *count = counted.load(Relaxed);
        }
        LatencyCounts { counts, total: Duration::from_nanos(self.total_ns.load(Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(took: Duration, bucket: usize) {
        let latency = Latency::default();
        latency.note(took);
        let LatencyCounts { counts, total } = latency.counts();
        assert_eq!(counts.iter().position(|&count| count > 0), Some(bucket));
        assert_eq!((counts.iter().sum::<u64>(), total), (1, took));
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        check(Duration::ZERO, 0);
        check(Duration::from_micros(10), 0);
        check(Duration::from_nanos(10_001), 1);
        check(Duration::from_secs(10), 12);
        check(Duration::from_secs(11), 13);
    }
}
