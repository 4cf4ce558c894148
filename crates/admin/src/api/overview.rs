//! How the broker is, second by second.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

use crate::Admission;
use crate::extract::{Query, Strict};
use crate::guard::Caller;
use crate::reply::{Data, Explanation, Refusal};
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

/// How far back.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Range {
    /// A day, by the minute.
    Day,
    /// Thirty days, by the hour.
    Month,
}

/// How far back.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Back {
    /// `day`: by the minute; `month`: by the hour.
    #[param(inline)]
    range: Range,
}

/// How the broker was, over restarts where there is a store. What is counted begins anew with each process.
#[utoipa::path(get, path = "/overview/history", tag = "overview", params(Back),
    responses((status = OK, body = Data<Vec<Sample>>), (status = BAD_REQUEST, body = Explanation)))]
pub(super) async fn history(
    State(shared): Admission,
    Strict(Query(Back { range })): Strict<Query<Back>>,
) -> Data<Vec<Sample>> {
    Data::new(match range {
        Range::Day => shared.samples.day(),
        Range::Month => shared.samples.month(),
    })
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).json_data(data).expect("numbers are JSON")
}
