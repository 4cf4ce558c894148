//! Users with passwords: those that operators add, which are kept in the module's own records, and those of a password
//! file. Where both know a name, what an operator has added counts.
//!
//! While there is no user and no file nobody is asked anything, and the broker decides by `auth.anonymous`. Once there is one,
//! who gives a user name is asked for its password:
//!
//! | user name | password | answer |
//! | --- | --- | --- |
//! | known | right | in, as this user |
//! | known | wrong or none | 0x86, bad user name or password (before MQTT 5: 4), also where `auth.anonymous` is true |
//! | nobody's | any | asked of the next module; if none knows it, as a wrong password, which takes as long (where a service is asked by HTTP: at once) |
//! | none | none | as `auth.anonymous` says; if that is no: 0x87, not authorized (before MQTT 5: 5) |
//! | any | any, and too many wait for an answer | 0x97, quota exceeded (before MQTT 5: 3): to be tried again |
//! | any | any, too soon after wrong ones | 0x9F, connection rate exceeded (before MQTT 5: 3), unless it is remembered |
//!
//! By AUTH with the method `SCRAM-SHA-256` (MQTT 5) a user that was added proves the same without saying the password. User names are
//! taken as they are, not prepared by SASLprep; users of a password file have nothing kept for it.
//!
//! EMQ X 4.3 lets in whom its user database does not know where `allow_anonymous` is true; here a name that a rule may be about
//! is never taken without proof. Who is connected stays connected when its user is changed or removed; it is asked when it
//! comes again.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mqtt_codec::ReasonCode;
use mqtt_hooks::page::Pages;
use mqtt_hooks::route::Route;
use mqtt_hooks::{
    Authenticate, ConnectionInfo, Ctx, Exchange, Grant, Group, Host, Info, Listing, Login, Module, Number, Records,
    Settings as _, StartError, read_settings,
};
use serde_json::Value;

use crate::password_file;
use crate::pool::Pool;
use crate::scram;
use crate::verifier::{Claim, Kept, Outcome};
use crate::watched::Watched;

mod api;
mod directory;
mod pages;
mod record;
mod watch;

use directory::{Directory, Running};

mqtt_hooks::settings! {
    /// Settings of [`Users`].
    pub struct Settings {
        /// Minutes that right passwords are remembered
        ///
        /// Clients that come back within them cost no slow hash: a digest that means something to this process only is kept in
        /// memory, and worthless once the password is changed. 0 remembers none.
        pub remember_minutes: u32 = 60 in 0..=1440,
        /// Iterations of SCRAM-SHA-256
        ///
        /// For passwords that are set from now on: what is kept for SCRAM beside the slow hash is the faster to try for who
        /// steals the store the fewer they are, and clients do as many at each login. Fewer than 4096 keep nothing, and so SCRAM
        /// is off.
        pub scram_iterations: u32 = 100000 in 0..=10_000_000,
    }
}

/// The module `users`.
pub struct Users {
    directory: Arc<Directory>,
    file: Option<Arc<Watched>>,
    others_are_asked: Arc<AtomicBool>,
}

impl Users {
    /// With the users of this file too. While `others_are_asked`, whoever is none of them is theirs to know.
    pub(crate) fn new(file: Option<PathBuf>, others_are_asked: Arc<AtomicBool>) -> Self {
        let file = file.map(|file| Arc::new(Watched::new(file, password_file::MAX_BYTES)));
        Self { directory: Arc::default(), file, others_are_asked }
    }
}

#[async_trait::async_trait]
impl Module for Users {
    fn info(&self) -> Info {
        Info {
            name: "users",
            title: "Users",
            description: "Asks clients that give a user name for its password, once there is a user.",
            default_on: true,
            settings: Settings::FORM,
        }
    }

    fn restore(&self, _host: &dyn Host, records: &Records) -> Result<(), StartError> {
        self.directory.restore(records).map_err(|error| StartError::Other(error.to_string()))
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config).map(drop)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let Settings { remember_minutes, scram_iterations } = ctx.settings()?;
        if let Some(file) = &self.file {
            file.forget();
            file.read(|text| self.directory.take_file(text)).map_err(StartError::Config)?;
        }
        let pool = Pool::start().map_err(|error| StartError::Other(format!("no thread for logins: {error}")))?;
        let pool = Arc::new(pool);
        let verifier = self.directory.verifier(Duration::from_secs(60) * remember_minutes, ctx.host().instant());
        let iterations = NonZeroU32::new(scram_iterations).filter(|count| count.get() >= scram::MIN_ITERATIONS);
        let door = Arc::new(Door {
            directory: self.directory.clone(),
            pool: Arc::clone(&pool),
            verifier,
            iterations,
            others_are_asked: self.others_are_asked.clone(),
        });
        let standby = ctx.authenticate_when(door);
        let running = Running { records: ctx.records(), actor: ctx.actor(), standby, pool, iterations };
        if let Some(file) = self.file.clone() {
            ctx.spawn(watch::watch(file, self.directory.clone(), Arc::clone(&running.pool), ctx.host()));
        }
        self.directory.begin(running);
        Ok(())
    }

    async fn stop(&self) {
        self.directory.end();
    }

    fn listing(&self) -> Listing {
        Listing {
            group: Group::Authentication,
            title_zh: "内置用户",
            description_zh: "有用户之后，检查客户端的用户名和密码。",
            plugin: Some("emqx_auth_mnesia"),
        }
    }

    fn stop_warning(&self) -> &'static str {
        "From then on nobody is asked for a password: whom auth.anonymous lets in comes in by any user name."
    }

    fn numbers(&self) -> Vec<Number> {
        let mut numbers = self.directory.numbers();
        numbers.extend(self.file.as_ref().map(|file| {
            Number::counter("password_file.bad", "Looks at a password file that can't be used.", file.bad_looks())
                .alarming("the password file can't be used; what was read before holds")
        }));
        numbers
    }

    fn routes(&self, _host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(&self.directory)
    }

    fn pages(&self) -> Pages {
        pages::PAGES
    }
}

/// Asks clients.
struct Door {
    directory: Arc<Directory>,
    pool: Arc<Pool>,
    verifier: Arc<crate::verifier::Verifier>,
    iterations: Option<NonZeroU32>,
    others_are_asked: Arc<AtomicBool>,
}

impl Door {
    /// By SCRAM-SHA-256: a client that nobody knows is challenged as any other.
    async fn challenge(&self, client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        const DENY: Login = Login::Deny(ReasonCode::NotAuthorized);
        let Ok(first) = scram::First::read(&exchange.data) else { return DENY };
        let (user, peer): (Arc<str>, _) = (first.user.as_str().into(), client.peer.ip());
        let is_other = client.username.as_ref().is_some_and(|name| *name != user);
        let Ok(pair) = self.verifier.begin(&user, peer) else { return Login::Deny(ReasonCode::ConnectionRateExceeded) };
        let known = self.directory.scram(&user);
        let verifier = known.clone().unwrap_or_else(|| {
            let salt = self.verifier.stand_in(&user);
            let iterations = self.iterations.map_or(scram::MIN_ITERATIONS, NonZeroU32::get);
            // No proof is right by these.
            Arc::new(scram::Verifier { salt, iterations, stored_key: [0; 32], server_key: [0; 32] })
        });
        let mut random = [0; 18];
        getrandom::fill(&mut random).expect("the system gives random bytes");
        let challenge = first.challenge(&verifier, &BASE64_STANDARD.encode(random));
        let answer = exchange.challenge(challenge.message.clone()).await;
        match challenge.conclude(&verifier, &answer) {
            // Not if it was changed or removed meanwhile.
            Ok(proof) if known.is_some() && !is_other && self.directory.scram(&user) == known => {
                self.verifier.was_right(&pair);
                exchange.conclude(proof);
                Login::Allow(Grant { username: Some(user), ..Grant::default() })
            }
            Ok(_) | Err(scram::Wrong) => {
                self.verifier.complain(&user, peer, "wrong_proof");
                DENY
            }
        }
    }
}

#[async_trait::async_trait]
impl Authenticate for Door {
    async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Login {
        let Some(user) = &client.username else { return Login::Ignore };
        let kept = self.directory.kept(user);
        let Some(secret) = password else {
            if matches!(kept, Kept::Nobody(_)) {
                return Login::Ignore;
            }
            self.verifier.complain(user, client.peer.ip(), "no_password");
            return Login::Deny(ReasonCode::BadUserNameOrPassword);
        };
        // Hashed, it would count as wrong here, and who the others know would be made to wait.
        if matches!(kept, Kept::Nobody(_)) && self.others_are_asked.load(Relaxed) {
            return Login::Ignore;
        }
        let claim = Claim { user, secret, peer: client.peer.ip() };
        match self.verifier.verify(claim, &kept, &self.pool).await {
            // Not if it was changed or removed meanwhile.
            Outcome::Right if self.directory.kept(user) == kept => Login::Allow(Grant::default()),
            Outcome::Wrong if matches!(kept, Kept::Nobody(_)) => Login::Ignore,
            Outcome::Right | Outcome::Wrong => Login::Deny(ReasonCode::BadUserNameOrPassword),
            Outcome::Early => Login::Deny(ReasonCode::ConnectionRateExceeded),
            Outcome::Busy => Login::Deny(ReasonCode::QuotaExceeded),
        }
    }

    fn methods(&self) -> &[&str] {
        if self.iterations.is_some() { &[scram::METHOD] } else { &[] }
    }

    async fn exchange(&self, client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        self.challenge(client, exchange).await
    }
}

#[cfg(test)]
mod tests;
