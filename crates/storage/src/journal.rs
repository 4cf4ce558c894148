//! Many threads change, one writes for all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::{Steps, Store, StoreError};

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
/// [bundle](Self::bundle) and gets into the store as a whole or not at all.
pub struct Journal {
    store: Arc<dyn Store>,
    /// Read-locked by each bundle that is open; a writer waits for them before it takes what is staged.
    bundles: RwLock<()>,
    staged: Mutex<Staged>,
    /// The last position that is in the store.
    written: AtomicU64,
    /// Held from taking what is staged until the store has it: a second writer could otherwise overtake the first, and a
    /// removal be in the store before its put. Locked before `bundles`, and `bundles` before `staged`.
    writing: Mutex<Writing>,
    /// Bytes that were taken and which the store has refused; changes only under `writing`.
    refused: AtomicUsize,
    /// Changes only under `writing`. Who reads it without may find it out of date, and is told so by the next attempt.
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Staged {
    steps: Steps,
    position: u64,
    next_message: u64,
}

/// What was taken from what is staged.
#[derive(Debug, Default)]
struct Writing {
    /// What the store has refused, oldest first. All of it is older than what is staged, so it is written first and nothing is
    /// ever put back among that.
    refused: VecDeque<Taken>,
    /// Empty, with memory for the next.
    spare: Steps,
}

/// Changes of whole bundles.
#[derive(Debug)]
struct Taken {
    steps: Steps,
    /// How far the journal is with them.
    position: u64,
}

/// Open while what belongs together is staged.
#[must_use]
pub struct Bundle<'a> {
    _open: RwLockReadGuard<'a, ()>,
}

/// What is staged goes here.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Changes are appended to this.
    pub steps: &'a mut Steps,
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
            bundles: RwLock::default(),
            staged: Mutex::new(staged),
            written: AtomicU64::new(0),
            writing: Mutex::default(),
            refused: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
        }
    }

    /// What is staged while this lives gets into the store as a whole. Bundles may be nested. Nobody may
    /// [commit](Self::commit) while its own thread has one open.
    pub fn bundle(&self) -> Bundle<'_> {
        // Recursive: a bundle must not wait for a writer that waits for another bundle, which waits for a lock of this one.
        // It would, for else a lock lets nobody past a waiting writer, not even a nested bundle past one that waits for its
        // outer one. The price: a writer also waits for bundles that came after it. They last for some steps in memory.
        Bundle { _open: self.bundles.read_recursive() }
    }

    /// Notes changes. Call it while the lock is held under which they were made in memory.
    pub fn stage(&self, write: impl FnOnce(&mut Stage<'_>)) -> Position {
        // Locked inside whatever lock the caller has, and nothing is locked inside this one: so it can be called
        // anywhere.
        let mut staged = self.staged.lock();
        let Staged { steps, position, next_message } = &mut *staged;
        write(&mut Stage { steps, next_message });
        // Grows for each that stages, not for each byte: who waits for a position waits for all that was staged before
        // it, too.
        *position += 1;
        Position(*position)
    }

    /// How far it is now.
    pub fn position(&self) -> Position {
        Position(self.staged.lock().position)
    }

    /// True if everything up to `position` is in the store.
    pub fn is_written(&self, position: Position) -> bool {
        // Pairs with the release in `write_all`: who sees the position sees a store that has it.
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
        // Whoever gets here first writes for all who wait at this lock, and they find it done.
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
        // Also while it is failing: this is the one attempt a second, and who finds the store working again.
        self.write(&mut self.writing.lock())
    }

    /// Bytes that wait for the store.
    pub fn staged_size(&self) -> usize {
        self.staged.lock().steps.footprint() + self.refused.load(Ordering::Relaxed)
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn write(&self, writing: &mut Writing) -> Result<(), StoreError> {
        // Put in the place of what is taken, so that staging goes on in memory that is there while the store writes.
        let spare = std::mem::take(&mut writing.spare);
        let taken = {
            // Whoever is between two steps of a bundle ends it first. While the store writes, bundles may be open again.
            let _all_closed = self.bundles.write();
            let mut staged = self.staged.lock();
            // One look at both, under the lock under which they change together: the position is that of the last of
            // these steps.
            Taken { steps: std::mem::replace(&mut staged.steps, spare), position: staged.position }
        };
        match writing.refused.back_mut() {
            // An attempt a second, for as long as a disk is full.
            Some(last) if taken.steps.is_empty() => last.position = taken.position,
            // Behind what was refused before, also if that is tried again only now: there is one order for all.
            _ => writing.refused.push_back(taken),
        }
        // Without the locks of groups and of what is staged: a disk may take its time, and only who waits for it waits.
        let written = self.write_all(writing);
        let refused = writing.refused.iter().map(|taken| taken.steps.footprint()).sum();
        self.refused.store(refused, Ordering::Relaxed);
        match &written {
            // Told once for as long as it lasts, not at every attempt.
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "the store can't be written to: nothing is acknowledged that must be kept");
            }
            Ok(()) if self.failing.swap(false, Ordering::Relaxed) => {
                tracing::info!("the store can be written to again");
            }
            _ => {}
        }
        written
    }

    /// Writes what was taken, oldest first, up to what the store refuses. That stays as it is: nothing is copied, and a
    /// later step on the same record is in a later one. `written` stays too, so no answer leaves that waits for any of it.
    fn write_all(&self, writing: &mut Writing) -> Result<(), StoreError> {
        while let Some(Taken { steps, position }) = writing.refused.front() {
            // The store takes it as a whole or not at all, so what is tried again is not there by half.
            self.store.write(steps)?;
            // Whoever reads it lets out what was held back for it.
            self.written.store(*position, Ordering::Release);
            if let Some(Taken { mut steps, .. }) = writing.refused.pop_front() {
                steps.clear();
                writing.spare = steps;
            }
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
