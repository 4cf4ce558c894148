//! Who is known, and how far each has counted.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::mem;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::row::{Row, Slot};

/// Clients, those included that are kept for their counts, sessions or wills. One more is [refused](crate::Effect::Refused).
pub const MAX_CLIENTS: usize = 1 << 24;

/// How many clients that are gone are known for how far they have counted.
pub const MAX_TRAILS: usize = 1 << 18;

/// Rows by client id.
pub(super) struct Clients {
    rows: HashTable<Box<[u8]>>,
    hasher: RandomState,
    /// Those that can be forgotten, the one that has been away for longest first: its event, and its hash, by which it is found.
    trails: BTreeMap<u64, u64>,
    /// Whoever is not known goes on counting from here, which is as far as any has counted that was forgotten: so no number
    /// comes twice.
    pub(super) floor: u64,
    online: usize,
    /// [`MAX_TRAILS`], but in tests.
    pub(super) max_trails: usize,
}

/// A client that was found by its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    event: u64,
    hash: u64,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            rows: HashTable::new(),
            hasher: RandomState::default(),
            trails: BTreeMap::new(),
            floor: 0,
            online: 0,
            max_trails: MAX_TRAILS,
        }
    }
}

impl Clients {
    pub(super) fn get(&self, id: &str) -> Option<Row<'_>> {
        let hash = self.hash(id.as_bytes());
        self.rows.find(hash, |row| Row::id_of(row) == id.as_bytes()).map(|row| Row::of(row))
    }

    /// Takes a row out, to be changed and put back.
    pub(super) fn take(&mut self, id: &str) -> Option<Box<[u8]>> {
        let hash = self.hash(id.as_bytes());
        self.take_if(hash, |row| Row::id_of(row) == id.as_bytes())
    }

    /// Takes the row out whose last event is this one.
    pub(super) fn take_found(&mut self, found: Found) -> Option<Box<[u8]>> {
        self.take_if(found.hash, |row| Row::of(row).event == found.event)
    }

    fn take_if(&mut self, hash: u64, is_it: impl Fn(&[u8]) -> bool) -> Option<Box<[u8]>> {
        let (packed, _) = self.rows.find_entry(hash, |row| is_it(row)).ok()?.remove();
        let row = Row::of(&packed);
        self.online -= usize::from(row.is_online);
        if row.is_trail() {
            self.trails.remove(&row.event);
        }
        Some(packed)
    }

    /// Puts a row in whose client has none.
    pub(super) fn put(&mut self, row: &Row<'_>) {
        self.put_packed(row.pack());
        while self.trails.len() > self.max_trails {
            self.forget_oldest();
        }
    }

    fn put_packed(&mut self, packed: Box<[u8]>) {
        let row = Row::of(&packed);
        let hash = self.hash(row.id.as_bytes());
        self.online += usize::from(row.is_online);
        if row.is_trail() {
            if row.event == 0 {
                // It was only known for its session, and has counted nothing.
                return;
            }
            self.trails.insert(row.event, hash);
        }
        let Self { rows, hasher, .. } = self;
        rows.insert_unique(hash, packed, |row| hasher.hash_one(Row::id_of(row)));
    }

    fn forget_oldest(&mut self) {
        let Some((&event, &hash)) = self.trails.first_key_value() else { return };
        let packed = self.take_found(Found { event, hash }).expect("a trail has its row");
        self.floor = self.floor.max(Row::of(&packed).seq);
    }

    /// Those who are online at a node, in the order in which they came.
    pub(super) fn online_at(&self, node: Slot) -> Vec<Found> {
        let rows = self.rows.iter().map(|packed| Row::of(packed)).filter(|row| row.is_online && row.node == node);
        let mut found: Vec<_> =
            rows.map(|row| Found { event: row.event, hash: self.hash(row.id.as_bytes()) }).collect();
        found.sort_unstable();
        found
    }

    /// Those whose session is kept at a node, by their ids, so that what is forgotten for them is the same for all readers.
    pub(super) fn kept_at(&self, node: Slot) -> Vec<Box<str>> {
        let mut ids: Vec<Box<str>> =
            self.iter().filter(|row| row.home == Some(node)).map(|row| row.id.into()).collect();
        ids.sort_unstable();
        ids
    }

    /// Packed rows by their ids, so that all readers write the same.
    pub(super) fn in_order(&self) -> Vec<&[u8]> {
        let mut rows: Vec<&[u8]> = self.rows.iter().map(|row| &**row).collect();
        rows.sort_unstable_by(|one, other| Row::id_of(one).cmp(Row::id_of(other)));
        rows
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|row| Row::of(row))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) const fn online(&self) -> usize {
        self.online
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= MAX_CLIENTS
    }

    /// Bytes, as far as they can be known.
    pub(super) fn held(&self) -> usize {
        let rows: usize = self.rows.iter().map(|row| row.len().next_multiple_of(16) + 16).sum();
        rows + self.rows.allocation_size() + self.trails.len() * 2 * mem::size_of::<Found>()
    }

    fn hash(&self, id: &[u8]) -> u64 {
        self.hasher.hash_one(id)
    }
}
