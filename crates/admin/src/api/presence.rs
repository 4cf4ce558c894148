//! Who is online, and who came and went.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use mqtt_modules::presence::{self, Entry, Heard, History, Live};
use mqtt_operate::{ClientQuery, ClientState};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};

use super::with_broker;
use crate::Admission;
use crate::extract::{Query, Strict};
use crate::reply::{Explanation, Refusal};

/// Rows of an answer unless asked for otherwise, and at the most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

/// Events that a stream sends of those that were before it began, or that it missed, at a time.
const PIECE: usize = 256;

/// A list and how it goes on.
#[derive(Serialize, ToSchema)]
pub(super) struct Stretch<T> {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    data: Vec<T>,
    meta: Position,
}

/// How a list goes on.
#[derive(Serialize, ToSchema)]
pub(super) struct Position {
    /// The most rows there may be.
    limit: usize,
    /// There is more.
    hasnext: bool,
    /// What to ask for next: `_after` of clients, `since` of events, or `before` of those in descending order.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T: Serialize> IntoResponse for Stretch<T> {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

/// A client that is online.
#[derive(Serialize, ToSchema)]
pub(super) struct Online {
    clientid: String,
    /// Null if it gave none.
    username: Option<String>,
    /// Milliseconds since the Unix epoch.
    connected_at: u64,
    ipaddress: String,
    /// The peer's.
    port: u16,
    /// The listener's.
    sockport: u16,
    listener: String,
    proto_ver: u8,
    proto_name: &'static str,
    keepalive: u16,
    clean_start: bool,
    /// Seconds.
    expiry_interval: u32,
    /// Unique within the epoch.
    conn_id: u64,
    /// Grows with every start of the broker.
    epoch: u64,
}

impl Online {
    fn new(client: ClientState, epoch: u64) -> Option<Self> {
        let connection = client.connection?;
        Some(Self {
            clientid: client.client_id,
            username: connection.username,
            connected_at: connection.connected_at,
            ipaddress: connection.peer.ip().to_canonical().to_string(),
            port: connection.peer.port(),
            sockport: connection.port,
            listener: connection.listener,
            proto_ver: client.version.level(),
            proto_name: client.version.protocol_name(),
            keepalive: connection.keep_alive,
            clean_start: connection.clean_start,
            expiry_interval: client.expiry_interval,
            conn_id: connection.conn_id,
            epoch,
        })
    }
}

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct WhoIsOnline {
    /// Only ids that begin so.
    prefix: String,
    /// Only those that have been online no longer than since then: milliseconds since the Unix epoch.
    since: Option<u64>,
    /// Those whose ids come after this one: `meta.next` of the answer before.
    _after: Option<String>,
    /// Rows at the most: 100 unless told otherwise, 10,000 at the most.
    _limit: Option<usize>,
}

fn limit_of(asked: Option<usize>) -> usize {
    asked.unwrap_or(LIMIT).clamp(1, MAX_LIMIT)
}

/// Who is online, in order of their ids.
#[utoipa::path(get, path = "/presence/clients", tag = "presence", params(WhoIsOnline),
    responses((status = OK, body = Stretch<Online>), (status = BAD_REQUEST, body = Explanation)))]
pub(super) async fn clients(
    State(shared): Admission,
    Strict(Query(query)): Strict<Query<WhoIsOnline>>,
) -> Result<Stretch<Online>, Refusal> {
    let limit = limit_of(query._limit);
    let (epoch, page) = with_broker(&shared, move |broker| {
        let since = query.since.unwrap_or(0);
        let wanted = |client: &ClientState| {
            client.connection.as_ref().is_some_and(|connection| connection.connected_at >= since)
        };
        let after = query._after.as_deref();
        let page = broker.clients(&ClientQuery { after, prefix: &query.prefix, skip: 0, limit, wanted: Some(&wanted) });
        (broker.node().epoch, page)
    })
    .await?;
    let next = page.has_more.then(|| page.rows.last().map(|last| last.client_id.clone())).flatten();
    let data = page.rows.into_iter().filter_map(|client| Online::new(client, epoch)).collect();
    Ok(Stretch { code: 0, data, meta: Position { limit, hasnext: page.has_more, next } })
}

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct WhichEvents {
    /// Only events with a higher number than this.
    since: Option<u64>,
    /// Only events with a lower number than this.
    before: Option<u64>,
    /// Only events then or later: milliseconds since the Unix epoch.
    from: Option<u64>,
    /// Only events then or earlier: milliseconds since the Unix epoch.
    to: Option<u64>,
    /// Only of this client.
    clientid: Option<String>,
    /// Only of clients whose ids begin so.
    prefix: Option<String>,
    /// `asc` (oldest first, unless told otherwise) or `desc`.
    #[param(inline)]
    order: Option<Order>,
    /// Rows at the most: 100 unless told otherwise, 10,000 at the most.
    _limit: Option<usize>,
}

/// An event.
pub(super) struct Row(Arc<Entry>);

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Entry::serialize(&self.0, serializer)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    Asc,
    Desc,
}

/// What presence told lately: `modules.presence.history` events are kept, over restarts too.
#[utoipa::path(get, path = "/presence/events", tag = "presence", params(WhichEvents),
    responses((status = OK, body = Stretch<Object>), (status = BAD_REQUEST, body = Explanation)))]
pub(super) async fn events(
    State(shared): Admission,
    Strict(Query(query)): Strict<Query<WhichEvents>>,
) -> Result<Stretch<Row>, Refusal> {
    let (limit, newest_first) = (limit_of(query._limit), query.order == Some(Order::Desc));
    let history = Arc::clone(&shared.history);
    let mut data = with_broker(&shared, move |_| {
        history.query(&presence::Query {
            since: query.since,
            before: query.before,
            from: query.from,
            to: query.to,
            client_id: query.clientid.as_deref(),
            client_id_prefix: query.prefix.as_deref(),
            limit: limit + 1,
            newest_first,
        })
    })
    .await?;
    let hasnext = data.len() > limit;
    data.truncate(limit);
    let next = data.last().map(|last| last.number.to_string());
    let data = data.into_iter().map(Row).collect();
    Ok(Stretch { code: 0, data, meta: Position { limit, hasnext, next } })
}

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct WhichStream {
    /// Begin with the events after this one, as far as they are kept; without, with the next one.
    since: Option<u64>,
    /// Only of this client.
    clientid: Option<String>,
    /// Only of clients whose ids begin so.
    prefix: Option<String>,
}

/// Events as they happen, as server-sent events: `presence` with an event, or `missed` with a `count` for who reads too
/// slowly. The id of each is its number; `Last-Event-ID` goes on after it.
#[utoipa::path(get, path = "/presence/stream", tag = "presence", params(WhichStream),
    responses((status = OK, body = String, content_type = "text/event-stream"), (status = BAD_REQUEST, body = Explanation),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "too many streams are open")))]
pub(super) async fn stream(
    State(shared): Admission,
    headers: HeaderMap,
    Strict(Query(query)): Strict<Query<WhichStream>>,
) -> Result<Response, Refusal> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let live = shared.history.subscribe();
    let since = last.or(query.since).unwrap_or(live.since());
    let feed = Feed {
        history: Arc::clone(&shared.history),
        since,
        until: live.since(),
        live,
        earlier: Vec::new(),
        clientid: query.clientid,
        prefix: query.prefix,
    };
    shared.streams.open(feed, |mut feed| async move { Some((feed.next().await?, feed)) })
}

/// What a stream has sent and is to send.
struct Feed {
    history: Arc<History>,
    /// Number of the last event that was looked at.
    since: u64,
    /// Up to here events are looked up; later ones are heard.
    until: u64,
    live: Live,
    /// Looked up and not sent yet, the next one last.
    earlier: Vec<Arc<Entry>>,
    clientid: Option<String>,
    prefix: Option<String>,
}

impl Feed {
    async fn next(&mut self) -> Option<Event> {
        while self.since < self.until || !self.earlier.is_empty() {
            if self.earlier.is_empty() {
                self.look_up();
            }
            if let Some(entry) = self.earlier.pop() {
                self.since = entry.number;
                return Some(told(&entry));
            }
        }
        loop {
            match self.live.next().await? {
                Heard::Event(entry) if self.is_wanted(&entry) => return Some(told(&entry)),
                Heard::Event(_) => {}
                Heard::Missed(count) => {
                    let data = format!("{{\"count\":{count}}}");
                    return Some(Event::default().event("missed").data(data));
                }
            }
        }
    }

    fn look_up(&mut self) {
        self.earlier = self.history.query(&presence::Query {
            since: Some(self.since),
            before: Some(self.until.saturating_add(1)),
            client_id: self.clientid.as_deref(),
            client_id_prefix: self.prefix.as_deref(),
            limit: PIECE,
            ..presence::Query::default()
        });
        if self.earlier.is_empty() {
            self.since = self.until;
        }
        self.earlier.reverse();
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        self.clientid.as_deref().is_none_or(|id| entry.client_id() == id)
            && self.prefix.as_deref().is_none_or(|prefix| entry.client_id().starts_with(prefix))
    }
}

fn told(entry: &Entry) -> Event {
    // What it is made of can all be JSON.
    let event = Event::default().event("presence").id(entry.number.to_string());
    event.json_data(entry).unwrap_or_default()
}
