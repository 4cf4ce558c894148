//! Who came and went.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Position, Refusal, Request};

use super::{ORDERS, after, limit_of};
use crate::presence::{Entry, History, Query};

/// `/presence/events`
pub(super) struct Events {
    pub(super) history: Arc<History>,
}

#[async_trait::async_trait]
impl Handle for Events {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = limit_of(&request)?;
        let client_id = request.text("clientid")?;
        // Before they are looked up: what goes meanwhile had better be shown all the same.
        let kept_since = self.kept_since(client_id);
        let mut found = self.history.query(&Query {
            since: after(&request)?,
            before: request.number("before")?,
            from: request.number("from")?,
            to: request.number("to")?,
            client_id,
            client_id_prefix: request.text("prefix")?,
            limit: limit + 1,
            newest_first: request.choice("order", ORDERS)? == Some("desc"),
        });
        let has_next = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|last| last.number.to_string());
        let rows: Vec<&Entry> = found.iter().map(|entry| &**entry).collect();
        Answer::list(&rows, Position { limit, has_next, next, kept_since })
    }
}

impl Events {
    /// When the oldest event that there is happened, if there were older ones.
    fn kept_since(&self, client_id: Option<&str>) -> Option<u64> {
        // Of a client without events it is not known how many it had: those of all others are newer.
        let oldest = client_id.and_then(|id| self.history.oldest(Some(id))).or_else(|| self.history.oldest(None))?;
        let is_all = Some(oldest.client_id()) == client_id && is_first(&oldest);
        (!is_all).then_some(oldest.at)
    }
}

/// The client had no event before this one.
fn is_first(entry: &Entry) -> bool {
    if entry.first_seen == 0 { entry.seq <= 1 } else { entry.is_connected() && entry.first_seen == entry.at }
}
