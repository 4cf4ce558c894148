//! The most there were of everything.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The names of what is counted, by EMQ X 4.3's names.
pub(crate) const STATS: [&str; 9] = [
    "connections",
    "channels",
    "sessions",
    "topics",
    "suboptions",
    "subscribers",
    "subscriptions",
    "subscriptions.shared",
    "retained",
];

/// The highest values seen, in the order of [`STATS`].
#[derive(Debug, Default)]
pub(crate) struct Highest([AtomicUsize; STATS.len()]);

impl Highest {
    /// The highest of each with these.
    pub(crate) fn note(&self, values: [usize; STATS.len()]) -> [usize; STATS.len()] {
        let mut highest = values;
        for (value, seen) in highest.iter_mut().zip(&self.0) {
            *value = seen.fetch_max(*value, Relaxed).max(*value);
        }
        highest
    }
}
