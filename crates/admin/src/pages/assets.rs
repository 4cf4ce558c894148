//! Scripts, style and icon, built in; those of modules too.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mqtt_hooks::run::ModulePages;

use crate::reply::unknown_path;

/// A file's name, its type, its text.
struct Asset(&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! scripts {
    ($($name:literal)*) => { [$(Asset($name, SCRIPT, include_str!(concat!("assets/", $name))),)*] };
}

const SCRIPTS: &[Asset] = &scripts!(
    "alarms.js" "api.js" "bans.js" "chart.js" "client.js" "clients.js" "console.js" "dom.js" "doors.js" "feed.js" "form.js" "frame.js" "listeners.js" "live.js" "modules.js" "mqtt.js" "nodes.js"
    "operators.js" "overview.js" "packets.js" "pager.js" "payload.js" "rest.js" "retained.js" "schema.js" "settings.js" "subscriptions.js" "text.js"
    "trace.js"
);

const OTHERS: &[Asset] = &[
    Asset("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    Asset("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// One of them.
pub(super) async fn one(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match SCRIPTS.iter().chain(OTHERS).find(|asset| asset.0 == name) {
        Some(Asset(_, kind, text)) => answer(kind, text, &headers),
        None => unknown_path().await.into_response(),
    }
}

/// A script of a module.
pub(super) async fn of_module(modules: &[ModulePages], module: &str, name: &str, headers: &HeaderMap) -> Response {
    let pages = modules.iter().find(|pages| pages.module == module).map(|pages| pages.pages);
    match pages.into_iter().flat_map(|pages| pages.scripts).find(|script| script.name == name) {
        Some(script) => answer(SCRIPT, script.text, headers),
        None => unknown_path().await.into_response(),
    }
}

/// A browser asks each time whether the one it has is still right, which is so for a version.
fn answer(kind: &'static str, text: &'static str, headers: &HeaderMap) -> Response {
    let tag = format!("\"{:016x}\"", digest(text));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let head =
        [(header::CONTENT_TYPE, kind.to_owned()), (header::CACHE_CONTROL, "no-cache".to_owned()), (header::ETAG, tag)];
    if known { (StatusCode::NOT_MODIFIED, head).into_response() } else { (head, text).into_response() }
}

/// FNV-1a: tells versions of a file apart.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
