//! Who comes while the broker is late waits until it is not.
//!
//! Late is a broker whose threads have more to do than they can: then each client that comes in makes all who are in wait longer.
//! So those who are in go on, and who comes is let in when the broker has been on time for a while: some at first, and twice
//! as many with each beat that is on time. Who has waited for too long is refused, as are those for whom there is no room to
//! wait.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::coming::entrance::Over;
use crate::watch::metrics::Metric;

/// Those who wait at once.
const WAITING: usize = 4096;

/// Beats in a row that are to be on time before anybody is let in.
const CALM: u32 = 3;

/// Let in with the first beat after those.
const FIRST: usize = 16;

/// Whether the broker is late, and who waits for that to be over.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// In milliseconds; the most there can be: nobody waits.
    limit: AtomicU64,
    /// Who comes is to wait: the broker is late, or there are some who have waited since it was.
    is_closed: AtomicBool,
    /// How often it was closed.
    closed: AtomicU64,
    waiting: AtomicUsize,
    /// In order of coming.
    turns: Semaphore,
    calm: Mutex<Calm>,
}

/// How long the broker has been on time.
#[derive(Debug, Default)]
struct Calm {
    beats: u32,
    /// Let in with the next one.
    next: usize,
}

/// Somebody who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Lateness {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit: AtomicU64::new(ms(limit)),
            is_closed: AtomicBool::new(false),
            closed: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            turns: Semaphore::new(0),
            calm: Mutex::default(),
        }
    }

    /// So late it may be from now on. Where that is not said any more, those who wait are let in as when the broker is on time.
    pub(crate) fn set_limit(&self, limit: Option<Duration>) {
        self.limit.store(ms(limit), Relaxed);
    }

    /// For the task that beats: so late it was.
    pub(crate) fn note_beat(&self, late: Duration) {
        let mut calm = self.calm.lock();
        if late > Duration::from_millis(self.limit.load(Relaxed)) {
            *calm = Calm { beats: 0, next: FIRST };
            self.turns.forget_permits(usize::MAX);
            if !self.is_closed.swap(true, Relaxed) {
                self.closed.fetch_add(1, Relaxed);
            }
            return;
        }
        // Somebody may have begun to wait when it was just opened.
        if !self.is_closed() && self.waiting() == 0 {
            return;
        }
        calm.beats += 1;
        if calm.beats < CALM {
            return;
        }
        let waiting = self.waiting();
        self.turns.add_permits(waiting.min(calm.next).saturating_sub(self.turns.available_permits()));
        calm.next = calm.next.saturating_mul(2);
        if waiting == 0 {
            self.is_closed.store(false, Relaxed);
        }
    }

    /// Who comes is to [wait](Self::wait).
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// How often that began.
    pub(crate) fn closed(&self) -> u64 {
        self.closed.load(Relaxed)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Waits to be let in, for no longer than that.
    pub(crate) async fn wait(&self, longest: Duration) -> Result<(), Over> {
        let refused = |rule| Err(Over { metric: Metric::RefusedLate, ..Over::quota(rule) });
        let is_full = self.waiting.fetch_add(1, Relaxed) >= WAITING;
        let _waiting = Waiting(&self.waiting);
        if is_full {
            return refused("limits.lateness: the broker is late, and too many wait");
        }
        match tokio::time::timeout(longest, self.turns.acquire()).await {
            Ok(turn) => {
                // It is not given back: each beat gives its own. The semaphore is never closed.
                turn.into_iter().for_each(tokio::sync::SemaphorePermit::forget);
                Ok(())
            }
            Err(_) => refused("limits.lateness: the broker is late, and has been for half of mqtt.connect_timeout"),
        }
    }
}

fn ms(limit: Option<Duration>) -> u64 {
    limit.and_then(|limit| u64::try_from(limit.as_millis()).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_let_in_where_no_lateness_is_set_any_more() {
        let lateness = Arc::new(Lateness::new(Some(LIMIT)));
        lateness.note_beat(LIMIT * 2);
        assert!(lateness.is_closed());
        let waiting = tokio::spawn({
            let lateness = Arc::clone(&lateness);
            async move { lateness.wait(LONG).await.is_ok() }
        });
        settle().await;
        lateness.set_limit(None);
        while lateness.is_closed() {
            lateness.note_beat(LIMIT * 2);
            settle().await;
        }
        assert!(waiting.await.unwrap());
    }

    /// Lets the tasks run that can.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_let_in_when_it_has_been_on_time_for_a_while_and_not_all_at_once() {
        let lateness = Arc::new(Lateness::new(Some(LIMIT)));
        lateness.note_beat(LIMIT);
        assert!(!lateness.is_closed());
        lateness.note_beat(LIMIT * 2);
        assert!(lateness.is_closed() && lateness.closed() == 1);
        for _ in 0..100 {
            let lateness = Arc::clone(&lateness);
            tokio::spawn(async move { lateness.wait(LONG).await.unwrap() });
        }
        settle().await;
        let mut left = Vec::new();
        for late in [0, 0, 0, 0, 0, 0, 0, 300, 0, 0, 0, 0, 0] {
            lateness.note_beat(Duration::from_millis(late));
            settle().await;
            left.push(lateness.waiting());
        }
        assert_eq!(left, [100, 100, 84, 52, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(!lateness.is_closed() && lateness.closed() == 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_for_too_long_is_refused_and_so_are_those_for_whom_there_is_no_room() {
        let lateness = Arc::new(Lateness::new(Some(LIMIT)));
        lateness.note_beat(LIMIT * 2);
        // Not of those who wait, but of those who do not any more.
        lateness.turns.add_permits(1);
        lateness.note_beat(LIMIT * 2);
        for _ in 0..WAITING {
            let lateness = Arc::clone(&lateness);
            tokio::spawn(async move { lateness.wait(LONG).await.unwrap_err() });
        }
        while lateness.waiting() < WAITING {
            tokio::task::yield_now().await;
        }
        assert!(lateness.wait(LONG).await.is_err_and(|over| over.rule.contains("too many")));
        assert_eq!(lateness.waiting(), WAITING);
        tokio::time::sleep(LONG * 2).await;
        assert_eq!(lateness.waiting(), 0);
    }
}
