//! All records of a table in order of their keys.
//!
//! Keys come in another order than the log has them. So values are fetched for many keys at a time, in the order of
//! the log, and neighbours with one read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::index::Indexed;
use super::log::Log;
use super::segment::{self, at_path};
use crate::{StoreError, Table, Visit};

/// Bytes of values that are fetched before they are shown.
const WINDOW: usize = 32 << 20;

/// Records whose values are fetched before they are shown.
const RECORDS: usize = 1 << 18;

/// Bytes between two values that are read along with them.
const GAP: u64 = 4 << 10;

/// Bytes that are read at once, if it is not for one value.
const READ: u64 = 256 << 10;

impl Log {
    pub(super) fn read(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut entries: Vec<Indexed<'_>> = self.table(table).iter().collect();
        // Stable, because that is faster where parts are in order already.
        entries.sort_by(|one, other| one.key().cmp(other.key()));
        let mut values = Values::default();
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |entry: &&Indexed<'_>| {
                bytes += entry.place.len as usize;
                bytes <= WINDOW
            };
            let count = rest.iter().take(RECORDS).take_while(fits).count().max(1);
            let (window, behind) = rest.split_at(count);
            values.fetch(self, window)?;
            for (entry, &start) in window.iter().zip(&values.starts) {
                visit(entry.key(), &values.bytes[start..start + entry.place.len as usize])?;
            }
            rest = behind;
        }
        Ok(())
    }
}

/// Values of some entries.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    /// Where they are in the bytes.
    starts: Vec<usize>,
    /// Numbers of the entries in the order of the log.
    order: Vec<u32>,
    run: Vec<u8>,
}

impl Values {
    fn fetch(&mut self, log: &Log, entries: &[Indexed<'_>]) -> Result<(), StoreError> {
        self.starts.clear();
        let mut end = 0;
        for entry in entries {
            self.starts.push(end);
            end += entry.place.len as usize;
        }
        self.bytes.clear();
        self.bytes.resize(end, 0);
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..entries.len() as u32);
        order.sort_by_key(|&at| entries[at as usize].place);

        let mut open: Option<(u32, File)> = None;
        let place = |at: u32| entries[at as usize].place;
        // What is near enough is read at once.
        let is_near = |&one: &u32, &other: &u32| {
            let (one, other) = (place(one), place(other));
            let end = u64::from(one.offset) + u64::from(one.len);
            one.segment == other.segment
                && u64::from(other.offset) <= end + GAP
                && (one.offset / READ as u32) == (other.offset / READ as u32)
        };
        for run in order.chunk_by(is_near) {
            let (first, last) = (place(run[0]), place(run[run.len() - 1]));
            let file = match &open {
                Some((number, file)) if *number == first.segment => file,
                _ => {
                    let path = segment::path(&log.folder, first.segment);
                    let file = File::open(&path).map_err(|error| at_path(&path, &error))?;
                    &open.insert((first.segment, file)).1
                }
            };
            let len = u64::from(last.offset) + u64::from(last.len) - u64::from(first.offset);
            self.run.clear();
            self.run.resize(len as usize, 0);
            file.read_exact_at(&mut self.run, u64::from(first.offset))?;
            for &at in run {
                let place = place(at);
                let from = (place.offset - first.offset) as usize;
                let start = self.starts[at as usize];
                let len = place.len as usize;
                self.bytes[start..start + len].copy_from_slice(&self.run[from..from + len]);
            }
        }
        self.order = order;
        Ok(())
    }
}
