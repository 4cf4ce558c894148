//! What is whole is kept, what isn't is put beside it, and the folder can be opened again.
//!
//! Files that are changed or taken away are first linked into a folder beside, so nothing is ever lost by this. If the
//! process ends in the midst of it, it can be done again: segments keep their salts, by which they are found.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use super::log::sync_folder;
use super::manifest::{self, Manifest, Stated};
use super::segment::{self, at_path};
use super::survey::{Found, MOVED, Survey};
use super::{Disk, Durability, Tuning};
use crate::{Loaded, Steps, Store, StoreError, Table, Unreadable};

/// What a repair has done.
#[derive(Debug)]
pub struct Repaired {
    /// Where the files are as they were, what was found, and the records that were taken out.
    pub beside: PathBuf,
    /// Records there are now.
    pub records: u64,
    /// Records that were taken out, for they can't be read.
    pub unreadable: Vec<Unreadable>,
}

impl Survey {
    /// Keeps all that is whole. What isn't goes into a folder of this name in the store's, or a similar one if there is
    /// one.
    ///
    /// # Errors
    /// A file can't be read or written. What was there is there still.
    pub fn repair(self, name: &str) -> Result<Repaired, StoreError> {
        let beside = make_beside(&self.folder, name)?;
        if !self.findings().is_empty() {
            // Before anything is changed, and synced: whatever follows, what was there can be had again.
            self.keep_originals(&beside)?;
            self.put_in_place()?;
            let entries = self.rewrite()?;
            let has_manifest = !entries.is_empty();
            if has_manifest {
                Manifest { entries }.write(&self.folder, &Tuning::default())?;
            } else {
                remove(&manifest::path(&self.folder))?;
            }
            self.lock.mark(Durability::Process, has_manifest)?;
        }
        let folder = self.folder.clone();
        // It is taken again by who opens it.
        drop(self);
        let disk = Disk::open(&folder, Durability::Power)?;
        let unreadable = Loaded::read(&disk)?.unreadable;
        take_out(&disk, &unreadable, &beside)?;
        let records = disk.opened().records - unreadable.len() as u64;
        Ok(Repaired { beside, records, unreadable })
    }

    fn keep_originals(&self, beside: &Path) -> Result<(), StoreError> {
        let report: String = self.findings().iter().map(|finding| format!("{finding}\n")).collect();
        write_new(&beside.join("report.txt"), report.as_bytes())?;
        let segments = self.segments.iter().filter(|found| !found.is_whole()).filter_map(|found| found.path.as_deref());
        let manifest = manifest::path(&self.folder);
        for path in segments.chain(self.strangers.iter().map(PathBuf::as_path)).chain([&*manifest]) {
            link(path, &beside.join(path.file_name().unwrap_or_default())).map_err(|error| at_path(path, &error))?;
        }
        Ok(sync_folder(beside)?)
    }

    /// What has another's name gets its own. In between all of them have names that no segment has, but by which a survey
    /// finds them.
    fn put_in_place(&self) -> Result<(), StoreError> {
        let moved = |number| self.folder.join(format!("{number:016}{MOVED}"));
        let displaced = || {
            let found = self.segments.iter().filter_map(|found| Some((found.number, found.path.as_ref()?)));
            found.filter(|(number, path)| **path != segment::path(&self.folder, *number))
        };
        for (number, path) in displaced() {
            fs::rename(path, moved(number)).map_err(|error| at_path(path, &error))?;
        }
        for path in &self.strangers {
            remove(path)?;
        }
        for (number, _) in displaced() {
            let path = segment::path(&self.folder, number);
            fs::rename(moved(number), &path).map_err(|error| at_path(&path, &error))?;
        }
        Ok(sync_folder(&self.folder)?)
    }

    /// Says what there is then.
    fn rewrite(&self) -> Result<Vec<Stated>, StoreError> {
        let is_there = |found: &Found| found.path.is_some();
        // Those that are missing at either end are missed no more; of one in between the place is needed.
        let first = self.segments.iter().position(is_there).unwrap_or(self.segments.len());
        let behind = self.segments.iter().rposition(is_there).map_or(first, |last| last + 1);
        let mut entries = Vec::new();
        for found in &self.segments[first..behind] {
            let path = segment::path(&self.folder, found.number);
            if !found.is_whole() {
                write_whole(found, &path).map_err(|error| at_path(&path, &error))?;
            }
            let Found { number, salt, frames, .. } = *found;
            entries.push(Stated { number, salt, total: found.whole_len(), frames });
        }
        sync_folder(&self.folder)?;
        Ok(entries)
    }
}

/// What is whole in a segment's file, in its place.
fn write_whole(found: &Found, path: &Path) -> io::Result<()> {
    let fresh = path.with_extension("fresh");
    let mut out = segment::private().truncate(true).open(&fresh)?;
    out.write_all(&segment::head_with(found.salt))?;
    if !found.whole.is_empty() {
        let file = File::open(path)?;
        let mut bytes = vec![0; 1 << 20];
        for range in &found.whole {
            let mut at = range.start;
            while at < range.end {
                let len = bytes.len().min((range.end - at) as usize);
                file.read_exact_at(&mut bytes[..len], at)?;
                out.write_all(&bytes[..len])?;
                at += len as u64;
            }
        }
    }
    out.sync_all()?;
    fs::rename(fresh, path)
}

/// Records that can't be read go from the store into a file.
fn take_out(disk: &Disk, unreadable: &[Unreadable], beside: &Path) -> Result<(), StoreError> {
    if unreadable.is_empty() {
        return Ok(());
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (mut text, mut steps) = (String::new(), Steps::default());
    for table in Table::ALL {
        let of_table = unreadable.iter().filter(|record| record.table == table);
        let wanted: HashMap<&[u8], &Unreadable> = of_table.map(|record| (&record.key[..], record)).collect();
        if wanted.is_empty() {
            continue;
        }
        disk.read(table, &mut |key, value| {
            if let Some(record) = wanted.get(key) {
                text += &format!("{record}\n  key {}\n  value {}\n", hex(key), hex(value));
                steps.remove(table, key);
            }
            Ok(())
        })?;
    }
    write_new(&beside.join("records.txt"), text.as_bytes())?;
    sync_folder(beside)?;
    disk.write(&steps)
}

fn make_beside(folder: &Path, name: &str) -> Result<PathBuf, StoreError> {
    for n in 1_u32.. {
        let path = folder.join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(|error| at_path(&path, &error))?;
                sync_folder(folder)?;
                return Ok(path);
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = segment::private().create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The same bytes under another name: a link, or a copy where there are no links. Nothing is no error.
fn link(path: &Path, other: &Path) -> io::Result<()> {
    match fs::hard_link(path, other) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            fs::copy(path, other)?;
            File::open(other)?.sync_all()
        }
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at_path(path, &error).into()),
        _ => Ok(()),
    }
}
