//! The broker itself, and the other nodes of its cluster.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use mqtt_operate::{ClusterNode, Operate};
use serde::Serialize;
use utoipa::ToSchema;

use super::check_node;
use crate::Admission;
use crate::asking::with_broker;
use crate::extract::Path;
use crate::reply::{DONE, Data, Done, Explanation, Refusal};
use crate::time::local_time;

/// There is no Erlang here.
const OTP_RELEASE: &str = "undefined";
const RUNNING: &str = "Running";
const STOPPED: &str = "Stopped";

/// A node and how it is.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    #[schema(example = "rollcall@127.0.0.1")]
    node: String,
    #[schema(example = "Running")]
    node_status: &'static str,
    version: &'static str,
    #[schema(example = "3 minutes, 4 seconds")]
    uptime: String,
    otp_release: &'static str,
    /// Clients that are connected.
    connections: usize,
    /// Files the process may have open.
    max_fds: u64,
    /// Of the machine, in bytes.
    memory_total: u64,
    /// Of the process, in bytes.
    memory_used: u64,
    /// Clients there may be.
    process_available: usize,
    /// Tasks there are.
    process_used: usize,
    #[schema(example = "0.25")]
    load1: String,
    load5: String,
    load15: String,
}

impl Node {
    fn of(broker: &dyn Operate) -> Self {
        let (node, host) = (broker.node(), broker.host());
        let [load1, load5, load15] = host.load.map(|load| format!("{load:.2}"));
        Self {
            node: node.name,
            node_status: RUNNING,
            version: node.version,
            uptime: host.uptime,
            otp_release: OTP_RELEASE,
            connections: node.connections,
            max_fds: host.max_fds,
            memory_total: host.memory_total,
            memory_used: node.memory_used,
            process_available: node.max_connections,
            process_used: host.tasks,
            load1,
            load5,
            load15,
        }
    }

    fn other(node: &ClusterNode) -> Self {
        let unknown = || "undefined".to_owned();
        Self {
            node: node.name.clone(),
            node_status: if node.is_live { RUNNING } else { STOPPED },
            version: "undefined",
            uptime: unknown(),
            otp_release: OTP_RELEASE,
            connections: node.clients as usize,
            max_fds: 0,
            memory_total: 0,
            memory_used: 0,
            process_available: 0,
            process_used: 0,
            load1: unknown(),
            load5: unknown(),
            load15: unknown(),
        }
    }
}

/// The nodes: this one, and the others of its cluster. Of those only what this one knows is told: ask them for the rest.
#[utoipa::path(get, path = "/nodes", tag = "nodes", responses((status = OK, body = Data<Vec<Node>>)))]
pub(super) async fn list(State(shared): Admission) -> Result<Data<Vec<Node>>, Refusal> {
    with_broker(&shared, |broker| {
        let others = broker.cluster().map(|cluster| cluster.nodes).unwrap_or_default();
        let others = others.iter().filter(|other| other.name != broker.node_name()).map(Node::other);
        Data::new([Node::of(broker)].into_iter().chain(others).collect())
    })
    .await
}

/// A node.
#[utoipa::path(get, path = "/nodes/{node}", tag = "nodes", params(("node", description = "its name")),
    responses((status = OK, body = Data<Node>)))]
pub(super) async fn one(State(shared): Admission, Path(node): Path<String>) -> Result<Data<Node>, Refusal> {
    check_node(&shared, &node)?;
    with_broker(&shared, |broker| Data::new(Node::of(broker))).await
}

/// A node's broker.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Broker {
    node: String,
    #[schema(example = "Running")]
    node_status: &'static str,
    version: &'static str,
    #[schema(example = "Rollcall")]
    sysdescr: &'static str,
    uptime: String,
    /// Local time.
    #[schema(example = "2026-01-31 23:59:59")]
    datetime: String,
    otp_release: &'static str,
}

impl Broker {
    fn of(broker: &dyn Operate) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let node = broker.node();
        Self {
            node: node.name,
            node_status: RUNNING,
            version: node.version,
            sysdescr: "Rollcall",
            uptime: broker.host().uptime,
            datetime: local_time(now),
            otp_release: OTP_RELEASE,
        }
    }
}

/// The brokers: this one.
#[utoipa::path(get, path = "/brokers", tag = "nodes", responses((status = OK, body = Data<Vec<Broker>>)))]
pub(super) async fn brokers(State(shared): Admission) -> Result<Data<Vec<Broker>>, Refusal> {
    with_broker(&shared, |broker| Data::new(vec![Broker::of(broker)])).await
}

/// A node's broker.
#[utoipa::path(get, path = "/brokers/{node}", tag = "nodes", params(("node", description = "its name")),
    responses((status = OK, body = Data<Broker>)))]
pub(super) async fn broker(State(shared): Admission, Path(node): Path<String>) -> Result<Data<Broker>, Refusal> {
    check_node(&shared, &node)?;
    with_broker(&shared, |broker| Data::new(Broker::of(broker))).await
}

/// Numbers by EMQ X's names.
type Numbers = BTreeMap<String, u64>;

fn numbers_of_metrics(broker: &dyn Operate) -> Numbers {
    let mut numbers: Numbers = broker.metrics().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    // Under the name that EMQ X's dashboard adds up.
    let expired = numbers.get("delivery.dropped.expired").copied().unwrap_or_default();
    numbers.insert("messages.dropped.expired".to_owned(), expired);
    numbers
}

fn numbers_of_stats(broker: &dyn Operate) -> Numbers {
    broker.stats().into_iter().collect()
}

/// How many of everything a node has.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stats {
    node: String,
    #[schema(example = json!({"connections.count": 1, "connections.max": 2}))]
    stats: Numbers,
}

/// How many of everything there are now, and were at most.
#[utoipa::path(get, path = "/stats", tag = "nodes", responses((status = OK, body = Data<Vec<Stats>>)))]
pub(super) async fn stats(State(shared): Admission) -> Result<Data<Vec<Stats>>, Refusal> {
    let answer = with_broker(&shared, |broker| {
        Data::new(vec![Stats { node: broker.node_name().to_owned(), stats: numbers_of_stats(broker) }])
    });
    answer.await
}

/// How many of everything a node has, and had at most.
#[utoipa::path(get, path = "/nodes/{node}/stats", tag = "nodes", params(("node", description = "its name")),
    responses((status = OK, body = Data<Numbers>)))]
pub(super) async fn stats_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<Numbers>, Refusal> {
    check_node(&shared, &node)?;
    with_broker(&shared, |broker| Data::new(numbers_of_stats(broker))).await
}

/// What a node has counted.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    node: String,
    #[schema(example = json!({"packets.connect.received": 1}))]
    metrics: Numbers,
}

/// What has been counted since the start.
#[utoipa::path(get, path = "/metrics", tag = "nodes", responses((status = OK, body = Data<Vec<Metrics>>)))]
pub(super) async fn metrics(State(shared): Admission) -> Result<Data<Vec<Metrics>>, Refusal> {
    let answer = with_broker(&shared, |broker| {
        Data::new(vec![Metrics { node: broker.node_name().to_owned(), metrics: numbers_of_metrics(broker) }])
    });
    answer.await
}

/// What a node has counted since its start.
#[utoipa::path(get, path = "/nodes/{node}/metrics", tag = "nodes", params(("node", description = "its name")),
    responses((status = OK, body = Data<Numbers>)))]
pub(super) async fn metrics_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<Numbers>, Refusal> {
    check_node(&shared, &node)?;
    with_broker(&shared, |broker| Data::new(numbers_of_metrics(broker))).await
}

/// A licence, as the enterprise edition of EMQ X shows its own.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct License {
    customer: &'static str,
    /// Always 0: it is no trial.
    customer_type: u8,
    r#type: &'static str,
    email: &'static str,
    /// `mqtt.max_connections`.
    max_connections: usize,
    issued_at: &'static str,
    expiry_at: &'static str,
    /// Always false.
    expiry: bool,
    vendor: &'static str,
    product: &'static str,
    version: &'static str,
}

/// There is none, and none is needed: Rollcall is free software.
#[utoipa::path(get, path = "/license_info", tag = "nodes", responses((status = OK, body = Data<License>)))]
pub(super) async fn license(State(shared): Admission) -> Data<License> {
    let node = shared.broker.node();
    Data::new(License {
        customer: "everybody (free software, no license key)",
        customer_type: 0,
        r#type: "free",
        email: "none",
        max_connections: node.max_connections,
        issued_at: "not issued",
        expiry_at: "never",
        expiry: false,
        vendor: "Rollcall",
        product: "Rollcall",
        version: node.version,
    })
}

/// Forgets what was remembered of who may do what. Rules are asked at each packet here, so there is nothing to forget.
#[utoipa::path(delete, path = "/acl-cache", tag = "nodes", responses((status = OK, body = Done)))]
pub(super) async fn drop_acl_cache() -> Done {
    DONE
}

/// The same on a node.
#[utoipa::path(delete, path = "/nodes/{node}/acl-cache", tag = "nodes", params(("node", description = "its name")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn drop_acl_cache_on_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Done, Refusal> {
    check_node(&shared, &node)?;
    Ok(DONE)
}
