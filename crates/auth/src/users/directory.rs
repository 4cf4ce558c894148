//! Who there is.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mqtt_hooks::{Actor, Number, Records, Standby};
use parking_lot::{Mutex, RwLock};

use super::record::User;
use crate::hash::Hash;
use crate::password_file::{PasswordFile, WrongLine};
use crate::pool::Pool;
use crate::scram;
use crate::verifier::{Kept, Verifier};

/// Users that operators may add.
const MAX_USERS: usize = 1_000_000;

/// Bytes of a name, and of a password.
const MAX_NAME: usize = 1024;
const MAX_PASSWORD: usize = 4096;

/// All users. They are there while the module is stopped, too.
#[derive(Default)]
pub(super) struct Directory {
    users: RwLock<BTreeMap<Arc<str>, Entry>>,
    /// Those of the file, if there is one.
    file: RwLock<Option<PasswordFile>>,
    /// Of the last start, whose counts go on.
    verifier: RwLock<Option<Arc<Verifier>>>,
    /// While the module runs. Changes go one at a time, by this lock.
    running: Mutex<Option<Running>>,
}

struct Entry {
    created_at: u64,
    hash: Arc<Hash>,
    scram: Option<Arc<scram::Verifier>>,
}

/// What the module acts by while it runs.
pub(super) struct Running {
    pub(super) records: Records,
    pub(super) actor: Actor,
    pub(super) standby: Standby,
    pub(super) pool: Arc<Pool>,
    /// Of SCRAM; `None`: it is off.
    pub(super) iterations: Option<NonZeroU32>,
}

/// What is kept of a password.
struct Made {
    hash: Hash,
    scram: Option<scram::Verifier>,
}

impl From<User> for Entry {
    fn from(User { created_at, hash, scram }: User) -> Self {
        Self { created_at, hash: Arc::new(hash), scram: scram.map(Arc::new) }
    }
}

/// A user without what is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: Arc<str>,
    pub(super) created_at: u64,
}

/// Why a change was not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unchanged {
    #[error("there is a user {0:?} already")]
    Exists(String),
    #[error("there is no user {0:?}")]
    Unknown(String),
    #[error("a user name has 1 to {MAX_NAME} bytes and nothing that can't be seen")]
    Name,
    #[error("a password has 1 to {MAX_PASSWORD} bytes")]
    Password,
    #[error("there are {MAX_USERS} users: no more are taken")]
    Full,
    #[error("too many passwords are being hashed: try again")]
    Busy,
    #[error("the module users does not run")]
    Stopped,
}

impl Directory {
    pub(super) fn restore(&self, records: &Records) -> io::Result<()> {
        let (mut users, mut wrong) = (BTreeMap::new(), 0);
        records.each(&mut |key, record| match (str::from_utf8(key), User::from_record(record)) {
            (Ok(name), Some(user)) => drop(users.insert(name.into(), user.into())),
            _ => wrong += 1,
        })?;
        if wrong > 0 {
            tracing::warn!(records = wrong, "users that can't be read are left out, and stay in the store");
        }
        *self.users.write() = users;
        Ok(())
    }

    pub(super) fn verifier(&self, remember: Duration, now: Instant) -> Arc<Verifier> {
        let verifier = Verifier::new(remember, now);
        *self.verifier.write() = Some(Arc::clone(&verifier));
        verifier
    }

    pub(super) fn begin(&self, running: Running) {
        let mut place = self.running.lock();
        running.standby.set(self.asks());
        *place = Some(running);
    }

    pub(super) fn end(&self) {
        let ended = self.running.lock().take();
        drop(ended);
    }

    /// Whether there is anybody to know. A file counts also if it is empty: who names one wants clients to be asked.
    fn asks(&self) -> bool {
        !self.users.read().is_empty() || self.file.read().is_some()
    }

    /// What is kept of this user's password.
    pub(super) fn kept(&self, name: &str) -> Kept {
        let (added, has_added) = {
            let users = self.users.read();
            (users.get(name).map(|entry| Arc::clone(&entry.hash)), !users.is_empty())
        };
        let file = self.file.read();
        match (added.or_else(|| file.as_ref()?.hash(name)), &*file) {
            (Some(hash), _) => Kept::Of(hash),
            (None, Some(file)) if !has_added => Kept::Nobody(file.nobody().unwrap_or_else(|| Arc::new(Hash::nobody()))),
            (None, _) => Kept::Nobody(Arc::new(Hash::nobody())),
        }
    }

    /// The users of the password file are these from now on.
    pub(super) fn take_file(&self, text: &str) -> Result<(), WrongLine> {
        let file = PasswordFile::parse(text)?;
        tracing::info!(users = file.len(), "password file read");
        *self.file.write() = Some(file);
        Ok(())
    }

    /// What is kept of this user's password for SCRAM.
    pub(super) fn scram(&self, name: &str) -> Option<Arc<scram::Verifier>> {
        self.users.read().get(name)?.scram.clone()
    }

    fn has(&self, name: &str) -> bool {
        self.users.read().contains_key(name)
    }

    /// In order of names: so many at the most, after this one.
    pub(super) fn list(&self, after: Option<&str>, limit: usize) -> Vec<Shown> {
        use std::ops::Bound::{Excluded, Unbounded};
        let users = self.users.read();
        let following = users.range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        let shown = |(name, entry): (&Arc<str>, &Entry)| Shown { name: Arc::clone(name), created_at: entry.created_at };
        following.take(limit).map(shown).collect()
    }

    /// Says whether it is the first: clients are asked who they are from now on.
    pub(super) async fn add(&self, name: &str, password: &str) -> Result<bool, Unchanged> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err(Unchanged::Name);
        }
        let exists = || Err(Unchanged::Exists(name.to_owned()));
        // Before it costs anything; asked again when nobody else can change it.
        if self.has(name) {
            return exists();
        }
        let Made { hash, scram } = self.hashed(password).await?;
        self.change(|running| {
            let (is_first, len) = (!self.asks(), self.users.read().len());
            if self.has(name) {
                return exists();
            }
            if len >= MAX_USERS {
                return Err(Unchanged::Full);
            }
            self.keep(running, name, User { created_at: running.actor.host().now_ms(), hash, scram });
            running.standby.set(true);
            Ok(is_first)
        })
    }

    pub(super) async fn change_password(&self, name: &str, password: &str) -> Result<(), Unchanged> {
        let unknown = || Unchanged::Unknown(name.to_owned());
        if !self.has(name) {
            return Err(unknown());
        }
        let Made { hash, scram } = self.hashed(password).await?;
        self.change(|running| {
            let created_at = self.users.read().get(name).map(|entry| entry.created_at).ok_or_else(unknown)?;
            self.keep(running, name, User { created_at, hash, scram });
            Ok(())
        })
    }

    /// Says whether it was the last: nobody is asked any more.
    pub(super) fn remove(&self, name: &str) -> Result<bool, Unchanged> {
        self.change(|running| {
            if !self.has(name) {
                return Err(Unchanged::Unknown(name.to_owned()));
            }
            running.actor.act(|moment| running.records.forget(moment, name.as_bytes()));
            self.users.write().remove(name);
            let asks = self.asks();
            running.standby.set(asks);
            Ok(!asks)
        })
    }

    /// In the store first, so that nobody comes in by what is gone after a crash.
    fn keep(&self, running: &Running, name: &str, user: User) {
        let record = user.to_record();
        running.actor.act(|moment| running.records.keep(moment, name.as_bytes(), &record));
        self.users.write().insert(name.into(), user.into());
    }

    fn change<T>(&self, change: impl FnOnce(&Running) -> Result<T, Unchanged>) -> Result<T, Unchanged> {
        let running = self.running.lock();
        change(running.as_ref().ok_or(Unchanged::Stopped)?)
    }

    /// In line with the logins.
    async fn hashed(&self, password: &str) -> Result<Made, Unchanged> {
        if password.is_empty() || password.len() > MAX_PASSWORD {
            return Err(Unchanged::Password);
        }
        let (pool, iterations) = self.change(|running| Ok((Arc::clone(&running.pool), running.iterations)))?;
        let (answer, answered) = tokio::sync::oneshot::channel();
        let password = password.to_owned();
        let work = move || {
            // Who asked may have gone.
            let scram = iterations.map(|iterations| scram::Verifier::of(password.as_bytes(), random(), iterations));
            let _ = answer.send(Hash::of(password.as_bytes()).map(|hash| Made { hash, scram }));
        };
        let whose = std::net::Ipv6Addr::UNSPECIFIED.into();
        pool.submit(whose, Box::new(work)).map_err(|_| Unchanged::Busy)?;
        match answered.await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => {
                tracing::error!(error, "a password can't be hashed");
                Err(Unchanged::Busy)
            }
            Err(_) => Err(Unchanged::Stopped),
        }
    }

    pub(super) fn numbers(&self) -> Vec<Number> {
        let users = self.users.read().len() + self.file.read().as_ref().map_or(0, PasswordFile::len);
        let mut numbers = vec![Number::gauge("known", "Users, those of the password file too.", users as f64)];
        if let Some(verifier) = &*self.verifier.read() {
            let counts = &verifier.counts;
            let outcomes = [
                ("remembered", &counts.known),
                ("right", &counts.right),
                ("wrong", &counts.wrong),
                ("early", &counts.early),
                ("busy", &counts.busy),
            ];
            let help = "Logins since the module's start, by what came of them.";
            let number = |(outcome, count): (&'static str, &AtomicU64)| {
                Number::counter("logins", help, count.load(Relaxed)).labelled("outcome", outcome)
            };
            numbers.extend(outcomes.map(number));
        }
        numbers
    }
}

/// A salt.
fn random() -> Vec<u8> {
    let mut salt = vec![0; 16];
    getrandom::fill(&mut salt).expect("the system gives random bytes");
    salt
}
