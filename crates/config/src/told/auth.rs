//! What those are told that say who may come in, and whether there are any.

use mqtt_auth::{HttpConfig, Secret};

use crate::config::{Auth, AuthDefault, Config, HttpAuth};

impl From<&Auth> for mqtt_auth::Config {
    fn from(said: &Auth) -> Self {
        let Auth { password_file, jwt_secret, jwt_keys, http, rules, acl_file, default, .. } = said.clone();
        let HttpAuth { url, super_url, method, headers, params, ca } = http;
        Self {
            password_file,
            jwt_secret: jwt_secret.map(Secret),
            jwt_keys,
            http: HttpConfig { url, super_url, method, headers: headers.map(Secret), params, ca },
            rules,
            acl_file,
            denies_others: default == AuthDefault::Deny,
        }
    }
}

impl Config {
    /// What is wrong with files that it names, or with what holds for all of it. The line that it may return is no fault yet: whether
    /// users were added is in the store, and if they were not, there will be no start.
    ///
    /// # Errors
    /// The broker would not start.
    pub fn check(&self) -> Result<Option<&str>, String> {
        let doubt = self.check_anew()?;
        self.check_certificates()?;
        Ok(doubt)
    }

    /// The same of a broker that runs: certificates that are in use stay so, whatever has become of their files.
    pub(crate) fn check_anew(&self) -> Result<Option<&str>, String> {
        mqtt_auth::Config::from(&self.auth).check().map_err(|why| self.placed(why))?;
        match self.surely_unguarded() {
            Some(why) => Err(why.to_owned()),
            None => Ok(self.auth.unguarded.as_deref().filter(|_| !self.asks_clients())),
        }
    }

    /// An error, as [`Self::check`] tells it if that is what it is about: with the place where it was said.
    pub fn explain(&self, error: impl ToString) -> String {
        self.check().err().unwrap_or_else(|| error.to_string())
    }

    /// What is wrong, which begins with its key, behind the place where that was said.
    pub(super) fn placed(&self, why: String) -> String {
        let key = why.split([':', ',']).next();
        let source = self.sources.iter().find(|source| Some(&*source.key) == key);
        match source.and_then(|source| source.place.as_ref()) {
            Some(place) => format!("{place}: {why}"),
            None => why,
        }
    }

    /// Why others could come in, where there is nobody who could be asked who they are: no file, and no store that may have users.
    pub fn surely_unguarded(&self) -> Option<&str> {
        let may_have_users = self.data_dir.as_ref().is_some_and(|folder| folder.is_dir());
        self.auth.unguarded.as_deref().filter(|_| !self.asks_clients() && !may_have_users)
    }

    /// It names something to ask clients for, if its module runs.
    pub const fn asks_clients(&self) -> bool {
        let auth = &self.auth;
        auth.password_file.is_some() || auth.jwt_keys.is_some() || auth.jwt_secret.is_some() || auth.http.url.is_some()
    }
}
