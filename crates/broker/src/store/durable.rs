//! What outlives the process: what is staged with a change in memory, and when it must be written.

use std::hash::BuildHasher;
use std::io;

use foldhash::fast::RandomState;
use mqtt_codec::{Message, Topic};
use mqtt_storage::{Bundle, Failing, Journal, Position, Stage, StoreError};
use parking_lot::{Mutex, MutexGuard};

use crate::store::notes::Notes;
use crate::store::past::Past;
use crate::store::serials::Serials;

/// Locks that topics share.
const RETAIN_LOCKS: usize = 64;

/// Bytes that wait for a store which can't be written to, beyond which nobody comes in who would add much: a session that
/// outlives its connection, a will. Nor is anything retained.
const FULL: usize = 32 << 20;

/// Bytes beyond which nobody comes in at all. Of those inside only what ends is staged then, a few records for each.
const OVERFULL: usize = 48 << 20;

/// The store, if there is one, what keeps its changes in order, and what is known of all that was in it.
pub(crate) struct Durable {
    /// Those that are given once only.
    pub(crate) serials: Serials,
    notes: Notes,
    journal: Option<Journal>,
    /// Writing may take as long as a disk does, so other tasks of the thread are to go on meanwhile.
    is_slow: bool,
    /// Held while a topic's retained message changes and that is staged.
    retaining: [Mutex<()>; RETAIN_LOCKS],
    hasher: RandomState,
}

impl Durable {
    /// Nothing outlives the process.
    pub(crate) fn none() -> Self {
        Self::new(None, false, &Past::default(), Notes::default())
    }

    pub(crate) fn new(journal: Option<Journal>, is_slow: bool, past: &Past, notes: Notes) -> Self {
        let serials = Serials::new(past.bounds, past.floor_ms());
        let retaining = std::array::from_fn(|_| Mutex::default());
        Self { serials, notes, journal, is_slow, retaining, hasher: RandomState::default() }
    }

    /// Stores the epoch, with which a process begins.
    pub(crate) fn store_epoch(&self) -> Result<(), StoreError> {
        self.serials.store_epoch(|bounds| self.store_now(|stage| stage.bounds(bounds)))
    }

    /// A small record of another part than a module.
    pub(crate) fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.notes.get(name)
    }

    /// It is in the store when this returns, if there is one.
    pub(crate) fn keep_note(&self, name: &str, record: &[u8]) -> io::Result<()> {
        self.notes.keep(name, record, || self.store_now(|stage| stage.note(name, record)).map_err(io::Error::other))
    }

    /// False: nothing outlives the process.
    pub(crate) const fn is_there(&self) -> bool {
        self.journal.is_some()
    }

    pub(crate) const fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Held while what is retained on a topic changes, for memory and store to see it in one order.
    pub(crate) fn lock_retained(&self, topic: &Topic) -> Option<MutexGuard<'_, ()>> {
        self.journal.as_ref()?;
        let lock = self.hasher.hash_one(topic.as_str()) as usize % RETAIN_LOCKS;
        Some(self.retaining[lock].lock())
    }

    /// Open while what belongs together is staged. Drop it before the batch is settled. One step that is staged alone needs
    /// none.
    pub(crate) fn bundle(&self) -> Option<Bundle<'_>> {
        self.journal.as_ref().map(Journal::bundle)
    }

    /// Stages what `write` says, if there is a store, and returns when it is there. For what belongs to no batch, where
    /// neither a bundle nor a lock of a client is held: it takes as long as a disk does.
    pub(crate) fn store_now(&self, write: impl FnOnce(&mut Stage<'_>)) -> Result<(), StoreError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal.stage(write);
        self.wait(|| journal.retry())
    }

    /// Returns once everything up to `position` is in the store, if there is one. No lock may be held.
    pub(crate) fn commit(&self, position: Position) -> Result<(), Failing> {
        match &self.journal {
            Some(journal) if !journal.is_written(position) => self.wait(|| journal.commit(position)),
            _ => Ok(()),
        }
    }

    /// True if everything up to `position` is in the store.
    pub(crate) fn is_written(&self, position: Position) -> bool {
        self.journal.as_ref().is_none_or(|journal| journal.is_written(position))
    }

    /// How far everyone has staged.
    pub(crate) fn staged(&self) -> Position {
        self.journal.as_ref().map_or(Position::NONE, Journal::position)
    }

    /// True while nothing more can be promised.
    pub(crate) fn is_failing(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_failing)
    }

    /// True while so much waits for the store that nobody is to come in: who leaves much behind, or anybody.
    pub(crate) fn is_overfull(&self, leaves_much: bool) -> bool {
        // While the store works little waits, and it is not worth a lock to find out how much.
        self.journal.as_ref().is_some_and(|journal| journal.is_failing() && is_over(journal.staged_size(), leaves_much))
    }

    /// True unless a store is there and the message too large for it.
    pub(crate) fn can_keep(&self, message: &Message) -> bool {
        !self.is_there() || Stage::can_keep_message(message)
    }

    fn wait<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.is_slow { tokio::task::block_in_place(write) } else { write() }
    }
}

const fn is_over(waiting: usize, leaves_much: bool) -> bool {
    waiting > if leaves_much { FULL } else { OVERFULL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_much_behind_is_kept_out_first() {
        let at = |mebibytes: usize| (is_over(mebibytes << 20, true), is_over(mebibytes << 20, false));
        assert_eq!([32, 33, 48, 49].map(at), [(false, false), (true, false), (true, false), (true, true)]);
        assert!(!Durable::none().is_overfull(true));
    }
}
