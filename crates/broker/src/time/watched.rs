//! Background tasks that are not let die in silence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_hooks::run::caught_async;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::time::faults::Faults;

/// How long to wait before a task is started again.
const PAUSE: Duration = Duration::from_millis(100);

/// A task that ran this long before it panicked was in order until then.
const CALM: Duration = Duration::from_secs(10);

/// So many panics, each within [`CALM`] of the one before, are not going to stop.
const TOO_MANY: u32 = 10;

/// The tasks of a broker.
pub(crate) struct Tasks {
    watcher: Watcher,
    running: Vec<JoinHandle<()>>,
}

/// Starts tasks that it watches.
#[derive(Clone)]
pub(crate) struct Watcher {
    faults: Arc<Faults>,
    /// The task that can't be kept alive.
    broken: watch::Sender<Option<&'static str>>,
}

impl Tasks {
    /// `faults` is told of each panic.
    pub(crate) fn new(faults: &Arc<Faults>) -> Self {
        let watcher = Watcher { faults: Arc::clone(faults), broken: watch::Sender::new(None) };
        Self { watcher, running: Vec::new() }
    }

    pub(crate) const fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// Runs what `start` makes. If it panics that is logged, raised as an alarm, and it is started again; so `start` is to
    /// make one that can go on from wherever the last one was.
    pub(crate) fn run<F>(&mut self, name: &'static str, start: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.watcher.watch(name, start);
        self.running.push(task);
    }

    /// Returns the name of a task that panics however often it is started, should there be one.
    pub(crate) async fn broken(&self) -> &'static str {
        let mut broken = self.watcher.broken.subscribe();
        loop {
            if let Some(name) = *broken.borrow_and_update() {
                return name;
            }
            // The sender is ours, so there is no error.
            let _ = broken.changed().await;
        }
    }

    pub(crate) async fn abort(self) {
        for task in self.running {
            task.abort();
            // The error says that it was aborted.
            let _ = task.await;
        }
    }
}

impl Watcher {
    /// [`Tasks::run`] for a task whose end is its owner's business.
    pub(crate) fn watch<F>(&self, name: &'static str, start: impl Fn() -> F + Send + Sync + 'static) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (faults, broken) = (Arc::clone(&self.faults), self.broken.clone());
        tokio::spawn(async move {
            if keep_alive(name, &faults, start).await.is_err() {
                broken.send_replace(Some(name));
            }
        })
    }
}

/// It panics too often to be started again.
#[derive(Debug, PartialEq)]
struct TooMany;

async fn keep_alive<F: Future<Output = ()>>(
    name: &'static str,
    faults: &Faults,
    start: impl Fn() -> F,
) -> Result<(), TooMany> {
    let mut in_a_row = 0;
    loop {
        let began = Instant::now();
        let Err(why) = caught_async(async { start().await }).await else { return Ok(()) };
        faults.note(name);
        // Only those soon after a start count together: a task that panics once a day is to be kept alive for ever.
        in_a_row = if began.elapsed() < CALM { in_a_row + 1 } else { 1 };
        if in_a_row >= TOO_MANY {
            tracing::error!(task = name, why, "a background task panics again and again");
            return Err(TooMany);
        }
        tracing::error!(task = name, why, "a background task panicked; it is started again");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_and_counted() {
        let (faults, starts) = (Faults::default(), AtomicU32::new(0));
        let start = || async {
            assert!(starts.fetch_add(1, Relaxed) >= 2, "not yet");
        };
        assert_eq!(keep_alive("timers", &faults, start).await, Ok(()));
        assert_eq!(starts.load(Relaxed), 3);
        assert_eq!(faults.all(), BTreeMap::from([("timers", 2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_only_panics_is_given_up() {
        let faults = Faults::default();
        assert_eq!(keep_alive("timers", &faults, || async { panic!("always") }).await, Err(TooMany));
        assert_eq!(faults.all(), BTreeMap::from([("timers", TOO_MANY.into())]));
    }
}
