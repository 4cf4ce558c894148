//! The other nodes of the cluster: what is asked here of one of them is handed on to it, and what they ask is answered.
//!
//! It is only looked, never changed, so it needs no more than that the caller may look. Who answers does so as for one caller a
//! node, whoever asks there: its lists are made one at a time.

use std::convert::Infallible;
use std::pin::Pin;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mqtt_operate::{Answering, Inquiry, MAX_REPLY, NoReply, Reply};
use tower::Service;

use crate::guard::Caller;
use crate::reply::Refusal;
use crate::role::Role;
use crate::shares::Share;
use crate::{Admission, Shared};

/// What varies in the paths that are about a node.
const NODE: &str = "node";

/// As much is asked of other nodes at once.
pub(crate) const MAX_ASKED: usize = 32;

/// Of this, by one login.
const SHARE: usize = 4;

/// An answer that is longer than [`MAX_REPLY`].
pub(crate) const TOO_LONG: StatusCode = StatusCode::PAYLOAD_TOO_LARGE;

/// What is around the routes that are looked at here.
pub(crate) const BASE: &str = "/api/v4";

/// Below these a node is asked about itself.
const PREFIXES: [&str; 2] = ["/api/v4/nodes/", "/api/v4/brokers/"];

/// Hands on what is about another node.
pub(crate) async fn hand_on(
    State(shared): Admission,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let node = path.ok().and_then(|path| path.iter().find(|(name, _)| *name == NODE).map(|(_, node)| node.to_owned()));
    let is_look = matches!(*request.method(), Method::GET | Method::HEAD);
    let Some(node) = node.filter(|node| is_look && node != shared.broker.node_name()) else {
        return next.run(request).await;
    };
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::nobody);
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    ask(&shared, &caller, &node, &format!("{BASE}{path}")).await
}

/// What another node says of a client, below its own `path`.
pub(crate) async fn ask_of_client(
    shared: &Shared,
    caller: &Caller,
    node: &str,
    path: &str,
    client_id: &str,
) -> Response {
    let path = format!("{BASE}/nodes/{}/{path}/{}", encoded(node), encoded(client_id));
    ask(shared, caller, node, &path).await
}

/// A place among those who ask other nodes.
pub(crate) fn place(shared: &Shared, caller: &Caller) -> Result<Share<String>, Refusal> {
    shared.asked.take(&caller.name, SHARE).map_err(|_| {
        let why = "as much is asked of other nodes as may be at once; try again".to_owned();
        Refusal::Later(StatusCode::TOO_MANY_REQUESTS, why, 1)
    })
}

async fn ask(shared: &Shared, caller: &Caller, node: &str, path: &str) -> Response {
    let _place = match place(shared, caller) {
        Ok(place) => place,
        Err(refusal) => return refusal.into_response(),
    };
    match shared.broker.ask_node(node, path).await {
        Ok(Reply { status, body }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(NoReply::Unknown) => Refusal::not_found(format!("there is no node {node:?} here")).into_response(),
        Err(why) => Refusal::busy(format!("{node}: {why}")).into_response(),
    }
}

/// A text as a part of a path.
pub(crate) fn encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// Answers other nodes.
pub(crate) struct Desk {
    /// Without the guard: who asks has been let in there.
    pub(crate) router: Router,
}

impl Answering for Desk {
    fn answer(&self, Inquiry { from, path }: Inquiry) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
        let mut router = self.router.clone();
        Box::pin(async move {
            // What is about all nodes is for those to make of what each says of itself.
            let is_known = PREFIXES.iter().any(|prefix| path.starts_with(prefix));
            let request = Request::get(path).body(Body::empty());
            let Some(mut request) = request.ok().filter(|_| is_known) else {
                return read(Refusal::not_found("other nodes are not told that").into_response()).await;
            };
            let caller = Caller { name: format!("node {from}"), role: Role::Viewer, login: None };
            request.extensions_mut().insert(caller);
            let Ok::<_, Infallible>(response) = router.call(request).await;
            read(response).await
        })
    }
}

async fn read(response: Response) -> Reply {
    let status = response.status().as_u16();
    match to_bytes(response.into_body(), MAX_REPLY).await {
        Ok(body) => Reply { status, body: body.to_vec() },
        Err(_) => {
            let why = "the answer is too long for another node to show; ask for a smaller page with _limit";
            let refusal = Refusal::Status(TOO_LONG, why.to_owned()).into_response();
            let body = to_bytes(refusal.into_body(), MAX_REPLY).await.map(|body| body.to_vec()).unwrap_or_default();
            Reply { status: TOO_LONG.as_u16(), body }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn other_nodes_are_told_of_this_one_as_one_who_looks_and_not_at_any_length() {
        let who = async |Extension(caller): Extension<Caller>| format!("{} {}", caller.name, caller.role.name());
        let router = Router::new()
            .route("/api/v4/nodes/a/clients", get(who))
            .route("/api/v4/nodes/a/all", get(async || "x".repeat(MAX_REPLY + 1)))
            .route("/api/v4/settings", get(async || "secret"));
        let desk = Desk { router };
        for (path, status, body) in [
            ("/api/v4/nodes/a/clients?_limit=1", 200, "node b viewer"),
            ("/api/v4/nodes/a/all", 413, "_limit"),
            ("/api/v4/nodes/a/none", 404, ""),
            ("/api/v4/settings", 404, "not told"),
            ("no path", 404, "not told"),
        ] {
            let reply = desk.answer(Inquiry { from: "b".to_owned(), path: path.to_owned() }).await;
            assert_eq!(reply.status, status, "{path}");
            let text = String::from_utf8(reply.body).unwrap();
            assert!(text.contains(body), "{path}: {text}");
        }
    }

    #[test]
    fn what_has_a_meaning_in_paths_is_encoded() {
        assert_eq!(encoded("a/b?c@1%é"), "a%2Fb%3Fc%401%25%C3%A9");
    }
}
