//! What people choose or copy: hashed slowly, so that a stolen store tells little.

use std::io;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};

/// As a PHC string; Argon2id with its recommended cost: some 20 ms and 19 MiB.
pub(super) fn hash(password: &str) -> io::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(io::Error::other)?;
    Ok(hash.to_string())
}

pub(super) fn is_right(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_and_another_is_not() {
        let kept = hash("correct horse").unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains("horse"));
        assert!(is_right("correct horse", &kept));
        assert!(!is_right("correct hors", &kept) && !is_right("", &kept) && !is_right("x", "no hash"));
        assert_ne!(hash("correct horse").unwrap(), kept, "salted");
    }
}
