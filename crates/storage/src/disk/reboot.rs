//! The system ended, not only the process: what it had not written to the disk is missing, wherever that was.
//!
//! With [`Durability::Process`](super::Durability::Process) nobody was promised that it would be there. So the log is cut at the first frame that
//! does not check, and what was behind it is put aside in `.lost` files: it may not be taken up again, for what came in
//! between is missing, but nothing is thrown away either. Without a restart of the system the same would be damage.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::log::sync_folder;
use super::manifest::Manifest;
use super::segment::{self, Next, Segment, at_path};
use crate::{Damage, StoreError};

/// Cuts the log where it is not whole; `numbers` are its segments, oldest first, of which those that are put aside are
/// taken out. Returns the bytes put aside, if it was cut.
///
/// It may be done once more if the process ends in the midst of it: the newest goes first, so the place where it was cut
/// stays as it was to the end.
pub(super) fn cut(
    folder: &Path,
    numbers: &mut Vec<u32>,
    manifest: Option<&Manifest>,
) -> Result<Option<u64>, StoreError> {
    let mut from = None;
    for (place, &number) in numbers.iter().enumerate() {
        let path = segment::path(folder, number);
        let len = fs::metadata(&path).map_err(|error| at_path(&path, &error))?.len();
        let named = manifest.and_then(|manifest| manifest.entry(number)).map_or(0, |entry| entry.total);
        let whole = whole_len(folder, number, manifest)?;
        if whole < len.max(named) {
            from = Some((place, whole));
            break;
        }
    }
    let Some((place, whole)) = from else { return Ok(None) };
    let mut lost = 0;
    for &number in numbers[place..].iter().rev() {
        let path = segment::path(folder, number);
        let whole = if number == numbers[place] { whole } else { 0 };
        lost += put_aside(&path, whole).map_err(|error| at_path(&path, &error))?;
    }
    numbers.truncate(place + usize::from(whole > 0));
    sync_folder(folder)?;
    tracing::warn!(
        folder = %folder.display(), bytes = lost,
        "the system ended before all was on the disk: what is incomplete is put aside in .lost files",
    );
    Ok(Some(lost))
}

/// Bytes up to the first frame that does not check; 0 if not even the head does.
fn whole_len(folder: &Path, number: u32, manifest: Option<&Manifest>) -> Result<u64, StoreError> {
    let mut segment = match Segment::open(folder, number, true, manifest) {
        Ok(Some(segment)) => segment,
        Ok(None) | Err(StoreError::Damaged { what: Damage::Head, .. }) => return Ok(0),
        Err(error) => return Err(error),
    };
    let path = segment::path(folder, number);
    while segment.next().map_err(|error| at_path(&path, &error))? == Next::Frame {}
    Ok(segment.at())
}

/// True if the segment was put aside.
pub(super) fn is_aside(folder: &Path, number: u32) -> bool {
    aside(&segment::path(folder, number)).exists()
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("log.lost")
}

/// What is behind `whole` goes to a file of its own; says how much that is.
fn put_aside(path: &Path, whole: u64) -> io::Result<u64> {
    let aside = aside(path);
    let len = fs::metadata(path)?.len();
    if whole == 0 {
        fs::rename(path, aside)?;
        return Ok(len);
    }
    // Nothing: an earlier attempt has done it.
    if len > whole {
        let mut file = File::options().read(true).write(true).open(path)?;
        file.seek(SeekFrom::Start(whole))?;
        let mut copy = segment::private().truncate(true).open(aside)?;
        io::copy(&mut file, &mut copy)?;
        copy.sync_all()?;
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(len - whole)
}
