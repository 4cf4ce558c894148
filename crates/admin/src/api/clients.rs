//! Clients, online and away.

use axum::extract::{Path, State};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use mqtt_codec::Version;
use serde::Serialize;
use utoipa::ToSchema;

use super::with_broker;
use crate::Admission;
use crate::operate::ClientState;
use crate::reply::{DONE, Data, Done, Refusal};

/// A client with the keys that EMQ X 4.3.22 shows.
#[derive(Serialize, ToSchema)]
pub(super) struct Client {
    node: String,
    clientid: String,
    username: String,
    proto_name: &'static str,
    proto_ver: u8,
    ip_address: String,
    port: u16,
    clean_start: bool,
    keepalive: u16,
    expiry_interval: u32,
    connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
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
}

impl Client {
    fn new(node: &str, state: ClientState) -> Self {
        let connection = state.connection.as_ref();
        Self {
            node: node.to_owned(),
            clientid: state.client_id,
            username: connection
                .and_then(|connection| connection.username.clone())
                .unwrap_or_else(|| "undefined".to_owned()),
            proto_name: if state.version == Version::V3_1 { "MQIsdp" } else { "MQTT" },
            proto_ver: state.version.level(),
            ip_address: connection
                .map_or_else(|| "undefined".to_owned(), |connection| connection.peer.ip().to_string()),
            port: connection.map_or(0, |connection| connection.peer.port()),
            clean_start: connection.is_some_and(|connection| connection.clean_start),
            keepalive: connection.map_or(0, |connection| connection.keep_alive),
            expiry_interval: state.expiry_interval,
            connected: connection.is_some(),
            connected_at: connection.map(|connection| local_time(connection.connected_at)),
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
        }
    }
}

/// As EMQ X writes times: local, to the second.
fn local_time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    Zoned::new(time, TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A client, in a list; the list is empty if there is none of this id.
#[utoipa::path(get, path = "/clients/{clientid}", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Data<Vec<Client>>)))]
pub(super) async fn one(State(shared): Admission, Path(client_id): Path<String>) -> Result<Data<Vec<Client>>, Refusal> {
    let (node, state) = with_broker(&shared, move |broker| (broker.node().name, broker.client(&client_id))).await?;
    Ok(Data::new(state.map(|state| Client::new(&node, state)).into_iter().collect()))
}

/// Ends a client's connection and its session.
#[utoipa::path(delete, path = "/clients/{clientid}", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Done, description = "or a fault: 112, there is no such client")))]
pub(super) async fn kick(State(shared): Admission, Path(client_id): Path<String>) -> Result<Done, Refusal> {
    let kicked = with_broker(&shared, move |broker| broker.kick(&client_id)).await?;
    if kicked { Ok(DONE) } else { Err(Refusal::no_client()) }
}
