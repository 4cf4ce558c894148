//! The retained messages.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mqtt_codec::{Filter, Topic};
use mqtt_router::{Cursor, Progress, Retained};
use mqtt_session::{Gauge, Publication};

/// The retained messages. They change with the store, in a batch.
pub(crate) struct RetainedMessages {
    pub(super) messages: Retained<Arc<Publication>>,
    /// One with a message expiry has come since expired ones were last dropped.
    pub(super) may_expire: AtomicBool,
    /// What messages take that are kept, by sessions too.
    pub(super) kept: Gauge,
}

impl RetainedMessages {
    pub(crate) fn new(max: usize, kept: Gauge) -> Self {
        Self { messages: Retained::new(max), may_expire: AtomicBool::new(false), kept }
    }

    /// What is retained on a topic.
    pub(crate) fn get(&self, topic: &Topic) -> Option<Arc<Publication>> {
        self.messages.get(topic)
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
        self.messages.next_slice(filter, cursor, budget, out)
    }

    /// As [`Retained::following`].
    pub(crate) fn following(
        &self,
        after: Option<&str>,
        limit: usize,
        out: &mut Vec<Arc<Publication>>,
    ) -> Option<String> {
        self.messages.following(after, limit, out)
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
