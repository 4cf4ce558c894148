//! The module `auth_http`: asks a service by HTTP whether a client may come in, as EMQ X's `emqx_auth_http` does.
//!
//! | the service says | answer |
//! | --- | --- |
//! | 200 or 204; 200 with `{"result": "allow"}` | in |
//! | 200 with `ignore`, or `{"result": "ignore"}` | asked of the next module; if none knows it, as nobody's |
//! | 4xx, or 200 with `{"result": "deny"}` | 0x86, bad user name or password (before MQTT 5: 4) |
//! | nothing in time, 5xx, what can't be read | 0x88, server unavailable (before MQTT 5: 3) |
//!
//! The object may also have `is_superuser`, `acl` (what the client may do, as in `[[auth.rules]]` or as EMQX 5 has it) and `expire_at`. There is no
//! request about each publish, as EMQ X 4.3 makes by `acl_req`: what a client may do is known when it is in, so that no message
//! waits for a service.
//!
//! What was said is remembered for as long as `Cache-Control` says, and so bounded. A service that fails over and over is left
//! alone for a while, and whoever comes meanwhile is refused at once, unless what it said before may be used for longer.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use mqtt_codec::ReasonCode;
use mqtt_fetch::{Fetcher, Url, header};
use mqtt_hooks::{
    Action, Authenticate, ConnectionInfo, Ctx, Grant, Group, Host, Info, Listing, Login, Module, Number, Reach, Rule,
    Rules, Settings as _, StartError, read_settings,
};
use parking_lot::RwLock;
use serde_json::Value;

mod answer;
mod breaker;
mod desk;
mod line;
mod params;

pub(crate) use answer::Age;
use answer::{Decision, Terms};
use desk::{Counts, Desk, Limits, Outcome};
use params::{Form, Params};

use crate::of_key;

/// Bytes of an answer.
const MAX_BODY: usize = 64 << 10;

/// The setting that names who signs services' certificates.
pub(crate) const CA: &str = "auth.http_ca";

/// Milliseconds between two looks at connections that nobody uses.
const TIDY_EVERY: u64 = 10_000;

mqtt_hooks::settings! {
    /// Settings of [`AuthHttp`].
    pub struct Settings {
        /// Milliseconds to wait for an answer
        ///
        /// For as long the client waits too; no message does. Without an answer it is refused, to come again.
        pub timeout_ms: u32 = 2000 in 100..=30000,
        /// Requests at a time
        ///
        /// Further ones wait for their turn, within the time for an answer.
        pub requests: u16 = 64 in 1..=1000,
        /// Seconds that who was let in is remembered
        ///
        /// Where the answer has no Cache-Control. 0 asks each time.
        pub allowed_seconds: u32 = 0 in 0..=3600,
        /// Seconds that who was refused is remembered
        ///
        /// Where the answer has no Cache-Control. It is the same question that is not asked again: another password is another one.
        pub refused_seconds: u32 = 5 in 0..=3600,
        /// Seconds that what was said holds for longer while the service is away
        ///
        /// Of those who were let in. 0 lets in nobody while the service is away; more lets in for so long also who may have
        /// been locked out meanwhile. What is not to be stored is not kept for that either.
        pub stale_if_error_seconds: u32 = 0 in 0..=86400,
    }
}

/// What the configuration says of the service.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// `https://example.com/auth`; `None`: nobody is asked.
    pub url: Option<String>,
    /// Asked with the same about whom it has let in: 200 for who may do everything.
    pub super_url: Option<String>,
    /// `post` or `get`.
    pub method: Option<String>,
    /// Sent with each request, one a line. With `Content-Type: application/json` the body is an object.
    pub headers: Option<crate::Secret>,
    /// `clientid=%c,username=%u,password=%P`
    pub params: Option<String>,
    /// Who signs the service's certificate, PEM; `None`: who the system trusts.
    pub ca: Option<PathBuf>,
}

/// What is asked for unless the configuration says otherwise.
const PARAMS: &str = "clientid=%c,username=%u,password=%P,ipaddress=%a";

/// The module `auth_http`.
pub(crate) struct AuthHttp {
    config: HttpConfig,
    counts: Arc<Counts>,
    /// Of the last start.
    desk: RwLock<Option<Arc<Desk>>>,
    asks: Arc<AtomicBool>,
}

impl AuthHttp {
    /// `asks` says while it runs that there is a service to ask.
    pub(crate) fn new(config: HttpConfig, asks: Arc<AtomicBool>) -> Self {
        Self { config, counts: Arc::default(), desk: RwLock::default(), asks }
    }
}

impl HttpConfig {
    /// Whether it can be used.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.fetchers().map(drop)
    }

    /// Who asks, what, and who asks whether it may do everything.
    fn fetchers(&self) -> Result<Option<(Fetcher, Option<Fetcher>, Params)>, String> {
        let Some(url) = &self.url else { return Ok(None) };
        let read = |key: &str, text: &str| Url::read(text).map_err(|why| format!("auth.{key}: {text:?}: {why}"));
        let url = read("http_url", url)?;
        let super_url = self.super_url.as_ref().map(|text| read("http_super_url", text)).transpose()?;
        let said = self.headers.as_ref().map_or("", |text| &text.0);
        let mut headers = mqtt_fetch::headers(said).map_err(|why| format!("auth.http_headers: {why}"))?;
        let has_json = |value: &header::HeaderValue| value.as_bytes().starts_with(b"application/json");
        let form = match self.method.as_deref() {
            Some("get") => Form::Query,
            None | Some("post") if headers.get(header::CONTENT_TYPE).is_some_and(has_json) => Form::Json,
            None | Some("post") => Form::Fields,
            Some(other) => return Err(format!("auth.http_method: {other:?}: wants \"post\" or \"get\"")),
        };
        if form == Form::Fields {
            let value = header::HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, value);
        }
        let params = Params::read(self.params.as_deref().unwrap_or(PARAMS), form);
        let params = params.map_err(|why| format!("auth.http_params: {why}"))?;
        let needs_tls = [Some(&url), super_url.as_ref()].into_iter().flatten().any(Url::is_tls);
        let tls = if needs_tls { Some(mqtt_fetch::tls(self.ca.as_deref(), CA).map_err(of_key(CA))?) } else { None };
        let fetcher = |url| Fetcher::new(url, &headers, tls.clone(), MAX_BODY);
        Ok(Some((fetcher(url), super_url.map(fetcher), params)))
    }
}

#[async_trait::async_trait]
impl Module for AuthHttp {
    fn info(&self) -> Info {
        Info {
            name: "auth_http",
            title: "HTTP authentication",
            description: "Asks a service whether a client may come in, if auth.http_url is set.",
            default_on: true,
            settings: Settings::FORM,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config).map(drop)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let settings: Settings = ctx.settings()?;
        let Some((fetcher, super_fetcher, params)) = self.config.fetchers().map_err(StartError::Config)? else {
            return Ok(());
        };
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let limits = Limits {
            timeout: Duration::from_millis(settings.timeout_ms.into()),
            requests: settings.requests.into(),
            allowed: seconds(settings.allowed_seconds),
            refused: seconds(settings.refused_seconds),
            stale: seconds(settings.stale_if_error_seconds),
        };
        let (counts, now) = (self.counts.clone(), ctx.host().instant());
        let desk = Arc::new(Desk::new(fetcher, super_fetcher, params, limits, counts, now));
        ctx.authenticate(Arc::new(Door { desk: desk.clone(), host: ctx.host() }));
        let (host, looked_after) = (ctx.host(), Arc::downgrade(&desk));
        ctx.spawn(async move {
            loop {
                host.sleep_until(host.clock_ms() + TIDY_EVERY).await;
                let Some(desk) = looked_after.upgrade() else { return };
                desk.tidy();
            }
        });
        *self.desk.write() = Some(desk);
        self.asks.store(true, Relaxed);
        Ok(())
    }

    async fn stop(&self) {
        self.asks.store(false, Relaxed);
        *self.desk.write() = None;
    }

    fn listing(&self) -> Listing {
        Listing {
            group: Group::Authentication,
            title_zh: "HTTP 认证",
            description_zh: "设置了 auth.http_url 时，询问该服务是否允许客户端接入。",
            plugin: Some("emqx_auth_http"),
        }
    }

    fn stop_warning(&self) -> &'static str {
        "From then on the service is not asked: who comes in is for the other modules to say, and auth.anonymous."
    }

    fn numbers(&self) -> Vec<Number> {
        if self.config.url.is_none() {
            return Vec::new();
        }
        let help = "Logins by what came of them.";
        let number = |(outcome, count): (&'static str, &AtomicU64)| {
            Number::counter("logins", help, count.load(Relaxed)).labelled("outcome", outcome)
        };
        let mut numbers: Vec<_> = self.counts.all().into_iter().map(number).collect();
        let waiting = self.desk.read().as_ref().map_or(0, |desk| desk.waiting());
        let failures =
            Number::counter("service.failures", "Requests that decided nothing.", self.counts.failures.load(Relaxed));
        numbers.push(failures.alarming("the service for logins does not answer, or not so that it can be understood"));
        numbers.push(Number::gauge("waiting", "Logins that wait for the service.", waiting as f64));
        numbers
    }
}

struct Door {
    desk: Arc<Desk>,
    host: Arc<dyn Host>,
}

impl Door {
    fn grant(&self, client: &ConnectionInfo, terms: &Terms) -> Option<Grant> {
        let rules = if terms.is_superuser {
            Rules::new(vec![Rule { allow: true, action: Action::All, topics: vec![Reach::Everything] }])
        } else {
            terms.acl.as_ref().map_or(Ok(Rules::default()), |acl| acl.rules(client)).ok()?
        };
        let expires_at = match terms.expire_at {
            None => None,
            Some(at) => {
                // In time that passes evenly, as the broker's clock has it.
                let left = at.saturating_mul(1000).checked_sub(self.host.now_ms()).filter(|left| *left > 0)?;
                Some(self.host.clock_ms().saturating_add(left))
            }
        };
        Some(Grant { rules, expires_at, ..Grant::default() })
    }
}

#[async_trait::async_trait]
impl Authenticate for Door {
    async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Login {
        match self.desk.ask(client, password).await {
            // What it allows and this client can't have is no reason to let it in without.
            Outcome::Decided(Decision::Allow(terms)) => match self.grant(client, &terms) {
                Some(grant) => Login::Allow(grant),
                None => Login::Deny(ReasonCode::NotAuthorized),
            },
            Outcome::Decided(Decision::Deny) => Login::Deny(ReasonCode::BadUserNameOrPassword),
            Outcome::Decided(Decision::Ignore) => Login::Ignore,
            Outcome::Early => Login::Deny(ReasonCode::ConnectionRateExceeded),
            Outcome::Busy => Login::Deny(ReasonCode::QuotaExceeded),
            Outcome::Away => Login::Deny(ReasonCode::ServerUnavailable),
        }
    }
}

/// Whose an attempt is where no user is named.
fn who(client: &ConnectionInfo) -> (&str, IpAddr) {
    (client.username.as_deref().unwrap_or(&client.client_id), client.peer.ip())
}

#[cfg(test)]
pub(crate) mod tests;
