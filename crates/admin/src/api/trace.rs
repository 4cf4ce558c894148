//! What one client sends and gets.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::response::sse::Event;
use mqtt_operate::Trace;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::error::TryRecvError;

use crate::Admission;
use crate::extract::Path;
use crate::guard::Caller;
use crate::reply::{Explanation, Refusal};

/// Follows a client id, over reconnects, until the reader goes: server-sent events `packet` with JSON
/// `{"at":<ms>,"direction":"in"|"out","packet":"PUBLISH qos=0 topic=\"a\" payload(1)=\"x\""}`, and `dropped` with
/// `{"count":<n>}` when so many packets more came than were read in time. `in` is what the client sent. At most 64 bytes of
/// a payload are shown, and no password.
#[utoipa::path(get, path = "/trace/{name}", tag = "clients", params(("name", description = "the client's id, online or not")),
    responses((status = OK, content_type = "text/event-stream", body = String),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "too many are traced, or too many streams are open")))]
pub(super) async fn follow(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path(client_id): Path<String>,
) -> Result<Response, Refusal> {
    let place = shared.streams.trace(&caller.name)?;
    let Some(trace) = Arc::clone(&shared.broker).trace(&client_id) else {
        let why = "as many clients as may be are traced; end another trace".to_owned();
        return Err(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    shared.streams.open(&caller, trace, move |trace| {
        let _until_the_end = &place;
        next(trace)
    })
}

/// What was dropped is told once what had come before it is read.
async fn next(mut trace: Trace) -> Option<(Event, Trace)> {
    let line = match trace.lines.try_recv() {
        Ok(line) => line,
        Err(TryRecvError::Disconnected) => return None,
        Err(TryRecvError::Empty) => match trace.dropped.swap(0, Relaxed) {
            0 => trace.lines.recv().await?,
            count => return Some((event("dropped", &json!({ "count": count })), trace)),
        },
    };
    Some((event("packet", &line), trace))
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    event.json_data(data).unwrap_or_default()
}
