//! What compaction does beside the writers must cost nothing that was there before, nor end unnoticed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;

use super::*;

thread_local! {
    /// How much of each file, by its inode, is on the disk of this thread.
    static ON_DISK: RefCell<HashMap<u64, u64>> = RefCell::default();
}

fn sync(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    ON_DISK.with_borrow_mut(|on_disk| on_disk.insert(found.ino(), found.len()));
    Ok(())
}

/// What is there after a loss of power.
fn after_power_loss(folder: &Path) -> TempDir {
    let left = copy(folder);
    for path in files(folder) {
        let ino = fs::metadata(&path).unwrap().ino();
        let len = ON_DISK.with_borrow(|on_disk| on_disk.get(&ino).copied().unwrap_or(0));
        let file = File::options().write(true).open(left.path().join(path.file_name().unwrap())).unwrap();
        file.set_len(len.min(file.metadata().unwrap().len())).unwrap();
    }
    fs::write(left.path().join("lock"), "manifest another-boot process\n").unwrap();
    left
}

#[test]
fn what_was_on_the_disk_stays_there_while_it_is_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let tuning = Tuning { sync, ..tiny() };
    let (shared, _) = Shared::open(folder.path().to_owned(), Durability::Process, tuning).unwrap();
    let (all, states) = some_steps(60);
    for steps in &all {
        shared.write(steps).unwrap();
    }
    files(folder.path()).iter().for_each(|path| sync(&File::open(path).unwrap()).unwrap());
    let before = files(folder.path()).len();
    let mut compactor = Compactor::default();
    while compactor.step(&shared.log).unwrap() == Progress::Working {
        let left = after_power_loss(folder.path());
        assert_eq!(records(&open(left.path()).unwrap().0), *states.last().unwrap());
    }
    assert!(files(folder.path()).len() < before);
}

static PANICS: AtomicBool = AtomicBool::new(true);

#[test]
fn compaction_that_panics_is_counted_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let sync = |_: &File| {
        let is_compaction = std::thread::current().name() == Some("compaction");
        assert!(!(is_compaction && PANICS.load(Ordering::Relaxed)), "as it is to");
        Ok(())
    };
    let disk = Disk::with_tuning(folder.path().to_owned(), Durability::Process, Tuning { sync, ..tiny() }).unwrap();
    let (all, states) = some_steps(60);
    for steps in &all {
        disk.write(steps).unwrap();
    }
    while disk.panics() == 0 {
        std::thread::yield_now();
    }
    PANICS.store(false, Ordering::Relaxed);
    while disk.shared.log.lock().has_work() {
        std::thread::yield_now();
    }
    assert_eq!(records(&disk.shared), *states.last().unwrap());
}
