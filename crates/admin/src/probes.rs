//! For those who look whether the broker is there: no login, nothing told that is not for all.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::{Admission, Shared};

pub(crate) fn open() -> Router<Arc<Shared>> {
    Router::new().route("/status", get(status)).route("/ready", get(ready))
}

/// EMQ X's words, and the same of ours: who watches looks for the one or the other. 503: it ends.
async fn status(State(shared): Admission) -> (StatusCode, String) {
    let node = shared.broker.node().name;
    if shared.broker.health().stopping {
        let text = format!("Node {node} is stopping\nemqx is not_running\nrollcall is not_running");
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    (StatusCode::OK, format!("Node {node} is started\nemqx is running\nrollcall is running"))
}

/// Whether clients are to be sent here. The admin port is opened after the others, so whoever is answered finds those open.
async fn ready(State(shared): Admission) -> (StatusCode, &'static str) {
    let health = shared.broker.health();
    if health.stopping {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the broker is stopping")
    } else if health.draining {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: clients are sent elsewhere")
    } else if health.store_failing {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the store can't be written to")
    } else {
        (StatusCode::OK, "ready")
    }
}
