//! Lists, which cost as much as there are clients: what those who ask for them can take of the broker.
//!
//! One login has one list made at a time, and all together few, so that most of the machine is for messages. A list is made and
//! written as JSON where it may block, and has its place until the reader has taken the most of it: lists that are asked
//! for and not read are bounded too.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::available_parallelism;

use axum::body::{Body, HttpBody};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use mqtt_operate::Operate;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Shared;
use crate::guard::Caller;
use crate::reply::Refusal;
use crate::shares::{Full, Share, Shares};

/// Lists that wait, are made or are read.
const MAX_LISTS: usize = 64;

/// Of these, those of one login.
const SHARE: usize = 16;

/// Bytes of a list that are handed to its connection at once.
const PIECE: usize = 64 << 10;

/// Whose turn it is.
pub(crate) struct Lists {
    places: Arc<Shares<String>>,
    /// Lists that are made at once.
    running: Arc<Semaphore>,
    /// One at a time for each who waits for one or has one made, by their names.
    by_name: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Held while a list is made, by the thread that makes it: who asked may be gone before it ends.
pub(crate) struct Turn {
    place: Share<String>,
    _own: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl Default for Lists {
    fn default() -> Self {
        // At least half of the processors are not kept busy with lists.
        let at_once = (available_parallelism().map_or(1, usize::from) / 2).max(1);
        Self { places: Shares::new(MAX_LISTS), running: Arc::new(Semaphore::new(at_once)), by_name: Mutex::default() }
    }
}

impl Lists {
    pub(crate) async fn turn(&self, name: &str) -> Result<Turn, Refusal> {
        let place = self.places.take(&name.to_owned(), SHARE).map_err(|full| match full {
            Full::Share => {
                let why = format!("{SHARE} lists are asked for under this name, more are not; read those first");
                Refusal::Later(StatusCode::TOO_MANY_REQUESTS, why, 1)
            }
            Full::All => Refusal::busy(format!("{MAX_LISTS} lists are asked for, more are not; try again")),
        })?;
        // The name's own first: then who asks for many waits behind themselves, and all others behind one of theirs.
        let own = take(self.own(name)).await?;
        let running = take(Arc::clone(&self.running)).await?;
        Ok(Turn { place, _own: own, _running: running })
    }

    fn own(&self, name: &str) -> Arc<Semaphore> {
        let mut by_name = self.by_name.lock();
        // Of those who wait for nothing; there are no more of the others than places.
        by_name.retain(|_, own| Arc::strong_count(own) > 1);
        Arc::clone(by_name.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

async fn take(semaphore: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    semaphore.acquire_owned().await.map_err(|_| Refusal::internal())
}

impl Turn {
    /// The turn is over; what was made is still to be read.
    pub(crate) fn answer(self, json: impl Into<Bytes>) -> Response {
        let body = Pieces { rest: json.into(), _until_read: self.place };
        ([(header::CONTENT_TYPE, "application/json")], Body::new(body)).into_response()
    }
}

/// Answers with what is made of the broker when it is this caller's turn.
pub(crate) async fn list<T: Serialize>(
    shared: &Arc<Shared>,
    caller: &Caller,
    make: impl FnOnce(&dyn Operate) -> T + Send + 'static,
) -> Result<Response, Refusal> {
    let turn = shared.lists.turn(&caller.name).await?;
    let shared = Arc::clone(shared);
    let made = tokio::task::spawn_blocking(move || {
        let json = serde_json::to_vec(&make(&*shared.broker));
        json.map(|json| turn.answer(json)).map_err(|error| error.to_string())
    });
    let made = made.await.map_err(|error| error.to_string()).flatten();
    made.map_err(|error| {
        tracing::error!(error, "admin: a list failed");
        Refusal::internal()
    })
}

/// A body in pieces: a connection takes the next when it has written those before.
struct Pieces {
    rest: Bytes,
    _until_read: Share<String>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = PIECE.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_name_has_one_list_made_and_few_waiting() {
        let lists = Lists { running: Arc::new(Semaphore::new(2)), ..Lists::default() };
        let first = lists.turn("a").now_or_never().expect("nobody else is there").expect("a place");
        let mut waiting: Vec<_> = (1..SHARE).map(|_| Box::pin(lists.turn("a"))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()), "one at a time");
        let refused = lists.turn("a").now_or_never().expect("it does not wait").err();
        assert!(matches!(refused, Some(Refusal::Later(StatusCode::TOO_MANY_REQUESTS, ..))), "{refused:?}");
        let other = lists.turn("b").now_or_never().expect("it does not wait for others' waiting").ok();
        assert!(other.is_some());
        let answer = first.answer("[]");
        assert!(waiting.remove(0).await.is_ok(), "the list is made");
        drop((other, waiting));
        // The answer has its place until it is read.
        let held: Vec<_> = (1..SHARE).map(|_| lists.places.take(&"a".to_owned(), SHARE).ok()).collect();
        assert!(held.iter().all(Option::is_some) && lists.places.take(&"a".to_owned(), SHARE).is_err());
        drop(answer);
        assert!(lists.places.take(&"a".to_owned(), SHARE).is_ok());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_the_same_body() {
        let lists = Lists::default();
        let text = "0123456789".repeat(20_000);
        let answer = lists.turn("a").await.expect("a place").answer(text.clone());
        assert_eq!(answer.body().size_hint().exact(), Some(200_000));
        assert_eq!(axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap(), text);
    }
}
