//! Who may come in and what they may do: modules on [`mqtt_hooks`], as any other could be.
//!
//! [`users`] knows names and passwords. What clients bring is hashed on threads of this crate's own, so that no login holds
//! up messages, and a secret that was found right is remembered for a while.
//!
//! It knows no broker and no sockets but those by which it asks a service: whoever runs modules runs these, and polls them where
//! tokio has its time and sockets.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mqtt_auth::Config;
//! use mqtt_hooks::testing::Recorder;
//! use mqtt_hooks::{Ctx, Hooks, StartError};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StartError> {
//! let (hooks, host) = (Hooks::new(), Recorder::new());
//! let users = &mqtt_auth::modules(&Config::default())[1];
//! let ctx = Ctx::new("users", 0, host, Arc::default());
//! users.start(&ctx).await?;
//! let _entered = hooks.enter(ctx);
//! assert!(!hooks.has_authenticators(), "there is no user to know yet");
//! # Ok(())
//! # }
//! ```

pub mod acl;
mod acl_internal;
mod attempts;
mod complaints;
mod digest;
mod forgetful;
mod granted;
mod hash;
mod http;
mod jwt;
mod password_file;
mod pool;
mod scram;
pub mod users;
mod verifier;
mod watched;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mqtt_hooks::Module;

use serde_json::Value;

use acl::AclFile;
use acl_internal::AclInternal;
use http::AuthHttp;
pub use http::HttpConfig;
use jwt::Jwt;
pub use password_file::{PasswordFile, WrongLine};
use watched::Watched;

/// What the modules are told beside their own settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Users with their passwords' hashes, as mosquitto has them; read again when it changes.
    pub password_file: Option<PathBuf>,
    /// Tokens are signed with it: HS256, HS384, HS512.
    pub jwt_secret: Option<Secret>,
    /// Or with one of the keys in this file, PEM or a JWKS, read again when it changes; or at this address, as a JWKS.
    pub jwt_keys: Option<PathBuf>,
    /// A service that is asked by HTTP.
    pub http: HttpConfig,
    /// What clients may do: objects like `{"allow": false, "who": {"user": "alice"}, "action": "publish", "topics": ["a/#"]}`.
    pub rules: Vec<Value>,
    /// More rules, which come after those, as EMQ X or mosquitto has them; read again when it changes.
    pub acl_file: Option<PathBuf>,
    /// What no rule is about is forbidden.
    pub denies_others: bool,
}

/// A text that is not shown.
#[derive(Clone)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Config {
    /// Whether what it says and names can be used.
    ///
    /// # Errors
    /// A line says what can't, and begins with the key.
    pub fn check(&self) -> Result<(), String> {
        acl_internal::configured(&self.rules)?;
        if let Some(file) = &self.acl_file {
            let watched = Watched::new(file.clone(), acl_internal::MAX_BYTES);
            watched.read(|text| AclFile::parse(text, "").map(drop)).map_err(of_key("auth.acl_file"))?;
        }
        self.http.check()?;
        if let Some(keys) = &self.jwt_keys {
            jwt::check_source(keys, self.http.ca.as_deref()).map_err(of_key("auth.jwt_keys"))?;
        }
        if let Some(file) = &self.password_file {
            let watched = Watched::new(file.clone(), password_file::MAX_BYTES);
            watched.read(|text| PasswordFile::parse(text).map(drop)).map_err(of_key("auth.password_file"))?;
        }
        Ok(())
    }
}

/// What is wrong, behind its key, if it does not begin with one.
pub(crate) fn of_key(key: &str) -> impl FnOnce(String) -> String {
    move |why| if why.starts_with("auth.") { why } else { format!("{key}: {why}") }
}

/// The modules, in the order in which they are to be registered: so they are asked.
pub fn modules(config: &Config) -> Vec<Arc<dyn Module>> {
    let secret = config.jwt_secret.as_ref().map(|secret| secret.0.clone());
    let is_service_asked = Arc::<AtomicBool>::default();
    vec![
        // Before the users: who is none of them costs a hash.
        Arc::new(Jwt::new(secret, config.jwt_keys.clone(), config.http.ca.clone())),
        Arc::new(users::Users::new(config.password_file.clone(), is_service_asked.clone())),
        // After them: who is one of the users is so also while the service is away.
        Arc::new(AuthHttp::new(config.http.clone(), is_service_asked)),
        Arc::new(AclInternal::new(config)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_the_pages_of_a_module_name_is_there() {
        for module in modules(&Config::default()) {
            let pages = module.pages();
            let scripts: HashSet<_> = pages.scripts.iter().map(|script| script.name).collect();
            for page in pages.pages {
                assert!(scripts.contains(page.script), "{} of {}", page.script, module.info().name);
            }
        }
    }
}
