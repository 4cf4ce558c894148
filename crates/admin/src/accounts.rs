//! Who may ask: operators with passwords, scripts with keys.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use mqtt_operate::Operate;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::attempts::Attempt;
use crate::role::Role;
use crate::secret::random_secret;
use crate::source::Source;
use crate::time::now_ms;

mod digest;
mod operators;
mod password;
mod record;
mod turns;

use digest::{Digest, Keyed};
pub use operators::{OperatorChange, OperatorError};
pub use record::OperatorInfo;
use record::{Key, Record};
use turns::Turns;

/// The operator who is there from the start.
pub(crate) const ADMIN: &str = "admin";

/// Characters of a password.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// Bytes of a generated password, and of a key.
const PASSWORD_BYTES: usize = 15;
const KEY_BYTES: usize = 32;

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyInfo {
    /// The user name of HTTP Basic.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Milliseconds since the Unix epoch.
    pub created_at: u64,
}

/// Why a key was not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddKeyError {
    /// There is one.
    #[error("there is a key or user {0:?} already")]
    Exists(String),
    /// It can't be a name.
    #[error("{0:?} is no name for a key: wants 1 to 64 letters, digits, '-', '_' and '.'")]
    Name(String),
    /// It can't be kept.
    #[error("the key could not be kept: {0}")]
    Keep(#[from] io::Error),
}

/// What can be told of a name and a secret at once.
pub(crate) enum Recognised {
    /// Come in.
    Granted(Role),
    /// No such name, or a wrong secret.
    Refused,
    /// It takes [`Accounts::check`].
    Unsure(Unsure),
}

/// A password that has not been seen to be right in this process.
pub(crate) struct Unsure(Digest);

/// What came of a check.
pub(crate) enum Checked {
    /// Come in.
    Granted(Role),
    /// Wrong.
    Refused,
    /// Too many passwords are being checked.
    Busy,
}

/// Who may ask.
pub struct Accounts {
    broker: Arc<dyn Operate>,
    record: RwLock<Record>,
    /// Changes go one at a time.
    changing: Mutex<()>,
    keyed: Keyed,
    /// By operator: what was given and found right lately, so that it is not hashed at each request.
    known: RwLock<HashMap<String, Digest>>,
    /// A password of the configuration for `admin`; it holds instead of the kept one.
    configured: Option<Digest>,
    /// What guesses at names are compared with that nobody has, so that they take as long as others.
    decoy: OnceLock<String>,
    /// A key for programs on this machine that may read the broker's folder.
    local: RwLock<Option<Digest>>,
    turns: Turns,
}

/// The name that goes with the key for programs on this machine.
const LOCAL: &str = "local";

impl Accounts {
    /// The name of the record they are kept in, see [`Operate::keep`].
    pub const RECORD: &str = "accounts";

    /// That record, `kept` by an earlier process, with another password of `admin`: for a broker that does not run.
    ///
    /// # Errors
    /// What was kept can't be read.
    pub fn record_with_password(kept: Option<&[u8]>, password: &str) -> io::Result<Vec<u8>> {
        record::with_password(kept, password, now_ms())
    }

    /// Reads who is known. If nobody is there yet who may change everything, neither kept nor `configured`, a password for
    /// `admin` is made and returned: it is to be shown, for nobody can ever read it again.
    ///
    /// # Errors
    /// It is made and can't be kept, or what is kept can't be read.
    pub fn open(broker: Arc<dyn Operate>, configured: Option<&str>) -> io::Result<(Self, Option<String>)> {
        let record = Record::read(broker.kept(Self::RECORD).as_deref())?;
        let keyed = Keyed::default();
        let accounts = Self {
            broker,
            configured: configured.map(|password| keyed.digest(password)),
            record: RwLock::new(record),
            changing: Mutex::default(),
            keyed,
            known: RwLock::default(),
            decoy: OnceLock::new(),
            local: RwLock::default(),
            turns: Turns::default(),
        };
        let mut made = None;
        if accounts.configured.is_none() && !accounts.record.read().has_admin() {
            let password = random_secret(PASSWORD_BYTES);
            accounts.set_password(&password, now_ms()).map_err(|error| match error {
                OperatorError::Keep(error) => error,
                error => io::Error::other(error),
            })?;
            made = Some(password);
        }
        Ok((accounts, made))
    }

    /// Can this be a password? It has 8 to 1024 characters.
    pub fn is_password(text: &str) -> bool {
        PASSWORD_LENGTH.contains(&text.chars().count())
    }

    /// True if the password of `admin` is the configuration's, and can't be changed here.
    pub const fn is_configured(&self) -> bool {
        self.configured.is_some()
    }

    /// Makes a key and returns its secret, which is kept nowhere.
    ///
    /// # Errors
    /// See [`AddKeyError`].
    pub fn add_key(&self, name: &str, role: Role, now_ms: u64) -> Result<String, AddKeyError> {
        if !is_name(name) {
            return Err(AddKeyError::Name(name.to_owned()));
        }
        let secret = random_secret(KEY_BYTES);
        let info = KeyInfo { name: name.to_owned(), role, created_at: now_ms };
        self.try_change(|record| {
            if self.is_taken(record, name) {
                return Err(AddKeyError::Exists(name.to_owned()));
            }
            record.keys.push(Key { info, digest: Digest::of(&secret) });
            Ok(())
        })?;
        Ok(secret)
    }

    /// Takes a key back; false if there is none of this name.
    ///
    /// # Errors
    /// It can't be kept that it is gone; it holds on.
    pub fn remove_key(&self, name: &str) -> io::Result<bool> {
        let mut was_there = false;
        self.try_change(|record| {
            let before = record.keys.len();
            record.keys.retain(|key| key.info.name != name);
            was_there = record.keys.len() < before;
            Ok::<_, io::Error>(())
        })?;
        Ok(was_there)
    }

    /// Changes what a key allows; false if there is none of this name.
    ///
    /// # Errors
    /// It can't be kept; the key allows what it did.
    pub(crate) fn change_key(&self, name: &str, role: Role) -> io::Result<bool> {
        let mut is_there = false;
        self.try_change(|record| {
            let key = record.keys.iter_mut().find(|key| key.info.name == name);
            is_there = key.is_some();
            if let Some(key) = key {
                key.info.role = role;
            }
            Ok::<_, io::Error>(())
        })?;
        Ok(is_there)
    }

    /// All keys.
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.record.read().keys.iter().map(|key| key.info.clone()).collect()
    }

    /// Makes the key for programs on this machine; an earlier one holds no longer.
    pub fn make_local_key(&self) -> String {
        let secret = random_secret(KEY_BYTES);
        *self.local.write() = Some(Digest::of(&secret));
        format!("{LOCAL}:{secret}")
    }

    /// Is there someone of this name?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.is_taken(&self.record.read(), name)
    }

    /// A secret of this name is long and random, so it can't be guessed. Names that nobody has are not told from operators'.
    pub(crate) fn is_key(&self, name: &str) -> bool {
        name == LOCAL || self.record.read().keys.iter().any(|key| key.info.name == name)
    }

    /// What a page of this operator's shows for a change, where no login is remembered: the same while the process lives.
    pub(crate) fn page_token(&self, name: &str) -> String {
        self.keyed.token(name)
    }

    /// What this operator may do.
    pub(crate) fn role(&self, name: &str) -> Option<Role> {
        if name == ADMIN && self.is_configured() {
            return Some(Role::Admin);
        }
        self.record.read().operator(name).map(|operator| operator.info.role)
    }

    /// What an operator or a key of this name may do.
    pub(crate) fn role_of(&self, name: &str) -> Option<Role> {
        if name == LOCAL {
            return Some(Role::Admin);
        }
        let of_key = || self.record.read().keys.iter().find(|key| key.info.name == name).map(|key| key.info.role);
        self.role(name).or_else(of_key)
    }

    /// Who is it? Keys are always told at once: they are too long to be guessed, so theirs is a fast digest.
    pub(crate) fn recognise(&self, name: &str, secret: &str) -> Recognised {
        if self.is_key(name) {
            return self.key(name, secret).map_or(Recognised::Refused, Recognised::Granted);
        }
        let digest = self.keyed.digest(secret);
        if let Some(configured) = self.configured.as_ref().filter(|_| name == ADMIN) {
            let is_right = *configured == digest;
            return if is_right { Recognised::Granted(Role::Admin) } else { Recognised::Refused };
        }
        match self.known_role(name, &digest) {
            Some(role) => Recognised::Granted(role),
            None => Recognised::Unsure(Unsure(digest)),
        }
    }

    /// What this operator may do, if the password has been right lately.
    fn known_role(&self, name: &str, digest: &Digest) -> Option<Role> {
        let is_known = self.known.read().get(name) == Some(digest);
        is_known.then(|| self.role(name)).flatten()
    }

    /// Checks an operator's password slowly, when it is this one's turn. `begin` is asked then, so that it counts all
    /// that were wrong before; the guess is counted whether or not anybody waits for what comes of it.
    pub(crate) async fn check(
        self: &Arc<Self>,
        source: Source,
        name: &str,
        secret: &str,
        Unsure(digest): Unsure,
        begin: impl FnOnce() -> Attempt,
    ) -> Checked {
        let Some(turn) = self.turns.take(source).await else { return Checked::Busy };
        if let Some(role) = self.known_role(name, &digest) {
            return Checked::Granted(role);
        }
        let attempt = begin();
        let (accounts, name, given) = (Arc::clone(self), name.to_owned(), secret.to_owned());
        let role = tokio::task::spawn_blocking(move || {
            let _until_the_end = turn;
            let role = accounts.role_by_password(&name, &given, digest);
            if role.is_some() {
                attempt.was_right();
            }
            role
        });
        role.await.ok().flatten().map_or(Checked::Refused, Checked::Granted)
    }

    fn role_by_password(&self, name: &str, given: &str, digest: Digest) -> Option<Role> {
        let hash = self.record.read().operator(name).map(|operator| operator.password.clone());
        let Some(hash) = hash else {
            let decoy = self.decoy.get_or_init(|| password::hash(&random_secret(PASSWORD_BYTES)).unwrap_or_default());
            password::is_right(given, decoy);
            return None;
        };
        if !password::is_right(given, &hash) {
            return None;
        }
        // Not if it was changed meanwhile. A change takes it out of those that are known after it was made, so it is put there
        // under the lock that a change waits for.
        let record = self.record.read();
        let operator = record.operator(name).filter(|operator| operator.password == hash)?;
        self.known.write().insert(name.to_owned(), digest);
        Some(operator.info.role)
    }

    fn key(&self, name: &str, secret: &str) -> Option<Role> {
        let digest = Digest::of(secret);
        if name == LOCAL {
            return (self.local.read().as_ref() == Some(&digest)).then_some(Role::Admin);
        }
        let record = self.record.read();
        record.keys.iter().find(|key| key.info.name == name && key.digest == digest).map(|key| key.info.role)
    }

    /// Keeps what `change` makes of the record before anyone sees it; an error of it changes nothing.
    fn try_change<E: From<io::Error>>(&self, change: impl FnOnce(&mut Record) -> Result<(), E>) -> Result<(), E> {
        let _changing = self.changing.lock();
        let mut record = self.record.read().clone();
        change(&mut record)?;
        let kept = serde_json::to_vec(&record).map_err(io::Error::from)?;
        self.broker.keep(Self::RECORD, &kept)?;
        *self.record.write() = record;
        Ok(())
    }
}

/// Can this be the name of a key or an operator?
fn is_name(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_fit)
}
