//! A user as it is stored, by the name.

use minicbor::{Decoder, Encoder, decode};

use crate::hash::Hash;
use crate::scram::Verifier;

/// A user that an operator has added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// Milliseconds since the Unix epoch.
    pub(super) created_at: u64,
    pub(super) hash: Hash,
    /// For SCRAM, if it is on.
    pub(super) scram: Option<Verifier>,
}

impl User {
    /// Each field has a number of its own, which is never used for something else.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let mut record = Encoder::new(Vec::with_capacity(128));
        let written = record
            .map(2 + u64::from(self.scram.is_some()))
            .and_then(|record| record.u8(0)?.u64(self.created_at))
            .and_then(|record| record.u8(1)?.str(self.hash.as_str()));
        written.expect("a Vec takes all bytes");
        if let Some(Verifier { salt, iterations, stored_key, server_key }) = &self.scram {
            let written = record.u8(2).and_then(|record| {
                record.array(4)?.bytes(salt)?.u32(*iterations)?.bytes(stored_key)?.bytes(server_key)
            });
            written.expect("a Vec takes all bytes");
        }
        record.into_writer()
    }

    /// `None`: nobody can have written it.
    pub(super) fn from_record(record: &[u8]) -> Option<Self> {
        Self::read(&mut Decoder::new(record)).ok().flatten()
    }

    fn read(record: &mut Decoder<'_>) -> Result<Option<Self>, decode::Error> {
        let (mut created_at, mut hash, mut scram) = (0, None, None);
        for _ in 0..record.map()?.unwrap_or_default() {
            match record.u8()? {
                0 => created_at = record.u64()?,
                1 => hash = Hash::parse(record.str()?).ok(),
                2 => scram = read_scram(record)?,
                // Of a later version.
                _ => record.skip()?,
            }
        }
        Ok(hash.map(|hash| Self { created_at, hash, scram }))
    }
}

fn read_scram(record: &mut Decoder<'_>) -> Result<Option<Verifier>, decode::Error> {
    record.array()?;
    let (salt, iterations) = (record.bytes()?.to_vec(), record.u32()?);
    let (stored_key, server_key) = (record.bytes()?.try_into(), record.bytes()?.try_into());
    Ok(stored_key.ok().zip(server_key.ok()).map(|(stored_key, server_key)| Verifier {
        salt,
        iterations,
        stored_key,
        server_key,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_comes_back_as_it_was() {
        let scram = Verifier { salt: vec![1; 16], iterations: 4096, stored_key: [2; 32], server_key: [3; 32] };
        let user = User { created_at: 1_625_572_213_873, hash: Hash::nobody(), scram: Some(scram) };
        let plain = User { scram: None, ..user.clone() };
        assert_eq!(User::from_record(&plain.to_record()), Some(plain));
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
