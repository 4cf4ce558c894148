//! What a node appends at once.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::record::MAX_NAME;
use crate::wire::{put_bytes, put_number, take_bytes, take_number, take_text};
use crate::{Error, Record};

/// The form of the batch itself. Who finds another one must not guess.
const VERSION: u8 = 1;

/// A whole batch: bytes. What a node stages is cut well below.
pub const MAX_BATCH: usize = 1024 * 1024;

/// Who appends, and which of its batches this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Who appends.
    pub node: ByteString,
    /// In which of its lives.
    pub epoch: u64,
    /// Counts its batches from 0, which has the [`Join`](Record::Join). One that is appended again has the same.
    pub n: u64,
    /// Grows when half a second has passed at the node since it did.
    pub beat: u64,
    /// By the node's clock, for people to read: milliseconds since the Unix epoch.
    pub at: u64,
}

/// Records that a node appends at once; none, if it only says that it lives.
///
/// It has been looked through when it is made of bytes, so its records can be taken out one by one without an error and
/// without memory for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who appends, and which of its batches this is.
    pub head: Head,
    records: Records,
}

/// The records of a batch, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(Bytes);

impl Head {
    /// A batch with these records, each as [`Record::encode`] wrote it.
    pub fn encode(&self, records: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(48 + self.node.len() + records.len());
        out.put_u8(VERSION);
        put_bytes(self.node.as_bytes(), &mut out);
        for number in [self.epoch, self.n, self.beat, self.at] {
            put_number(number, &mut out);
        }
        put_bytes(records, &mut out);
        out.freeze()
    }
}

impl Batch {
    /// Reads one, all its records included.
    ///
    /// # Errors
    /// No node of a version that is known here writes this.
    pub fn decode(mut input: Bytes) -> Result<Self, Error> {
        if input.len() > MAX_BATCH {
            return Err(Error::TooLong("a batch"));
        }
        match input.first() {
            Some(&VERSION) => input = input.slice(1..),
            Some(other) => return Err(Error::Version(*other)),
            None => return Err(Error::Short("a batch")),
        }
        let head = Head {
            node: take_text(&mut input, MAX_NAME, "a node's name")?,
            epoch: take_number(&mut input, "an epoch")?,
            n: take_number(&mut input, "a batch's number")?,
            beat: take_number(&mut input, "a beat")?,
            at: take_number(&mut input, "a time")?,
        };
        if head.node.is_empty() {
            return Err(Error::Malformed("a node's name"));
        }
        let records = take_bytes(&mut input, MAX_BATCH, "the records")?;
        let mut unread = records.clone();
        while !unread.is_empty() {
            Record::take(&mut unread)?;
        }
        Ok(Self { head, records: Records(records) })
    }

    /// What the node tells.
    pub fn records(&self) -> Records {
        self.records.clone()
    }
}

impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while !self.0.is_empty() {
            // Batches are looked through as a whole when they are read, so none fails here.
            if let Some(record) = Record::take(&mut self.0).expect("it has been read before") {
                return Some(record);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
