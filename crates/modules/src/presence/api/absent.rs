//! Who is missed.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Position, Refusal, Request, Returns, Route, Takes};
use serde::Serialize;
use serde_json::{Value, json};

use super::{LIMIT_HELP, limit_of};
use crate::presence::absence::{Key, Missed, Missing, What};
use crate::presence::{Entry, History};

/// Those looked at in one go.
const PIECE: usize = 256;

/// `/presence/absent`
pub(super) struct Absent {
    pub(super) history: Arc<History>,
    pub(super) missing: Arc<Missing>,
}

#[async_trait::async_trait]
impl Handle for Absent {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = limit_of(&request)?;
        let name = request.text("name")?;
        let what = request.choice("state", What::NAMES)?.and_then(What::from_name);
        let mut after = request.text("_after")?.and_then(Key::read);
        let mut rows = Vec::new();
        loop {
            let (some, has_more) = self.missing.list(name, after.as_ref(), PIECE);
            let wanted = some.iter().filter(|(_, missed)| what.is_none_or(|what| missed.what == what));
            rows.extend(wanted.take(limit + 1 - rows.len()).cloned());
            after = some.last().map(|(key, _)| key.clone());
            if !has_more || rows.len() > limit {
                break;
            }
        }
        let has_next = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(|(key, _)| key.text());
        let rows: Vec<_> = rows.iter().map(|(key, missed)| self.row(key, missed)).collect();
        Answer::list(&rows, Position { limit, has_next, next, kept_since: None })
    }
}

impl Absent {
    pub(super) fn route(self) -> Route {
        Route::get("/presence/absent", "Clients that are missed by the rules of `modules.presence.absence`.", self)
            .parameter("name", Takes::Text, "Only by this rule.")
            .parameter("state", Takes::Choice(What::NAMES), "Only those that are away, or connected and say nothing.")
            .parameter("_after", Takes::Text, "Those that come after this one: `meta.next` of the answer before.")
            .parameter("_limit", Takes::Number, LIMIT_HELP)
            .returns(Returns::List(schema()))
    }

    fn row(&self, key: &Key, missed: &Missed) -> Row {
        let last = self.history.last_event(&key.client_id);
        let text = |of: fn(&Entry) -> Option<&str>| last.as_ref().and_then(of).map(str::to_owned);
        Row {
            name: key.name.to_string(),
            clientid: key.client_id.to_string(),
            state: missed.what.name(),
            since: missed.since,
            after: missed.after / 1000,
            told_at: missed.told_at,
            username: text(Entry::username),
            reason: text(Entry::reason),
            ipaddress: last.as_ref().map(|last| last.ip.to_string()),
        }
    }
}

/// A client that is missed.
#[derive(Serialize)]
struct Row {
    name: String,
    clientid: String,
    state: &'static str,
    since: u64,
    after: u64,
    told_at: u64,
    username: Option<String>,
    reason: Option<String>,
    ipaddress: Option<String>,
}

/// The schema of [`Row`].
fn schema() -> Value {
    let number =
        |description: &str| json!({"type": "integer", "format": "int64", "minimum": 0, "description": description});
    let text = |description: &str| json!({"type": ["string", "null"], "description": description});
    json!({
        "type": "object",
        "description": "A client that is missed by a rule. Times are milliseconds since the Unix epoch.",
        "required": ["name", "clientid", "state", "since", "after", "told_at"],
        "properties": {
            "name": {"type": "string", "description": "The rule's."},
            "clientid": {"type": "string"},
            "state": {"type": "string", "enum": What::NAMES},
            "since": number("When it went, or when anything but pings came from it last."),
            "after": number("The rule's time that has passed, in seconds."),
            "told_at": number("When that was told."),
            "username": text("Null if it gave none, or is not known any more."),
            "reason": text("Why it went, if it is away."),
            "ipaddress": text("Where it was last."),
        },
    })
}
