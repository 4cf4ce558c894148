//! What the module answers: which messages wait, and taking one out.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Method, Position, Refusal, Request, Returns, Route, Takes};
use serde::Serialize;
use serde_json::{Value, json};

use super::Delayed;
use super::waiting::Waiting;

/// Rows of an answer unless asked for otherwise, and at the most.
const LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 10_000;

pub(super) fn routes(waiting: &Arc<Waiting>) -> Vec<Route> {
    use Takes::{Number, Text};
    let id = "The message's `msgid`.";
    vec![
        Route::get("/delayed/messages", "The delayed messages that wait, the next one first.", List(waiting.clone()))
            .parameter("_after", Text, "Those after this one: `meta.next` of the answer before.")
            .parameter("_limit", Number, "Rows at the most: 100 unless told otherwise, 10,000 at the most.")
            .returns(Returns::List(schema())),
        Route::get("/delayed/messages/{msgid}", "One of them, with its payload.", Show(waiting.clone()))
            .parameter("msgid", Text, id)
            .returns(Returns::Data(schema())),
        Route::new(
            Method::Delete,
            "/delayed/messages/{msgid}",
            "Takes a message out: it is never published.",
            Delete(waiting.clone()),
        )
        .parameter("msgid", Text, id)
        .returns(Returns::Done),
    ]
}

struct List(Arc<Waiting>);
struct Show(Arc<Waiting>);
struct Delete(Arc<Waiting>);

/// A message by the keys of EMQ X.
#[derive(Serialize)]
struct Row {
    msgid: String,
    topic: String,
    qos: u8,
    retain: bool,
    from_clientid: Option<String>,
    publish_at: u64,
    expected_at: u64,
    payload_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "msgid": {"type": "string"},
            "topic": {"type": "string", "description": "Where it will go."},
            "qos": {"type": "integer"},
            "retain": {"type": "boolean"},
            "from_clientid": {"type": ["string", "null"], "description": "Who sent it; null: no client."},
            "publish_at": {"type": "integer", "description": "When it was sent: milliseconds since the Unix epoch."},
            "expected_at": {"type": "integer", "description": "When it will go: milliseconds since the Unix epoch."},
            "payload_bytes": {"type": "integer"},
            "payload": {"type": "string", "description": "Of one message, if it is text."},
        },
        "required": ["msgid", "topic", "qos", "retain", "from_clientid", "publish_at", "expected_at", "payload_bytes"],
    })
}

impl From<Delayed> for Row {
    fn from(Delayed { id, message, client_id, accepted_at, publish_at }: Delayed) -> Self {
        Self {
            msgid: id.to_string(),
            topic: message.topic.as_str().to_owned(),
            qos: message.qos as u8,
            retain: message.retain,
            from_clientid: client_id,
            publish_at: accepted_at,
            expected_at: publish_at,
            payload_bytes: message.payload.len(),
            payload: None,
        }
    }
}

#[async_trait::async_trait]
impl Handle for List {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = request.number("_limit")?.unwrap_or(LIMIT).clamp(1, MAX_LIMIT) as usize;
        let after = request.number("_after")?;
        let mut found = self.0.list(after, limit + 1);
        let has_next = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_next).map(|last| last.id.to_string());
        let rows: Vec<_> = found.into_iter().map(Row::from).collect();
        Answer::list(&rows, Position { limit, has_next, next, ..Position::default() })
    }
}

#[async_trait::async_trait]
impl Handle for Show {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let found = id_of(&request).and_then(|id| self.0.get(id)).ok_or_else(|| not_found(&request))?;
        let payload = String::from_utf8(found.message.payload.to_vec()).ok();
        Answer::data(&Row { payload, ..Row::from(found) })
    }
}

#[async_trait::async_trait]
impl Handle for Delete {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let is_deleted = id_of(&request).is_some_and(|id| self.0.delete(id));
        if is_deleted { Ok(Answer::Done) } else { Err(not_found(&request)) }
    }
}

fn id_of(request: &Request) -> Option<u64> {
    request.part("msgid").parse().ok()
}

fn not_found(request: &Request) -> Refusal {
    Refusal::NotFound(format!("no message {:?} waits", request.part("msgid")))
}
