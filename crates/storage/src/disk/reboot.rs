//! The system ended, not only the process: what it had not written to the disk is missing, wherever that was.
//!
//! With [`Durability::Process`] nobody was promised that it would be there. So the log is cut at the first frame that
//! does not check, and what was behind it is put aside in `.lost` files: it may not be taken up again, for what came in
//! between is missing, but nothing is thrown away either. Without a restart of the system the same would be damage.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Durability;
use super::log::sync_folder;
use super::segment::{self, Next, Segment, at_path};
use crate::StoreError;

/// Who had the folder open last: which start of the system it was, and how it was written.
fn mark(durability: Durability) -> String {
    // Where there is no such file no restart is noticed.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let durability = match durability {
        Durability::Process => "process",
        Durability::Power => "power",
    };
    format!("{} {durability}\n", boot.trim())
}

/// Cuts the log if the system has ended since it was written and it may be incomplete for that; marks the folder as
/// this process's. Returns the bytes put aside.
pub(super) fn settle(folder: &Path, lock: &mut File, durability: Durability) -> Result<u64, StoreError> {
    let mut before = String::new();
    // Not text: no mark of ours.
    let _ = lock.read_to_string(&mut before);
    let is_cuttable = before.ends_with(" process\n") && before != mark(Durability::Process);
    let lost = if is_cuttable { cut(folder)? } else { 0 };
    if durability == Durability::Power {
        // From now on all that is there is promised.
        for number in segment::numbers(folder)? {
            let path = segment::path(folder, number);
            File::open(&path).and_then(|file| file.sync_all()).map_err(|error| at_path(&path, &error))?;
        }
    }
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(mark(durability).as_bytes())?;
    Ok(lost)
}

fn cut(folder: &Path) -> Result<u64, StoreError> {
    let mut lost = 0;
    let mut is_cut = false;
    for number in segment::numbers(folder)? {
        let path = segment::path(folder, number);
        let whole = if is_cut { 0 } else { whole_len(&path)? };
        let len = fs::metadata(&path)?.len();
        if whole < len || is_cut {
            is_cut = true;
            lost += len - whole;
            put_aside(&path, whole).map_err(|error| at_path(&path, &error))?;
        }
    }
    if is_cut {
        sync_folder(folder)?;
        tracing::warn!(
            folder = %folder.display(), bytes = lost,
            "the system ended before all was on the disk: what is incomplete is put aside in .lost files",
        );
    }
    Ok(lost)
}

/// Bytes up to the first frame that does not check; 0 if not even the head does.
fn whole_len(path: &Path) -> Result<u64, StoreError> {
    let mut segment = match Segment::open(path, true) {
        Ok(Some(segment)) => segment,
        Ok(None) | Err(StoreError::Damaged { .. }) => return Ok(0),
        Err(error) => return Err(error),
    };
    while segment.next().map_err(|error| at_path(path, &error))? == Next::Frame {}
    Ok(segment.at())
}

/// What is behind `whole` goes to a file of its own.
fn put_aside(path: &Path, whole: u64) -> io::Result<()> {
    let mut aside = PathBuf::from(path);
    aside.set_extension("log.lost");
    if whole == 0 {
        return fs::rename(path, aside);
    }
    let mut file = File::options().read(true).write(true).open(path)?;
    file.seek(SeekFrom::Start(whole))?;
    let mut copy = segment::private().truncate(true).open(aside)?;
    io::copy(&mut file, &mut copy)?;
    copy.sync_all()?;
    file.set_len(whole)?;
    file.sync_all()
}
