//! What the module answers: how bridges are, and a restart.

use std::sync::Arc;

use mqtt_hooks::Host;
use mqtt_hooks::route::{Answer, Handle, Method, Refusal, Request, Returns, Route, Takes};
use serde::Serialize;
use serde_json::{Value, json};

use crate::counts::Counts;
use crate::standing::{Standing, Standings, Told};

pub(crate) fn routes(standings: &Arc<Standings>, host: &Arc<dyn Host>) -> Vec<Route> {
    const ONE: &str = "/bridges/{name}";
    let route = |method, path, summary, act: Act| {
        let asked = Asked { standings: Arc::clone(standings), host: Arc::clone(host), act };
        Route::new(method, path, summary, asked).while_running()
    };
    let of_one = |route: Route| route.parameter("name", Takes::Text, "The bridge's.");
    vec![
        route(Method::Get, "/bridges", "All bridges, by name.", list)
            .returns(Returns::Data(json!({"type": "array", "items": row()}))),
        of_one(route(Method::Get, ONE, "One bridge.", show)).returns(Returns::Data(row())),
        of_one(route(
            Method::Post,
            "/bridges/{name}/restart",
            "Closes a bridge's connections and connects anew; nothing that waits is lost.",
            restart,
        ))
        .returns(Returns::Done),
    ]
}

fn row() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    json!({
        "type": "object",
        "properties": {
            "name": text, "remote": text,
            "state": {"type": "string", "enum": ["up", "down"]},
            "reason": {"type": "string", "description": "Why it is down."},
            "since": {"type": "integer", "description": "Milliseconds since the Unix epoch."},
            "client_id": {"type": "string", "description": "Of the client that it is at this broker."},
            "waiting": {"type": "integer", "description": "Messages that wait to go out, those on the way included."},
            "max_waiting": number, "queue_dropped": number,
            "sent": number, "received": number, "dropped": number, "refused": number, "looped": number,
            "connections": number,
        },
        "required": ["name", "remote", "state", "since", "client_id", "waiting", "sent", "received"],
    })
}

type Act = fn(&Asked, &Request) -> Result<Answer, Refusal>;

struct Asked {
    standings: Arc<Standings>,
    host: Arc<dyn Host>,
    act: Act,
}

#[async_trait::async_trait]
impl Handle for Asked {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        (self.act)(self, &request)
    }
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    told: Told,
    client_id: String,
    waiting: usize,
    max_waiting: usize,
    queue_dropped: u64,
    sent: u64,
    received: u64,
    dropped: u64,
    refused: u64,
    looped: u64,
    connections: u64,
}

impl Asked {
    fn row(&self, one: &Standing) -> Row {
        let waiting = self.host.waiting(&one.own_id).unwrap_or_default();
        let Counts { sent, received, dropped, refused, looped, connections } = &*one.counts;
        Row {
            told: one.told(),
            client_id: one.own_id.clone(),
            waiting: waiting.queued + waiting.inflight,
            max_waiting: waiting.max_queued,
            queue_dropped: waiting.dropped,
            sent: sent.value(),
            received: received.value(),
            dropped: dropped.value(),
            refused: refused.value(),
            looped: looped.value(),
            connections: connections.value(),
        }
    }

    fn one(&self, request: &Request) -> Result<Arc<Standing>, Refusal> {
        let name = request.part("name");
        self.standings.get(name).ok_or_else(|| Refusal::NotFound(format!("there is no bridge {name:?}")))
    }
}

fn list(asked: &Asked, _: &Request) -> Result<Answer, Refusal> {
    Answer::data(&asked.standings.all().iter().map(|one| asked.row(one)).collect::<Vec<_>>())
}

fn show(asked: &Asked, request: &Request) -> Result<Answer, Refusal> {
    Answer::data(&asked.row(&*asked.one(request)?))
}

fn restart(asked: &Asked, request: &Request) -> Result<Answer, Refusal> {
    asked.one(request)?.restart.notify_one();
    Ok(Answer::Done)
}
