//! The cluster, as this node sees it.

use axum::extract::State;
use axum::http::StatusCode;
use mqtt_operate::{ClusterNode, ClusterState, ForgetError};
use serde::Serialize;
use utoipa::ToSchema;

use super::check_node;
use crate::Admission;
use crate::asking::with_broker;
use crate::extract::Path;
use crate::reply::{DONE, Data, Done, Explanation, Refusal};

/// How this node is in its cluster, and who else is.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    #[schema(example = "node1@10.0.0.1")]
    node: String,
    /// This node is part of the cluster.
    live: bool,
    /// What this node does instead, or has ended by.
    #[schema(example = "live")]
    phase: String,
    /// Up to which position of the log it has read.
    position: u64,
    /// How many batches it is behind.
    behind: u64,
    /// For how long what it has to say has been on its way, in milliseconds.
    on_its_way_ms: u64,
    /// How often it was cut off, and joined again.
    fenced: u64,
    /// Of all that it has read: nodes at one position have the same.
    digest: String,
    /// Who has read something else.
    differs: Option<String>,
    /// Clients that are connected, at all nodes.
    online: u64,
    nodes: Vec<Member>,
}

/// A node, by what this one has read.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    #[schema(example = "node2@10.0.0.2")]
    node: String,
    /// "live", "left", or "dead".
    #[schema(example = "live")]
    state: &'static str,
    /// It sends its clients elsewhere.
    draining: bool,
    /// Where clients find it; empty: it does not say (`node.reference`).
    #[schema(example = "mqtt2.example.org:1883")]
    reference: String,
    /// Clients that are connected there.
    clients: u64,
    /// Sessions that are kept there.
    sessions: u64,
    /// When it joined, by its own clock: milliseconds since the Unix epoch.
    since: u64,
    /// When it was heard last, by its own clock: milliseconds since the Unix epoch.
    heard: u64,
}

impl Member {
    fn of(node: ClusterNode) -> Self {
        let state = match node {
            ClusterNode { is_live: true, .. } => "live",
            ClusterNode { has_left: true, .. } => "left",
            ClusterNode { .. } => "dead",
        };
        let ClusterNode { name, clients, sessions, since, heard, reference, is_draining, .. } = node;
        Self { node: name, state, draining: is_draining, reference, clients, sessions, since, heard }
    }
}

/// How a node is in its cluster, and who else is, by what it has read.
#[utoipa::path(get, path = "/nodes/{node}/cluster", tag = "nodes", params(("node", description = "its name")),
    responses((status = OK, body = Data<Cluster>),
        (status = NOT_FOUND, body = Explanation, description = "no such node, or it is no node of a cluster")))]
pub(super) async fn show_of_node(state: Admission, Path(node): Path<String>) -> Result<Data<Cluster>, Refusal> {
    check_node(&state, &node)?;
    show(state).await
}

/// How this node is in its cluster, and who else is.
#[utoipa::path(get, path = "/cluster", tag = "nodes", responses((status = OK, body = Data<Cluster>),
    (status = NOT_FOUND, body = Explanation, description = "the broker is no node of a cluster")))]
pub(super) async fn show(State(shared): Admission) -> Result<Data<Cluster>, Refusal> {
    let found = with_broker(&shared, |broker| Some((broker.node_name().to_owned(), broker.cluster()?))).await?;
    let Some((node, state)) = found else {
        return Err(Refusal::not_found("this broker is no node of a cluster: cluster.nats makes it one".to_owned()));
    };
    let ClusterState { is_live, phase, position, behind, on_its_way_ms, fenced, digest, differs, online, nodes } =
        state;
    let nodes = nodes.into_iter().map(Member::of).collect();
    let live = is_live;
    Ok(Data::new(Cluster {
        node,
        live,
        phase,
        position,
        behind,
        on_its_way_ms,
        fenced,
        digest,
        differs,
        online,
        nodes,
    }))
}

/// Has all nodes know that one, which is down, will not come back: its sessions are forgotten, and nobody waits for it. Should it come
/// all the same, it has those sessions again that nobody has begun anew.
#[utoipa::path(delete, path = "/cluster/{node}", tag = "nodes", params(("node", description = "its name")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation, description = "no such node"),
        (status = CONFLICT, body = Explanation, description = "it lives"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "the cluster can't be reached")))]
pub(super) async fn forget(State(shared): Admission, Path(node): Path<String>) -> Result<Done, Refusal> {
    let Err(error) = shared.broker.forget_node(&node).await else { return Ok(DONE) };
    let status = match error {
        ForgetError::Unknown => StatusCode::NOT_FOUND,
        ForgetError::Lives => StatusCode::CONFLICT,
        ForgetError::Away => StatusCode::SERVICE_UNAVAILABLE,
    };
    Err(Refusal::Status(status, format!("{node}: {error}")))
}
