//! The line in which those wait who have more to be handled than fits a turn.
//!
//! A turn is bounded by time, but many of them one after the other are as long as one without a bound. So of those whose turn was
//! over only as many go on at a time as there are threads, each after the sockets have been looked at, and all others come
//! before them: a message waits for one turn of somebody who sends without end, however many of those there are.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where they wait, in order.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    turns: Arc<Semaphore>,
    /// Those who have a place, waiting or not.
    places: Arc<AtomicUsize>,
    threads: usize,
}

/// Somebody's place in the line. Dropped, it is given up.
pub(crate) struct Place {
    state: State,
    places: Arc<AtomicUsize>,
}

enum State {
    Waiting(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>),
    /// It is its turn; the next comes when this is dropped. `None`: the turn that led here needed no place.
    First(Option<OwnedSemaphorePermit>),
}

impl Default for Line {
    fn default() -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self { turns: Arc::new(Semaphore::new(threads.max(1))), places: Arc::default(), threads }
    }
}

impl Line {
    /// Nobody else has more to be handled than fits a turn, and another thread has all who have less; `place` is that of who
    /// asks.
    pub(crate) fn is_alone(&self, place: Option<&Place>) -> bool {
        self.threads > 1 && self.places.load(Relaxed) <= usize::from(place.is_some())
    }
}

impl Place {
    /// For who had a turn without a place, and has more.
    pub(crate) fn new(line: &Line) -> Self {
        line.places.fetch_add(1, Relaxed);
        Self { state: State::First(None), places: Arc::clone(&line.places) }
    }

    /// Ready when it is its turn. It goes on behind all who wait.
    pub(crate) fn poll(&mut self, line: &Line, context: &mut Context<'_>) -> Poll<()> {
        if let State::First(permit) = &mut self.state {
            drop(permit.take());
            let semaphore = Arc::clone(&line.turns);
            // It is never closed.
            self.state = State::Waiting(Box::pin(async move { semaphore.acquire_owned().await.ok() }));
        }
        let State::Waiting(waiting) = &mut self.state else { return Poll::Ready(()) };
        waiting.as_mut().poll(context).map(|permit| self.state = State::First(permit))
    }

    /// The turn is over, and there is more: wakes the task when others have been looked at.
    pub(crate) fn yield_turn(line: &Line, context: &mut Context<'_>) {
        if line.turns.available_permits() > 0 {
            // There is a thread that looks at sockets meanwhile.
            context.waker().wake_by_ref();
        } else {
            // Polled once, it has the runtime look at the sockets first.
            let _ = pin!(tokio::task::yield_now()).poll(context);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.fetch_sub(1, Relaxed);
    }
}
