//! The dashboard: one frame, a piece of HTML for each page, and the scripts and the style that are built in.
//!
//! Pages hold no data but the node's name: their scripts ask the REST API for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use crate::guard::{self, COOKIE, Caller};
use crate::reply::Refusal;
use crate::{Admission, Shared};

mod assets;
mod frame;

use frame::{PAGES, fill};

/// Pages for who is logged in.
pub(crate) fn guarded() -> Router<Arc<Shared>> {
    PAGES.iter().fold(Router::new().route("/logout", post(log_out)), |router, page| {
        let show = move |State(shared): Admission, Extension(caller): Extension<Caller>| async move {
            Html(page.render(&shared.broker.node().name, &caller))
        };
        router.route(page.path, get(show))
    })
}

/// Pages for everyone.
pub(crate) fn open() -> Router<Arc<Shared>> {
    Router::new().route("/login", get(login_page).post(log_in)).route("/assets/{name}", get(assets::one))
}

/// What a browser is told about every page.
pub(crate) async fn harden(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not "no-referrer", with which browsers send the login form's `Origin` as null.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn login(username: &str, refusal: Option<&str>) -> Html<String> {
    let refusal = refusal.map(|why| format!("<p class=\"note bad\" role=\"alert\">{why}</p>\n")).unwrap_or_default();
    Html(fill(include_str!("pages/html/login.html"), &[("refusal", &refusal), ("username", &frame::escape(username))]))
}

async fn login_page() -> Html<String> {
    login("admin", None)
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

async fn log_in(
    State(shared): Admission,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    match guard::enter(&shared, peer, &headers, &given.username, &given.password).await {
        Ok(role) => {
            let token = shared.logins.begin(&given.username, role, Instant::now());
            let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(Refusal::Later(status, _, seconds)) => {
            let why = match status {
                StatusCode::TOO_MANY_REQUESTS => "Too many wrong passwords. Try again in a minute.",
                _ => "Too many logins at once. Try again.",
            };
            let when = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
            (status, when, login(&given.username, Some(why))).into_response()
        }
        Err(_) => {
            let why = "Wrong user name or password.";
            (StatusCode::FORBIDDEN, login(&given.username, Some(why))).into_response()
        }
    }
}

async fn log_out(State(shared): Admission, headers: HeaderMap) -> Response {
    if let Some(token) = guard::cookie(&headers) {
        shared.logins.end(token);
        shared.streams.renew();
    }
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}
