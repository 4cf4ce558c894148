//! Where the records of one table are.

use std::fmt;

use self::chains::Chains;
use self::runs::{KEY, Runs};
use crate::Table;

mod chains;
mod runs;

/// Where a record's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Number of the segment.
    pub(super) segment: u32,
    /// Of the value, in the segment's file.
    pub(super) offset: u32,
    /// Bytes of the value.
    pub(super) len: u32,
}

/// A record that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed<'a> {
    key: Key<'a>,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Key<'a> {
    Any(&'a [u8]),
    Numbers([u8; KEY]),
}

impl Indexed<'_> {
    pub(super) fn key(&self) -> &[u8] {
        match &self.key {
            Key::Any(key) => key,
            Key::Numbers(key) => key,
        }
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Index {
    /// Of a table whose keys are a session's number and another one that counts up.
    runs: Option<Runs>,
    /// All others.
    chains: Chains<Place>,
}

impl Index {
    pub(super) fn of(table: Table) -> Self {
        let has_runs = matches!(table, Table::Deliveries | Table::Sent);
        Self { runs: has_runs.then(Runs::default), chains: Chains::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.chains.len() + self.runs.as_ref().map_or(0, Runs::len)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Indexed<'_>> {
        let of_runs = self.runs.iter().flat_map(Runs::iter);
        let of_runs = of_runs.map(|(key, place)| Indexed { key: Key::Numbers(key), place });
        let others = self.chains.iter().map(|entry| Indexed { key: Key::Any(entry.key()), place: entry.value });
        of_runs.chain(others)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Place> {
        match (&self.runs, key.try_into()) {
            (Some(runs), Ok(key)) => runs.get(key),
            _ => self.chains.get(key).copied(),
        }
    }

    /// Returns where the record was.
    pub(super) fn insert(&mut self, key: &[u8], place: Place) -> Option<Place> {
        match (&mut self.runs, key.try_into()) {
            (Some(runs), Ok(key)) => runs.insert(key, place),
            _ => self.chains.insert(key, place),
        }
    }

    /// Returns where the record was.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Place> {
        match (&mut self.runs, key.try_into()) {
            (Some(runs), Ok(key)) => runs.remove(key),
            _ => self.chains.remove(key),
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("len", &self.len()).finish_non_exhaustive()
    }
}
