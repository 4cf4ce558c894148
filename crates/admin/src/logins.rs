//! Who is logged in on the dashboard.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::secret::random_secret;

/// A login that is not used for so long is over.
const IDLE: Duration = Duration::from_secs(8 * 60 * 60);

/// Logins at once; a further one ends the one that was not used for the longest time.
const MAX_LOGINS: usize = 256;

/// Of these, those of one name; a further one ends one of its own, so that nobody logs out others by logging in.
const SHARE: usize = 32;

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Who is logged in, by the token in the cookie. They end with the process, and when who is logged in is not what they were.
#[derive(Default)]
pub(crate) struct Logins(Mutex<HashMap<String, Login>>);

#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// With which they came in.
    pub(crate) name: String,
    /// What every change must show, so that no other page can ask for one.
    pub(crate) csrf: String,
    /// It can be ended here; else a proxy vouches for it.
    pub(crate) is_own: bool,
    used_at: Instant,
}

impl Login {
    /// One that a proxy vouches for at each request, and that is not remembered here.
    pub(crate) const fn by_proxy(name: String, csrf: String, now: Instant) -> Self {
        Self { name, csrf, is_own: false, used_at: now }
    }
}

impl Logins {
    /// Returns the token for the cookie.
    pub(crate) fn begin(&self, name: &str, now: Instant) -> String {
        let mut logins = self.0.lock();
        logins.retain(|_, login| login.used_at + IDLE > now);
        let of_name = logins.values().filter(|login| login.name == name).count();
        if of_name >= SHARE || logins.len() >= MAX_LOGINS {
            let may_go = logins.iter().filter(|(_, login)| of_name < SHARE || login.name == name);
            let oldest = may_go.min_by_key(|(_, login)| login.used_at).map(|(token, _)| token.clone());
            oldest.and_then(|oldest| logins.remove(&oldest));
        }
        let token = random_secret(TOKEN_BYTES);
        logins.insert(
            token.clone(),
            Login { name: name.to_owned(), csrf: random_secret(TOKEN_BYTES), is_own: true, used_at: now },
        );
        token
    }

    pub(crate) fn find(&self, token: &str, now: Instant) -> Option<Login> {
        let mut logins = self.0.lock();
        let login = logins.get_mut(token).filter(|login| login.used_at + IDLE > now)?;
        login.used_at = now;
        Some(login.clone())
    }

    /// Ends those of one name.
    pub(crate) fn end_all(&self, name: &str) {
        self.0.lock().retain(|_, login| login.name != name);
    }

    pub(crate) fn end(&self, token: &str) {
        self.0.lock().remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_lasts_while_it_is_used() {
        let (logins, start) = (Logins::default(), Instant::now());
        let token = logins.begin("admin", start);
        let login = logins.find(&token, start + IDLE / 2).unwrap();
        assert_eq!(login.name, "admin");
        assert_eq!(logins.find(&token, start + IDLE).unwrap().csrf, login.csrf, "used in between");
        assert!(logins.find(&token, start + IDLE * 3).is_none() && logins.find("x", start).is_none());
        logins.end(&token);
        assert!(logins.find(&token, start).is_none());
    }

    #[test]
    fn one_too_many_ends_the_one_that_was_idle() {
        let (logins, start) = (Logins::default(), Instant::now());
        let first = logins.begin("admin", start);
        for n in 1..=MAX_LOGINS as u64 {
            logins.begin(&format!("key-{}", n / 30), start + Duration::from_secs(n));
        }
        assert!(logins.find(&first, start).is_none());
        assert_eq!(logins.0.lock().len(), MAX_LOGINS);
    }

    #[test]
    fn nobody_logs_out_others_by_logging_in() {
        let (logins, start) = (Logins::default(), Instant::now());
        let other = logins.begin("admin", start);
        let first = logins.begin("key", start + Duration::from_secs(1));
        for n in 2..MAX_LOGINS as u64 * 2 {
            logins.begin("key", start + Duration::from_secs(n));
        }
        assert_eq!(logins.0.lock().len(), SHARE + 1);
        assert!(logins.find(&other, start).is_some() && logins.find(&first, start).is_none());
    }

    #[test]
    fn all_logins_of_a_name_end_with_it() {
        let (logins, start) = (Logins::default(), Instant::now());
        let [key, other] = ["key", "other"].map(|name| logins.begin(name, start));
        logins.end_all("key");
        assert!(logins.find(&key, start).is_none() && logins.find(&other, start).is_some());
    }
}
