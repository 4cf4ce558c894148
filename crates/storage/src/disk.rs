//! Records in a folder: a log of steps, and in memory where each record is in it.
//!
//! # Why a log of our own
//!
//! What a broker keeps comes in few steps at a time and goes again soon, most of it never read. Measured on that (1 to
//! 100 appends and removals of messages at once, 2,000,000 of them, 10,000 there at a time), fjall 3.1 took 7 to
//! 12 µs of CPU per message, up to 1 GB of memory and 514 MB of disk for 2 MB of records, and did not open with a
//! damaged byte in the tail of its journal; redb took 62 to 72 µs one by one and did not open when its file
//! was cut. raft-engine 0.4 took 1.4 to 1.8 times our CPU with all records in one of its groups, 2 to 3.5 times with a
//! group for each session, as much with syncs, and 52 MB of disk; but its values stay in memory, so that opening with
//! 1,000,000 of them took 1.8 s of CPU and 440 to 680 MB (here 0.5 s and 45 MB), and a damaged byte halfway in its log
//! was taken for the end: half of the records were gone without an error. Nothing has to be sorted, merged or found on
//! disk here: 3.1 µs one by one, 0.7 µs of ten, 0.5 µs of a hundred, with 4 MB of memory and at most 30 MB of
//! disk (`benches/benches/storage.rs`).
//!
//! # The log
//!
//! Segments (`0000000000000001.log`, ..) of some 16 MiB hold frames, a frame holds steps and their checksum. The
//! newest segment is appended to. One `write` makes all of them be there or none; with [`Durability::Power`] a sync
//! follows. What does not check at the end of the newest segment is a write that was not finished and is cut off; a
//! new segment is only begun when the one before it is whole, so anywhere else, or with a frame behind it, it is
//! damage and nothing is opened ([`StoreError::Damaged`]): unless the system has ended since and nobody was promised
//! more, see `reboot.rs`. A `manifest` names the segments, so that one which is missing or in another's place is noticed;
//! see `manifest.rs`.
//!
//! A write that fails leaves everything as it was and can be tried again.
//!
//! # Bounds
//!
//! A thread appends what is alive in the oldest segment again and removes it while there are more bytes than twice
//! those of the live records (with their keys) and 32 MiB, and whenever nothing in it is alive. While it works,
//! writers go on; so the folder stays within three times the live bytes and 64 MiB. In memory a record takes some
//! 45 bytes, and its key if that has more than 22; what waits for a session takes some 13 where there is much of it.

mod compact;
mod copying;
mod frame;
mod index;
mod lock;
mod log;
mod manifest;
mod reboot;
mod repair;
mod replay;
mod segment;
mod survey;
mod values;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{Steps, Store, StoreError, Table, Visit};
use compact::{Compactor, Progress};
pub use copying::copy_store;
use frame::Frame;
use log::Log;
use manifest::Manifest;
pub use repair::Repaired;
pub use survey::{Finding, Survey};

/// What is written survives ..
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// .. the end of the process, however it ends: it is with the system. When the system ends without having
    /// written it, the last moments are lost.
    #[default]
    Process,
    /// .. also a loss of power: it is on the disk. Each write waits for that.
    Power,
}

/// What was there when a [`Disk`] was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Records in all tables.
    pub records: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that were cut off: of an unfinished write, or of what the system had not written when it ended.
    pub cut: u64,
}

/// Of compaction, after a failure, such as a full disk.
const PAUSE: Duration = Duration::from_secs(2);

/// Keeps records in a folder, which is this process's alone.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    opened: Contents,
    compaction: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    /// Locked before the log, by one writer at a time.
    frame: Mutex<Frame>,
    log: Mutex<Log>,
    /// Waited for with the log; the log may be compactable, or the store is being closed.
    work: Condvar,
    is_closed: AtomicBool,
    /// Of compaction.
    panics: AtomicU64,
}

/// Sizes in bytes, and how to write; tests have others.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    /// A segment that has so much is followed by a new one.
    segment: u64,
    /// What there may be beyond twice the live bytes.
    slack: u64,
    /// What compaction does at a time.
    chunk: usize,
    write: fn(&File, &[u8], u64) -> io::Result<()>,
    sync: fn(&File) -> io::Result<()>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            segment: 16 << 20,
            slack: 32 << 20,
            chunk: 128 << 10,
            write: |file, bytes, at| file.write_all_at(bytes, at),
            sync: File::sync_data,
        }
    }
}

impl Disk {
    /// Opens the store in a folder, which is made if it is not there, and reads all of its log.
    ///
    /// # Errors
    ///
    /// The folder or a file in it can't be used ([`StoreError::Io`]), another process has it open
    /// ([`StoreError::InUse`]), it is damaged ([`StoreError::Damaged`]), of another version ([`StoreError::Schema`],
    /// [`StoreError::Later`]), or something else has files of such names ([`StoreError::Foreign`]).
    pub fn open(folder: impl Into<PathBuf>, durability: Durability) -> Result<Self, StoreError> {
        Self::with_tuning(folder.into(), durability, Tuning::default())
    }

    fn with_tuning(folder: PathBuf, durability: Durability, tuning: Tuning) -> Result<Self, StoreError> {
        let (shared, opened) = Shared::open(folder, durability, tuning)?;
        let shared = Arc::new(shared);
        let working = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("compaction".to_owned());
        let compaction = thread.spawn(move || working.keep_compacting())?;
        Ok(Self { shared, opened, compaction: Mutex::new(Some(compaction)) })
    }

    /// What was there when it was opened.
    pub const fn opened(&self) -> Contents {
        self.opened
    }
}

impl Store for Disk {
    fn write(&self, steps: &Steps) -> Result<(), StoreError> {
        self.shared.write(steps)
    }

    /// Nothing can be written meanwhile; `visit` must not try.
    fn read(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.shared.log.lock().read(table, visit)
    }

    fn size(&self) -> Option<u64> {
        Some(self.shared.log.lock().total)
    }

    fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    fn close(&self) {
        let log = self.shared.log.lock();
        self.shared.is_closed.store(true, Ordering::Relaxed);
        drop(log);
        self.shared.work.notify_one();
        if let Some(compaction) = self.compaction.lock().take() {
            // It has panicked if this fails, and said so.
            let _ = compaction.join();
        }
        self.shared.leave();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn open(folder: PathBuf, durability: Durability, tuning: Tuning) -> Result<(Self, Contents), StoreError> {
        let (log, opened) = Log::open(folder, durability, tuning)?;
        let shared = Self {
            frame: Mutex::default(),
            log: Mutex::new(log),
            work: Condvar::new(),
            is_closed: AtomicBool::new(false),
            panics: AtomicU64::new(0),
        };
        Ok((shared, opened))
    }

    fn write(&self, steps: &Steps) -> Result<(), StoreError> {
        if steps.is_empty() {
            return Ok(());
        }
        let mut frame = self.frame.lock();
        frame.fill(steps);
        // Before the log is locked, for it goes over all bytes.
        frame.check()?;
        let mut log = self.log.lock();
        // Under the log's lock, under which it is closed: nothing is appended once another may have the folder.
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let written = log.append(&mut frame);
        if log.is_manifest_due {
            self.work.notify_one();
        }
        if log.is_compactable() {
            self.work.notify_one();
            // The log's lock goes to who waits for it: else compaction might not keep up with a writer in a hurry.
            MutexGuard::unlock_fair(log);
        }
        written
    }

    /// Compacts until the store is closed, also after a panic: without it the folder would grow for ever and nobody know.
    fn keep_compacting(&self) {
        // Whatever it had begun is given up with the compactor, which takes up the oldest segment again, as after an error.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.compact())) {
            self.panics.fetch_add(1, Ordering::Relaxed);
            let why = panic.downcast_ref::<&str>().map(|&why| why.to_owned());
            let why = why.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(why, "the store's compaction panicked; it is started again");
            let mut log = self.log.lock();
            self.work.wait_while_for(&mut log, |_| !self.is_closed(), PAUSE);
            if self.is_closed() {
                return;
            }
        }
    }

    fn compact(&self) {
        let mut compactor = Compactor::default();
        let mut is_failing = false;
        loop {
            let done = compactor.step(&self.log);
            let mut log = self.log.lock();
            if self.is_closed() {
                return;
            }
            match done {
                Ok(Progress::Working) => is_failing = false,
                Ok(Progress::Idle) if log.has_work() => {}
                Ok(Progress::Idle) => self.work.wait(&mut log),
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "the store can't be compacted and may grow");
                    }
                    self.work.wait_while_for(&mut log, |_| !self.is_closed(), PAUSE);
                }
            }
        }
    }

    /// The folder is another's from now on.
    fn leave(&self) {
        let mut log = self.log.lock();
        if log.lock.is_none() {
            return;
        }
        // Who opens it next knows how much there was in the newest segment.
        if let Err(error) = Manifest::of(&log.segments).write(&log.folder, &log.tuning) {
            tracing::warn!(%error, "the list of the store's files is not up to date");
        }
        log.lock = None;
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
