//! A running sum of a log.

use std::fmt;

/// Of all that was mixed into it, in its order.
///
/// Each word goes through a step that can be undone, so two logs of which one has a single word changed never have the
/// same digest, and others by chance only. It is against faults of replicas, not against forgers, who have no business
/// in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u64);

impl Digest {
    /// By its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// As it is written.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn mix(&mut self, word: u64) {
        // Odd factors and shifts onto itself lose nothing: for each word this is one to one.
        let mut mixed = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^= mixed >> 29;
        mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.0 = mixed ^ (mixed >> 32);
    }

    pub(crate) fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let whole: Vec<u8> = (0..61).collect();
        let digest = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.mix_bytes(bytes);
            digest
        };
        let mut seen = std::collections::HashSet::from([digest(&whole)]);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(digest(&flipped)), "bit {bit}");
        }
        for len in 0..whole.len() {
            assert!(seen.insert(digest(&whole[..len])), "{len} bytes");
        }
    }

    /// All nodes must agree, whatever they were built for, so it never changes.
    #[test]
    fn it_stays_what_it_is() {
        let mut digest = Digest::default();
        digest.mix_bytes(b"roll call");
        assert_eq!(digest.to_string(), "216268345cba7895");
    }
}
