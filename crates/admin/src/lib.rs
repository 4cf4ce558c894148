//! The admin port: the REST API as EMQ X 4.3 answers it, what is new beside it, and the dashboard.
//!
//! It shows and does what an operator may; it opens no socket of MQTT and knows the broker only as [`Operate`].
//! [`Admin::new`] makes it, [`Admin::serve`] answers on a listener that the caller has bound.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use mqtt_hooks::run::Modules;
use mqtt_operate::Operate;
use tokio::net::TcpListener;

mod accounts;
mod api;
mod attempts;
mod extract;
mod guard;
mod local;
mod logins;
mod offers;
mod openapi;
mod pages;
mod probes;
mod prometheus;
mod reply;
mod samples;
mod secret;
mod serve;
mod streams;
mod time;

pub use accounts::{Accounts, AddKeyError, Entry, KeyInfo, Role};
pub use local::Local;
pub use secret::random_secret;

/// Bytes of a request's body, at the most.
const MAX_BODY: usize = 2 << 20;

/// The admin port, not yet served.
pub struct Admin {
    shared: Arc<Shared>,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) broker: Arc<dyn Operate>,
    pub(crate) modules: Arc<dyn Modules>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) logins: logins::Logins,
    pub(crate) attempts: attempts::Attempts,
    pub(crate) samples: samples::Samples,
    pub(crate) streams: Arc<streams::Streams>,
}

/// How handlers get at it.
pub(crate) type Admission = axum::extract::State<Arc<Shared>>;

impl Admin {
    /// `accounts` say who may ask.
    pub fn new(broker: Arc<dyn Operate>, modules: Arc<dyn Modules>, accounts: Arc<Accounts>) -> Self {
        let shared = Shared {
            broker,
            modules,
            accounts,
            logins: logins::Logins::default(),
            attempts: attempts::Attempts::default(),
            samples: samples::Samples::default(),
            streams: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Answers requests until `stop` is ready. When this returns nobody is answered any more, streams of events included.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()> + Send) {
        let stop = async {
            stop.await;
            self.shared.streams.end_all();
        };
        tokio::select! {
            () = serve::serve(listener, self.router(), serve::Limits::default(), stop) => {}
            () = samples::take(&self.shared) => unreachable!("it never ends"),
        }
    }

    /// For the answers of modules.
    fn place(&self) -> Arc<offers::Place> {
        let modules = Arc::clone(&self.shared.modules);
        let is_running = Box::new(move |module: &str| modules.status(module).is_ok_and(|status| status.running));
        Arc::new(offers::Place { is_running, streams: Arc::clone(&self.shared.streams) })
    }

    fn router(&self) -> Router {
        let shared = &self.shared;
        let (api, described) = api::router().split_for_parts();
        let (open_api, described_open) = api::open_router().split_for_parts();
        let offers = shared.modules.routes();
        let description = openapi::Description::new(described, described_open, offers::describe(&offers));
        let api = offers::serve(api, offers, &self.place())
            .route("/openapi.json", axum::routing::get(move || async move { description }));
        let guarded = Router::new().nest("/api/v4", api).merge(pages::guarded());
        let guarded = guarded.layer(axum::middleware::from_fn_with_state(Arc::clone(shared), guard::check));
        let open = pages::open().merge(probes::open()).merge(prometheus::open()).nest("/api/v4", open_api);
        let all = guarded.merge(open).fallback(reply::unknown_path).method_not_allowed_fallback(reply::wrong_method);
        let all = all.layer(DefaultBodyLimit::max(MAX_BODY));
        let all = all.layer(axum::middleware::map_response(pages::harden)).with_state(Arc::clone(shared));
        // Around the routes, so that they are asked for the path without its slash.
        Router::new().fallback_service(all).layer(axum::middleware::map_request(without_slash))
    }
}

/// EMQ X takes `/clients/` for `/clients`.
async fn without_slash(mut request: axum::extract::Request) -> axum::extract::Request {
    let uri = request.uri();
    let path = uri.path().trim_end_matches('/');
    if path.starts_with("/api/") && path.len() < uri.path().len() {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(shorter) = format!("{path}{query}").parse() {
            *request.uri_mut() = shorter;
        }
    }
    request
}
