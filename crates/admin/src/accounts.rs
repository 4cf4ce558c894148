//! Who may ask: the operator with a password, scripts with keys.

use std::io;
use std::sync::Arc;

use mqtt_operate::Operate;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::attempts::Attempt;
use crate::secret::random_secret;
use crate::source::Source;

mod digest;
mod password;
mod turns;

use digest::{Digest, Keyed};
use turns::Turns;

/// The operator's name.
pub(crate) const OPERATOR: &str = "admin";

/// Characters of a password.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// Bytes of a generated password, and of a key.
const PASSWORD_BYTES: usize = 15;
const KEY_BYTES: usize = 32;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and change.
    Admin,
}

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

/// As kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    /// A PHC string; `None`: none was made yet.
    password: Option<String>,
    keys: Vec<Key>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Key {
    #[serde(flatten)]
    info: KeyInfo,
    digest: Digest,
}

/// Who may ask.
pub struct Accounts {
    broker: Arc<dyn Operate>,
    record: RwLock<Record>,
    /// Changes go one at a time.
    changing: Mutex<()>,
    /// For each of them: what was given and found right lately, so that it is not hashed at each request.
    keyed: Keyed,
    known: RwLock<Option<Digest>>,
    /// A password of the configuration; it holds instead of the kept one.
    configured: Option<Digest>,
    /// A key for programs on this machine that may read the broker's folder.
    local: RwLock<Option<Digest>>,
    turns: Turns,
}

/// The name that goes with the key for programs on this machine.
const LOCAL: &str = "local";

impl Accounts {
    /// The name of the record they are kept in, see [`Operate::keep`].
    pub const RECORD: &str = "accounts";

    /// That record, `kept` by an earlier process, with another password: for a broker that does not run.
    ///
    /// # Errors
    /// What was kept can't be read.
    pub fn record_with_password(kept: Option<&[u8]>, password: &str) -> io::Result<Vec<u8>> {
        let mut record = kept.map_or_else(|| Ok(Record::default()), serde_json::from_slice)?;
        record.password = Some(password::hash(password)?);
        Ok(serde_json::to_vec(&record)?)
    }

    /// Reads who is known. If there is no password yet, neither kept nor `configured`, one is made and returned: it is
    /// to be shown, for nobody can ever read it again.
    ///
    /// # Errors
    /// It is made and can't be kept, or what is kept can't be read.
    pub fn open(broker: Arc<dyn Operate>, configured: Option<&str>) -> io::Result<(Self, Option<String>)> {
        let record = match broker.kept(Self::RECORD) {
            Some(kept) => serde_json::from_slice::<Record>(&kept)?,
            None => Record::default(),
        };
        let keyed = Keyed::default();
        let accounts = Self {
            broker,
            configured: configured.map(|password| keyed.digest(password)),
            record: RwLock::new(record),
            changing: Mutex::default(),
            keyed,
            known: RwLock::default(),
            local: RwLock::default(),
            turns: Turns::default(),
        };
        let mut made = None;
        if accounts.configured.is_none() && accounts.record.read().password.is_none() {
            let password = random_secret(PASSWORD_BYTES);
            accounts.set_password(&password)?;
            made = Some(password);
        }
        Ok((accounts, made))
    }

    /// Can this be a password? It has 8 to 1024 characters.
    pub fn is_password(text: &str) -> bool {
        PASSWORD_LENGTH.contains(&text.chars().count())
    }

    /// The operator has this password from now on.
    ///
    /// # Errors
    /// It can't be kept; the old one holds.
    pub fn set_password(&self, password: &str) -> io::Result<()> {
        let hash = password::hash(password)?;
        self.change(|record| record.password = Some(hash))?;
        *self.known.write() = None;
        Ok(())
    }

    /// True if the password is the configuration's, and can't be changed here.
    pub const fn is_configured(&self) -> bool {
        self.configured.is_some()
    }

    /// Makes a key and returns its secret, which is kept nowhere.
    ///
    /// # Errors
    /// See [`AddKeyError`].
    pub fn add_key(&self, name: &str, role: Role, now_ms: u64) -> Result<String, AddKeyError> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_fit) {
            return Err(AddKeyError::Name(name.to_owned()));
        }
        let secret = random_secret(KEY_BYTES);
        let info = KeyInfo { name: name.to_owned(), role, created_at: now_ms };
        let mut is_taken = [OPERATOR, LOCAL].contains(&name);
        self.change(|record| {
            is_taken |= record.keys.iter().any(|key| key.info.name == name);
            if !is_taken {
                record.keys.push(Key { info, digest: Digest::of(&secret) });
            }
        })?;
        if is_taken { Err(AddKeyError::Exists(name.to_owned())) } else { Ok(secret) }
    }

    /// Takes a key back; false if there is none of this name.
    ///
    /// # Errors
    /// It can't be kept that it is gone; it holds on.
    pub fn remove_key(&self, name: &str) -> io::Result<bool> {
        let mut was_there = false;
        self.change(|record| {
            let before = record.keys.len();
            record.keys.retain(|key| key.info.name != name);
            was_there = record.keys.len() < before;
        })?;
        Ok(was_there)
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
        [OPERATOR, LOCAL].contains(&name) || self.record.read().keys.iter().any(|key| key.info.name == name)
    }

    /// Who is it? Keys are always told at once: they are too long to be guessed, so theirs is a fast digest.
    pub(crate) fn recognise(&self, name: &str, secret: &str) -> Recognised {
        if name != OPERATOR {
            return self.key(name, secret).map_or(Recognised::Refused, Recognised::Granted);
        }
        let digest = self.keyed.digest(secret);
        match &self.configured {
            Some(configured) if *configured == digest => Recognised::Granted(Role::Admin),
            Some(_) => Recognised::Refused,
            None if self.is_known(&digest) => Recognised::Granted(Role::Admin),
            None => Recognised::Unsure(Unsure(digest)),
        }
    }

    fn is_known(&self, digest: &Digest) -> bool {
        self.known.read().as_ref() == Some(digest)
    }

    /// Checks the operator's password slowly, when it is this one's turn. `begin` is asked then, so that it counts all
    /// that were wrong before; the guess is counted whether or not anybody waits for what comes of it.
    pub(crate) async fn check(
        self: &Arc<Self>,
        source: Source,
        secret: &str,
        Unsure(digest): Unsure,
        begin: impl FnOnce() -> Attempt,
    ) -> Checked {
        let Some(turn) = self.turns.take(source).await else { return Checked::Busy };
        if self.is_known(&digest) {
            return Checked::Granted(Role::Admin);
        }
        let attempt = begin();
        let (accounts, given) = (Arc::clone(self), secret.to_owned());
        let is_right = tokio::task::spawn_blocking(move || {
            let _until_the_end = turn;
            let is_right = accounts.is_password_right(&given, digest);
            if is_right {
                attempt.was_right();
            }
            is_right
        });
        if is_right.await.unwrap_or(false) { Checked::Granted(Role::Admin) } else { Checked::Refused }
    }

    fn is_password_right(&self, given: &str, digest: Digest) -> bool {
        let hash = self.record.read().password.clone();
        let is_right = hash.as_deref().is_some_and(|hash| password::is_right(given, hash));
        // Not if it was changed meanwhile.
        let record = self.record.read();
        if !is_right || record.password != hash {
            return false;
        }
        *self.known.write() = Some(digest);
        true
    }

    fn key(&self, name: &str, secret: &str) -> Option<Role> {
        let digest = Digest::of(secret);
        if name == LOCAL {
            return (self.local.read().as_ref() == Some(&digest)).then_some(Role::Admin);
        }
        let record = self.record.read();
        record.keys.iter().find(|key| key.info.name == name && key.digest == digest).map(|key| key.info.role)
    }

    /// Keeps what `change` makes of the record before anyone sees it.
    fn change(&self, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut record = self.record.read().clone();
        change(&mut record);
        self.broker.keep(Self::RECORD, &serde_json::to_vec(&record)?)?;
        *self.record.write() = record;
        Ok(())
    }
}
