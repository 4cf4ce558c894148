//! Clients, online and away.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mqtt_codec::Version;
use mqtt_operate::{ClientQuery, ClientState, Operate};
use serde::Serialize;
use utoipa::ToSchema;

use super::check_node;
use crate::asking::with_broker;
use crate::extract::{Path, Query};
use crate::guard::Caller;
use crate::reply::{DONE, Data, Done, Listed, Paging, Refusal};
use crate::time::local_time;
use crate::{Admission, lists, other_nodes};

mod criteria;
pub(super) mod limits;

use criteria::{Criteria, Cursor};

/// EMQ X's word for what is not there.
const UNDEFINED: &str = "undefined";

/// EMQ X's name of the only zone there is here.
const ZONE: &str = "external";

/// A client with the keys that EMQ X 4.3.22 shows. Times are local. What it has sent and got is
/// that of its present connection.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    node: String,
    clientid: String,
    /// `undefined` without one, and while it is away and nothing is known of it.
    username: String,
    mountpoint: &'static str,
    is_bridge: bool,
    zone: &'static str,
    #[schema(example = "MQTT")]
    proto_name: &'static str,
    #[schema(example = 4)]
    proto_ver: u8,
    /// `undefined` while it is away and nothing is known of it.
    ip_address: String,
    port: u16,
    clean_start: bool,
    /// Seconds.
    keepalive: u16,
    /// Seconds the session outlives its connection; 4294967295: for ever.
    expiry_interval: u32,
    connected: bool,
    /// Since when, if it is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2026-01-31 23:59:59")]
    connected_at: Option<String>,
    /// When its session began.
    #[schema(example = "2026-01-31 23:59:59")]
    created_at: String,
    /// Since when it is away, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2026-01-31 23:59:59")]
    disconnected_at: Option<String>,
    subscriptions_cnt: usize,
    max_subscriptions: usize,
    inflight: usize,
    max_inflight: usize,
    mqueue_len: usize,
    max_mqueue: usize,
    mqueue_dropped: u64,
    awaiting_rel: usize,
    max_awaiting_rel: usize,
    recv_oct: u64,
    recv_cnt: u64,
    recv_pkt: u64,
    recv_msg: u64,
    send_oct: u64,
    send_cnt: u64,
    send_pkt: u64,
    send_msg: u64,
    /// Of EMQ X's processes, which are not here: 0.
    mailbox_len: u8,
    /// Of EMQ X's processes, which are not here: 0.
    heap_size: u8,
    /// Of EMQ X's processes, which are not here: 0.
    reductions: u8,
    /// Its tags, as it had them when it came in; not there if it had none. EMQ X has no such key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl Client {
    fn new(node: &str, state: ClientState) -> Self {
        let connection = state.connection.as_ref();
        let traffic = connection.map(|connection| connection.traffic).unwrap_or_default();
        let latest = state.latest();
        let username = latest.and_then(|latest| latest.username.clone());
        Self {
            node: node.to_owned(),
            clientid: state.client_id.clone(),
            username: username.unwrap_or_else(|| UNDEFINED.to_owned()),
            mountpoint: UNDEFINED,
            is_bridge: latest.is_some_and(|latest| latest.is_bridge),
            zone: ZONE,
            proto_name: proto_name(state.version),
            proto_ver: state.version.level(),
            ip_address: latest
                .map_or_else(|| UNDEFINED.to_owned(), |latest| latest.peer.ip().to_canonical().to_string()),
            port: latest.map_or(0, |latest| latest.peer.port()),
            clean_start: latest.is_some_and(|latest| latest.clean_start),
            keepalive: latest.map_or(0, |latest| latest.keep_alive),
            expiry_interval: state.expiry_interval,
            connected: connection.is_some(),
            connected_at: connection.map(|connection| local_time(connection.connected_at)),
            created_at: local_time(state.created_at),
            disconnected_at: state.disconnected_at.map(local_time),
            subscriptions_cnt: state.subscriptions,
            max_subscriptions: state.max_subscriptions,
            inflight: state.inflight,
            max_inflight: state.max_inflight,
            mqueue_len: state.queued,
            max_mqueue: state.max_queued,
            mqueue_dropped: state.dropped,
            awaiting_rel: state.unreleased,
            max_awaiting_rel: state.max_unreleased,
            recv_oct: traffic.recv_oct,
            recv_cnt: traffic.recv_cnt,
            recv_pkt: traffic.recv_pkt,
            recv_msg: traffic.recv_msg,
            send_oct: traffic.send_oct,
            send_cnt: traffic.send_cnt,
            send_pkt: traffic.send_pkt,
            send_msg: traffic.send_msg,
            mailbox_len: 0,
            heap_size: 0,
            reductions: 0,
            tags: latest.map(|latest| latest.tags.clone()).unwrap_or_default(),
        }
    }
}

const fn proto_name(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "MQIsdp",
        Version::V3_1_1 | Version::V5 => "MQTT",
    }
}

type Found = Result<Data<Vec<Client>>, Refusal>;

/// A page of the clients, online and away, in order of their ids.
///
/// `meta.count` is -1 where there is a filter. In a long list pages far in cost more than first ones; `_after` with
/// the `meta.next` of the page before does not.
#[utoipa::path(get, path = "/clients", tag = "clients", params(Paging, Cursor, Criteria),
    responses((status = OK, body = Listed<Client>)))]
pub(super) async fn list(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Query(paging): Query<Paging>,
    Query(cursor): Query<Cursor>,
    Query(criteria): Query<Criteria>,
) -> Result<Response, Refusal> {
    lists::list(&shared, &caller, move |broker| page(broker, paging, &cursor, &criteria)).await
}

/// A page of the clients of a node.
#[utoipa::path(get, path = "/nodes/{node}/clients", tag = "clients",
    params(("node", description = "its name"), Paging, Cursor, Criteria), responses((status = OK, body = Listed<Client>)))]
pub(super) async fn list_of_node(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path(node): Path<String>,
    Query(paging): Query<Paging>,
    Query(cursor): Query<Cursor>,
    Query(criteria): Query<Criteria>,
) -> Result<Response, Refusal> {
    check_node(&shared, &node)?;
    lists::list(&shared, &caller, move |broker| page(broker, paging, &cursor, &criteria)).await
}

fn page(broker: &dyn Operate, paging: Paging, cursor: &Cursor, criteria: &Criteria) -> Listed<Client> {
    let node = broker.node_name();
    let wanted = |state: &ClientState| criteria.wants(state);
    let wanted: Option<&dyn Fn(&ClientState) -> bool> = if criteria.is_empty() { None } else { Some(&wanted) };
    let skip = if cursor.after.is_some() { 0 } else { paging.skip() };
    let (rows, has_more, skipped) = match &criteria.clientid {
        // There is one, if it is there.
        Some(id) => {
            let is_meant = id.starts_with(&cursor.prefix) && cursor.after.as_ref().is_none_or(|after| id > after);
            let found = broker.client(id).filter(|state| is_meant && criteria.wants(state));
            let skipped = skip.min(found.is_some().into());
            (found.filter(|_| skip == 0).into_iter().collect(), false, skipped)
        }
        None => {
            let after = cursor.after.as_deref();
            let page =
                broker.clients(&ClientQuery { after, prefix: &cursor.prefix, skip, limit: paging.limit(), wanted });
            (page.rows, page.has_more, page.skipped)
        }
    };
    let count = if criteria.is_empty() && cursor.prefix.is_empty() { broker.clients_len() as i64 } else { -1 };
    let next = rows.last().filter(|_| has_more).map(|last| last.client_id.clone());
    let rows = rows.into_iter().map(|state| Client::new(node, state)).collect();
    Listed::new(rows, paging, count, has_more).with_next(next).behind(skipped, paging)
}

fn find(broker: &dyn Operate, client_id: &str) -> Data<Vec<Client>> {
    let node = broker.node_name();
    Data::new(broker.client(client_id).map(|state| Client::new(node, state)).into_iter().collect())
}

/// A client, in a list, at whichever node it is; the list is empty if there is none of this id.
#[utoipa::path(get, path = "/clients/{clientid}", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Data<Vec<Client>>)))]
pub(super) async fn one(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path(client_id): Path<String>,
) -> Result<Response, Refusal> {
    if let Some(node) = shared.broker.node_of(&client_id) {
        return Ok(other_nodes::ask_of_client(&shared, &caller, &node, "clients", &client_id).await);
    }
    with_broker(&shared, move |broker| find(broker, &client_id).into_response()).await
}

/// A client of a node, in a list.
#[utoipa::path(get, path = "/nodes/{node}/clients/{clientid}", tag = "clients",
    params(("node", description = "its name"), ("clientid", description = "its id")),
    responses((status = OK, body = Data<Vec<Client>>)))]
pub(super) async fn one_of_node(State(shared): Admission, Path((node, client_id)): Path<(String, String)>) -> Found {
    check_node(&shared, &node)?;
    with_broker(&shared, move |broker| find(broker, &client_id)).await
}

fn find_by_user(broker: &dyn Operate, username: &str) -> Data<Vec<Client>> {
    let node = broker.node_name();
    let criteria = Criteria::of_user(username);
    let wanted = |state: &ClientState| criteria.wants(state);
    let query = ClientQuery { after: None, prefix: "", skip: 0, limit: Paging::MAX, wanted: Some(&wanted) };
    Data::new(broker.clients(&query).rows.into_iter().map(|state| Client::new(node, state)).collect())
}

/// The clients of a user that are online, 10,000 at most.
#[utoipa::path(get, path = "/clients/username/{username}", tag = "clients", params(("username", description = "its name")),
    responses((status = OK, body = Data<Vec<Client>>)))]
pub(super) async fn of_user(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path(username): Path<String>,
) -> Result<Response, Refusal> {
    lists::list(&shared, &caller, move |broker| find_by_user(broker, &username)).await
}

/// The clients of a user on a node.
#[utoipa::path(get, path = "/nodes/{node}/clients/username/{username}", tag = "clients",
    params(("node", description = "its name"), ("username", description = "the user's")),
    responses((status = OK, body = Data<Vec<Client>>)))]
pub(super) async fn of_user_on_node(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path((node, username)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    check_node(&shared, &node)?;
    lists::list(&shared, &caller, move |broker| find_by_user(broker, &username)).await
}

/// Ends a client's connection and its session; both are gone when this is answered.
#[utoipa::path(delete, path = "/clients/{clientid}", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Done, description = "or a fault: 112, there is no such client")))]
pub(super) async fn kick(State(shared): Admission, Path(client_id): Path<String>) -> Result<Done, Refusal> {
    let kicked = with_broker(&shared, move |broker| broker.kick(&client_id)).await?;
    if kicked { Ok(DONE) } else { Err(Refusal::no_client()) }
}

/// Ends the connection and the session of a node's client.
#[utoipa::path(delete, path = "/nodes/{node}/clients/{clientid}", tag = "clients",
    params(("node", description = "its name"), ("clientid", description = "its id")),
    responses((status = OK, body = Done, description = "or a fault: 112, there is no such client")))]
pub(super) async fn kick_on_node(
    State(shared): Admission,
    Path((node, client_id)): Path<(String, String)>,
) -> Result<Done, Refusal> {
    // Whoever is asked has it ended there.
    if shared.broker.node_of(&client_id).as_ref() != Some(&node) {
        check_node(&shared, &node)?;
    }
    kick(State(shared), Path(client_id)).await
}
