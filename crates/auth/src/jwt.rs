//! The module `jwt`: clients that bring a signed token in place of a password, or by AUTH with the method `JWT`.
//!
//! A token is three parts in base64url with dots between them (RFC 7519), signed by HS256, HS384, HS512 with the secret or an
//! `oct` key, or by RS256, RS384, RS512, ES256, ES384 or EdDSA with one of the public keys. It must have `exp`, at which the
//! connection ends unless a newer token is brought before by AUTH, and say who it is for in `username` or else `sub`: a client
//! that gives another user name is refused, and so is one with another id than `clientid`, where that is said. What it may do
//! stands in `acl`: lists of filters `pub`, `sub` and `all`, beyond which nothing is allowed, or rules as in `[[auth.rules]]`.
//!
//! What does not look like a token is asked of the next module.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::ReasonCode;
use mqtt_hooks::{Authenticate, ConnectionInfo, Ctx, Exchange, Grant, Host, Info, Login, Module, Number, StartError};
use parking_lot::RwLock;

use crate::complaints::Complaints;
use crate::watched::{PERIOD, Watched};

mod claims;
mod keys;
mod token;

use keys::Keys;
use token::{Token, Wrong};

/// The method of extended authentication.
const METHOD: &str = "JWT";

/// Larger files are taken for a mistake.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// The module `jwt`.
pub(crate) struct Jwt {
    secret: Option<Arc<str>>,
    file: Option<Arc<Watched>>,
    keys: Arc<RwLock<Arc<Keys>>>,
}

/// Whether a text has public keys that can be used.
pub(crate) fn check(text: &str) -> Result<(), crate::WrongLine> {
    Keys::read(text).map(drop)
}

impl Jwt {
    pub(crate) fn new(secret: Option<String>, file: Option<PathBuf>) -> Self {
        let file = file.map(|file| Arc::new(Watched::new(file, MAX_BYTES)));
        Self { secret: secret.map(Into::into), file, keys: Arc::default() }
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
        if self.secret.is_none() && self.file.is_none() {
            return Ok(());
        }
        let take = |keys: &RwLock<Arc<Keys>>, secret: Option<&str>, text: &str| {
            let read = Keys::read(text)?.with_secret(secret);
            tracing::info!(keys = read.len(), "keys for tokens read");
            *keys.write() = Arc::new(read);
            Ok(())
        };
        match &self.file {
            None => *self.keys.write() = Arc::new(Keys::default().with_secret(self.secret.as_deref())),
            Some(file) => {
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
            }
        }
        let complaints = Complaints::new(ctx.host().instant());
        ctx.authenticate(Arc::new(Door { keys: self.keys.clone(), host: ctx.host(), complaints }));
        Ok(())
    }

    fn stop_warning(&self) -> &'static str {
        "From then on no token is looked at: who brings one comes in only if others let them in, or auth.anonymous."
    }

    fn numbers(&self) -> Vec<Number> {
        let bad = self.file.as_ref().map(|file| {
            Number::counter("keys_file.bad", "Looks at a file of keys that can't be used.", file.bad_looks())
                .alarming("the keys for tokens can't be used; what was read before holds")
        });
        bad.into_iter().collect()
    }
}

struct Door {
    keys: Arc<RwLock<Arc<Keys>>>,
    host: Arc<dyn Host>,
    complaints: Complaints,
}

impl Door {
    fn admit(&self, client: &ConnectionInfo, token: &[u8]) -> Login {
        let Some(token) = Token::read(token) else { return Login::Ignore };
        let keys = self.keys.read().clone();
        match self.grant(client, &token, &keys) {
            Ok(grant) => Login::Allow(grant),
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
        Ok(Grant { username: Some(username), rules, expires_at: Some(self.host.clock_ms().saturating_add(left)) })
    }

    fn complain(&self, user: &str, address: IpAddr, reason: &'static str) {
        self.complaints.tell(user, address, reason, Instant::now());
    }
}

#[async_trait::async_trait]
impl Authenticate for Door {
    async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Login {
        password.map_or(Login::Ignore, |token| self.admit(client, token))
    }

    fn methods(&self) -> &[&str] {
        &[METHOD]
    }

    async fn exchange(&self, client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        match self.admit(client, &exchange.data) {
            Login::Ignore => Login::Deny(ReasonCode::NotAuthorized),
            login => login,
        }
    }
}

#[cfg(test)]
mod tests;
