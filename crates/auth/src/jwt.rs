//! The module `jwt`: clients that bring a signed token in place of a password, or by AUTH with the method `JWT`.
//!
//! A token is three parts in base64url with dots between them (RFC 7519), signed by HS256, HS384, HS512 with the secret or an
//! `oct` key, or by RS256, RS384, RS512, ES256, ES384 or EdDSA with one of the public keys. It must have `exp`, at which the
//! connection ends unless a newer token is brought before by AUTH, and say who it is for in `username` or else `sub`: a client
//! that gives another user name is refused, and so is one with another id than `clientid`, where that is said. What it may do
//! stands in `acl`: lists of filters `pub`, `sub` and `all`, beyond which nothing is allowed, or rules as in `[[auth.rules]]`.
//!
//! Keys come from a file or from a service, which is asked again every so often and when a token names a key that is not known.
//!
//! What does not look like a token is asked of the next module.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::ReasonCode;
use mqtt_fetch::Url;
use mqtt_hooks::{
    Authenticate, ConnectionInfo, Ctx, Exchange, Grant, Group, Host, Info, Listing, Login, Module, Number, StartError,
};
use parking_lot::RwLock;

use crate::complaints::Complaints;
use crate::watched::{PERIOD, Watched};

mod claims;
mod keys;
mod remote;
mod token;

use keys::Keys;
use remote::Remote;
use token::{Token, Wrong};

/// The method of extended authentication.
const METHOD: &str = "JWT";

/// Larger files are taken for a mistake.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// The module `jwt`.
pub(crate) struct Jwt {
    secret: Option<Arc<str>>,
    source: Option<Source>,
    keys: Arc<RwLock<Arc<Keys>>>,
    /// Of the last start.
    remote: RwLock<Option<Arc<Remote>>>,
}

/// Where public keys come from.
enum Source {
    File(Arc<Watched>),
    Url { url: String, ca: Option<PathBuf> },
}

/// Whether there may be keys where the configuration says.
pub(crate) fn check_source(keys: &Path, ca: Option<&Path>) -> Result<(), String> {
    match Source::of(keys.to_owned(), ca.map(Path::to_owned)) {
        Source::File(file) => file.read(check),
        Source::Url { url, ca } => remote::check(&url, ca.as_deref()),
    }
}

impl Source {
    fn of(keys: PathBuf, ca: Option<PathBuf>) -> Self {
        match keys.to_str().filter(|text| Url::is_meant(text)) {
            Some(url) => Self::Url { url: url.to_owned(), ca },
            None => Self::File(Arc::new(Watched::new(keys, MAX_BYTES))),
        }
    }
}

/// Whether a text has public keys that can be used.
fn check(text: &str) -> Result<(), crate::WrongLine> {
    Keys::read(text).map(drop)
}

impl Jwt {
    /// `ca` is a file of who signs the certificate of where keys are fetched.
    pub(crate) fn new(secret: Option<String>, keys: Option<PathBuf>, ca: Option<PathBuf>) -> Self {
        let source = keys.map(|keys| Source::of(keys, ca));
        Self { secret: secret.map(Into::into), source, keys: Arc::default(), remote: RwLock::default() }
    }

    fn read_file(&self, file: &Arc<Watched>, ctx: &Ctx) -> Result<(), StartError> {
        let take = |keys: &RwLock<Arc<Keys>>, secret: Option<&str>, text: &str| {
            let read = Keys::read(text)?.with_secret(secret);
            tracing::info!(keys = read.len(), "keys for tokens read");
            *keys.write() = Arc::new(read);
            Ok(())
        };
        file.forget();
        file.read(|text| take(&self.keys, self.secret.as_deref(), text)).map_err(StartError::Config)?;
        let (file, keys, secret, host) = (file.clone(), self.keys.clone(), self.secret.clone(), ctx.host());
        ctx.spawn(async move {
            loop {
                host.sleep_until(host.clock_ms() + PERIOD).await;
                if let Err(error) = file.read(|text| take(&keys, secret.as_deref(), text)) {
                    tracing::error!(error, "the keys for tokens can't be used; what was read before holds");
                }
            }
        });
        Ok(())
    }

    /// A service that is away is no reason not to start: it is asked again soon.
    async fn fetch(&self, url: &str, ca: Option<&Path>, ctx: &Ctx) -> Result<Arc<Remote>, StartError> {
        if self.keys.read().len() == 0 {
            self.take_secret();
        }
        let remote = Remote::new(url, ca, self.secret.clone(), self.keys.clone()).map_err(StartError::Config)?;
        let remote = Arc::new(remote);
        let next = remote.fetch().await;
        ctx.spawn(remote.clone().watch(next));
        Ok(remote)
    }

    fn take_secret(&self) {
        *self.keys.write() = Arc::new(Keys::default().with_secret(self.secret.as_deref()));
    }
}

#[async_trait::async_trait]
impl Module for Jwt {
    fn info(&self) -> Info {
        Info {
            name: "jwt",
            title: "JSON Web Tokens",
            description: "Lets in clients that bring a signed token as their password, if auth.jwt_secret or auth.jwt_keys is set.",
            default_on: true,
            settings: &[],
        }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        if self.secret.is_none() && self.source.is_none() {
            return Ok(());
        }
        let mut remote = None;
        match &self.source {
            None => self.take_secret(),
            Some(Source::File(file)) => self.read_file(file, ctx)?,
            Some(Source::Url { url, ca }) => remote = Some(self.fetch(url, ca.as_deref(), ctx).await?),
        }
        self.remote.write().clone_from(&remote);
        let complaints = Complaints::new(ctx.host().instant());
        ctx.authenticate(Arc::new(Door { keys: self.keys.clone(), remote, host: ctx.host(), complaints }));
        Ok(())
    }

    fn listing(&self) -> Listing {
        Listing {
            group: Group::Authentication,
            title_zh: "JWT 认证",
            description_zh: "设置了 auth.jwt_secret 或 auth.jwt_keys 时，允许以签名令牌作为密码的客户端接入。",
            plugin: Some("emqx_auth_jwt"),
        }
    }

    fn stop_warning(&self) -> &'static str {
        "From then on no token is looked at: who brings one comes in only if others let them in, or auth.anonymous."
    }

    fn numbers(&self) -> Vec<Number> {
        match &self.source {
            None => Vec::new(),
            Some(Source::File(file)) => vec![
                Number::counter("keys_file.bad", "Looks at a file of keys that can't be used.", file.bad_looks())
                    .alarming("the keys for tokens can't be used; what was read before holds"),
            ],
            Some(Source::Url { .. }) => {
                let failures = self.remote.read().as_ref().map_or(0, |remote| remote.failures());
                vec![
                    Number::counter("keys_url.failures", "Fetches of keys that brought none.", failures)
                        .alarming("the keys for tokens can't be fetched; those fetched before hold"),
                ]
            }
        }
    }
}

struct Door {
    keys: Arc<RwLock<Arc<Keys>>>,
    remote: Option<Arc<Remote>>,
    host: Arc<dyn Host>,
    complaints: Complaints,
}

impl Door {
    async fn admit(&self, client: &ConnectionInfo, token: &[u8]) -> Login {
        let Some(token) = Token::read(token) else { return Login::Ignore };
        let mut keys = self.keys.read().clone();
        if let Some(remote) = self.remote.as_ref().filter(|_| token.names_another(&keys)) {
            remote.renew().await;
            keys = self.keys.read().clone();
        }
        match self.grant(client, &token, &keys) {
            Ok(grant) => Login::Allow(grant),
            // Nothing is known against it.
            Err(Wrong::Signature) if self.remote.as_ref().is_some_and(|remote| !remote.has_keys()) => {
                Login::Deny(ReasonCode::ServerUnavailable)
            }
            Err(wrong) => {
                self.complain(client.username.as_deref().unwrap_or_default(), client.peer.ip(), wrong.reason());
                Login::Deny(wrong.code())
            }
        }
    }

    fn grant(&self, client: &ConnectionInfo, token: &Token<'_>, keys: &Keys) -> Result<Grant, Wrong> {
        let claims = token.verify(keys)?;
        let now = self.host.now_ms();
        // In time that passes evenly, as the broker's clock has it.
        let left = claims.left(now)?;
        let username = claims.username(client)?;
        let client = ConnectionInfo { username: Some(username.clone()), ..client.clone() };
        let rules = claims.rules(&client)?;
        let expires_at = Some(self.host.clock_ms().saturating_add(left));
        Ok(Grant { username: Some(username), rules, expires_at, claims: Some(claims.into_text()) })
    }

    fn complain(&self, user: &str, address: IpAddr, reason: &'static str) {
        self.complaints.tell(user, address, reason, Instant::now());
    }
}

#[async_trait::async_trait]
impl Authenticate for Door {
    async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Login {
        match password {
            Some(token) => self.admit(client, token).await,
            None => Login::Ignore,
        }
    }

    fn methods(&self) -> &[&str] {
        &[METHOD]
    }

    async fn exchange(&self, client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        match self.admit(client, &exchange.data).await {
            Login::Ignore => Login::Deny(ReasonCode::NotAuthorized),
            login => login,
        }
    }
}

#[cfg(test)]
mod tests;
