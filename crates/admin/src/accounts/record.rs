//! What is kept of who may ask.

use std::io;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::digest::Digest;
use super::{ADMIN, KeyInfo, password};
use crate::role::Role;

/// Somebody with a password, without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorInfo {
    /// The name they log in by.
    #[schema(example = "jo")]
    pub username: String,
    /// What is said of them; EMQ X calls it so.
    pub tags: String,
    /// What they may do.
    pub role: Role,
    /// Milliseconds since the Unix epoch; null: not known.
    pub created_at: Option<u64>,
}

/// As kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// That of `admin`, as versions wrote it that knew nobody else: a PHC string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(default)]
    pub(super) operators: Vec<Operator>,
    pub(super) keys: Vec<Key>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Operator {
    #[serde(flatten)]
    pub(super) info: OperatorInfo,
    /// A PHC string.
    pub(super) password: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Key {
    #[serde(flatten)]
    pub(super) info: KeyInfo,
    pub(super) digest: Digest,
}

impl Record {
    /// Reads what was kept.
    pub(super) fn read(kept: Option<&[u8]>) -> io::Result<Self> {
        let mut record = kept.map_or_else(|| Ok(Self::default()), serde_json::from_slice)?;
        if let Some(password) = record.password.take() {
            record.set_admin(password, None);
        }
        Ok(record)
    }

    pub(super) fn operator(&self, name: &str) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.info.username == name)
    }

    pub(super) fn operator_mut(&mut self, name: &str) -> Option<&mut Operator> {
        self.operators.iter_mut().find(|operator| operator.info.username == name)
    }

    /// Somebody may change everything.
    pub(super) fn has_admin(&self) -> bool {
        self.operators.iter().any(|operator| operator.info.role == Role::Admin)
    }

    /// `admin` is there, may change everything, and has this password from now on.
    pub(super) fn set_admin(&mut self, hash: String, created_at: Option<u64>) {
        if let Some(admin) = self.operator_mut(ADMIN) {
            admin.info.role = Role::Admin;
            admin.password = hash;
            return;
        }
        let tags = "administrator".to_owned();
        let info = OperatorInfo { username: ADMIN.to_owned(), tags, role: Role::Admin, created_at };
        self.operators.insert(0, Operator { info, password: hash });
    }
}

/// That record with another password of `admin`.
pub(super) fn with_password(kept: Option<&[u8]>, password: &str, now_ms: u64) -> io::Result<Vec<u8>> {
    let mut record = Record::read(kept)?;
    record.set_admin(password::hash(password)?, Some(now_ms));
    Ok(serde_json::to_vec(&record)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_an_earlier_version_is_admins() {
        let record = Record::read(Some(br#"{"password":"$phc","keys":[]}"#)).unwrap();
        let admin = record.operator(ADMIN).unwrap();
        assert_eq!((&*admin.password, admin.info.role), ("$phc", Role::Admin));
        let kept = serde_json::to_vec(&record).unwrap();
        assert_eq!(Record::read(Some(&kept)).unwrap().operators.len(), 1);
        let none = Record::read(Some(br#"{"password":null,"keys":[]}"#)).unwrap();
        assert!(!none.has_admin());
    }

    #[test]
    fn a_password_set_from_outside_makes_admin_what_it_was() {
        let info = |role| OperatorInfo { username: ADMIN.to_owned(), tags: String::new(), role, created_at: None };
        let demoted = Record {
            operators: vec![Operator { info: info(Role::Viewer), password: "$phc".to_owned() }],
            ..Record::default()
        };
        let kept = with_password(Some(&serde_json::to_vec(&demoted).unwrap()), "long enough", 1).unwrap();
        let record = Record::read(Some(&kept)).unwrap();
        assert!(record.has_admin() && password::is_right("long enough", &record.operators[0].password));
        let made = Record::read(Some(&with_password(None, "long enough", 1).unwrap())).unwrap();
        assert!(made.has_admin());
    }
}
