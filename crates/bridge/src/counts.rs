//! What a bridge counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a bridge counts, from the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Messages that went there, each time they did.
    pub(crate) sent: Count,
    /// Messages that came from there.
    pub(crate) received: Count,
    /// Messages that were not carried: too large, or without a topic at the other broker.
    pub(crate) dropped: Count,
    /// Messages that a broker has acknowledged and refused.
    pub(crate) refused: Count,
    /// Messages that had been here before.
    pub(crate) looped: Count,
    /// Connections that came about.
    pub(crate) connections: Count,
}

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
