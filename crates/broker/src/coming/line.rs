//! The line in which those wait who have more to be handled than fits a turn.
//!
//! A turn is bounded by time, but many of them one after the other are as long as one without a bound. So of those whose turn was
//! over only as many go on at a time as there are threads, each after the sockets have been looked at, and all others come
//! before them: a message waits for one turn of somebody who sends without end, however many of those there are.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where they wait, in order.
#[derive(Clone, Debug)]
pub(crate) struct Line(Arc<Semaphore>);

/// Somebody's place in the line. Dropped, it is given up.
pub(crate) enum Place {
    Waiting(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>),
    /// It is its turn; the next comes when this is dropped. `None`: the turn that led here needed no place.
    First(Option<OwnedSemaphorePermit>),
}

impl Default for Line {
    fn default() -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self(Arc::new(Semaphore::new(threads.max(1))))
    }
}

impl Place {
    /// Ready when it is its turn. It goes on behind all who wait.
    pub(crate) fn poll(&mut self, line: &Line, context: &mut Context<'_>) -> Poll<()> {
        if let Self::First(permit) = self {
            drop(permit.take());
            let semaphore = Arc::clone(&line.0);
            // It is never closed.
            *self = Self::Waiting(Box::pin(async move { semaphore.acquire_owned().await.ok() }));
        }
        let Self::Waiting(waiting) = self else { return Poll::Ready(()) };
        waiting.as_mut().poll(context).map(|permit| *self = Self::First(permit))
    }

    /// The turn is over, and there is more: wakes the task when others have been looked at.
    pub(crate) fn yield_turn(line: &Line, context: &mut Context<'_>) {
        if line.0.available_permits() > 0 {
            // There is a thread that looks at sockets meanwhile.
            context.waker().wake_by_ref();
        } else {
            // Polled once, it has the runtime look at the sockets first.
            let _ = pin!(tokio::task::yield_now()).poll(context);
        }
    }
}
