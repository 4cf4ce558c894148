//! The dashboard: one frame, a piece of HTML for each page, and the scripts and the style that are built in.
//!
//! Pages hold no data but the node's name: their scripts ask the REST API for it. What modules show ([`mqtt_hooks::page`]) stands
//! among it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Form, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use mqtt_hooks::run::ModulePages;
use serde::Deserialize;

use crate::guard::{self, COOKIE, Caller};
use crate::reply::Refusal;
use crate::{Admission, Shared};

mod assets;
mod frame;

use frame::fill;

/// Pages for who is logged in.
///
/// # Panics
/// If a page of a module's is where another page is.
pub(crate) fn guarded(modules: &[ModulePages]) -> Router<Arc<Shared>> {
    let all = frame::all(modules);
    let listed: Vec<_> = all.iter().map(|page| page.links(&all)).collect();
    all.into_iter().zip(listed).fold(Router::new().route("/logout", post(log_out)), |router, (page, links)| {
        let (path, page) = (page.path, Arc::new((page, links)));
        let show = move |State(shared): Admission, Extension(caller): Extension<Caller>| async move {
            let (page, links) = &*page;
            let policy = if page.path == frame::CONSOLE { CONSOLE_POLICY } else { POLICY };
            let html = Html(page.render(links, &shared.broker.node().name, &caller));
            ([(header::CONTENT_SECURITY_POLICY, policy)], html)
        };
        router.route(path, get(show))
    })
}

/// Pages for everyone, and what all pages load.
pub(crate) fn open(modules: Vec<ModulePages>) -> Router<Arc<Shared>> {
    let modules = Arc::new(modules);
    let of_module = move |Path((module, name)): Path<(String, String)>, headers: HeaderMap| async move {
        assets::of_module(&modules, &module, &name, &headers).await
    };
    let router = Router::new().route("/login", get(login_page).post(log_in));
    router.route("/assets/{name}", get(assets::one)).route("/assets/{name}/{script}", get(of_module))
}

/// What a page's scripts may do.
macro_rules! policy {
    ($connect:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src ",
            $connect,
            "; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
    };
}

const POLICY: &str = policy!("'self'");

/// A listener for WebSocket is another origin, at an address that the operator may type.
const CONSOLE_POLICY: &str = policy!("'self' ws: wss:");

/// What a browser is told about every page.
pub(crate) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in [
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
        Ok(_) => {
            let token = shared.logins.begin(&given.username, Instant::now());
            ([(header::SET_COOKIE, cookie(&shared, &token))], Redirect::to("/")).into_response()
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

/// The cookie of a login. Where the port speaks TLS it never leaves a browser in clear.
fn cookie(shared: &Shared, token: &str) -> String {
    let secure = if shared.door.is_some() { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}")
}

async fn log_out(State(shared): Admission, headers: HeaderMap) -> Response {
    if let Some(token) = guard::cookie(&headers) {
        shared.logins.end(token);
        shared.streams.renew();
    }
    let cookie = format!("{}; Max-Age=0", cookie(&shared, ""));
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::body::to_bytes;
    use mqtt_hooks::page::{Chart, Page, Pages, Panel, Script, Series};

    use super::*;

    /// What a module might show.
    pub(crate) const fn of_echo() -> ModulePages {
        let pages = Pages {
            pages: &[Page {
                path: "/echo",
                title: "Echo & so on",
                html: "<h1>Echo</h1>{{as it is}}",
                script: "page.js",
            }],
            panels: &[Panel { name: "heard", title: "Heard", script: "heard.js" }],
            charts: &[Chart { title: "Echoes", series: &[Series { title: "Said", counter: "said" }] }],
            scripts: &[Script { name: "page.js", text: "1" }, Script { name: "heard.js", text: "2" }],
        };
        ModulePages { module: "echo", pages }
    }

    #[tokio::test]
    async fn a_script_of_a_module_is_served_below_its_name() {
        let of_module = |name: &'static str, headers: HeaderMap| async move {
            let modules = [of_echo()];
            let (module, name) = name.split_once('/').unwrap();
            let response = assets::of_module(&modules, module, name, &headers).await;
            let (head, body) = response.into_parts();
            (head, to_bytes(body, 1000).await.unwrap())
        };
        let (head, body) = of_module("echo/heard.js", HeaderMap::new()).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"2"[..]));
        assert_eq!(head.headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, head.headers[header::ETAG].clone())]);
        assert_eq!(of_module("echo/heard.js", known).await.0.status, StatusCode::NOT_MODIFIED);
        for other in ["echo/other.js", "other/heard.js", "echo/"] {
            assert_eq!(of_module(other, HeaderMap::new()).await.0.status, StatusCode::NOT_FOUND, "{other}");
        }
    }
}
