//! The retained messages.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mqtt_codec::{Filter, Topic};
use mqtt_router::{Cursor, Progress, Retained};
use mqtt_session::{Gauge, Publication};

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
}

/// A retained message.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) message: Arc<Publication>,
    /// Whose, if that is known: not that of an earlier process, nor a module's.
    pub(super) by: Option<Arc<Part>>,
}

impl RetainedMessages {
    pub(crate) fn new(max: usize, kept: Gauge) -> Self {
        Self {
            messages: Retained::new(max),
            by_address: ByAddress::default(),
            max,
            may_expire: AtomicBool::new(false),
            kept,
        }
    }

    /// What is retained on a topic.
    pub(crate) fn get(&self, topic: &Topic) -> Option<Arc<Publication>> {
        self.messages.get(topic).map(|kept| kept.message)
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
