//! `limits.memory`: whether the process uses more than it may.
//!
//! What counts is the resident memory as the system sees it, so nothing can be forgotten in the sum. It is looked at
//! after so many bytes of traffic, because without traffic it does not grow.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::watch::machine;

/// Bytes of traffic between two looks; so far can the limit be overrun.
const LOOK_EVERY: usize = 8 << 20;

/// While above the limit, looks are more frequent: the end of it is not to be missed.
const LOOK_EVERY_WHEN_FULL: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    traffic: AtomicUsize,
    full: AtomicBool,
}

impl Memory {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, traffic: AtomicUsize::new(0), full: AtomicBool::new(false) }
    }

    /// True: nothing is queued, retained or subscribed any more until memory has been given back.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// [`Self::is_full`], after another look if it is: while nobody is let in there may be no traffic that brings one.
    pub(crate) fn is_still_full(&self) -> bool {
        if self.is_full() {
            self.look();
        }
        self.is_full()
    }

    /// Notes traffic, in bytes taken and bytes handed to receivers.
    pub(crate) fn note(&self, bytes: usize) {
        let every = if self.is_full() { LOOK_EVERY_WHEN_FULL } else { LOOK_EVERY };
        if self.traffic.fetch_add(bytes, Relaxed) + bytes >= every {
            self.traffic.store(0, Relaxed);
            self.look();
        }
    }

    fn look(&self) {
        let Some(used) = machine::resident() else { return };
        let full = used >= self.limit;
        if self.full.swap(full, Relaxed) != full {
            if full {
                tracing::warn!(used, limit = self.limit, "limits.memory is reached: messages are no longer queued");
            } else {
                tracing::info!(used, limit = self.limit, "memory is below limits.memory again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_noticed_after_some_traffic() {
        let memory = Memory::new(1);
        memory.note(1);
        assert!(!memory.is_full());
        memory.note(LOOK_EVERY);
        assert!(memory.is_full());
    }

    #[test]
    fn the_end_of_it_is_noticed_without_traffic() {
        let memory = Memory::new(usize::MAX);
        memory.full.store(true, Relaxed);
        assert!(!memory.is_still_full() && !memory.is_full());
    }

    #[test]
    fn below_the_limit_nothing_is_full() {
        let memory = Memory::new(usize::MAX);
        memory.note(LOOK_EVERY);
        assert!(!memory.is_full());
    }
}
