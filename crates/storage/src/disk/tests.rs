//! Whatever happens to a log, it says what was written, or a beginning of it, or that it can't.

mod beside;
mod broken;
mod failing;
mod index;
mod manifest;
mod random;
mod repair;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::compact::{Compactor, Progress};
use super::*;
use crate::{Damage, Step};

/// What is to be in a store.
type Records = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Small enough that a few frames fill a segment.
fn tiny() -> Tuning {
    Tuning { segment: 300, slack: 400, chunk: 100, ..Tuning::default() }
}

fn open(folder: &Path) -> Result<(Shared, Contents), StoreError> {
    Shared::open(folder.to_owned(), Durability::Process, tiny())
}

fn steps(of: &[Step<'_>]) -> Steps {
    let mut steps = Steps::default();
    for step in of {
        match *step {
            Step::Put(table, key, value) => steps.put(table, key, value),
            Step::Remove(table, key) => steps.remove(table, key),
        }
    }
    steps
}

fn apply(records: &mut Records, steps: &Steps) {
    for step in steps.iter() {
        match step {
            Step::Put(table, key, value) => records.insert((table, key.to_vec()), value.to_vec()),
            Step::Remove(table, key) => records.remove(&(table, key.to_vec())),
        };
    }
}

/// All that is in a store; it must come in order.
fn records(shared: &Shared) -> Records {
    let mut records = Records::new();
    let log = shared.log.lock();
    for table in Table::ALL {
        let mut last = None;
        log.read(table, &mut |key, value| {
            assert!(last.as_deref() < Some(key), "in order");
            last = Some(key.to_vec());
            records.insert((table, key.to_vec()), value.to_vec());
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(records.len(), log.len());
    let live: u64 = records.iter().map(|((_, key), value)| frame::put_size(key.len(), value.len() as u32)).sum();
    assert_eq!((log.live, log.segments.iter().map(|count| count.live).sum::<u64>()), (live, live));
    let on_disk: u64 = files(&log.folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!((log.total, log.segments.iter().map(|count| count.total).sum::<u64>()), (on_disk, on_disk));
    records
}

/// The segments, oldest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    segment::numbers(folder).unwrap().into_iter().map(|number| segment::path(folder, number)).collect()
}

/// What another process would find, but for whose the folder was.
fn copy(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "lock" {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    copy
}

/// Some steps that put, overwrite and remove; the records after each of them, none first.
fn some_steps(count: u8) -> (Vec<Steps>, Vec<Records>) {
    let mut all = Vec::new();
    let mut states = vec![Records::new()];
    for n in 0..count {
        let value = vec![n; usize::from(n) * 3 % 50];
        let three = [
            Step::Put(Table::Deliveries, &[n], &value),
            Step::Remove(Table::Deliveries, &[n.saturating_sub(3)]),
            Step::Put(Table::Meta, b"a name of more than twenty-two bytes", &[n, n]),
        ];
        let steps = steps(&three[..1 + usize::from(n % 3)]);
        let mut state = states.last().unwrap().clone();
        apply(&mut state, &steps);
        all.push(steps);
        states.push(state);
    }
    (all, states)
}

#[test]
fn a_folder_is_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path().join("new/store"), Durability::Power).unwrap();
    assert!(matches!(Disk::open(folder.path().join("new/store"), Durability::Process), Err(StoreError::InUse)));
    drop(disk);
    Disk::open(folder.path().join("new/store"), Durability::Process).unwrap();
}

#[test]
fn a_closed_store_frees_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path(), Durability::Process).unwrap();
    disk.close();
    let other = Disk::open(folder.path(), Durability::Process).unwrap();
    let put = steps(&[Step::Put(Table::Meta, b"a", b"1")]);
    assert!(matches!(disk.write(&put), Err(StoreError::Closed)));
    other.write(&put).unwrap();
    drop(disk);
    assert!(matches!(Disk::open(folder.path(), Durability::Process), Err(StoreError::InUse)));
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Disk::open(folder.path().join("file/store"), Durability::Process).unwrap_err();
    assert!(matches!(error, StoreError::Io(_)));
    assert!(error.to_string().contains("file/store"), "{error}");
}

#[test]
fn opening_tells_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path(), Durability::Process).unwrap();
    assert_eq!(disk.opened(), Contents { records: 0, bytes: segment::HEAD as u64, cut: 0 });
    disk.write(&steps(&[Step::Put(Table::Meta, b"a", b"1"), Step::Put(Table::Sent, b"a", b"2")])).unwrap();
    let size = disk.size().unwrap();
    drop(disk);
    let disk = Disk::open(folder.path(), Durability::Process).unwrap();
    assert_eq!(disk.opened(), Contents { records: 2, bytes: size, cut: 0 });
}

#[test]
fn a_large_batch_is_one_frame() {
    let folder = tempfile::tempdir().unwrap();
    let value = vec![7; 3 << 20];
    let large = steps(&[Step::Put(Table::Messages, b"a", &value), Step::Put(Table::Messages, b"b", &value)]);
    let mut state = Records::new();
    apply(&mut state, &large);
    for _ in 0..2 {
        let (shared, _) = open(folder.path()).unwrap();
        shared.write(&large).unwrap();
        assert_eq!(records(&shared), state);
    }
}

#[test]
fn the_thread_keeps_a_store_small() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::with_tuning(folder.path().to_owned(), Durability::Power, tiny()).unwrap();
    let (all, states) = some_steps(200);
    for steps in &all {
        disk.write(steps).unwrap();
    }
    while disk.shared.log.lock().is_compactable() {
        std::thread::yield_now();
    }
    let live = disk.shared.log.lock().live;
    assert!(disk.size().unwrap() <= 2 * live + tiny().slack, "{} for {live}", disk.size().unwrap());
    assert_eq!(records(&disk.shared), *states.last().unwrap());
    drop(disk);
    assert_eq!(records(&open(folder.path()).unwrap().0), *states.last().unwrap());
}

#[test]
fn its_files_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = || vec![folder.join("lock"), segment::path(&folder, 1)];
    drop(open(&folder).unwrap());
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(files().iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600, 0o600]);
    for path in files() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    drop(open(&folder).unwrap());
    assert_eq!(files().iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600, 0o600], "also if others made them");
}
