//! The broker's side of its store: what is staged with a change in memory, and when it must be written.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use mqtt_codec::Topic;
use mqtt_storage::{Failing, Group, Journal, Position, Stage, StoreError};
use parking_lot::{Mutex, MutexGuard};

use crate::broker::Broker;

/// Locks that topics share.
const RETAIN_LOCKS: usize = 64;

/// A store and what keeps its changes in order.
pub(crate) struct Durable {
    pub(crate) journal: Journal,
    /// Writing may take as long as a disk does, so other tasks of the thread are to go on meanwhile.
    pub(crate) is_slow: bool,
    /// Held while a topic's retained message changes and that is staged.
    retaining: [Mutex<()>; RETAIN_LOCKS],
    hasher: RandomState,
}

impl Durable {
    pub(crate) fn new(journal: Journal, is_slow: bool) -> Self {
        let retaining = std::array::from_fn(|_| Mutex::default());
        Self { journal, is_slow, retaining, hasher: RandomState::default() }
    }

    pub(crate) fn lock_retained(&self, topic: &Topic) -> MutexGuard<'_, ()> {
        let lock = self.hasher.hash_one(topic.as_str()) as usize % RETAIN_LOCKS;
        self.retaining[lock].lock()
    }

    fn commit(&self, position: Position) -> Result<(), Failing> {
        if self.journal.is_written(position) {
            Ok(())
        } else if self.is_slow {
            tokio::task::block_in_place(|| self.journal.commit(position))
        } else {
            self.journal.commit(position)
        }
    }
}

impl Broker {
    /// Open while what belongs together is staged. Drop it before the batch is settled. One step that is staged alone needs
    /// none.
    pub(crate) fn group(&self) -> Option<Group<'_>> {
        self.durable.as_ref().map(|durable| durable.journal.group())
    }

    /// Stages what `write` says, if there is a store, and returns when it is there. For what belongs to no batch, where
    /// neither a group nor a lock of a client is held: it takes as long as a disk does.
    pub(crate) fn store_now(&self, write: impl FnOnce(&mut Stage<'_>)) -> Result<(), StoreError> {
        let Some(durable) = &self.durable else { return Ok(()) };
        durable.journal.stage(write);
        durable.journal.retry()
    }

    /// Returns once everything up to `position` is in the store, if there is one. No lock may be held.
    pub(crate) fn commit(&self, position: Position) -> Result<(), Failing> {
        self.durable.as_ref().map_or(Ok(()), |durable| durable.commit(position))
    }

    /// True if everything up to `position` is in the store.
    pub(crate) fn is_written(&self, position: Position) -> bool {
        self.durable.as_ref().is_none_or(|durable| durable.journal.is_written(position))
    }

    /// How far everyone has staged.
    pub(crate) fn staged(&self) -> Position {
        self.durable.as_ref().map_or(Position::NONE, |durable| durable.journal.position())
    }

    /// True while nothing more can be promised.
    pub(crate) fn is_failing(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.journal.is_failing())
    }
}
