//! The retained messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use mqtt_codec::{Filter, Topic};
use mqtt_router::{Cursor, Progress, Retained};
use mqtt_session::{Gauge, Publication};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::watch::memory::by_address::{ByAddress, Part};

/// The retained messages. They change with the store, in a batch.
pub(crate) struct RetainedMessages {
    pub(super) messages: Retained<Kept>,
    /// Those whose publisher's address is known.
    pub(super) by_address: ByAddress,
    pub(super) max: usize,
    /// One with a message expiry has come since expired ones were last dropped.
    pub(super) may_expire: AtomicBool,
    /// What messages take that are kept, by sessions too.
    pub(super) kept: Gauge,
    /// So many have been retained.
    pub(super) count: AtomicU64,
    turn: RwLock<()>,
}

/// See [`RetainedMessages::hold_subscribers`].
pub(crate) struct Held<'a> {
    _turn: RwLockReadGuard<'a, ()>,
}

/// A retained message.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) message: Arc<Publication>,
    /// Whose, if that is known: not that of an earlier process, nor a module's.
    pub(super) by: Option<Arc<Part>>,
    /// Which of all that have been retained, from 1 on; 0: an earlier process did.
    pub(super) number: u64,
}

impl RetainedMessages {
    pub(crate) fn new(max: usize, kept: Gauge) -> Self {
        Self {
            messages: Retained::new(max),
            by_address: ByAddress::default(),
            max,
            may_expire: AtomicBool::new(false),
            kept,
            count: AtomicU64::new(0),
            turn: RwLock::default(),
        }
    }

    /// Nobody subscribes [in his turn](Self::in_turn) while this is held: by who retains a message until he has looked up who
    /// receives it. So who subscribes either finds it retained or is found, and not both.
    pub(crate) fn hold_subscribers(&self) -> Held<'_> {
        // Whoever publishes because of something else that is published does not wait for a subscriber in between.
        Held { _turn: self.turn.read_recursive() }
    }

    /// Runs `subscribe` while nobody is between retaining a message and looking up who receives it. Messages of a higher number than
    /// is returned with its result go to the subscriber anyway.
    pub(crate) fn in_turn<T>(&self, subscribe: impl FnOnce() -> T) -> (T, u64) {
        let _turn = self.turn.write();
        (subscribe(), self.count.load(Relaxed))
    }

    /// What is retained on a topic.
    pub(crate) fn get(&self, topic: &Topic) -> Option<Arc<Publication>> {
        self.get_until(topic, u64::MAX)
    }

    /// What is retained on a topic, unless that was done after so many.
    pub(super) fn get_until(&self, topic: &Topic, last: u64) -> Option<Arc<Publication>> {
        self.messages.get(topic).filter(|kept| kept.number <= last).map(|kept| kept.message)
    }

    /// Whether a topic of this text has one.
    pub(crate) fn has(&self, topic: &str) -> bool {
        self.messages.has(topic)
    }

    /// As [`Retained::next_slice`].
    pub(crate) fn next_slice(
        &self,
        filter: &Filter,
        cursor: &mut Cursor,
        budget: usize,
        out: &mut Vec<Arc<Publication>>,
    ) -> Progress {
        let mut found = Vec::new();
        let progress = self.messages.next_slice(filter, cursor, budget, &mut found);
        out.extend(found.into_iter().map(|kept| kept.message));
        progress
    }

    /// As [`Retained::following`].
    pub(crate) fn following(
        &self,
        after: Option<&str>,
        limit: usize,
        out: &mut Vec<Arc<Publication>>,
    ) -> Option<String> {
        let mut found = Vec::new();
        let next = self.messages.following(after, limit, &mut found);
        out.extend(found.into_iter().map(|kept| kept.message));
        next
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
