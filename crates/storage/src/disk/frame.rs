//! Steps as they are in the log: a head, then each of them.
//!
//! The head is the segment's marker, the length of the body and a checksum of both. A step is a byte (the table's
//! number, and a bit for "put"), the key's length, for a put the value's, the key and the value; lengths are LEB128.

use crate::{Step, Steps, StoreError, Table};

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 12;

/// Bytes of a frame whose memory is kept for the next one.
const KEEP: usize = 1 << 20;

const PUT: u8 = 0x80;

/// What the frames of one segment have in common, and nothing that a client sends can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt {
    /// The first bytes of a frame.
    pub(super) marker: [u8; 4],
    /// Changes the checksums.
    pub(super) check: u32,
}

impl Salt {
    /// As it is in a head.
    pub(super) const fn from_number(number: u64) -> Self {
        let [m0, m1, m2, m3, c0, c1, c2, c3] = number.to_le_bytes();
        Self { marker: [m0, m1, m2, m3], check: u32::from_le_bytes([c0, c1, c2, c3]) }
    }

    /// The one with which this was written, provided that it is a frame.
    pub(super) fn of_frame(head: [u8; HEAD], body: &[u8]) -> Self {
        let [m0, m1, m2, m3, .., c0, c1, c2, c3] = head;
        // The salt is mixed in by exclusive or, so who has the checksum and the head has the salt.
        let check = u32::from_le_bytes([c0, c1, c2, c3]) ^ checksum(body_len(head), body);
        Self { marker: [m0, m1, m2, m3], check }
    }

    pub(super) const fn to_number(self) -> u64 {
        let [m0, m1, m2, m3] = self.marker;
        let [c0, c1, c2, c3] = self.check.to_le_bytes();
        u64::from_le_bytes([m0, m1, m2, m3, c0, c1, c2, c3])
    }
}

/// What a frame's head says.
pub(super) struct Head {
    /// Bytes of the body.
    pub(super) len: u32,
    check: u32,
}

impl Head {
    /// `None`: a frame can't begin like this.
    pub(super) fn read(bytes: [u8; HEAD], salt: Salt) -> Option<Self> {
        let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = bytes;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let check = u32::from_le_bytes([c0, c1, c2, c3]);
        // No frame is empty: who reads takes a body of 0 bytes for none.
        ([m0, m1, m2, m3] == salt.marker && len > 0).then_some(Self { len, check })
    }

    /// True if this is what was written behind the head.
    pub(super) fn is_of(&self, body: &[u8], salt: Salt) -> bool {
        checksum(self.len, body) ^ salt.check == self.check
    }
}

/// As a head says, whatever its marker.
pub(super) const fn body_len(head: [u8; HEAD]) -> u32 {
    u32::from_le_bytes([head[4], head[5], head[6], head[7]])
}

fn checksum(len: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // The length too: a damaged one would have other bytes taken for the body.
    hasher.update(&len.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// A frame that is being made.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// The head, then the body; or nothing.
    bytes: Vec<u8>,
    /// What [`Self::check`] found.
    checksum: u32,
}

impl Frame {
    /// Forgets the steps.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
    }

    /// Bytes of the body.
    pub(super) fn size(&self) -> usize {
        self.bytes.len().saturating_sub(HEAD)
    }

    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(HEAD..).unwrap_or_default()
    }

    pub(super) fn fill(&mut self, steps: &Steps) {
        self.clear();
        self.bytes.reserve(HEAD + steps.size());
        steps.iter().for_each(|step| self.push(step));
    }

    pub(super) fn push(&mut self, step: Step<'_>) {
        if self.bytes.is_empty() {
            // Room for the head, which is filled in when the frame is sealed.
            self.bytes.resize(HEAD, 0);
        }
        match step {
            Step::Put(table, key, value) => {
                self.bytes.push(table.number() | PUT);
                push_len(&mut self.bytes, key.len());
                push_len(&mut self.bytes, value.len());
                self.bytes.extend_from_slice(key);
                self.bytes.extend_from_slice(value);
            }
            Step::Remove(table, key) => {
                self.bytes.push(table.number());
                push_len(&mut self.bytes, key.len());
                self.bytes.extend_from_slice(key);
            }
        }
    }

    /// Computes the checksum. An error if there is more than a frame can hold.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        // Also leaves room for a segment in front of it, whose offsets have 32 bits.
        let len = u32::try_from(self.size()).ok().filter(|&len| len <= u32::MAX / 2);
        let len = len.ok_or(std::io::Error::from(std::io::ErrorKind::FileTooLarge))?;
        self.checksum = checksum(len, self.body());
        self.bytes[4..8].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    /// What is to be written into a segment. The frame has steps and was [checked](Self::check) behind the last one.
    pub(super) fn seal(&mut self, salt: Salt) -> &[u8] {
        self.bytes[..4].copy_from_slice(&salt.marker);
        self.bytes[8..HEAD].copy_from_slice(&(self.checksum ^ salt.check).to_le_bytes());
        &self.bytes
    }
}

/// The table of a step that begins with this byte.
pub(super) fn table_of(first: u8) -> Option<Table> {
    Table::from_number(first & !PUT)
}

/// Bytes of a put's step in the log.
pub(super) const fn put_size(key: usize, value: u32) -> u64 {
    1 + len_size(key as u64) + len_size(value as u64) + key as u64 + value as u64
}

const fn len_size(len: u64) -> u64 {
    match len {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

fn push_len(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// The steps of a body, and where in it their values are.
#[derive(Clone, Debug)]
pub(super) struct ReadSteps<'a> {
    body: &'a [u8],
    at: usize,
}

/// A body that this version can't have written.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed;

#[derive(Debug, PartialEq)]
pub(super) struct Placed<'a> {
    pub(super) step: Step<'a>,
    /// Offset in the body.
    pub(super) value_at: u32,
}

impl<'a> ReadSteps<'a> {
    /// From the step that begins at `at`.
    pub(super) const fn new(body: &'a [u8], at: usize) -> Self {
        Self { body, at }
    }

    /// Where the next step begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.body.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(taken)
    }

    fn take_len(&mut self) -> Option<usize> {
        let mut len = 0u64;
        // Five bytes at the most: no length that was written has more.
        for shift in (0..35).step_by(7) {
            let &byte = self.body.get(self.at)?;
            self.at += 1;
            len |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(len).ok();
            }
        }
        None
    }

    fn step(&mut self) -> Option<Placed<'a>> {
        let &[kind] = self.take(1)? else { return None };
        let table = Table::from_number(kind & !PUT)?;
        let key = self.take_len()?;
        if kind & PUT == 0 {
            let key = self.take(key)?;
            return Some(Placed { step: Step::Remove(table, key), value_at: 0 });
        }
        let value = self.take_len()?;
        let key = self.take(key)?;
        let value_at = u32::try_from(self.at).ok()?;
        Some(Placed { step: Step::Put(table, key, self.take(value)?), value_at })
    }
}

impl<'a> Iterator for ReadSteps<'a> {
    type Item = Result<Placed<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.body.len() {
            return None;
        }
        let step = self.step();
        if step.is_none() {
            // Nothing behind it can be made out: the lengths are what is damaged.
            self.at = self.body.len();
        }
        Some(step.ok_or(Malformed))
    }
}

#[cfg(test)]
impl Frame {
    pub(super) fn with_body(body: &[u8]) -> Self {
        let mut frame = Self { bytes: [&[0; HEAD], body].concat(), checksum: 0 };
        frame.check().unwrap();
        frame
    }
}
