//! A request's body that must have come by a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// Fails when it is waited for after its time; who reads nothing of it never waits.
pub(super) struct Timed {
    body: Incoming,
    until: Instant,
    waiting: Option<Pin<Box<Sleep>>>,
    late: Late,
}

/// Whether a body came too late.
#[derive(Clone, Default)]
pub(super) struct Late(Arc<AtomicBool>);

impl Late {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Timed {
    pub(super) fn new(body: Incoming, limit: Duration) -> (Self, Late) {
        let late = Late::default();
        (Self { body, until: Instant::now() + limit, waiting: None, late: late.clone() }, late)
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let until = self.until;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep_until(until))).as_mut().poll(cx));
        self.late.0.store(true, Relaxed);
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
