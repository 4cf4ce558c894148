//! What is kept of a password.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};

/// What is kept of a password: it tells whether a secret is right, and not what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// A PHC string of Argon2id, which has its cost in it.
    Argon2(Box<str>),
}

/// Of no password: costs as much as one that is wrong.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Hash {
    /// Of a new password: Argon2id (19 MiB, 2 passes, 1 lane, as OWASP has it), some 20 ms.
    pub(crate) fn of(password: &[u8]) -> Result<Self, String> {
        let hash = Argon2::default().hash_password(password).map_err(|error| error.to_string())?;
        Ok(Self::Argon2(hash.to_string().into()))
    }

    pub(crate) fn nobody() -> Self {
        Self::Argon2(NOBODY.into())
    }

    /// Takes its time.
    pub(crate) fn is_of(&self, secret: &[u8]) -> bool {
        match self {
            Self::Argon2(text) => {
                let Ok(hash) = PasswordHash::new(text) else { return false };
                Argon2::default().verify_password(secret, &hash).is_ok()
            }
        }
    }

    /// What tells it from any other: it is salted.
    pub(crate) fn identity(&self) -> &[u8] {
        match self {
            Self::Argon2(text) => text.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_and_another_is_not() {
        let hash = Hash::of(b"correct horse").unwrap();
        assert!(hash.is_of(b"correct horse"));
        assert!(!hash.is_of(b"correct hors") && !hash.is_of(b""));
        assert_ne!(Hash::of(b"correct horse").unwrap(), hash, "salted");
        assert!(!Hash::Argon2("no hash".into()).is_of(b""));
    }

    #[test]
    fn nobody_costs_what_a_new_password_costs() {
        let params = |hash: &Hash| {
            let Hash::Argon2(text) = hash;
            PasswordHash::new(text).expect("well formed").params
        };
        assert_eq!(params(&Hash::nobody()), params(&Hash::of(b"x").unwrap()));
        assert!(!Hash::nobody().is_of(b""));
    }
}
