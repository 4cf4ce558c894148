//! The dashboard.

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

/// Pages for who is logged in.
pub(crate) fn guarded() -> Router<Arc<Shared>> {
    Router::new().route("/", get(overview)).route("/logout", post(log_out))
}

/// Pages for everyone.
pub(crate) fn open() -> Router<Arc<Shared>> {
    Router::new().route("/login", get(login_page).post(log_in))
}

/// What a browser is told about every page.
pub(crate) async fn harden(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn overview(State(shared): Admission, Extension(caller): Extension<Caller>) -> Html<String> {
    let node = shared.broker.node();
    let token = caller.login.map(|login| login.csrf).unwrap_or_default();
    Html(format!("<!doctype html><meta name=csrf content=\"{token}\"><title>Rollcall</title><h1>{}</h1>", node.name))
}

async fn login_page() -> Html<&'static str> {
    Html(include_str!("pages/login.html"))
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

async fn log_in(
    State(shared): Admission,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Form(given): Form<Credentials>,
) -> Response {
    match guard::enter(&shared, peer, &given.username, &given.password).await {
        Ok(role) => {
            let token = shared.logins.begin(&given.username, role, Instant::now());
            let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(refusal) => {
            let page = Html(
                include_str!("pages/login.html").replace("<!--refusal-->", "<p role=alert>That is not right.</p>"),
            );
            let status = match refusal {
                Refusal::Status(StatusCode::TOO_MANY_REQUESTS, _) => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::FORBIDDEN,
            };
            (status, page).into_response()
        }
    }
}

async fn log_out(State(shared): Admission, headers: HeaderMap) -> Response {
    if let Some(token) = guard::cookie(&headers) {
        shared.logins.end(token);
    }
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}
