//! What the module answers, as EMQ X 4.4: traces are made, listed, ended and removed, and what they have written is read.

use std::io;
use std::sync::Arc;

use mqtt_hooks::Host;
use mqtt_hooks::route::{Answer, Handle, Method, Refusal, Request, Returns, Route, Takes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::about::Asked;
use super::traces::{One, Plan, Traces, Wrong};

/// How long a trace goes on that is not told when to end.
const LASTS_MS: u64 = 10 * 60 * 1000;

/// Bytes of what is looked at, unless asked for otherwise and at the most.
const BYTES: u64 = 1000;
const MAX_BYTES: u64 = 1 << 20;

pub(super) fn routes(traces: &Arc<Traces>, host: &Arc<dyn Host>) -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    use Takes::{Number, Text};
    let route = |method, path, summary, act: Act| {
        let (traces, host) = (Arc::clone(traces), Arc::clone(host));
        Route::new(method, path, summary, Handler { traces, host, act })
    };
    let of_one = |route: Route| route.parameter("name", Text, "The trace's name.");
    let log = json!({
        "type": "object",
        "properties": {
            "items": {"type": "string", "description": "What stands there."},
            "meta": {"type": "object", "properties": {"position": {"type": "integer"}, "bytes": {"type": "integer"}}},
        },
        "required": ["items", "meta"],
    });
    vec![
        route(Get, "/trace", "The traces to files.", list)
            .returns(Returns::Data(json!({"type": "array", "items": schema(true)}))),
        route(Post, "/trace", "Makes a trace to a file.", add)
            .body(schema(false))
            .returns(Returns::Done)
            .while_running(),
        route(Delete, "/trace", "Removes all traces and their files.", remove_all)
            .returns(Returns::Done)
            .while_running(),
        of_one(route(Delete, "/trace/{name}", "Removes a trace and its file.", remove))
            .returns(Returns::Done)
            .while_running(),
        of_one(route(Put, "/trace/{name}/stop", "Ends a trace; its file stays.", stop))
            .returns(Returns::Done)
            .while_running(),
        of_one(route(Get, "/trace/{name}/log", "A part of what a trace has written.", show))
            .parameter("position", Number, "From which byte on: 0 unless told otherwise.")
            .parameter("bytes", Number, "So many at the most: 1,000 unless told otherwise, 1,048,576 at the most.")
            .returns(Returns::Data(log)),
        of_one(route(Get, "/trace/{name}/download", "All that a trace has written.", download)).returns(Returns::File),
    ]
}

fn schema(is_answer: bool) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut properties = json!({
        "name": text("A letter, and then at most 63 letters, digits, `-` and `_`."),
        "type": {"type": "string", "enum": ["clientid", "topic", "ip_address"]},
        "clientid": text("Where that is the type."),
        "topic": text("A filter, where that is the type."),
        "ip_address": text("Where that is the type."),
        "start_at": text("As `2021-12-05T17:48:51+08:00`; now unless told otherwise."),
        "end_at": text("Ten minutes after it begins unless told otherwise."),
    });
    if is_answer {
        properties["status"] = json!({"type": "string", "enum": ["waiting", "running", "stopped"]});
        properties["log_size"] = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    }
    json!({"type": "object", "properties": properties, "required": ["name", "type"]})
}

type Act = fn(&Handler, &Request) -> Result<Answer, Refusal>;

struct Handler {
    traces: Arc<Traces>,
    host: Arc<dyn Host>,
    act: Act,
}

#[async_trait::async_trait]
impl Handle for Handler {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        (self.act)(self, &request)
    }
}

#[derive(Deserialize)]
struct New {
    name: String,
    #[serde(flatten)]
    asked: Asked,
    start_at: Option<jiff::Timestamp>,
    end_at: Option<jiff::Timestamp>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(flatten)]
    asked: &'a Asked,
    start_at: jiff::Timestamp,
    end_at: jiff::Timestamp,
    status: &'static str,
    log_size: Map<String, Value>,
}

fn row<'a>(one: &'a One, node: &str) -> Row<'a> {
    let Plan { name, asked, start_at, end_at } = &one.plan;
    let time = |ms: u64| i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    Row {
        name,
        asked,
        start_at: time(*start_at).unwrap_or_default(),
        end_at: time(*end_at).unwrap_or_default(),
        status: one.status(),
        log_size: Map::from_iter([(node.to_owned(), one.file.size().into())]),
    }
}

fn list(desk: &Handler, _: &Request) -> Result<Answer, Refusal> {
    let traces = desk.traces.list();
    Answer::data(&traces.iter().map(|one| row(one, desk.host.node())).collect::<Vec<_>>())
}

fn add(desk: &Handler, request: &Request) -> Result<Answer, Refusal> {
    let New { name, asked, start_at, end_at } = request.json()?;
    let ms = |time: jiff::Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
    let start_at = start_at.map_or_else(|| desk.host.now_ms(), ms);
    let end_at = end_at.map_or_else(|| start_at.saturating_add(LASTS_MS), ms);
    done(desk.traces.add(Plan { name, asked, start_at, end_at }, &*desk.host))
}

fn remove(desk: &Handler, request: &Request) -> Result<Answer, Refusal> {
    done(desk.traces.remove(Some(request.part("name")), desk.host.now_ms()))
}

fn remove_all(desk: &Handler, _: &Request) -> Result<Answer, Refusal> {
    done(desk.traces.remove(None, desk.host.now_ms()))
}

fn stop(desk: &Handler, request: &Request) -> Result<Answer, Refusal> {
    done(desk.traces.stop(request.part("name"), desk.host.now_ms()))
}

fn show(desk: &Handler, request: &Request) -> Result<Answer, Refusal> {
    let (position, bytes) = (request.number("position")?.unwrap_or(0), request.number("bytes")?.unwrap_or(BYTES));
    let one = desk.traces.get(request.part("name")).map_err(refused)?;
    let read = one.file.read(position, bytes.min(MAX_BYTES)).map_err(unreadable)?;
    let next = position + read.len() as u64;
    // As EMQ X has it: where to go on.
    Answer::data(&json!({
        "items": String::from_utf8_lossy(&read),
        "meta": {"position": next, "bytes": read.len()},
    }))
}

fn download(desk: &Handler, request: &Request) -> Result<Answer, Refusal> {
    let one = desk.traces.get(request.part("name")).map_err(refused)?;
    let text = one.file.read(0, one.file.size()).map_err(unreadable)?;
    Ok(Answer::File { name: format!("{}.log", one.plan.name), text })
}

fn unreadable(error: io::Error) -> Refusal {
    tracing::error!(%error, "the file of a trace can't be read");
    Refusal::Internal
}

fn done(result: Result<(), Wrong>) -> Result<Answer, Refusal> {
    result.map(|()| Answer::Done).map_err(refused)
}

fn refused(wrong: Wrong) -> Refusal {
    let why = wrong.to_string();
    match wrong {
        Wrong::Stopped | Wrong::File(_) => Refusal::Unavailable(why),
        Wrong::Full | Wrong::Known => Refusal::Conflict(why),
        Wrong::Unknown => Refusal::NotFound(why),
        Wrong::Bad(_) => Refusal::BadRequest(why),
    }
}
