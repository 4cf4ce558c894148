//! Who comes and goes, as it happens.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Event, Feed, Handle, Json, Refusal, Request};
use serde_json::json;

use crate::presence::{Entry, Heard, History, Live, Query};

/// Events of those before it began, or that it missed, that are looked up at a time.
const PIECE: usize = 256;

/// `/presence/stream`
pub(super) struct Stream {
    pub(super) history: Arc<History>,
}

#[async_trait::async_trait]
impl Handle for Stream {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let last = request.last_event_id.as_deref().and_then(|id| id.parse().ok());
        let live = self.history.subscribe();
        Ok(Answer::Events(Box::new(Told {
            since: last.or(super::after(&request)?).unwrap_or(live.since()),
            until: live.since(),
            earlier: Vec::new(),
            client_id: request.text("clientid")?.map(str::to_owned),
            prefix: request.text("prefix")?.map(str::to_owned),
            history: Arc::clone(&self.history),
            live,
        })))
    }
}

/// What was told and is to be told to one who follows.
struct Told {
    history: Arc<History>,
    /// Number of the last event that was looked at.
    since: u64,
    /// Up to here events are looked up; later ones are heard.
    until: u64,
    live: Live,
    /// Looked up and not told yet, the next one last.
    earlier: Vec<Arc<Entry>>,
    client_id: Option<String>,
    prefix: Option<String>,
}

#[async_trait::async_trait]
impl Feed for Told {
    async fn next(&mut self) -> Option<Event> {
        while self.since < self.until || !self.earlier.is_empty() {
            if self.earlier.is_empty() {
                self.look_up();
            }
            if let Some(entry) = self.earlier.pop() {
                self.since = entry.number;
                return told(&entry);
            }
        }
        loop {
            match self.live.next().await? {
                Heard::Event(entry) if self.is_wanted(&entry) => return told(&entry),
                Heard::Event(_) => {}
                Heard::Missed(count) => {
                    let data = Json::new(&json!({ "count": count })).ok()?;
                    return Some(Event { name: "missed", id: None, data });
                }
            }
        }
    }
}

impl Told {
    fn look_up(&mut self) {
        self.earlier = self.history.query(&Query {
            since: Some(self.since),
            before: Some(self.until.saturating_add(1)),
            client_id: self.client_id.as_deref(),
            client_id_prefix: self.prefix.as_deref(),
            limit: PIECE,
            ..Query::default()
        });
        if self.earlier.is_empty() {
            self.since = self.until;
        }
        self.earlier.reverse();
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        self.client_id.as_deref().is_none_or(|id| entry.client_id() == id)
            && self.prefix.as_deref().is_none_or(|prefix| entry.client_id().starts_with(prefix))
    }
}

fn told(entry: &Entry) -> Option<Event> {
    let data = Json::new(entry).ok()?;
    Some(Event { name: "presence", id: Some(entry.number.to_string()), data })
}
