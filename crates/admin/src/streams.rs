//! Server-sent events: so many streams at once, and none longer than the broker runs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, watch};

use crate::reply::Refusal;

/// Streams at once; a page has one or two.
const MAX_STREAMS: usize = 128;

/// The streams that are open.
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    until: watch::Sender<Until>,
}

/// What ends streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Until {
    /// Grows when someone who could come in no longer can: whoever reads is to ask again, and show who they are.
    renewed: u64,
    stopped: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_STREAMS)), until: watch::Sender::default() }
    }
}

impl Streams {
    /// Sends what `next` makes of the state before, until there is no more, the reader goes or the broker stops.
    ///
    /// A reader that is slow is waited for: `next` says what it has missed.
    pub(crate) fn open<S, F>(&self, first: S, next: impl FnMut(S) -> F + Send + 'static) -> Result<Response, Refusal>
    where
        S: Send + 'static,
        F: Future<Output = Option<(Event, S)>> + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let why = format!("{MAX_STREAMS} streams are open, more are not; close one");
            return Err(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE, why));
        };
        let mut until = self.until.subscribe();
        let begun = until.borrow_and_update().renewed;
        let stopped = Box::pin(async move {
            // An error says that the admin port is gone.
            let _ = until.wait_for(|until| until.stopped || until.renewed != begun).await;
        });
        let events = stream::unfold(first, next).take_until(stopped).map(move |event| {
            let _until_the_end = &place;
            Ok::<_, Infallible>(event)
        });
        Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
    }

    /// Ends all that are open: a login, a key or the password is no longer what it was.
    pub(crate) fn renew(&self) {
        self.until.send_modify(|until| until.renewed += 1);
    }

    /// Ends all, and every later one at once.
    pub(crate) fn end_all(&self) {
        self.until.send_modify(|until| until.stopped = true);
    }
}
