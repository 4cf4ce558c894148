//! Disks that are full or do not work.

use std::cell::Cell;
use std::process::Command;

use super::*;

thread_local! {
    /// Bytes that the next writes of this thread can still write; then they fail.
    static ROOM: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Syncs of this thread fail.
    static SYNC_FAILS: Cell<bool> = const { Cell::new(false) };
}

/// A tuning with [`ROOM`] and [`SYNC_FAILS`].
pub(super) fn faulty() -> Tuning {
    let write = |file: &File, bytes: &[u8], at: u64| {
        let room = ROOM.get();
        file.write_all_at(&bytes[..room.min(bytes.len())], at)?;
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    };
    let sync = |_: &File| if SYNC_FAILS.get() { Err(io::Error::other("sync")) } else { Ok(()) };
    Tuning { write, sync, ..tiny() }
}

/// Writes have room for so many bytes each until this is dropped.
pub(super) struct Full;

impl Full {
    pub(super) fn after(bytes: usize) -> Self {
        ROOM.set(bytes);
        Self
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        ROOM.set(usize::MAX);
        SYNC_FAILS.set(false);
    }
}

#[test]
fn a_failed_write_can_be_tried_again() {
    for (durability, sync_fails) in
        [(Durability::Process, false), (Durability::Power, false), (Durability::Power, true)]
    {
        for room in [0, 1, 27, 28, 40, 70] {
            let folder = tempfile::tempdir().unwrap();
            let (shared, _) = Shared::open(folder.path().to_owned(), durability, faulty()).unwrap();
            let (all, states) = some_steps(30);
            for (steps, pair) in all.iter().zip(states.windows(2)) {
                let full = Full::after(if sync_fails { usize::MAX } else { room });
                SYNC_FAILS.set(sync_fails);
                let written = shared.write(steps);
                drop(full);
                if written.is_err() {
                    // As if nothing had happened, also for the next process.
                    assert_eq!(records_of_copy(folder.path()), pair[0]);
                    shared.write(steps).unwrap();
                }
                assert_eq!(records(&shared), pair[1]);
                assert_eq!(records_of_copy(folder.path()), pair[1]);
            }
        }
    }
}

fn records_of_copy(folder: &Path) -> Records {
    records(&open(copy(folder).path()).unwrap().0)
}

#[test]
fn a_full_disk_gets_space_back_from_what_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, _) = Shared::open(folder.path().to_owned(), Durability::Process, faulty()).unwrap();
    for n in 0..20u8 {
        shared.write(&steps(&[Step::Put(Table::Meta, b"same", &[n; 100])])).unwrap();
    }
    let _full = Full::after(0);
    let mut compactor = Compactor::default();
    // Only the manifest can't be written.
    while let Ok(Progress::Working) = compactor.step(&shared.log) {}
    assert_eq!(files(folder.path()).len(), 1);
    let all: u64 = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(all < 1000, "{all}: also under other names");
}

#[test]
fn compaction_goes_on_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, _) = Shared::open(folder.path().to_owned(), Durability::Process, faulty()).unwrap();
    let (all, states) = some_steps(60);
    for steps in &all {
        shared.write(steps).unwrap();
    }
    let mut compactor = Compactor::default();
    let mut failed = 0;
    for round in 0.. {
        let full = Full::after(if round % 9 == 0 { 10 } else { usize::MAX });
        let done = compactor.step(&shared.log);
        drop(full);
        failed += u32::from(done.is_err());
        assert_eq!(records_of_copy(folder.path()), *states.last().unwrap());
        if matches!(done, Ok(Progress::Idle)) {
            break;
        }
    }
    assert!(failed > 0);
}

/// The limit is for all of a process, so the test runs itself again in one of its own.
#[test]
fn a_limit_of_the_system_is_survived() {
    const CHILD: &str = "STORAGE_TEST_HAS_A_LIMIT";
    if std::env::var_os(CHILD).is_some() {
        return survive_a_limit();
    }
    // Its signal, unless ignored, ends the process before the write can fail.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::tests::failing::a_limit_of_the_system_is_survived", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("survived"));
}

fn survive_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path(), Durability::Power).unwrap();
    let value = [1; 3_000];
    let put = |n: u8| steps(&[Step::Put(Table::Messages, &[n], &value)]);
    let (_, hard) = rlimit::Resource::FSIZE.get().unwrap();
    rlimit::Resource::FSIZE.set(10_000, hard).unwrap();
    let failed = (0..10).find(|&n| disk.write(&put(n)).is_err()).unwrap();
    assert!(disk.write(&put(failed)).is_err());
    rlimit::Resource::FSIZE.set(hard, hard).unwrap();
    assert_eq!(records(&disk.shared).len(), usize::from(failed));
    for n in failed..10 {
        disk.write(&put(n)).unwrap();
    }
    drop(disk);
    assert_eq!(records(&open(folder.path()).unwrap().0).len(), 10);
    std::io::Write::write_all(&mut std::io::stdout(), b"survived").unwrap();
}
