//! Fast digests that mean something to this process only.

use blake2::Blake2b512;
use blake2::digest::Digest as _;

/// 256 bits of a keyed BLAKE2b.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A key that is made at each start and never leaves the memory.
pub(crate) struct Key([u8; 128]);

impl Key {
    /// # Panics
    /// If the system has no random bytes to give, without which nothing here is safe.
    pub(crate) fn random() -> Self {
        let mut key = [0; 128];
        getrandom::fill(&mut key).expect("the system gives random bytes");
        Self(key)
    }

    /// Of all of these together; where one ends and the next begins makes a difference.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut hash = Blake2b512::new();
        hash.update(self.0);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut half = [0; 32];
        half.copy_from_slice(&hash.finalize()[..32]);
        Digest(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_tell_parts_and_keys_apart() {
        let (one, other) = (Key::random(), Key::random());
        assert_eq!(one.digest(&[b"a", b"bc"]), one.digest(&[b"a", b"bc"]));
        assert_ne!(one.digest(&[b"a", b"bc"]), one.digest(&[b"ab", b"c"]));
        assert_ne!(one.digest(&[b"a"]), other.digest(&[b"a"]));
    }
}
