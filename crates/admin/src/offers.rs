//! What modules answer: their routes, served and described beside the API's own.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response, sse};
use axum::routing::{MethodFilter, on};
use mqtt_hooks::route::{Answer, Event, Json, Method, Pair, Refusal as Refused, Request, Returns};
use mqtt_hooks::run::Offer;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::extract::{Body, Query};
use crate::guard::Caller;
use crate::lists::{Lists, Turn};
use crate::reply::{DONE, Refusal, unknown_path};
use crate::streams::Streams;

mod description;

pub(crate) use description::describe;

/// What modules' answers need of the admin port.
pub(crate) struct Desk {
    /// Whether a module runs.
    pub(crate) is_running: Box<dyn Fn(&str) -> bool + Send + Sync>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) lists: Arc<Lists>,
}

/// Adds modules' routes.
///
/// # Panics
/// If there are two of one method and path.
pub(crate) fn serve<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    offers: Vec<Offer>,
    desk: &Arc<Desk>,
) -> Router<S> {
    offers.into_iter().fold(router, |router, offer| {
        let method = match offer.route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Delete => MethodFilter::DELETE,
        };
        let (path, offer, desk) = (offer.route.path, Arc::new(offer), Arc::clone(desk));
        router.route(path, on(method, move |path: PathPairs, request| answer(desk, offer, path, request)))
    })
}

/// The parts of the path that vary.
type PathPairs = Result<RawPathParams, RawPathParamsRejection>;

async fn answer(
    desk: Arc<Desk>,
    offer: Arc<Offer>,
    path: PathPairs,
    request: axum::extract::Request,
) -> Result<Response, Refusal> {
    if offer.route.only_while_running && !(desk.is_running)(offer.module) {
        return Err(unknown_path().await);
    }
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::nobody);
    let asked = read(&offer, path, request).await.map_err(Refusal::without_code)?;
    let turn = match offer.route.returns {
        Returns::List(_) => Some(desk.lists.turn(&caller.name).await?),
        _ => None,
    };
    let (answer, turn) = run(offer, asked, turn).await?;
    match answer {
        Answer::Done => Ok(DONE.into_response()),
        Answer::Data(data) => Ok(json(format!("{{\"code\":0,\"data\":{}}}", data.as_str()))),
        Answer::List { rows, position } => {
            let meta = Json::new(&position).map_err(refused)?;
            let text = format!("{{\"code\":0,\"data\":{},\"meta\":{}}}", rows.as_str(), meta.as_str());
            Ok(match turn {
                Some(turn) => turn.answer(text),
                None => json(text),
            })
        }
        Answer::File { name, text } => {
            let kept = format!("attachment; filename=\"{name}\"");
            let headers =
                [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, kept)];
            Ok((headers, text).into_response())
        }
        Answer::Events(feed) => desk.streams.open(&caller, feed, |mut feed| async move {
            let event = feed.next().await?;
            Some((sent(&event), feed))
        }),
    }
}

async fn read(offer: &Offer, path: PathPairs, request: axum::extract::Request) -> Result<Request, Refusal> {
    let path = path.map_err(|error| Refusal::Status(StatusCode::BAD_REQUEST, error.body_text()))?;
    let path = path.iter().map(|(name, value)| Pair { name: name.to_owned(), value: value.to_owned() }).collect();
    let (mut parts, body) = request.into_parts();
    let Query(query) = Query::<Vec<(String, String)>>::from_request_parts(&mut parts, &()).await?;
    let query = query.into_iter().map(|(name, value)| Pair { name, value }).collect();
    let last_event_id = last_event_id(&parts);
    let body = match offer.route.body {
        Some(_) => {
            let Body(body) = Body::<Value>::from_request(axum::extract::Request::from_parts(parts, body), &()).await?;
            Some(body)
        }
        None => None,
    };
    Ok(Request { path, query, body, last_event_id })
}

fn last_event_id(parts: &Parts) -> Option<String> {
    parts.headers.get("last-event-id")?.to_str().ok().map(str::to_owned)
}

/// Awaits the module's answer where it may block; a turn lasts as long as that does.
async fn run(offer: Arc<Offer>, asked: Request, turn: Option<Turn>) -> Result<(Answer, Option<Turn>), Refusal> {
    // It ends with this future: who asked is gone, or has waited long enough.
    let (_waiting, gone) = oneshot::channel::<Infallible>();
    let (runtime, running) = (Handle::current(), Arc::clone(&offer));
    let task = tokio::task::spawn_blocking(move || {
        let answer = runtime.block_on(async {
            tokio::select! {
                answer = running.route.handler.handle(asked) => Some(answer),
                _ = gone => None,
            }
        });
        (answer, turn)
    });
    match task.await {
        Ok((Some(answer), turn)) => Ok((answer.map_err(refused)?, turn)),
        // Nobody is there to read it.
        Ok((None, _)) => Err(Refusal::internal()),
        Err(error) => {
            tracing::error!(module = offer.module, path = offer.route.path, %error, "admin: a module's answer failed");
            Err(Refusal::internal())
        }
    }
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn sent(event: &Event) -> sse::Event {
    let made = sse::Event::default().event(event.name).data(event.data.as_str());
    match &event.id {
        Some(id) => made.id(id),
        None => made,
    }
}

fn refused(refusal: Refused) -> Refusal {
    let status = match refusal {
        Refused::BadRequest(_) => StatusCode::BAD_REQUEST,
        Refused::NotFound(_) => StatusCode::NOT_FOUND,
        Refused::Conflict(_) => StatusCode::CONFLICT,
        Refused::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Coded { code, message } => return Refusal::fault(code, message),
        Refused::Internal => return Refusal::internal(),
    };
    Refusal::Status(status, refusal.to_string())
}

#[cfg(test)]
pub(crate) mod tests;
