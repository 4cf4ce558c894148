//! A place for records.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::{Step, Steps, Table};

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
        "{} is damaged at byte {offset}: {what}; `rollcall store repair --data-dir {}` keeps all that is whole",
        .file.display(), .file.parent().unwrap_or(Path::new(".")).display()
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// Where: what is before it can be read.
        offset: u64,
        /// In what way.
        what: Damage,
    },
}

/// What is wrong with a file of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It is not there.
    #[error("the file is missing")]
    Missing,
    /// What it begins with was changed.
    #[error("its head does not check")]
    Head,
    /// Its place is another.
    #[error("it is what was written as {0}")]
    Exchanged(String),
    /// It has no place.
    #[error("it is not the file that was written here")]
    Strange,
    /// Something that was written as a whole is not as it was.
    #[error("changes that were written there do not check{}", begins_with(*.table))]
    Frame {
        /// What it begins with, if that can be read.
        table: Option<&'static str>,
    },
    /// Its end is missing.
    #[error("its last {0} bytes are missing")]
    Short(u64),
    /// It goes on where it ended.
    #[error("it has {0} bytes more than were written")]
    Long(u64),
    /// The list of the files is not as it was written.
    #[error("the list of the files does not check")]
    Manifest,
}

fn begins_with(table: Option<&str>) -> String {
    table.map_or_else(String::new, |table| format!(", the first of them in table {table}"))
}

/// A place for records that outlives the process, or pretends to.
pub trait Store: Send + Sync {
    /// Makes all changes or none. When it returns they survive what the store promises.
    fn write(&self, steps: &Steps) -> Result<(), StoreError>;

    /// Calls `visit` with key and value of each record of a table, in order of keys.
    fn read(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Bytes of its files; `None`: it has none.
    fn size(&self) -> Option<u64> {
        None
    }

    /// How often what it does beside has panicked; it was started again each time.
    fn panics(&self) -> u64 {
        0
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
    fn write(&self, steps: &Steps) -> Result<(), StoreError> {
        let mut records = self.records.lock();
        for step in steps.iter() {
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
