//! A place for records.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use parking_lot::Mutex;

use crate::{Batch, Step, Table};

/// Why a store can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system says no: no space, no permission, no such folder.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another process has the folder open.
    #[error("another process uses it")]
    InUse,
    /// It was [closed](Store::close).
    #[error("it is closed")]
    Closed,
    /// Written by another version of the store.
    #[error(
        "it has schema {found} and this version reads {expected}; start the version that wrote it, or give another data_dir"
    )]
    Schema {
        /// What is there.
        found: String,
        /// What this version can read.
        expected: u32,
    },
    /// Not written by this store.
    #[error("it is not a store of this broker: {0}")]
    Foreign(String),
    /// A record that nobody can have written.
    #[error("table {table} has a record that can't be read: {why}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A record that is as it was written, of a kind this version doesn't know.
    #[error(
        "{} has a record at byte {offset} that this version doesn't know: start the version that wrote it, or move the \
         folder away to begin without what is in it",
        .file.display()
    )]
    Later {
        /// In which file.
        file: PathBuf,
        /// Where.
        offset: u64,
    },
    /// A file that is not as it was written, before its end or before that of what was written last.
    #[error(
        "{} is damaged at byte {offset}: bring back a backup of the folder, or move it away to begin without what is in it",
        .file.display()
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// Where: what is before it can be read.
        offset: u64,
    },
}

/// A place for records that outlives the process, or pretends to.
pub trait Store: Send + Sync {
    /// Makes all changes or none. When it returns they survive what the store promises.
    fn write(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Calls `visit` with key and value of each record of a table, in order of keys.
    fn read(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Bytes of its files; `None`: it has none.
    fn size(&self) -> Option<u64> {
        None
    }

    /// Another may open it from now on, and nothing can be written by this one.
    fn close(&self) {}
}

/// Takes key and value of a record; an error ends the reading.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Keeps records in memory only.
#[derive(Debug, Default)]
pub struct Memory {
    records: Mutex<BTreeMap<Key, Vec<u8>>>,
}

/// A record's table, and its key there.
type Key = (Table, Vec<u8>);

impl Store for Memory {
    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut records = self.records.lock();
        for step in batch.steps() {
            match step {
                Step::Put(table, key, value) => records.insert((table, key.to_vec()), value.to_vec()),
                Step::Remove(table, key) => records.remove(&(table, key.to_vec())),
            };
        }
        Ok(())
    }

    fn read(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let records = self.records.lock();
        let from = records.range((table, Vec::new())..).take_while(|((of, _), _)| *of == table);
        for ((_, key), value) in from {
            visit(key, value)?;
        }
        Ok(())
    }
}
