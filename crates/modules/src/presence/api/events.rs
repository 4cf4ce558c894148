//! Who came and went.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Position, Refusal, Request};

use super::{ORDERS, limit_of};
use crate::presence::{Entry, History, Query};

/// `/presence/events`
pub(super) struct Events {
    pub(super) history: Arc<History>,
}

#[async_trait::async_trait]
impl Handle for Events {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = limit_of(&request)?;
        let mut found = self.history.query(&Query {
            since: request.number("since")?,
            before: request.number("before")?,
            from: request.number("from")?,
            to: request.number("to")?,
            client_id: request.text("clientid")?,
            client_id_prefix: request.text("prefix")?,
            limit: limit + 1,
            newest_first: request.choice("order", ORDERS)? == Some("desc"),
        });
        let has_next = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|last| last.number.to_string());
        let rows: Vec<&Entry> = found.iter().map(|entry| &**entry).collect();
        Answer::list(&rows, Position { limit, has_next, next })
    }
}
