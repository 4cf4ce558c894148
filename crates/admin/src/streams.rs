//! Server-sent events: so many streams at once, and none longer than the broker runs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::guard::Caller;
use crate::reply::Refusal;
use crate::role::Role;
use crate::shares::{Full, Share, Shares};

/// Streams at once; a page has one or two.
const MAX_STREAMS: usize = 128;

/// Of these, those of one name.
const SHARE: usize = MAX_STREAMS / 4;

/// Of these, those of all who may only look: the others are for who can change something when it is needed.
const VIEWERS: usize = MAX_STREAMS - SHARE;

/// Streams of one name that trace clients, of whom few can be traced at once.
const TRACES: usize = 8;

/// The streams that are open.
pub(crate) struct Streams {
    places: Arc<Shares<String>>,
    viewers: Arc<Shares<()>>,
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
        let viewers = Shares::new(VIEWERS);
        Self { places: shares(), viewers, traces: shares(), until: watch::Sender::default() }
    }
}

impl Streams {
    /// Sends what `next` makes of the state before, until there is no more, the reader goes or the broker stops.
    ///
    /// A reader that is slow is waited for: `next` says what it has missed. It counts as one of `caller`'s.
    pub(crate) fn open<S, F>(
        &self,
        caller: &Caller,
        first: S,
        next: impl FnMut(S) -> F + Send + 'static,
    ) -> Result<Response, Refusal>
    where
        S: Send + 'static,
        F: Future<Output = Option<(Event, S)>> + Send + 'static,
    {
        let are_open = |streams: usize| Refusal::busy(format!("{streams} streams are open, more are not; close one"));
        let viewer = match caller.role {
            Role::Viewer => Some(self.viewers.take(&(), VIEWERS).map_err(|_| are_open(VIEWERS))?),
            Role::Operator | Role::Admin => None,
        };
        let place = self.places.take(&caller.name, SHARE).map_err(|full| match full {
            Full::Share => too_many(SHARE),
            Full::All => are_open(MAX_STREAMS),
        })?;
        let mut until = self.until.subscribe();
        let begun = until.borrow_and_update().renewed;
        let stopped = Box::pin(async move {
            // An error says that the admin port is gone.
            let _ = until.wait_for(|until| until.stopped || until.renewed != begun).await;
        });
        let events = stream::unfold(first, next).take_until(stopped).map(move |event| {
            let _until_the_end = (&place, &viewer);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn open(streams: &Streams, name: &str, role: Role) -> Result<Response, Refusal> {
        let caller = Caller { name: name.to_owned(), role, login: None };
        streams.open(&caller, (), |()| std::future::pending::<Option<(Event, ())>>())
    }

    #[tokio::test]
    async fn those_who_only_look_leave_places_for_who_may_change_something() {
        let streams = Streams::default();
        let viewers = (0..VIEWERS).map(|n| open(&streams, &format!("viewer-{}", n / SHARE), Role::Viewer));
        let opened: Vec<_> = viewers.map(Result::unwrap).collect();
        assert!(open(&streams, "one-more", Role::Viewer).is_err());
        let admins: Vec<_> = (0..SHARE).map(|_| open(&streams, "admin", Role::Admin).unwrap()).collect();
        assert!(open(&streams, "other", Role::Admin).is_err());
        drop((opened, admins));
        assert!(open(&streams, "one-more", Role::Viewer).is_ok());
    }
}
