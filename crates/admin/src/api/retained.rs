//! Retained messages: listed, looked at, forgotten.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mqtt_codec::{Filter, Topic};
use mqtt_operate::{RetainedQuery, RetainedState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::asking::with_broker;
use crate::extract::{Query, Strict};
use crate::guard::Caller;
use crate::reply::{DONE, Data, Done, Explanation, Refusal};
use crate::{Admission, lists};

/// Rows of a page unless asked for fewer, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

/// Which retained messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// A topic filter, or a part of a topic.
    #[serde(default)]
    filter: String,
    /// From what was answered as `meta.next`.
    #[serde(rename = "_after")]
    after: Option<String>,
    /// Rows at most, up to 10,000; 100 unless said.
    #[serde(rename = "_limit")]
    limit: Option<usize>,
}

/// A retained message without its payload.
#[derive(Serialize, ToSchema)]
pub(super) struct Row {
    /// Where it was published.
    topic: String,
    /// 0, 1 or 2.
    qos: u8,
    /// Bytes.
    payload_size: usize,
    /// From its message expiry: milliseconds since the Unix epoch.
    expires_at: Option<u64>,
}

impl From<&RetainedState> for Row {
    fn from(state: &RetainedState) -> Self {
        let message = &state.message;
        Self {
            topic: message.topic.to_string(),
            qos: message.qos as u8,
            payload_size: message.payload.len(),
            expires_at: state.expires_at,
        }
    }
}

/// A part of the list.
#[derive(Serialize, ToSchema)]
pub(super) struct Rows {
    /// Always 0.
    code: u16,
    /// In order of topics, level by level.
    data: Vec<Row>,
    /// How it goes on.
    meta: Extent,
}

/// How a list goes on.
#[derive(Serialize, ToSchema)]
struct Extent {
    /// Rows asked for.
    limit: usize,
    /// Retained messages in all.
    count: u64,
    /// There are more.
    hasnext: bool,
    /// What to ask for in `_after` to have them.
    next: Option<String>,
}

/// Retained messages.
#[utoipa::path(get, path = "/retained", tag = "retained", params(Asked),
    responses((status = OK, body = Rows), (status = BAD_REQUEST, body = Explanation, description = "`_limit` is no number")))]
pub(super) async fn list(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Strict(Query(asked)): Strict<Query<Asked>>,
) -> Result<Response, Refusal> {
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let answer = lists::list(&shared, &caller, move |broker| {
        let part = asked.filter;
        let filter = Filter::new(part.clone()).ok().filter(Filter::has_wildcard);
        let wanted = |topic: &Topic| match &filter {
            Some(filter) => filter.matches(topic) || part == "#",
            None => topic.as_str().contains(&part),
        };
        let page = broker.retained(&RetainedQuery { after: asked.after.as_deref(), limit, wanted: &wanted });
        let stats = broker.stats();
        let count = stats.into_iter().find(|(name, _)| name == "retained.count").map_or(0, |(_, count)| count);
        let data: Vec<Row> = page.rows.iter().map(Row::from).collect();
        let next = data.last().filter(|_| page.has_more).map(|row| row.topic.clone());
        Rows { code: 0, meta: Extent { limit, count, hasnext: page.has_more, next }, data }
    });
    answer.await
}

/// Which topic.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfTopic {
    /// The topic itself, no filter.
    #[param(min_length = 1, example = "sport/tennis")]
    topic: String,
}

impl OfTopic {
    fn checked(self) -> Result<Topic, Refusal> {
        Topic::new(self.topic).map_err(|error| Refusal::Status(StatusCode::BAD_REQUEST, format!("topic: {error}")))
    }
}

/// A retained message.
#[derive(Serialize, ToSchema)]
pub(super) struct Whole {
    #[serde(flatten)]
    row: Row,
    /// In base64.
    payload: String,
}

fn none(topic: &str) -> Refusal {
    Refusal::not_found(format!("no message is retained on {topic:?}"))
}

/// The retained message of a topic.
#[utoipa::path(get, path = "/retained/message", tag = "retained", params(OfTopic),
    responses((status = OK, body = Data<Whole>), (status = BAD_REQUEST, body = Explanation), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn one(
    State(shared): Admission,
    Strict(Query(asked)): Strict<Query<OfTopic>>,
) -> Result<Data<Whole>, Refusal> {
    let topic = asked.checked()?;
    let name = topic.to_string();
    let found = with_broker(&shared, move |broker| broker.retained_message(&topic)).await?;
    let state = found.ok_or_else(|| none(&name))?;
    Ok(Data::new(Whole { row: Row::from(&state), payload: BASE64_STANDARD.encode(&state.message.payload) }))
}

/// Forgets the retained message of a topic. Nobody who subscribed is told.
#[utoipa::path(delete, path = "/retained/message", tag = "retained", params(OfTopic),
    responses((status = OK, body = Done), (status = BAD_REQUEST, body = Explanation), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn forget(
    State(shared): Admission,
    Strict(Query(asked)): Strict<Query<OfTopic>>,
) -> Result<Done, Refusal> {
    let topic = asked.checked()?;
    let name = topic.to_string();
    let was_there = with_broker(&shared, move |broker| broker.forget_retained(&topic)).await?;
    if was_there { Ok(DONE) } else { Err(none(&name)) }
}
