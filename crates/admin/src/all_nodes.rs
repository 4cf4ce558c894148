//! What is asked of the cluster as a whole: each node that lives is asked for its part, this one too, and in the same words.
//!
//! Lists go node by node, in the order of their names, and so come out the same whichever node is asked. A part that is not there is
//! named in the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use mqtt_operate::{Answering, Inquiry, Reply};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::Shared;
use crate::guard::Caller;
use crate::other_nodes::{self, BASE, TOO_LONG, encoded};
use crate::reply::{Data, Missing, Refusal};

mod pages;

/// Answers of all nodes that are made at once: each may be as long as the longest list.
pub(crate) const MAX_GATHERED: usize = 8;

/// Of these, by one login.
const SHARE: usize = 2;

/// How long all nodes together are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who is asked.
#[derive(Clone)]
pub(crate) struct Nodes {
    pub(crate) shared: Arc<Shared>,
    /// Answers for this node.
    pub(crate) own: Arc<dyn Answering>,
}

/// What is asked for, and where each node has its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole<'a> {
    /// Rows, page by page, below the node.
    Pages(&'static str),
    /// What there is of it, one behind the other, below the node.
    Joined(&'a str),
}

impl<'a> Whole<'a> {
    fn at(path: &'a str) -> Option<Self> {
        Some(match path {
            "/clients" => Self::Pages("clients"),
            "/subscriptions" => Self::Pages("subscriptions"),
            path if path.starts_with("/clients/username/") => Self::Joined(&path[1..]),
            _ => return None,
        })
    }
}

/// Answers what is about all nodes, if there are others.
pub(crate) async fn gather(State(nodes): State<Nodes>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let Some(whole) = Whole::at(&path).filter(|_| *request.method() == Method::GET) else {
        return next.run(request).await;
    };
    let live = nodes.live();
    if live.len() < 2 {
        return next.run(request).await;
    }
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::nobody);
    let answer = timeout(PATIENCE, nodes.answer(whole, live, &caller, request, next)).await;
    answer.unwrap_or_else(|_| Refusal::busy("the nodes take too long; ask for less").into_response())
}

/// A node's answer that can be used; else what it says instead.
type Part = Result<Vec<u8>, Reply>;

impl Nodes {
    /// In the order of their names.
    fn live(&self) -> Vec<String> {
        let nodes = self.shared.broker.cluster().map(|cluster| cluster.nodes).unwrap_or_default();
        let mut live: Vec<_> = nodes.into_iter().filter(|node| node.is_live).map(|node| node.name).collect();
        live.sort_unstable();
        live
    }

    async fn answer(
        &self,
        whole: Whole<'_>,
        live: Vec<String>,
        caller: &Caller,
        request: Request,
        next: Next,
    ) -> Response {
        let Ok(_gathered) = self.shared.gathered.take(&caller.name, SHARE) else {
            let why = "as much is asked of all nodes as may be at once; try again".to_owned();
            return Refusal::Later(StatusCode::TOO_MANY_REQUESTS, why, 1).into_response();
        };
        let _place = match other_nodes::place(&self.shared, caller) {
            Ok(place) => place,
            Err(refusal) => return refusal.into_response(),
        };
        let below = match whole {
            // What is wrong with the question is said where it is read for one node.
            Whole::Pages(what) => {
                return match pages::Asked::read(request.uri()) {
                    Some(asked) => self.pages(what, &asked, &live).await,
                    None => next.run(request).await,
                };
            }
            Whole::Joined(below) => below,
        };
        let parts = self.ask_all(&live, |node| format!("{BASE}/nodes/{}/{below}", encoded(node))).await;
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        for (node, part) in live.into_iter().zip(parts) {
            match part.and_then(|body| read(&body)) {
                Ok(rows) => all.extend(rows),
                Err(reply) => missing.push(missing_of(node, &reply)),
            }
        }
        Data::new(all).without(missing).into_response()
    }

    async fn pages(&self, what: &str, asked: &pages::Asked, live: &[String]) -> Response {
        let mut page = match asked.begin(live) {
            Ok(page) => page,
            Err(refusal) => return refusal.into_response(),
        };
        while let Some((node, query)) = page.next_question() {
            let path = format!("{BASE}/nodes/{}/{what}?{query}", encoded(&node));
            let reply = match self.ask(&node, &path).await {
                Ok(body) => read_page(&body),
                Err(reply) => Err(reply),
            };
            match reply {
                Ok(part) => page.take(part),
                Err(Reply { status, .. }) if status == TOO_LONG && page.ask_for_less() => {}
                // All nodes would say so.
                Err(reply) if StatusCode::from_u16(reply.status).is_ok_and(|status| !status.is_server_error()) => {
                    return response(reply);
                }
                Err(reply) => page.pass_over(&missing_of(node, &reply)),
            }
        }
        page.finish().into_response()
    }

    async fn ask_all(&self, nodes: &[String], path: impl Fn(&str) -> String) -> Vec<Part> {
        join_all(nodes.iter().map(async |node| self.ask(node, &path(node)).await)).await
    }

    async fn ask(&self, node: &str, path: &str) -> Part {
        let reply = if node == self.shared.broker.node_name() {
            self.own.answer(Inquiry { from: node.to_owned(), path: path.to_owned() }).await
        } else {
            let asked = self.shared.broker.ask_node(node, path).await;
            asked.unwrap_or_else(|why| said(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()))
        };
        if reply.status == StatusCode::OK { Ok(reply.body) } else { Err(reply) }
    }
}

/// An answer of a node.
#[derive(Deserialize)]
struct Rows {
    data: Vec<Box<RawValue>>,
}

fn read(body: &[u8]) -> Result<Vec<Box<RawValue>>, Reply> {
    // EMQ X's faults have no data.
    serde_json::from_slice(body).map(|Rows { data }| data).map_err(|_| fault(body))
}

fn read_page(body: &[u8]) -> Result<pages::Part, Reply> {
    serde_json::from_slice(body).map_err(|_| fault(body))
}

fn fault(body: &[u8]) -> Reply {
    Reply { status: StatusCode::OK.as_u16(), body: body.to_owned() }
}

fn said(status: StatusCode, message: &str) -> Reply {
    let body = serde_json::json!({"message": message}).to_string().into_bytes();
    Reply { status: status.as_u16(), body }
}

fn missing_of(node: String, reply: &Reply) -> Missing {
    let told = serde_json::from_slice::<Value>(&reply.body).ok();
    let message = told.as_ref().and_then(|told| told["message"].as_str()).unwrap_or("no answer that can be read");
    Missing { node, message: message.to_owned() }
}

fn response(Reply { status, body }: Reply) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (status, [(axum::http::header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}
