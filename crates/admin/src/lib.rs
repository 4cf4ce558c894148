//! The admin port: the REST API as EMQ X 4.3 answers it, what is new beside it, and the dashboard.
//!
//! It shows and does what an operator may; it opens no socket of MQTT and knows the broker only as [`Operate`].
//! [`Admin::new`] makes it, [`Admin::serve`] answers on a listener that the caller has bound.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use mqtt_hooks::run::Modules;
use mqtt_operate::{Answering, Operate};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

mod accounts;
mod all_nodes;
mod api;
mod asking;
mod attempts;
mod bound;
mod door;
mod extract;
mod guard;
mod history;
mod hosts;
mod lists;
mod local;
mod logins;
mod offers;
mod openapi;
mod other_nodes;
mod pages;
mod probes;
mod prometheus;
mod reply;
mod role;
mod samples;
mod secret;
mod serve;
mod shares;
mod sign_on;
mod source;
mod streams;
mod time;

pub use accounts::{Accounts, AddKeyError, KeyInfo, OperatorChange, OperatorError, OperatorInfo};
pub use bound::Bound;
pub use door::{Door, Socket, Welcome};
pub use hosts::Hosts;
pub use local::Local;
pub use role::Role;
pub use secret::random_secret;
pub use sign_on::SignOn;

/// Bytes of a request's body, at the most.
const MAX_BODY: usize = 2 << 20;

/// The admin port, not yet served.
pub struct Admin {
    shared: Arc<Shared>,
    /// Made when the port is served first: modules are asked for their routes and pages once.
    routers: OnceLock<serve::Routers>,
    /// For other nodes, which ask it as long as it is here.
    for_nodes: OnceLock<Arc<dyn Answering>>,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) broker: Arc<dyn Operate>,
    pub(crate) modules: Arc<dyn Modules>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) logins: logins::Logins,
    pub(crate) attempts: Arc<attempts::Attempts>,
    pub(crate) hosts: Hosts,
    pub(crate) lists: Arc<lists::Lists>,
    pub(crate) samples: samples::Samples,
    /// Held while exports change.
    pub(crate) exports: parking_lot::Mutex<()>,
    /// What is asked of other nodes, by whom.
    pub(crate) asked: Arc<shares::Shares<String>>,
    /// What is made of the answers of all nodes, by whom.
    pub(crate) gathered: Arc<shares::Shares<String>>,
    /// Whose turn it is to have `/metrics`.
    pub(crate) scrapes: Arc<Semaphore>,
    pub(crate) streams: Arc<streams::Streams>,
    /// The port speaks TLS.
    pub(crate) door: Option<Arc<dyn Door>>,
    pub(crate) sign_on: Option<SignOn>,
}

/// How handlers get at it.
pub(crate) type Admission = axum::extract::State<Arc<Shared>>;

impl Admin {
    /// `accounts` say who may ask, `hosts` by which names, `sign_on` which proxies say who has logged in; without a `door` it
    /// speaks plain HTTP.
    pub fn new(
        broker: Arc<dyn Operate>,
        modules: Arc<dyn Modules>,
        accounts: Arc<Accounts>,
        hosts: Hosts,
        door: Option<Arc<dyn Door>>,
        sign_on: Option<SignOn>,
    ) -> Self {
        let samples = samples::Samples::restore(&*broker);
        let shared = Shared {
            broker,
            modules,
            accounts,
            logins: logins::Logins::default(),
            attempts: Arc::default(),
            hosts,
            lists: Arc::default(),
            samples,
            exports: parking_lot::Mutex::default(),
            asked: shares::Shares::new(other_nodes::MAX_ASKED),
            gathered: shares::Shares::new(all_nodes::MAX_GATHERED),
            scrapes: Arc::new(Semaphore::new(1)),
            streams: Arc::default(),
            door,
            sign_on,
        };
        Self { shared: Arc::new(shared), routers: OnceLock::new(), for_nodes: OnceLock::new() }
    }

    /// Answers requests until `stop` is ready. When this returns nobody is answered any more, streams of events included.
    /// Should it panic it may be called again.
    pub async fn serve(&self, listener: &TcpListener, stop: impl Future<Output = ()> + Send) {
        let stop = async {
            stop.await;
            self.shared.streams.end_all();
        };
        let routers = self.routers.get_or_init(|| self.make_routers()).clone();
        tokio::select! {
            () = serve::serve(listener, self.shared.door.clone(), routers, serve::Allowance::default(), stop) => {}
            () = samples::take(&self.shared) => unreachable!("it never ends"),
        }
    }

    /// For the answers of modules.
    fn desk(&self) -> Arc<offers::Desk> {
        let modules = Arc::clone(&self.shared.modules);
        let is_running = Box::new(move |module: &str| modules.status(module).is_ok_and(|status| status.running));
        let (streams, lists) = (Arc::clone(&self.shared.streams), Arc::clone(&self.shared.lists));
        Arc::new(offers::Desk { is_running, streams, lists })
    }

    fn make_routers(&self) -> serve::Routers {
        let finished = |router: Router<Arc<Shared>>| {
            let router = router.layer(axum::middleware::map_response(pages::harden));
            router.with_state(Arc::clone(&self.shared))
        };
        let all = self.asked().merge(probes()).fallback(pages::missing);
        let all = finished(all.method_not_allowed_fallback(reply::wrong_method).layer(DefaultBodyLimit::max(MAX_BODY)));
        serve::Routers {
            // Around the routes, so that they are asked for the path without its slash.
            all: Router::new().fallback_service(all).layer(axum::middleware::map_request(without_slash)),
            probes: finished(probes().fallback(reply::too_many_connected)),
            plain: finished(Router::new().fallback(plain)),
        }
    }

    /// What is answered here is answered to other nodes, too.
    fn answer_nodes(&self, api: Router<Arc<Shared>>) -> Arc<dyn Answering> {
        let router = Router::new().nest("/api/v4", api).with_state(Arc::clone(&self.shared));
        let desk = self.for_nodes.get_or_init(|| Arc::new(other_nodes::Desk { router }));
        self.shared.broker.answer_nodes(Arc::downgrade(desk));
        Arc::clone(desk)
    }

    /// All that looks at who asks.
    fn asked(&self) -> Router<Arc<Shared>> {
        let shared = &self.shared;
        let (api, described) = api::router().split_for_parts();
        let (open_api, described_open) = api::open_router().split_for_parts();
        let (offers, modules) = (shared.modules.routes(), shared.modules.pages());
        let description = openapi::Description::new(described, described_open, offers::describe(&offers));
        let listed = description.clone();
        let api = offers::serve(api, offers, &self.desk())
            .route("/", axum::routing::get(move || async move { listed.endpoints() }))
            .route("/openapi.json", axum::routing::get(move || async move { description }));
        let own = self.answer_nodes(api.clone());
        let handed_on = axum::middleware::from_fn_with_state(Arc::clone(shared), other_nodes::hand_on);
        let nodes = all_nodes::Nodes { shared: Arc::clone(shared), own };
        let gathered = axum::middleware::from_fn_with_state(nodes, all_nodes::gather);
        let api = api.route_layer(handed_on).route_layer(gathered);
        let guarded = Router::new().nest("/api/v4", api).merge(pages::guarded(&modules));
        let guarded = guarded.layer(axum::middleware::from_fn_with_state(Arc::clone(shared), guard::check));
        let open = pages::open(modules).nest("/api/v4", open_api);
        let open = open.layer(axum::middleware::from_fn_with_state(Arc::clone(shared), guard::check_open));
        guarded.merge(open)
    }
}

async fn plain(axum::extract::State(shared): Admission, request: axum::extract::Request) -> axum::response::Response {
    door::answer_plain(&shared.hosts, &request)
}

/// For programs that look after the broker, which ask by whatever name they have for it, and are told nothing that is not
/// for all.
fn probes() -> Router<Arc<Shared>> {
    probes::open().merge(prometheus::open())
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
