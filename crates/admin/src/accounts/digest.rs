//! What machines made: long and random, so that a fast digest of it tells nothing.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use blake2::Blake2b512;
use blake2::digest::Digest as _;
use serde::{Deserialize, Serialize};

/// 256 bits of a secret's BLAKE2b.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(secret: &str) -> Self {
        Self::over(&[], secret)
    }

    fn over(key: &[u8], secret: &str) -> Self {
        let mut hash = Blake2b512::new();
        hash.update(key);
        hash.update(secret.as_bytes());
        let mut half = [0; 32];
        half.copy_from_slice(&hash.finalize()[..32]);
        Self(half)
    }
}

/// Digests that mean something to this process only: for what people chose, while it is in memory.
pub(super) struct Keyed([u8; 128]);

impl Default for Keyed {
    fn default() -> Self {
        let mut key = [0; 128];
        getrandom::fill(&mut key).expect("the system gives random bytes");
        Self(key)
    }
}

impl Keyed {
    pub(super) fn digest(&self, secret: &str) -> Digest {
        Digest::over(&self.0, secret)
    }

    /// What nobody can guess and this process can make again. It is never the digest of a secret.
    pub(super) fn token(&self, name: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Digest::over(&self.0, &format!("\0token\0{name}")).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_secret_and_a_keyed_one_of_one_process() {
        assert_eq!(Digest::of("a"), Digest::of("a"));
        assert_ne!(Digest::of("a"), Digest::of("b"));
        let (one, other) = (Keyed::default(), Keyed::default());
        assert_eq!(one.digest("a"), one.digest("a"));
        assert_ne!(one.digest("a"), other.digest("a"));
        assert_ne!(one.digest("a"), Digest::of("a"));
    }
}
