//! The dashboard: one frame, a piece of HTML for each page, and the scripts and the style that are built in.
//!
//! Pages hold no data but the node's name: their scripts ask the REST API for it. What modules show ([`mqtt_hooks::page`]) stands
//! among it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Form, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use mqtt_hooks::run::ModulePages;
use serde::Deserialize;

use crate::extract::Query;
use crate::guard::{self, COOKIE, Caller};
use crate::reply::{Refusal, unknown_path};
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

fn login(username: &str, to: &str, refusal: Option<&str>) -> Html<String> {
    let refusal = refusal.map(|why| format!("<p class=\"note bad\" role=\"alert\">{why}</p>\n")).unwrap_or_default();
    let (username, to) = (frame::escape(username), frame::escape(to));
    Html(fill(include_str!("pages/html/login.html"), &[("refusal", &refusal), ("username", &username), ("to", &to)]))
}

/// Where to go after that.
#[derive(Default, Deserialize)]
#[serde(default)]
struct To {
    to: String,
}

async fn login_page(Query(To { to }): Query<To>) -> Html<String> {
    login("admin", page_here(&to), None)
}

/// The address of the login page from which it goes on to where somebody wanted to be.
pub(crate) fn login_for(uri: &Uri) -> String {
    let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    if wanted == "/" {
        return "/login".to_owned();
    }
    let encoded = wanted.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("/login?to={}", encoded.collect::<String>())
}

/// A page of ours or none: anybody can write a link to the login page, and it must lead nowhere else.
fn page_here(to: &str) -> &str {
    let is_path = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\');
    if is_path && to.bytes().all(|byte| byte.is_ascii_graphic()) { to } else { "/" }
}

/// For who has gone to an address at which there is nothing.
pub(crate) async fn missing(request: Request) -> Response {
    let path = request.uri().path();
    if *request.method() != Method::GET || path.starts_with("/api/") || !guard::wants_html(request.headers()) {
        return unknown_path().await.into_response();
    }
    let page = fill(include_str!("pages/html/missing.html"), &[("path", &frame::escape(path))]);
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
    #[serde(default)]
    to: String,
}

async fn log_in(
    State(shared): Admission,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    let to = page_here(&given.to);
    match guard::enter(&shared, peer, &headers, &given.username, &given.password).await {
        Ok(_) => {
            let token = shared.logins.begin(&given.username, Instant::now());
            ([(header::SET_COOKIE, cookie(&shared, &token))], Redirect::to(to)).into_response()
        }
        Err(Refusal::Later(status, _, seconds)) => {
            let why = match status {
                StatusCode::TOO_MANY_REQUESTS => "Too many wrong passwords. Try again in a minute.",
                _ => "Too many logins at once. Try again.",
            };
            let when = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
            (status, when, login(&given.username, to, Some(why))).into_response()
        }
        Err(_) => {
            let why = "Wrong user name or password.";
            (StatusCode::FORBIDDEN, login(&given.username, to, Some(why))).into_response()
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
        let overview = &[Panel { name: "heard", title: "Heard", script: "heard.js" }];
        ModulePages { module: "echo", pages, overview }
    }

    #[test]
    fn who_logs_in_goes_on_to_where_they_wanted_and_nowhere_else() {
        for (wanted, login) in [("/", "/login"), ("/client?id=a%2Fb&x=y", "/login?to=/client%3Fid%3Da%252Fb%26x%3Dy")] {
            assert_eq!(login_for(&wanted.parse().unwrap()), login);
        }
        for (to, page) in [
            ("/client?id=a%2Fb", "/client?id=a%2Fb"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("/ä", "/"),
        ] {
            assert_eq!(page_here(to), page, "{to}");
        }
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
