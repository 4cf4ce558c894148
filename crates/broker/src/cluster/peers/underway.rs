//! What is being published at this moment.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::sleep;

/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Counts what is underway, in two turns: so it can be waited for what has begun before, whatever begins meanwhile.
#[derive(Default)]
pub(super) struct Underway {
    turn: AtomicUsize,
    counts: [AtomicUsize; 2],
}

/// Somebody looks up receivers, and delivers to them. Over when dropped.
pub(crate) struct Begun<'a>(&'a AtomicUsize);

impl Underway {
    pub(super) fn begin(&self) -> Begun<'_> {
        let count = &self.counts[self.turn.load(SeqCst) % 2];
        count.fetch_add(1, SeqCst);
        Begun(count)
    }

    /// Waits until all is over that has begun before, and some of what began since.
    pub(super) async fn drain(&self) {
        // Twice: who has looked at the turn before it changed may count itself late.
        for _ in 0..2 {
            let before = self.turn.fetch_add(1, SeqCst) % 2;
            while self.counts[before].load(SeqCst) > 0 {
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn it_is_waited_for_what_has_begun_before_however_much_begins_meanwhile() {
        let underway = Underway::default();
        underway.drain().await;
        let first = underway.begin();
        let mut drained = Box::pin(underway.drain());
        assert!(timeout(Duration::from_millis(5), &mut drained).await.is_err());
        let second = underway.begin();
        drop(first);
        // What began in its first half is waited for, and what begins in the second is not.
        assert!(timeout(Duration::from_millis(5), &mut drained).await.is_err());
        let _third = underway.begin();
        drop(second);
        drained.await;
    }
}
