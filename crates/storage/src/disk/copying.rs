//! A copy of a store, also of one that a broker is writing to.
//!
//! # Why it is consistent
//!
//! The log is one sequence: whatever prefix of it is read says how everything was at one moment, for what was written together
//! is one frame. So the copy is a prefix. Segments are listed once and copied oldest first; all but the last of the list
//! change no more, and of that one so much is taken as it had when it was opened. What is half written there at that moment is a
//! torn tail, which nobody was told is kept, and is cut off as at a start. What is begun later is not in the copy.
//!
//! Compaction takes the oldest segment away only when all that is alive in it was appended again, so what is older than
//! a state that was copied is in the copy as well, or is not needed. It *renames* such a segment before it empties it: one that
//! is still called the same after it was read was whole while it was read. If it isn't, the copy is begun anew. A prefix with
//! a segment too many at its beginning says the same: what is behind it, in the same order, replaces what is in it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::log::sync_folder;
use super::manifest::Manifest;
use super::segment::{self, at_path};
use super::{Contents, Durability, Shared, Tuning};
use crate::{Damage, StoreError};

/// Copies that are begun anew because compaction was faster; each time it has freed 16 MiB and more.
const ATTEMPTS: usize = 16;

/// Copies the store in `from` to `to`, a folder that is not there yet or is empty. It is there as a whole, on the disk, or
/// not at all; what was acknowledged before the call is in it. A broker that uses `from` goes on meanwhile.
///
/// # Errors
/// There is no store in `from`, or it is damaged; or `to` has something in it or can't be written.
pub fn copy_store(from: &Path, to: &Path) -> Result<Contents, StoreError> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(at_path(to, &io::Error::other("there is something in this folder")).into());
    }
    let unfinished = unfinished(to);
    // What an attempt that was killed has left.
    remove(&unfinished)?;
    let copied = copy_whole(from, &unfinished, &Tuning::default()).and_then(|contents| {
        // An empty one gives way.
        fs::rename(&unfinished, to).map_err(|error| at_path(to, &error))?;
        sync_folder(parent(to)).map_err(|error| at_path(to, &error))?;
        Ok(contents)
    });
    if copied.is_err() {
        // The error is what is to be told.
        let _ = fs::remove_dir_all(&unfinished);
    }
    copied.map_err(|error| of_source(error, from))
}

/// Beside the place it is for, so that one renaming puts it there.
fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    to.with_file_name(name)
}

fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at_path(folder, &error).into()),
        _ => Ok(()),
    }
}

/// A file of the copy is damaged because that of the source is.
fn of_source(error: StoreError, from: &Path) -> StoreError {
    let source = |file: &Path| from.join(file.file_name().unwrap_or_default());
    match error {
        StoreError::Damaged { file, offset, what } => StoreError::Damaged { file: source(&file), offset, what },
        StoreError::Later { file, offset } => StoreError::Later { file: source(&file), offset },
        other => other,
    }
}

fn copy_whole(from: &Path, to: &Path, tuning: &Tuning) -> Result<Contents, StoreError> {
    for _ in 0..ATTEMPTS {
        remove(to)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(|error| at_path(to, &error))?;
        if copy_segments(from, to)? {
            // Reads all of it, and so finds what is not whole; syncs it; and leaves it as after a stop in order.
            let (shared, contents) = Shared::open(to.to_owned(), Durability::Power, *tuning)?;
            shared.leave();
            return Ok(contents);
        }
    }
    let why = "the broker rewrites its files faster than they can be copied: try again when it has less to do";
    Err(at_path(from, &io::Error::other(why)).into())
}

/// False if a segment went away meanwhile.
fn copy_segments(from: &Path, to: &Path) -> Result<bool, StoreError> {
    // First: whatever it names is there when the folder is listed after it, or is the oldest and has gone.
    let manifest = Manifest::read(from)?;
    let numbers = segment::numbers(from).map_err(|error| at_path(from, &error))?;
    let Some(&newest) = numbers.last() else {
        return Err(StoreError::Foreign("there is none in this folder".to_owned()));
    };
    if let Some(manifest) = manifest
        && manifest.newest() > newest
    {
        let file = segment::path(from, manifest.newest());
        return Err(StoreError::Damaged { file, offset: 0, what: Damage::Missing });
    }
    if numbers.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
        // Listed while one went; or one is missing, and then the copy does not open without it either.
        return Ok(false);
    }
    for number in numbers {
        if !copy_segment(&segment::path(from, number), &segment::path(to, number))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// False if it went away meanwhile, and may have been emptied.
fn copy_segment(from: &Path, to: &Path) -> Result<bool, StoreError> {
    let source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(|error| at_path(from, &error))?,
    };
    let found = source.metadata().map_err(|error| at_path(from, &error))?;
    let mut copy = segment::private().truncate(true).open(to).map_err(|error| at_path(to, &error))?;
    // No more than there was: whatever is behind it belongs to a later moment.
    let copied = io::copy(&mut source.take(found.len()), &mut copy).map_err(|error| at_path(to, &error))?;
    let is_there = fs::metadata(from).is_ok_and(|now| now.ino() == found.ino());
    Ok(is_there && copied == found.len())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

    use super::*;
    use crate::{Disk, Steps, Store, Survey, Table};

    /// Two records that are always written together, and many others that come and go.
    fn write(disk: &Disk, number: u64) {
        let mut steps = Steps::default();
        let value = number.to_le_bytes();
        steps.put(Table::Notes, b"one", &value);
        steps.put(Table::Records, &(number % 7).to_le_bytes(), &[7; 300]);
        steps.remove(Table::Records, &((number + 3) % 7).to_le_bytes());
        steps.put(Table::Modules, b"other", &value);
        disk.write(&steps).unwrap();
    }

    fn number(disk: &Disk, table: Table) -> u64 {
        let mut found = 0;
        let read = disk.read(table, &mut |_, value| {
            found = u64::from_le_bytes(value.try_into().unwrap());
            Ok(())
        });
        read.unwrap();
        found
    }

    struct Ended<'a>(&'a AtomicBool);

    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }

    #[test]
    fn a_copy_is_how_everything_was_at_one_moment_however_much_is_written_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        // Small, so that segments begin and go all the time.
        const MOST: u64 = 256 << 10;
        let tuning = Tuning { segment: 16 << 10, slack: 64 << 10, chunk: 1 << 10, ..Tuning::default() };
        let disk = Disk::with_tuning(from.clone(), Durability::Process, tuning).unwrap();
        write(&disk, 1);
        let (written, is_over) = (AtomicU64::new(1), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 2.. {
                    if is_over.load(SeqCst) {
                        break;
                    }
                    write(&disk, number);
                    written.store(number, SeqCst);
                    // Compaction waits for the disk and a writer does not: it would leave it behind, with more and more to copy.
                    while disk.size() > Some(MOST) && !is_over.load(SeqCst) {
                        std::thread::yield_now();
                    }
                }
            });
            // Also when an assertion fails: else nobody would see it, for the writer is waited for.
            let _over = Ended(&is_over);
            let mut copies = 0;
            for copy in 0..20 {
                let to = folder.path().join(format!("copy-{copy}"));
                let before = written.load(SeqCst);
                match copy_store(&from, &to) {
                    // It may be too fast for it, and then nothing is there.
                    Err(error) => assert!(error.to_string().contains("faster") && !to.exists(), "{error}"),
                    Ok(_) => {
                        let after = written.load(SeqCst) + 1;
                        assert!(Survey::of(&to).unwrap().is_whole());
                        let copied = Disk::open(&to, Durability::Process).unwrap();
                        let one = number(&copied, Table::Notes);
                        assert_eq!(one, number(&copied, Table::Modules), "both or neither");
                        assert!((before..=after).contains(&one), "{before} {one} {after}");
                        copies += 1;
                    }
                }
            }
            assert!(copies > 0, "not one in twenty");
        });
        assert_eq!(
            fs::read_dir(folder.path())
                .unwrap()
                .filter(|entry| { entry.as_ref().unwrap().path().to_string_lossy().contains("unfinished") })
                .count(),
            0
        );
    }

    #[test]
    fn a_damaged_store_is_not_copied_and_the_error_names_its_own_file() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let disk = Disk::open(&from, Durability::Process).unwrap();
        (1..20).for_each(|number| write(&disk, number));
        disk.close();
        let segment = segment::path(&from, 1);
        let mut bytes = fs::read(&segment).unwrap();
        bytes[100] ^= 1;
        fs::write(&segment, bytes).unwrap();
        let error = copy_store(&from, &to).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { file, .. } if *file == segment), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the copy");
    }

    #[test]
    fn nothing_is_copied_into_a_folder_that_has_something_or_from_one_that_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        assert!(matches!(copy_store(&from, &to), Err(StoreError::Foreign(_))));
        assert!(copy_store(&folder.path().join("none"), &to).is_err() && !to.exists());
        let disk = Disk::open(&from, Durability::Process).unwrap();
        write(&disk, 5);
        fs::create_dir_all(&to).unwrap();
        copy_store(&from, &to).unwrap();
        assert_eq!(number(&Disk::open(&to, Durability::Process).unwrap(), Table::Notes), 5);
        let error = copy_store(&from, &to).unwrap_err().to_string();
        assert!(error.contains("there is something in this folder"), "{error}");
    }
}
