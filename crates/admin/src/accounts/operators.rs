//! Operators: people who log in with a password.

use std::io;

use super::record::{Operator, OperatorInfo, Record};
use super::{ADMIN, Accounts, LOCAL, is_name, password};
use crate::role::Role;

/// Of all operators together; one more is refused.
const MAX_OPERATORS: usize = 256;

/// Bytes of what is said of an operator.
const MAX_TAGS: usize = 256;

/// Why operators are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is one.
    #[error("there is a user or key {0:?} already")]
    Exists(String),
    /// There is none.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// It can't be a name.
    #[error("{0:?} is no name: wants 1 to 64 letters, digits, '-', '_' and '.'")]
    Name(String),
    /// It can't be a password.
    #[error("a password has 8 to 1024 characters")]
    Password,
    /// There is too much to be said.
    #[error("tags have at most 256 bytes")]
    Tags,
    /// Nobody could change anything any more.
    #[error("{0:?} is the last one with the role admin")]
    LastAdmin(String),
    /// Another place says it.
    #[error("the configuration sets the password of admin (admin.password): change it there")]
    Configured,
    /// There are as many as may be.
    #[error("there are 256 users, more may not be")]
    Full,
    /// It can't be kept.
    #[error("the change could not be kept: {0}")]
    Keep(#[from] io::Error),
}

/// What is to be another.
#[derive(Clone, Debug, Default)]
pub struct OperatorChange {
    /// What they may do.
    pub role: Option<Role>,
    /// What is said of them.
    pub tags: Option<String>,
    /// Their password.
    pub password: Option<String>,
}

impl Accounts {
    /// All operators, that of the configuration too.
    pub fn operators(&self) -> Vec<OperatorInfo> {
        let record = self.record.read();
        let kept = record.operators.iter().map(|operator| &operator.info);
        if !self.is_configured() {
            return kept.cloned().collect();
        }
        let admin = OperatorInfo {
            username: ADMIN.to_owned(),
            tags: "administrator".to_owned(),
            role: Role::Admin,
            created_at: None,
        };
        std::iter::once(admin).chain(kept.filter(|info| info.username != ADMIN).cloned()).collect()
    }

    /// Adds one.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub fn add_operator(
        &self,
        username: &str,
        password: &str,
        role: Role,
        tags: String,
        now_ms: u64,
    ) -> Result<(), OperatorError> {
        if !is_name(username) {
            return Err(OperatorError::Name(username.to_owned()));
        }
        check_tags(&tags)?;
        let password = hashed(password)?;
        let info = OperatorInfo { username: username.to_owned(), tags, role, created_at: Some(now_ms) };
        self.try_change(|record| {
            if self.is_taken(record, username) {
                return Err(OperatorError::Exists(username.to_owned()));
            }
            if record.operators.len() >= MAX_OPERATORS {
                return Err(OperatorError::Full);
            }
            record.operators.push(Operator { info, password });
            Ok(())
        })
    }

    /// Makes one another.
    ///
    /// # Errors
    /// See [`OperatorError`]; nothing has changed then.
    pub fn change_operator(&self, username: &str, change: OperatorChange) -> Result<(), OperatorError> {
        self.check_kept(username)?;
        let OperatorChange { role, tags, password } = change;
        tags.as_ref().map_or(Ok(()), |tags| check_tags(tags))?;
        let password = password.as_deref().map(hashed).transpose()?;
        let has_password = password.is_some();
        self.try_change(|record| {
            let found = record.operator_mut(username).ok_or_else(|| OperatorError::Unknown(username.to_owned()))?;
            found.info.role = role.unwrap_or(found.info.role);
            if let Some(tags) = tags {
                found.info.tags = tags;
            }
            if let Some(password) = password {
                found.password = password;
            }
            self.check_admin(record, username)
        })?;
        if has_password {
            self.known.write().remove(username);
        }
        Ok(())
    }

    /// Takes one out.
    ///
    /// # Errors
    /// See [`OperatorError`]; then they stay.
    pub fn remove_operator(&self, username: &str) -> Result<(), OperatorError> {
        self.check_kept(username)?;
        self.try_change(|record| {
            let before = record.operators.len();
            record.operators.retain(|operator| operator.info.username != username);
            if record.operators.len() == before {
                return Err(OperatorError::Unknown(username.to_owned()));
            }
            self.check_admin(record, username)
        })?;
        self.known.write().remove(username);
        Ok(())
    }

    /// `admin` has this password from now on, and is there.
    ///
    /// # Errors
    /// See [`OperatorError`]; the old one holds.
    pub fn set_password(&self, password: &str, now_ms: u64) -> Result<(), OperatorError> {
        self.check_kept(ADMIN)?;
        let hash = hashed(password)?;
        self.try_change(|record| {
            record.set_admin(hash, Some(now_ms));
            Ok::<_, OperatorError>(())
        })?;
        self.known.write().remove(ADMIN);
        Ok(())
    }

    /// A name of somebody or something that may ask.
    pub(super) fn is_taken(&self, record: &Record, name: &str) -> bool {
        let is_key = record.keys.iter().any(|key| key.info.name == name);
        is_key || [ADMIN, LOCAL].contains(&name) || record.operator(name).is_some()
    }

    /// That of the configuration is not changed here.
    fn check_kept(&self, username: &str) -> Result<(), OperatorError> {
        if username == ADMIN && self.is_configured() { Err(OperatorError::Configured) } else { Ok(()) }
    }

    /// After a change to this one.
    fn check_admin(&self, record: &Record, username: &str) -> Result<(), OperatorError> {
        if self.is_configured() || record.has_admin() {
            return Ok(());
        }
        Err(OperatorError::LastAdmin(username.to_owned()))
    }
}

fn check_tags(tags: &str) -> Result<(), OperatorError> {
    if tags.len() > MAX_TAGS { Err(OperatorError::Tags) } else { Ok(()) }
}

fn hashed(password: &str) -> Result<String, OperatorError> {
    if !Accounts::is_password(password) {
        return Err(OperatorError::Password);
    }
    Ok(password::hash(password)?)
}
