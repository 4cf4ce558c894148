//! Clients are sent elsewhere, before the broker is restarted.

use std::time::Duration;

use axum::extract::State;
use mqtt_hooks::Span;
use mqtt_operate::{Drain, DrainState, Operate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Admission;
use crate::asking::with_broker;
use crate::extract::{Body, Strict};
use crate::reply::{DONE, Data, Done, Explanation, Refusal};

/// Nobody waits longer for a restart.
const LONGEST: Duration = Duration::from_hours(24);

/// Bytes of where clients are told to go.
const MAX_REFERENCE: usize = 255;

/// Whether clients are sent elsewhere, and how far that has come.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Draining {
    /// They are, and nobody comes in.
    draining: bool,
    /// Since when, if they are: milliseconds since the Unix epoch.
    since: Option<u64>,
    /// By when all are told.
    until: Option<u64>,
    /// Clients that were connected when it began.
    clients: Option<usize>,
    /// Clients that still are.
    left: Option<usize>,
    /// Where clients of MQTT 5 are told to go (Server Reference), if they are told.
    to: Option<String>,
}

impl Draining {
    fn of(broker: &dyn Operate) -> Self {
        let state = broker.draining();
        let of = |tell: fn(&DrainState) -> u64| state.as_ref().map(tell);
        Self {
            draining: state.is_some(),
            since: of(|state| state.since),
            until: of(|state| state.since.saturating_add(state.over_ms)),
            clients: state.as_ref().map(|state| state.clients),
            left: state.as_ref().map(|state| state.left),
            to: state.and_then(|state| state.to),
        }
    }
}

/// How clients are to be sent elsewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// They are told evenly over this time: "0s" for all at once, at most "24h".
    #[schema(value_type = String, example = "5m")]
    over: Span,
    /// Where clients of MQTT 5 are told to go (Server Reference). If it is not said, what other nodes of the cluster say of themselves
    /// (`node.reference`), if they do.
    #[serde(default)]
    #[schema(nullable = false, example = "mqtt2.example.org:1883")]
    to: Option<String>,
}

/// Whether clients are sent elsewhere, and how far that has come.
#[utoipa::path(get, path = "/drain", tag = "nodes", responses((status = OK, body = Data<Draining>)))]
pub(super) async fn draining(State(shared): Admission) -> Result<Data<Draining>, Refusal> {
    with_broker(&shared, |broker| Data::new(Draining::of(broker))).await
}

/// Takes no new clients, says at `/ready` that it is not ready, and sends those elsewhere who are connected, until that is ended or the
/// broker is restarted. Asked again, it begins anew with those who are left.
#[utoipa::path(post, path = "/drain", tag = "nodes", request_body = Wish,
    responses((status = OK, body = Data<Draining>), (status = BAD_REQUEST, body = Explanation)))]
pub(super) async fn drain(
    State(shared): Admission,
    Strict(Body(Wish { over: Span(over), to })): Strict<Body<Wish>>,
) -> Result<Data<Draining>, Refusal> {
    let wrong = |why: String| Err(Refusal::bad_param(why).without_code());
    if over > LONGEST {
        return wrong("over: at most 24h".to_owned());
    }
    // Several stand with spaces between them.
    let is_fit = |text: &str| {
        let words: Vec<_> = text.split(' ').collect();
        words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    if to.as_ref().is_some_and(|to| to.len() > MAX_REFERENCE || !is_fit(to)) {
        return wrong(format!("to: wants an address like \"mqtt2.example.org:1883\", at most {MAX_REFERENCE} bytes"));
    }
    let asked = with_broker(&shared, move |broker| {
        broker.drain(Drain { over, to });
        Data::new(Draining::of(broker))
    });
    asked.await
}

/// Takes clients again.
#[utoipa::path(delete, path = "/drain", tag = "nodes", responses((status = OK, body = Done),
    (status = NOT_FOUND, body = Explanation, description = "clients are not sent elsewhere")))]
pub(super) async fn end_drain(State(shared): Admission) -> Result<Done, Refusal> {
    let was_on = with_broker(&shared, |broker| broker.end_drain()).await?;
    if was_on { Ok(DONE) } else { Err(Refusal::not_found("clients are not sent elsewhere")) }
}
