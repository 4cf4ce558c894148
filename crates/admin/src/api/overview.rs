//! How the broker is, second by second.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::Admission;
use crate::guard::Caller;
use crate::reply::{Explanation, Refusal};
use crate::samples::Sample;

/// The last five minutes at once as `history`, then a `sample` each second.
#[utoipa::path(get, path = "/overview/stream", tag = "overview",
    responses((status = OK, body = Sample, content_type = "text/event-stream",
            description = "server-sent events: `history` with a list of samples, then `sample` with one each second"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "too many streams are open")))]
pub(super) async fn stream(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Refusal> {
    let (past, new) = shared.samples.follow();
    shared.streams.open(&caller, (Some(past), new), |(past, mut new)| async move {
        if let Some(past) = past {
            return Some((event("history", &past), (None, new)));
        }
        loop {
            match new.recv().await {
                Ok(sample) => return Some((event("sample", &sample), (None, new))),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).json_data(data).expect("numbers are JSON")
}
