//! Who is online, and who was.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Position, Refusal, Request};
use mqtt_hooks::{ConnectionInfo, Host, Lookup};
use serde::Serialize;
use serde_json::{Value, json};

use super::{STATES, limit_of};
use crate::presence::history::Wanted;
use crate::presence::roster::Roster;
use crate::presence::{Entry, History, tags};

/// Of those who are online, so many are looked at in one go for a user name.
const PIECE: usize = 1000;

/// `/presence/clients`
pub(super) struct Clients {
    pub(super) host: Arc<dyn Host>,
    pub(super) history: Arc<History>,
    pub(super) roster: Arc<Roster>,
}

#[async_trait::async_trait]
impl Handle for Clients {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = limit_of(&request)?;
        let state = request.choice("conn_state", STATES)?;
        let (rows, has_next) = match request.text("clientid")? {
            Some(client_id) => (self.one(client_id, state), false),
            None if state == Some("disconnected") => self.away(&request, limit)?,
            None => self.online(&request, limit)?,
        };
        let next = rows.last().filter(|_| has_next).map(|last| last.clientid.clone());
        Answer::list(&rows, Position { limit, has_next, next, ..Position::default() })
    }
}

impl Clients {
    fn one(&self, client_id: &str, state: Option<&str>) -> Vec<Row> {
        let row = match self.host.connection(client_id) {
            Some(info) => Some(self.online_row(&info)),
            None => self.history.last_event(client_id).map(|last| self.away_row(&last)),
        };
        row.into_iter().filter(|row| state.is_none_or(|state| row.conn_state == state)).collect()
    }

    fn online(&self, request: &Request, limit: usize) -> Result<(Vec<Row>, bool), Refusal> {
        let (username, tag) = (request.text("username")?, request.text("tag")?);
        let is_picky = username.is_some() || tag.is_some();
        let mut rows = Vec::new();
        let mut after = request.text("_after")?.map(str::to_owned);
        loop {
            let found = self.host.online(&Lookup {
                after: after.as_deref(),
                prefix: request.text("prefix")?.unwrap_or_default(),
                since: request.number("since")?.unwrap_or(0),
                limit: if is_picky { PIECE } else { limit },
            });
            let is_meant = |info: &&ConnectionInfo| {
                (username.is_none() || info.username.as_deref() == username)
                    && tag.is_none_or(|tag| tags::has(info.tags(), &info.client_id, &self.roster, tag))
            };
            rows.extend(found.clients.iter().filter(is_meant).map(|info| self.online_row(info)));
            if rows.len() > limit {
                rows.truncate(limit);
                return Ok((rows, true));
            }
            if !is_picky || !found.has_more {
                return Ok((rows, found.has_more));
            }
            after = found.clients.last().map(|last| last.client_id.to_string());
        }
    }

    fn away(&self, request: &Request, limit: usize) -> Result<(Vec<Row>, bool), Refusal> {
        let wanted = Wanted {
            after: request.text("_after")?,
            prefix: request.text("prefix")?.unwrap_or_default(),
            username: request.text("username")?,
            since: request.number("since")?.unwrap_or(0),
            limit,
        };
        let tag = request.text("tag")?;
        // Whatever its last event says: the module may be stopped.
        let is_away = |last: &Entry| {
            tag.is_none_or(|tag| tags::has(&last.tags, last.client_id(), &self.roster, tag))
                && self.host.connection(last.client_id()).is_none()
                && !is_elsewhere(last)
        };
        let (found, has_more) = self.history.last_events(&wanted, &is_away);
        Ok((found.iter().map(|last| self.away_row(last)).collect(), has_more))
    }

    fn online_row(&self, info: &ConnectionInfo) -> Row {
        let last = self.history.last_event(&info.client_id);
        let last = last.filter(|last| !last.is_unseen() && (last.epoch, last.conn_id) == (info.epoch, info.conn_id));
        Row { tags: tags::names(info.tags(), &info.client_id, &self.roster), ..Row::online(info, last.as_ref()) }
    }

    fn away_row(&self, last: &Entry) -> Row {
        Row { tags: tags::names(&last.tags, last.client_id(), &self.roster), ..Row::away(last) }
    }
}

/// A client.
#[derive(Serialize)]
struct Row {
    clientid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    username: Option<String>,
    conn_state: &'static str,
    connected_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnected_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard: Option<u64>,
    ipaddress: String,
    port: u16,
    sockport: u16,
    listener: String,
    proto_ver: u8,
    proto_name: &'static str,
    keepalive: u16,
    clean_start: bool,
    expiry_interval: u32,
    conn_id: u64,
    epoch: u64,
    tags: Vec<Box<str>>,
    #[serde(flatten)]
    known: Option<Known>,
}

/// What the last event of the client tells besides.
#[derive(Serialize)]
struct Known {
    seq: u64,
    event: u64,
    flaps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<u64>,
}

impl Known {
    fn new(last: &Entry) -> Self {
        let first_seen = Some(last.first_seen).filter(|at| *at > 0);
        Self { seq: last.seq, event: last.number, flaps: last.flaps, first_seen }
    }
}

impl Row {
    fn online(info: &ConnectionInfo, last: Option<&Entry>) -> Self {
        Self {
            clientid: info.client_id.to_string(),
            node: None,
            username: info.username.as_deref().map(str::to_owned),
            conn_state: "connected",
            connected_at: info.connected_at,
            disconnected_at: None,
            reason: None,
            last_heard: None,
            ipaddress: info.peer.ip().to_canonical().to_string(),
            port: info.peer.port(),
            sockport: info.listener.port,
            listener: info.listener.name.to_string(),
            proto_ver: info.version.level(),
            proto_name: info.version.protocol_name(),
            keepalive: info.keep_alive,
            clean_start: info.clean_start,
            expiry_interval: info.expiry_interval,
            conn_id: info.conn_id,
            epoch: info.epoch,
            tags: Vec::new(),
            known: last.map(Known::new),
        }
    }

    /// If its last event says that it came, it has gone while nobody took notice, or is at another node.
    fn away(last: &Entry) -> Self {
        let end = last.end();
        Self {
            clientid: last.client_id().to_owned(),
            node: last.node().map(str::to_owned),
            username: last.username().map(str::to_owned),
            conn_state: if is_elsewhere(last) { "connected" } else { "disconnected" },
            connected_at: last.connected_at,
            disconnected_at: end.is_some().then_some(last.at),
            last_heard: end.is_some().then_some(last.last_heard),
            reason: end.map(|end| end.reason.into_owned()),
            ipaddress: last.ip.to_string(),
            port: last.peer_port,
            sockport: last.listener.port,
            listener: last.listener.name.to_string(),
            proto_ver: last.version.level(),
            proto_name: last.version.protocol_name(),
            keepalive: last.keep_alive,
            clean_start: last.clean_start,
            expiry_interval: last.expiry_interval,
            conn_id: last.conn_id,
            epoch: last.epoch,
            tags: Vec::new(),
            known: Some(Known::new(last)),
        }
    }
}

/// It is connected to another node of the cluster.
fn is_elsewhere(last: &Entry) -> bool {
    last.node().is_some() && last.is_connected()
}

/// The schema of [`Row`].
pub(super) fn schema() -> Value {
    let number = |format: &str| json!({"type": "integer", "format": format, "minimum": 0});
    let about = |mut schema: Value, description: &str| {
        schema["description"] = description.into();
        schema
    };
    json!({
        "type": "object",
        "description": "A client that is online, or was. Times are milliseconds since the Unix epoch.",
        "required": ["clientid", "conn_state", "connected_at", "ipaddress", "port", "sockport", "listener", "proto_ver",
            "proto_name", "keepalive", "clean_start", "expiry_interval", "conn_id", "epoch"],
        "properties": {
            "clientid": {"type": "string"},
            "node": {"type": "string", "description": "In a cluster, where it is or was, if that is another node."},
            "username": {"type": ["string", "null"], "description": "Null if it gave none."},
            "conn_state": {"type": "string", "enum": STATES},
            "connected_at": about(number("int64"), "When it came last."),
            "disconnected_at": about(number("int64"), "When it went, if it has and presence ran then."),
            "reason": {"type": "string", "description": "Why it went, as in `disconnected` events."},
            "last_heard": about(number("int64"), "When it has gone: when bytes last came from it."),
            "ipaddress": {"type": "string"},
            "port": about(number("int32"), "The peer's."),
            "sockport": about(number("int32"), "The listener's."),
            "listener": {"type": "string"},
            "proto_ver": number("int32"),
            "proto_name": {"type": "string"},
            "keepalive": number("int32"),
            "clean_start": {"type": "boolean"},
            "expiry_interval": about(number("int32"), "Seconds."),
            "conn_id": about(number("int64"), "Unique within the epoch."),
            "epoch": about(number("int64"), "Grows with every start of the broker."),
            "tags": {"type": "array", "items": {"type": "string"}, "description": "By the roster as it is now, and by rules when it came in."},
            "seq": about(number("int64"), "Of its last event, among its own."),
            "event": about(number("int64"), "The running number of its last event."),
            "flaps": about(number("int32"), "About how often it came within the minute before its last event."),
            "first_seen": about(number("int64"), "Since when it has been known."),
        },
    })
}
