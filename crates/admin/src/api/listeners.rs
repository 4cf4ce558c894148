//! The listeners for MQTT: what there is, started and stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use mqtt_operate::{ListenerError, ListenerKind, ListenerState, Operate};
use serde::Serialize;
use utoipa::ToSchema;

use super::check_node;
use crate::asking::with_broker;
use crate::extract::Path;
use crate::guard::Caller;
use crate::reply::{DONE, Data, Done, Explanation, Refusal};
use crate::{Admission, Shared, lists};

/// What clients come in by.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    /// As configured.
    #[schema(example = "mqtt")]
    name: String,
    #[schema(example = "mqtt:tcp")]
    protocol: String,
    #[schema(example = "mqtt:tcp:external")]
    identifier: String,
    #[schema(example = "127.0.0.1:1883")]
    listen_on: String,
    /// False while it is stopped.
    running: bool,
    acceptors: u8,
    /// Its own, or of all listeners together.
    max_conns: usize,
    current_conns: usize,
    /// Not counted.
    shutdown_count: BTreeMap<String, u64>,
}

fn listeners_of(broker: &dyn Operate) -> Vec<Listener> {
    let listeners = broker.listeners().into_iter().map(|listener| {
        let protocol = protocol(listener.kind);
        Listener {
            protocol: protocol.to_owned(),
            identifier: identifier(&listener),
            name: listener.name,
            listen_on: listener.address,
            running: listener.running,
            acceptors: 1,
            max_conns: listener.max_connections,
            current_conns: listener.connections,
            shutdown_count: BTreeMap::new(),
        }
    });
    listeners.collect()
}

fn identifier(listener: &ListenerState) -> String {
    // EMQ X's name for those that are there from the start.
    let name = if matches!(&*listener.name, "mqtt" | "ws") { "external" } else { &*listener.name };
    format!("{}:{name}", protocol(listener.kind))
}

/// As EMQ X calls it.
const fn protocol(kind: ListenerKind) -> &'static str {
    match kind {
        ListenerKind::Mqtt => "mqtt:tcp",
        ListenerKind::Mqtts => "mqtt:ssl",
        ListenerKind::Ws => "mqtt:ws",
        ListenerKind::Wss => "mqtt:wss",
    }
}

/// A node's listeners.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listeners {
    node: String,
    listeners: Vec<Listener>,
}

/// The listeners for MQTT.
#[utoipa::path(get, path = "/listeners", tag = "listeners", responses((status = OK, body = Data<Vec<Listeners>>)))]
pub(super) async fn list(State(shared): Admission, Extension(caller): Extension<Caller>) -> Result<Response, Refusal> {
    let answer = lists::list(&shared, &caller, |broker| {
        Data::new(vec![Listeners { node: broker.node_name().to_owned(), listeners: listeners_of(broker) }])
    });
    answer.await
}

/// The listeners of a node.
#[utoipa::path(get, path = "/nodes/{node}/listeners", tag = "listeners", params(("node", description = "its name")),
    responses((status = OK, body = Data<Vec<Listener>>)))]
pub(super) async fn list_of_node(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path(node): Path<String>,
) -> Result<Response, Refusal> {
    check_node(&shared, &node)?;
    lists::list(&shared, &caller, |broker| Data::new(listeners_of(broker))).await
}

/// What is done to a listener.
type Change = fn(&dyn Operate, &str) -> Result<(), ListenerError>;

/// Finds it by its name or by EMQ X's identifier. A name has no colon, so none is taken for the other; of two with one
/// identifier it is the first.
async fn change(shared: &Arc<Shared>, said: String, change: Change) -> Result<Result<(), ListenerError>, Refusal> {
    let done = with_broker(shared, move |broker| {
        let all = broker.listeners();
        let found = all.iter().find(|listener| listener.name == said || identifier(listener) == said);
        change(broker, &found.ok_or(ListenerError::NotFound)?.name)
    });
    done.await
}

/// As EMQ X refuses: with its words where it has any.
fn as_emqx(done: Result<(), ListenerError>) -> Result<Done, Refusal> {
    match done {
        Ok(()) => Ok(DONE),
        Err(ListenerError::NotFound) => Err(Refusal::Message("not_found".to_owned())),
        Err(error) => Err(Refusal::Message(error.to_string())),
    }
}

fn changed(done: Result<(), ListenerError>) -> Result<Done, Refusal> {
    let Err(error) = done else { return Ok(DONE) };
    let status = match error {
        ListenerError::NotFound => StatusCode::NOT_FOUND,
        ListenerError::AlreadyStarted | ListenerError::NotStarted | ListenerError::Bind { .. } => StatusCode::CONFLICT,
        ListenerError::Ending => StatusCode::SERVICE_UNAVAILABLE,
    };
    Err(Refusal::Status(status, error.to_string()))
}

/// Closes a listener's socket and opens it again; one that is stopped is started. Clients that are connected stay.
#[utoipa::path(put, path = "/listeners/{identifier}/restart", tag = "listeners",
    params(("identifier", description = "as listed, or its name")),
    responses((status = OK, body = Done, description = "or only a message: `not_found`, or why it can't listen")))]
pub(super) async fn restart(State(shared): Admission, Path(identifier): Path<String>) -> Result<Done, Refusal> {
    as_emqx(change(&shared, identifier, Operate::restart_listener).await?)
}

/// Closes a listener's socket and opens it again, on a node.
#[utoipa::path(put, path = "/nodes/{node}/listeners/{identifier}/restart", tag = "listeners",
    params(("node", description = "its name"), ("identifier", description = "as listed, or its name")),
    responses((status = OK, body = Done, description = "or only a message: `not_found`, or why it can't listen"),
        (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn restart_on_node(
    State(shared): Admission,
    Path((node, identifier)): Path<(String, String)>,
) -> Result<Done, Refusal> {
    check_node(&shared, &node)?;
    as_emqx(change(&shared, identifier, Operate::restart_listener).await?)
}

/// Starts a listener that is stopped, where it listened before.
#[utoipa::path(put, path = "/listeners/{identifier}/start", tag = "listeners",
    params(("identifier", description = "as listed, or its name")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation, description = "no such listener"),
        (status = CONFLICT, body = Explanation, description = "it runs, or another program has its address"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "the broker ends")))]
pub(super) async fn start(State(shared): Admission, Path(identifier): Path<String>) -> Result<Done, Refusal> {
    changed(change(&shared, identifier, Operate::start_listener).await?)
}

/// Stops a listener until it is started or the broker is. Nobody comes in by it; clients that are connected stay.
#[utoipa::path(put, path = "/listeners/{identifier}/stop", tag = "listeners",
    params(("identifier", description = "as listed, or its name")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation, description = "no such listener"),
        (status = CONFLICT, body = Explanation, description = "it does not run"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "the broker ends")))]
pub(super) async fn stop(State(shared): Admission, Path(identifier): Path<String>) -> Result<Done, Refusal> {
    changed(change(&shared, identifier, Operate::stop_listener).await?)
}
