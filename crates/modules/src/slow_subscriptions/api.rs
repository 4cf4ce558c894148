//! What the module answers, as EMQ X 4.4: which deliveries were slow.

use std::sync::Arc;

use mqtt_hooks::Host;
use mqtt_hooks::route::{Answer, Handle, Method, Position, Refusal, Request, Returns, Route};
use serde::Serialize;
use serde_json::json;

use super::slowest::Slowest;

const PATH: &str = "/slow_subscriptions";

pub(super) fn routes(slowest: &Arc<Slowest>, host: &Arc<dyn Host>) -> Vec<Route> {
    let row = json!({
        "type": "object",
        "properties": {
            "node": {"type": "string"},
            "clientid": {"type": "string"},
            "topic": {"type": "string"},
            "timespan": {"type": "integer", "description": "Milliseconds from when the broker had the message to its acknowledgement."},
            "last_update_time": {"type": "integer", "description": "When it was acknowledged: milliseconds since the Unix epoch."},
        },
        "required": ["node", "clientid", "topic", "timespan", "last_update_time"],
    });
    let list = List { slowest: Arc::clone(slowest), host: Arc::clone(host) };
    vec![
        Route::get(PATH, "The clients and topics with the slowest deliveries, the slowest first.", list)
            .returns(Returns::List(row)),
        Route::new(Method::Delete, PATH, "Forgets all of them.", Clear(Arc::clone(slowest))).returns(Returns::Done),
    ]
}

struct List {
    slowest: Arc<Slowest>,
    host: Arc<dyn Host>,
}

struct Clear(Arc<Slowest>);

/// By the keys of EMQ X.
#[derive(Serialize)]
struct Row<'a> {
    node: &'a str,
    clientid: Box<str>,
    topic: Box<str>,
    timespan: u64,
    last_update_time: u64,
}

#[async_trait::async_trait]
impl Handle for List {
    async fn handle(&self, _: Request) -> Result<Answer, Refusal> {
        let (node, now, clock) = (self.host.node(), self.host.now_ms(), self.host.clock_ms());
        let entries = self.slowest.list(clock).into_iter();
        let rows: Vec<_> = entries
            .map(|entry| Row {
                node,
                clientid: entry.client_id,
                topic: entry.topic,
                timespan: entry.took_ms,
                last_update_time: now.saturating_sub(clock.saturating_sub(entry.at)),
            })
            .collect();
        Answer::list(&rows, Position { limit: rows.len(), ..Position::default() })
    }
}

#[async_trait::async_trait]
impl Handle for Clear {
    async fn handle(&self, _: Request) -> Result<Answer, Refusal> {
        self.0.clear();
        Ok(Answer::Done)
    }
}
