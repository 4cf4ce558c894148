//! What the module answers, as EMQ X 4.3: which topics are counted, and what of each.

use std::sync::Arc;

use mqtt_codec::Topic;
use mqtt_hooks::route::{Answer, Handle, Method, Refusal, Request, Returns, Route, Takes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::topics::{Topics, Wrong};

pub(super) fn routes(topics: &Arc<Topics>) -> Vec<Route> {
    use Method::{Delete, Post};
    const ALL: &str = "/topic-metrics";
    const ONE: &str = "/topic-metrics/{topic}";
    let route = |method, path, summary, act: Act| {
        Route::new(method, path, summary, Metrics { topics: Arc::clone(topics), act }).while_running()
    };
    let of_one = |route: Route| route.parameter("topic", Takes::Text, "The topic, percent-encoded.");
    let body = json!({
        "type": "object",
        "properties": {"topic": {"type": "string", "description": "Without wildcards."}},
        "required": ["topic"],
    });
    let row = json!({
        "type": "object",
        "properties": {"topic": {"type": "string"}, "metrics": metrics()},
        "required": ["topic", "metrics"],
    });
    vec![
        route(Method::Get, ALL, "The topics whose messages are counted, and the counts.", list)
            .returns(Returns::Data(json!({"type": "array", "items": row}))),
        of_one(route(Method::Get, ONE, "What is counted of one topic.", show)).returns(Returns::Data(metrics())),
        route(Post, ALL, "Counts the messages of a topic from now on; 512 at the most.", add)
            .body(body)
            .returns(Returns::Done),
        route(Delete, ALL, "Counts no topic's messages any more.", remove_all).returns(Returns::Done),
        of_one(route(Delete, ONE, "Counts the messages of a topic no more.", remove)).returns(Returns::Done),
    ]
}

fn metrics() -> Value {
    json!({
        "type": "object",
        "description": "`messages.in.count`, `messages.in.rate` (in a second, over the last ten) and so on for `messages.out`, `messages.dropped` (nobody subscribes), `messages.qos0.in`, ...",
        "additionalProperties": {"type": "number"},
    })
}

type Act = fn(&Topics, &Request) -> Result<Answer, Refusal>;

struct Metrics {
    topics: Arc<Topics>,
    act: Act,
}

#[async_trait::async_trait]
impl Handle for Metrics {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        (self.act)(&self.topics, &request)
    }
}

#[derive(Serialize)]
struct Row {
    topic: Box<str>,
    metrics: Map<String, Value>,
}

#[derive(Deserialize)]
struct Named {
    topic: Option<String>,
}

fn list(topics: &Topics, _: &Request) -> Result<Answer, Refusal> {
    let mut rows = Vec::new();
    topics.each(|topic, counts| rows.push(Row { topic: topic.into(), metrics: counts.shown() }));
    Answer::data(&rows)
}

fn show(topics: &Topics, request: &Request) -> Result<Answer, Refusal> {
    Answer::data(&topics.get(request.part("topic")).map_err(refused)?.shown())
}

fn add(topics: &Topics, request: &Request) -> Result<Answer, Refusal> {
    let Named { topic } = request.json()?;
    let topic = topic.ok_or_else(|| Refusal::BadRequest("missing_required_params".to_owned()))?;
    let topic = Topic::new(topic).map_err(|_| Refusal::BadRequest("invalid_topic_name".to_owned()))?;
    done(topics.add(&topic))
}

fn remove(topics: &Topics, request: &Request) -> Result<Answer, Refusal> {
    done(topics.remove(request.part("topic")))
}

fn remove_all(topics: &Topics, _: &Request) -> Result<Answer, Refusal> {
    done(topics.remove_all())
}

fn done(result: Result<(), Wrong>) -> Result<Answer, Refusal> {
    result.map(|()| Answer::Done).map_err(refused)
}

fn refused(wrong: Wrong) -> Refusal {
    let why = wrong.to_string();
    match wrong {
        Wrong::Stopped => Refusal::Unavailable(why),
        Wrong::Full | Wrong::Known => Refusal::Conflict(why),
        Wrong::Unknown => Refusal::NotFound(why),
    }
}
