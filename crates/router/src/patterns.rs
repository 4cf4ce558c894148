//! Patterns to be looked up together.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// So many are looked up together. More would keep more shards locked, and memory does not answer more questions at
/// once.
pub(crate) const TOGETHER: usize = 8;

/// With this many bytes of text they are enough, so that long topics do not leave much memory behind.
const TEXT: usize = 4096;

/// At most [`TOGETHER`] patterns with their hashes; kept and used again.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// All of them, one after the other.
    text: String,
    ends: [usize; TOGETHER],
    hashes: [u64; TOGETHER],
    len: usize,
}

/// One of them.
pub(crate) struct Pattern<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) hash: u64,
}

impl Patterns {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.len = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == TOGETHER || self.text.len() >= TEXT
    }

    /// Adds what `write` appends. There must be room.
    pub(crate) fn push(&mut self, hasher: &RandomState, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        self.ends[self.len] = self.text.len();
        self.hashes[self.len] = hasher.hash_one(&self.text.as_bytes()[start..]);
        self.len += 1;
    }

    /// Those from number `first` on.
    pub(crate) fn from(&self, first: usize) -> impl Iterator<Item = Pattern<'_>> {
        let mut start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let rest = self.ends[first..self.len].iter().zip(&self.hashes[first..]);
        rest.map(move |(&end, &hash)| {
            let bytes = &self.text.as_bytes()[start..end];
            start = end;
            Pattern { bytes, hash }
        })
    }
}
