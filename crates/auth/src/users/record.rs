//! A user as it is stored, by the name.

use minicbor::{Decoder, Encoder, decode};

use crate::hash::Hash;

/// A user that an operator has added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// Milliseconds since the Unix epoch.
    pub(super) created_at: u64,
    pub(super) hash: Hash,
}

impl User {
    /// Each field has a number of its own, which is never used for something else.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let mut record = Encoder::new(Vec::with_capacity(128));
        let written = record
            .map(2)
            .and_then(|record| record.u8(0)?.u64(self.created_at))
            .and_then(|record| record.u8(1)?.str(self.hash.as_str()));
        written.expect("a Vec takes all bytes");
        record.into_writer()
    }

    /// `None`: nobody can have written it.
    pub(super) fn from_record(record: &[u8]) -> Option<Self> {
        Self::read(&mut Decoder::new(record)).ok().flatten()
    }

    fn read(record: &mut Decoder<'_>) -> Result<Option<Self>, decode::Error> {
        let (mut created_at, mut hash) = (0, None);
        for _ in 0..record.map()?.unwrap_or_default() {
            match record.u8()? {
                0 => created_at = record.u64()?,
                1 => hash = Hash::parse(record.str()?).ok(),
                // Of a later version.
                _ => record.skip()?,
            }
        }
        Ok(hash.map(|hash| Self { created_at, hash }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_comes_back_as_it_was() {
        let user = User { created_at: 1_625_572_213_873, hash: Hash::nobody() };
        let mut record = user.to_record();
        for len in 0..record.len() {
            assert_eq!(User::from_record(&record[..len]), None, "{len}");
        }
        // One more entry in the map: number 23 is the text "x".
        record[0] += 1;
        record.extend([23, 0x61, b'x']);
        assert_eq!(User::from_record(&record), Some(user));
    }
}
