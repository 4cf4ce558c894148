//! Many threads change, one writes for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::{Batch, Store, StoreError};

/// How far a journal was when something was staged; it is in the store once [`Journal::is_written`] says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// Nothing has been staged.
    pub const NONE: Self = Self(0);
}

/// The store can't be written to at the moment. What is staged stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store can't be written to")]
pub struct Failing;

/// Changes on their way to a [`Store`], in one order for the whole broker.
///
/// What is changed in memory under some lock is staged under the same lock, so the store sees changes of one thing in
/// the order in which they were made. [`Self::commit`] writes all that is staged by anyone: who comes while another
/// writes finds it done, or writes for all who came meanwhile. What belongs together is staged within one
/// [group](Self::group) and gets into the store as a whole or not at all.
pub struct Journal {
    store: Arc<dyn Store>,
    /// Read-locked by each group that is open; a writer waits for them before it takes what is staged.
    groups: RwLock<()>,
    staged: Mutex<Staged>,
    /// The last position that is in the store.
    written: AtomicU64,
    /// Held from taking what is staged until the store has it: a second writer could otherwise overtake the first, and a
    /// removal be in the store before its put. Locked before `groups`, and `groups` before `staged`.
    writing: Mutex<Batch>,
    /// Changes only under `writing`. Who reads it without may find it out of date, and is told so by the next attempt.
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Staged {
    batch: Batch,
    position: u64,
    next_message: u64,
}

/// Open while what belongs together is staged.
#[must_use]
pub struct Group<'a> {
    _open: RwLockReadGuard<'a, ()>,
}

/// What is staged goes here.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Changes are appended to this.
    pub batch: &'a mut Batch,
    next_message: &'a mut u64,
}

impl Stage<'_> {
    /// A number that no message has.
    pub fn next_message(&mut self) -> u64 {
        *self.next_message += 1;
        *self.next_message
    }
}

impl Journal {
    /// `last_message` is the highest number of a message in the store.
    pub fn new(store: Arc<dyn Store>, last_message: u64) -> Self {
        let staged = Staged { next_message: last_message, ..Staged::default() };
        Self {
            store,
            groups: RwLock::default(),
            staged: Mutex::new(staged),
            written: AtomicU64::new(0),
            writing: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// What is staged while this lives gets into the store as a whole. Groups may be nested. Nobody may
    /// [commit](Self::commit) while its own thread has one open.
    pub fn group(&self) -> Group<'_> {
        // Recursive: a group must not wait for a writer that waits for another group, which waits for a lock of this one.
        // It would, for else a lock lets nobody past a waiting writer, not even a nested group past one that waits for its
        // outer one. The price: a writer also waits for groups that came after it. They last for some steps in memory.
        Group { _open: self.groups.read_recursive() }
    }

    /// Notes changes. Call it while the lock is held under which they were made in memory.
    pub fn stage(&self, write: impl FnOnce(&mut Stage<'_>)) -> Position {
        let mut staged = self.staged.lock();
        let Staged { batch, position, next_message } = &mut *staged;
        write(&mut Stage { batch, next_message });
        *position += 1;
        Position(*position)
    }

    /// How far it is now.
    pub fn position(&self) -> Position {
        Position(self.staged.lock().position)
    }

    /// True if everything up to `position` is in the store.
    pub fn is_written(&self, position: Position) -> bool {
        self.written.load(Ordering::Acquire) >= position.0
    }

    /// True while the store can't be written to.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Returns once everything up to `position` is in the store. While the store fails, it says so at once;
    /// [`Self::retry`] finds out when that is over.
    pub fn commit(&self, position: Position) -> Result<(), Failing> {
        if self.is_written(position) {
            return Ok(());
        }
        let mut writing = self.writing.lock();
        // Whoever had the lock before may have written it.
        if self.is_written(position) {
            return Ok(());
        }
        // One attempt a second is enough: a full disk is not asked again for each packet.
        if self.is_failing() {
            return Err(Failing);
        }
        self.write(&mut writing).map_err(|_| Failing)
    }

    /// Writes everything that is staged, also if the last attempt failed. The error is the reason why not.
    pub fn retry(&self) -> Result<(), StoreError> {
        self.write(&mut self.writing.lock())
    }

    /// Bytes that wait for the store.
    pub fn staged_size(&self) -> usize {
        self.staged.lock().batch.size()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn write(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let position = {
            // Whoever is between two steps of a group ends it first. While the store writes, groups may be open again.
            let _all_closed = self.groups.write();
            let mut staged = self.staged.lock();
            std::mem::swap(batch, &mut staged.batch);
            staged.position
        };
        if let Err(error) = self.store.write(batch) {
            // Back in front of what has been staged since: a later step on the same record must win. Without the groups'
            // lock, for an open group's steps stay together behind these, and the next write waits for its end.
            // `written` stays as it was, so no answer leaves that waits for any of it.
            let mut staged = self.staged.lock();
            batch.append(&staged.batch);
            std::mem::swap(batch, &mut staged.batch);
            batch.clear();
            drop(staged);
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the store can't be written to: nothing is acknowledged that must be kept");
            }
            return Err(error);
        }
        batch.clear();
        // Last: whoever reads it lets out what was held back for it.
        self.written.store(position, Ordering::Release);
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the store can be written to again");
        }
        Ok(())
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("written", &self.written)
            .field("failing", &self.failing)
            .finish_non_exhaustive()
    }
}
