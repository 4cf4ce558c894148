//! The listener's side of the admin port: how many may ask at once, and for how long.
//!
//! Nobody can hold the port: who sends or takes nothing is cut, one source has a share of the connections, and when there
//! are no more of them, somebody goes who has not shown who they are. When there is no such one, probes are answered in a
//! reserve. A greeting of TLS ([`Door`]) is a part of that: it takes of the same places, and of the time for the first head.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mqtt_hooks::run::caught_async;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tower::Service;

use crate::door::{Door, Socket, Welcome};
use crate::reply::Refusal;
use crate::shares::{Full, Share, Shares};
use crate::source::Source;

mod crowd;
mod patient;
mod timed;

pub(crate) use crowd::Known;
use crowd::{Crowd, Member};
use patient::Patient;
use timed::Timed;

/// What is answered.
#[derive(Clone)]
pub(crate) struct Routers {
    pub(crate) all: Router,
    /// For connections over the limit.
    pub(crate) probes: Router,
    /// For who speaks plain HTTP where TLS is spoken.
    pub(crate) plain: Router,
}

/// What those who ask can take of the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Connections at once, streams of events included.
    pub(crate) connections: usize,
    /// Of these, by one source. This machine has more, for here are scripts, proxies and who mends things.
    pub(crate) share: usize,
    pub(crate) share_of_loopback: usize,
    /// Connections at once that are over the limit.
    pub(crate) reserve: usize,
    pub(crate) times: Times,
    /// The same for connections over the limit, which last no longer than the longest of them.
    pub(crate) reserve_times: Times,
    /// For what is under way when the port closes. Streams of events have no end of their own.
    pub(crate) farewell: Duration,
}

/// How long one who asks is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For the head of a request, from the end of the answer before it.
    pub(crate) head: Duration,
    /// For its body, from its head on.
    pub(crate) body: Duration,
    /// From the head of a request to the head of its answer.
    pub(crate) answer: Duration,
    /// While nothing of an answer is taken.
    pub(crate) write: Duration,
}

impl Times {
    fn longest(&self) -> Duration {
        self.head.max(self.body).max(self.answer).max(self.write)
    }
}

impl Default for Allowance {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let brief = seconds(5);
        Self {
            connections: 256,
            share: 64,
            share_of_loopback: 192,
            reserve: 32,
            times: Times { head: seconds(15), body: seconds(30), answer: seconds(60), write: seconds(15) },
            reserve_times: Times { head: brief, body: brief, answer: brief, write: brief },
            farewell: Duration::from_millis(300),
        }
    }
}

impl Allowance {
    const fn share_of(&self, source: Source) -> usize {
        match source {
            Source::Loopback => self.share_of_loopback,
            Source::V4(_) | Source::V6(_) => self.share,
        }
    }
}

/// Bytes of a request's head, at the most.
const MAX_HEAD: usize = 32 << 10;

/// How long to wait when the system has no file descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Answers until `stop` is ready; when this returns nobody is left who asks.
pub(crate) async fn serve(
    listener: &TcpListener,
    door: Option<Arc<dyn Door>>,
    routers: Routers,
    allowance: Allowance,
    stop: impl Future<Output = ()>,
) {
    let mut stop = pin!(stop);
    let (closing, closed) = watch::channel(false);
    let mut port = Port {
        door,
        routers,
        allowance,
        closed,
        places: Shares::new(allowance.connections),
        within: Crowd::default(),
        over: Crowd::default(),
        connections: JoinSet::new(),
    };
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = port.connections.join_next_with_id() => port.note_end(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => port.take(stream, peer),
                Err(error) => {
                    tracing::debug!(%error, "admin: accept");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            },
        }
    }
    // Somebody listens: this end of the channel is there.
    let _ = closing.send(true);
    let all_ended = async { while port.connections.join_next().await.is_some() {} };
    if timeout(allowance.farewell, all_ended).await.is_err() {
        port.connections.shutdown().await;
    }
}

/// Who is connected.
struct Port {
    door: Option<Arc<dyn Door>>,
    routers: Routers,
    allowance: Allowance,
    closed: watch::Receiver<bool>,
    places: Arc<Shares<Source>>,
    /// Those that have a place.
    within: Crowd,
    /// Those over the limit.
    over: Crowd,
    connections: JoinSet<()>,
}

impl Port {
    /// Nobody waits in the listener's backlog, where a probe would wait behind all others.
    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let (source, known, closed) = (Source::from(peer.ip()), Known::default(), self.closed.clone());
        let Routers { all, probes, plain } = self.routers.clone();
        let (door, known_too) = (self.door.clone(), known.clone());
        let conversation = |router, times| Conversation { peer, known: known_too, door, router, plain, times };
        let (times, brief) = (self.allowance.times, self.allowance.reserve_times);
        if let Some(place) = self.place(source) {
            let task = self.connections.spawn(conversation(all, times).begin(stream, true, closed));
            self.within.add(Member { source, task, known, _place: Some(place) });
            return;
        }
        if self.over.len() >= self.allowance.reserve {
            // Nobody shows who they are there, so there is one who goes.
            self.over.make_room(None);
        }
        let conversation = conversation(probes, brief);
        let task = self.connections.spawn(async move {
            // Cut is cut, whether it has had its answer or not.
            let _ = timeout(brief.longest(), conversation.begin(stream, false, closed)).await;
        });
        self.over.add(Member { source, task, known, _place: None });
    }

    fn place(&mut self, source: Source) -> Option<Share<Source>> {
        let share = self.allowance.share_of(source);
        let full = match self.places.take(&source, share) {
            Ok(place) => return Some(place),
            Err(full) => full,
        };
        let made_room = match full {
            Full::Share => self.within.make_room(Some(source)),
            Full::All => self.within.make_room(None),
        };
        if made_room { self.places.take(&source, share).ok() } else { None }
    }

    fn note_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        self.within.forget(task);
        self.over.forget(task);
        // Who was cut to make room is no error.
        if let Err(error) = ended
            && !error.is_cancelled()
        {
            tracing::error!(%error, "admin: a connection's task failed");
        }
    }
}

/// One connection's.
struct Conversation {
    peer: SocketAddr,
    known: Known,
    /// `None`: HTTP begins at once.
    door: Option<Arc<dyn Door>>,
    router: Router,
    plain: Router,
    times: Times,
}

impl Conversation {
    /// Opens the door, if there is one, and answers one request, or all that come.
    async fn begin(mut self, stream: TcpStream, goes_on: bool, mut closed: watch::Receiver<bool>) {
        let Some(door) = self.door.take() else { return self.lead(Box::new(stream), goes_on, closed).await };
        let welcome = tokio::select! {
            welcome = timeout(self.times.head, door.open(stream)) => welcome,
            // There is no answer under way yet.
            _ = async { closed.wait_for(|&closed| closed).await.is_ok() } => return,
        };
        match welcome {
            Ok(Ok(Welcome::Sealed(stream))) => self.lead(stream, goes_on, closed).await,
            Ok(Ok(Welcome::Plain(stream))) => {
                // One answer, which is no.
                let router = self.plain.clone();
                Self { router, ..self }.lead(Box::new(stream), false, closed).await;
            }
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "admin: no TLS"),
            Err(_) => tracing::debug!(peer = %self.peer, "admin: the greeting of TLS took too long"),
        }
    }

    async fn lead(self, stream: Box<dyn Socket>, goes_on: bool, mut closed: watch::Receiver<bool>) {
        let Self { peer, known, router, times, .. } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            let router = router.clone();
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(known.clone());
            async move { Ok::<_, Infallible>(answer(router, request, times).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(times.head).max_buf_size(MAX_HEAD).keep_alive(goes_on);
        let stream = TokioIo::new(Patient::new(stream, times.write));
        let mut connection = pin!(http.serve_connection(stream, service));
        let ended = tokio::select! {
            result = &mut connection => Some(result),
            // Its error would say that the listener is gone, which is the same.
            _ = async { closed.wait_for(|&closed| closed).await.is_ok() } => None,
        };
        let result = match ended {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "admin: connection ended");
        }
    }
}

async fn answer(mut router: Router, request: Request<Incoming>, times: Times) -> Response {
    let path = request.uri().path().to_owned();
    let (head, body) = request.into_parts();
    let (body, late) = Timed::new(body, times.body);
    let request = Request::from_parts(head, Body::new(body));
    match timeout(times.answer, caught_async(router.call(request))).await {
        // Whatever the handler made of a body that did not come.
        Ok(Ok(Ok(_))) if late.is_so() => too_slow(),
        Ok(Ok(Ok(response))) => response,
        Ok(Err(why)) => {
            tracing::error!(path, why, "admin: a handler panicked");
            Refusal::internal().into_response()
        }
        Err(_) => too_slow(),
    }
}

fn too_slow() -> Response {
    Refusal::Status(StatusCode::REQUEST_TIMEOUT, "the request took too long".to_owned()).into_response()
}

#[cfg(test)]
mod tests;
