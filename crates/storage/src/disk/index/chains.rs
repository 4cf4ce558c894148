//! What belongs to keys: entries without gaps, in chains from buckets whose number follows that of the entries one by one. Nothing
//! is ever rebuilt as a whole, so no write waits for that, and a table that has become small is small. A place costs some 45 bytes;
//! a map of the standard library takes 47 to 94.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

#[derive(Debug)]
pub(super) struct Entry<V> {
    key: Key,
    pub(super) value: V,
    /// The next one in the bucket, or `NONE`.
    next: u32,
}

const _: () = assert!(size_of::<Entry<super::Place>>() == 40);

impl<V> Entry<V> {
    pub(super) fn key(&self) -> &[u8] {
        match &self.key {
            Key::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Key::Long(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
enum Key {
    Short { len: u8, bytes: [u8; 22] },
    Long(Box<[u8]>),
}

impl Key {
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; 22];
        match bytes.get_mut(..key.len()) {
            Some(start) => {
                start.copy_from_slice(key);
                Self::Short { len: key.len() as u8, bytes }
            }
            None => Self::Long(key.into()),
        }
    }
}

const NONE: u32 = u32::MAX;

/// Entries that are allocated at once.
const CHUNK: usize = 1 << 12;

pub(super) struct Chains<V> {
    hasher: RandomState,
    /// The first entry of each bucket, or `NONE`.
    heads: Vec<u32>,
    /// All but the last are full. The first grows as it likes, so that a small table costs little.
    chunks: Vec<Vec<Entry<V>>>,
}

impl<V> Default for Chains<V> {
    fn default() -> Self {
        Self { hasher: RandomState::default(), heads: Vec::new(), chunks: Vec::new() }
    }
}

impl<V> Chains<V> {
    pub(super) fn len(&self) -> usize {
        match &self.chunks[..] {
            [] => 0,
            [full @ .., last] => full.len() * CHUNK + last.len(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<V>> {
        self.chunks.iter().flatten()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.find(key).map(|entry| &self.entry(entry).value)
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        self.find(key).map(|entry| &mut self.entry_mut(entry).value)
    }

    /// Returns what was there before.
    pub(super) fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        if let Some(before) = self.get_mut(key) {
            return Some(std::mem::replace(before, value));
        }
        self.grow();
        let entry = self.len() as u32;
        let bucket = self.bucket(key);
        let next = std::mem::replace(&mut self.heads[bucket], entry);
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(if self.chunks.is_empty() { 4 } else { CHUNK }));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(Entry { key: Key::new(key), value, next });
        }
        None
    }

    /// Returns what was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let entry = self.find(key)?;
        let next = self.entry(entry).next;
        // First out of its chain, while its key still tells which that is.
        *self.link_to(entry) = next;
        // The last entry takes the place of this one.
        let last = self.len() as u32 - 1;
        if entry != last {
            *self.link_to(last) = entry;
        }
        let moved = self.chunks.last_mut().and_then(Vec::pop)?;
        // Without gaps: so an entry's number is its place, and chains hold numbers of 4 bytes.
        let removed = if entry == last { moved } else { std::mem::replace(self.entry_mut(entry), moved) };
        if self.chunks.last().is_some_and(Vec::is_empty) {
            self.chunks.pop();
        }
        self.shrink();
        Some(removed.value)
    }

    fn entry(&self, entry: u32) -> &Entry<V> {
        &self.chunks[entry as usize / CHUNK][entry as usize % CHUNK]
    }

    fn entry_mut(&mut self, entry: u32) -> &mut Entry<V> {
        &mut self.chunks[entry as usize / CHUNK][entry as usize % CHUNK]
    }

    /// There is a bucket.
    fn bucket(&self, key: &[u8]) -> usize {
        let hash = self.hasher.hash_one(key) as usize;
        let mask = self.heads.len().next_power_of_two() - 1;
        // Buckets that are not there yet have their keys in the one they will be split from.
        if hash & mask < self.heads.len() { hash & mask } else { hash & (mask >> 1) }
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        if self.heads.is_empty() {
            return None;
        }
        let mut at = self.heads[self.bucket(key)];
        while at != NONE {
            let entry = self.entry(at);
            if entry.key() == key {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    /// What holds the number of an entry that is there.
    fn link_to(&mut self, entry: u32) -> &mut u32 {
        let bucket = self.bucket(self.entry(entry).key());
        let mut at = self.heads[bucket];
        if at == entry {
            return &mut self.heads[bucket];
        }
        loop {
            let next = self.entry(at).next;
            if next == entry {
                return &mut self.entry_mut(at).next;
            }
            at = next;
        }
    }

    /// One more bucket, if there is none for the next entry. The bucket it is split from is shared out again.
    fn grow(&mut self) {
        if self.len() < self.heads.len() {
            return;
        }
        let old = self.heads.len();
        let from = old.checked_ilog2().map_or(0, |bits| old - (1 << bits));
        let mut at = self.heads.get_mut(from).map_or(NONE, |head| std::mem::replace(head, NONE));
        self.heads.push(NONE);
        while at != NONE {
            let bucket = self.bucket(self.entry(at).key());
            let head = std::mem::replace(&mut self.heads[bucket], at);
            at = std::mem::replace(&mut self.entry_mut(at).next, head);
        }
    }

    /// One bucket less, if there are too many. Its entries go back to where it was split from.
    fn shrink(&mut self) {
        // Only where there are twice as many as entries: a table that grows and shrinks in turn splits no bucket each
        // time.
        if self.len() >= self.heads.len() / 2 {
            return;
        }
        let Some(mut at) = self.heads.pop() else { return };
        while at != NONE {
            let bucket = self.bucket(self.entry(at).key());
            let head = std::mem::replace(&mut self.heads[bucket], at);
            at = std::mem::replace(&mut self.entry_mut(at).next, head);
        }
        if self.heads.len() < self.heads.capacity() / 4 {
            self.heads.shrink_to(self.heads.len() * 2);
        }
    }
}
