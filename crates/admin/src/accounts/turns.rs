//! What checking passwords can cost: one at a time, some milliseconds and 19 MiB each, and few that wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shares::{Share, Shares};
use crate::source::Source;

/// Checks that run or wait.
const MAX_WAITING: usize = 16;

/// Of these, those of one source.
const MAX_OF_ONE: usize = 4;

pub(super) struct Turns {
    running: Arc<Semaphore>,
    waiting: Arc<Shares<Source>>,
}

/// Held while a check runs, by the thread that runs it: who asked may be gone before it ends.
pub(super) struct Turn {
    _running: OwnedSemaphorePermit,
    _waiting: Share<Source>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(1)), waiting: Shares::new(MAX_WAITING) }
    }
}

impl Turns {
    /// `None`: too many wait.
    pub(super) async fn take(&self, source: Source) -> Option<Turn> {
        let waiting = self.waiting.take(&source, MAX_OF_ONE).ok()?;
        // It is never closed.
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some(Turn { _running: running, _waiting: waiting })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn checks_go_one_at_a_time_and_few_wait() {
        let turns = Turns::default();
        let first = turns.take(Source::Loopback).now_or_never().flatten().expect("nobody else is there");
        let mut waiting: Vec<_> = (1..MAX_OF_ONE).map(|_| Box::pin(turns.take(Source::Loopback))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
        assert!(turns.take(Source::Loopback).now_or_never().is_some_and(|turn| turn.is_none()), "one source's share");
        let other = turns.take(Source::V4([192, 0, 2, 1].into()));
        let mut other = Box::pin(other);
        assert!((&mut other).now_or_never().is_none(), "another waits");
        drop((first, waiting));
        assert!(other.await.is_some());
    }
}
