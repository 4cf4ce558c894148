//! The listener's side of the admin port: how many may ask at once, and for how long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
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
use tokio::task::JoinSet;
use tower::Service;

use crate::reply::Refusal;

/// What one who asks can take of the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once, streams of events included; more wait in the listener's backlog.
    pub(crate) connections: usize,
    /// For the head of a request, from the end of the answer before it.
    pub(crate) head: Duration,
    /// From the head of a request to the head of its answer, so for its body too.
    pub(crate) answer: Duration,
    /// For what is under way when the port closes. Streams of events have no end of their own.
    pub(crate) farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            farewell: Duration::from_millis(300),
        }
    }
}

/// Bytes of a request's head, at the most.
const MAX_HEAD: usize = 32 << 10;

/// How long to wait when the system has no file descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Answers until `stop` is ready; when this returns nobody is left who asks.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.join_next() => note_end(ended),
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(converse(stream, peer, router.clone(), limits, closed.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "admin: accept");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            },
        }
    }
    // Somebody listens: this end of the channel is there.
    let _ = closing.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.farewell, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "admin: a connection's task failed");
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    mut closed: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move { Ok::<_, Infallible>(answer(router, request.map(Body::new), limits.answer).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
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

async fn answer(mut router: Router, request: Request, limit: Duration) -> Response {
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(limit, caught_async(router.call(request))).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(why)) => {
            tracing::error!(path, why, "admin: a handler panicked");
            Refusal::internal().into_response()
        }
        Err(_) => Refusal::Status(StatusCode::REQUEST_TIMEOUT, "the request took too long".to_owned()).into_response(),
    }
}

#[cfg(test)]
mod tests;
