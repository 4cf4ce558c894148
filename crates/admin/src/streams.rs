//! Server-sent events: so many streams at once, and none longer than the broker runs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::reply::Refusal;
use crate::shares::{Full, Share, Shares};

/// Streams at once; a page has one or two.
const MAX_STREAMS: usize = 128;

/// Of these, those of one name.
const SHARE: usize = MAX_STREAMS / 4;

/// Streams of one name that trace clients, of whom few can be traced at once.
const TRACES: usize = 8;

/// The streams that are open.
pub(crate) struct Streams {
    places: Arc<Shares<String>>,
    traces: Arc<Shares<String>>,
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
        let shares = || Shares::new(MAX_STREAMS);
        Self { places: shares(), traces: shares(), until: watch::Sender::default() }
    }
}

impl Streams {
    /// Sends what `next` makes of the state before, until there is no more, the reader goes or the broker stops.
    ///
    /// A reader that is slow is waited for: `next` says what it has missed. It counts as one of `name`'s.
    pub(crate) fn open<S, F>(
        &self,
        name: &str,
        first: S,
        next: impl FnMut(S) -> F + Send + 'static,
    ) -> Result<Response, Refusal>
    where
        S: Send + 'static,
        F: Future<Output = Option<(Event, S)>> + Send + 'static,
    {
        let place = self.places.take(&name.to_owned(), SHARE).map_err(|full| match full {
            Full::Share => too_many(SHARE),
            Full::All => Refusal::busy(format!("{MAX_STREAMS} streams are open, more are not; close one")),
        })?;
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

    /// A place among the traces, for one of `name`'s.
    pub(crate) fn trace(&self, name: &str) -> Result<Share<String>, Refusal> {
        self.traces.take(&name.to_owned(), TRACES).map_err(|_| too_many(TRACES))
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

fn too_many(share: usize) -> Refusal {
    let why = format!("{share} such streams are open under this name, more are not; close one");
    Refusal::Later(StatusCode::TOO_MANY_REQUESTS, why, 1)
}
