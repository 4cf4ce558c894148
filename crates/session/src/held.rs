//! How much memory a session holds.
//!
//! What one client may make a broker hold is for the driver to say, and may change at any time: a [`Share`]. What many
//! sessions keep of one message is counted once, by a [`Gauge`].

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use mqtt_codec::{Filter, Will};

use crate::Session;

/// What a delivery takes beside its message: its place in a list, and in a store's index.
pub(crate) const PER_DELIVERY: usize = 128;

/// What a message takes beside topic, payload and properties.
const PER_MESSAGE: usize = 192;

/// What a subscription takes beside its filter: in the session and in a router.
const PER_SUBSCRIPTION: usize = 256;

/// A session has a filter, and so have a router and a store's index.
const COPIES_OF_FILTER: usize = 3;

/// How many bytes one session may hold from now on.
#[derive(Debug)]
pub struct Share(AtomicUsize);

/// Bytes of all messages that are kept, each counted once however many sessions keep it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicUsize>);

/// A message that is kept, on a [`Gauge`] as long as it is.
#[derive(Debug, Default)]
pub struct Weight(OnceLock<Weighed>);

#[derive(Debug)]
struct Weighed {
    gauge: Gauge,
    bytes: usize,
}

impl Default for Share {
    /// No bound.
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Share {
    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Sessions that hold more keep it, and get nothing more.
    pub fn set(&self, bytes: usize) {
        self.0.store(bytes, Relaxed);
    }
}

impl Gauge {
    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Weight {
    /// From now on a message of `size` bytes is on the gauge, unless it was before.
    pub(crate) fn put_on(&self, gauge: &Gauge, size: usize) {
        self.0.get_or_init(|| {
            let bytes = size + PER_MESSAGE;
            gauge.0.fetch_add(bytes, Relaxed);
            Weighed { gauge: gauge.clone(), bytes }
        });
    }
}

impl Clone for Weight {
    /// A copy is not kept yet.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Weight {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Drop for Weighed {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.bytes, Relaxed);
    }
}

impl Session {
    /// Bytes held for this client: what waits for it or is to be acknowledged, with the messages, and the will, topic
    /// aliases and subscriptions.
    pub fn held(&self) -> usize {
        let waiting = self.queue.as_ref().map_or(0, |queue| queue.bytes());
        let sent = self.inflight.as_ref().map_or(0, |inflight| inflight.bytes());
        self.held_alone() + waiting + sent
    }

    /// [`Self::held`] without the messages, which other sessions may keep too.
    pub fn held_alone(&self) -> usize {
        let will = self.will.as_ref().map_or(0, |will| will.size());
        let deliveries = self.queue_len() + self.inflight_len();
        deliveries * PER_DELIVERY + will + self.connection.aliases_held() + self.subscriptions.held()
    }

    /// Whether the session may hold so many bytes more.
    pub fn has_share(&self, bytes: usize) -> bool {
        self.held().saturating_add(bytes) <= self.config.share.bytes()
    }

    /// Bytes that a subscription with this filter takes.
    pub fn cost_of(filter: &Filter) -> usize {
        PER_SUBSCRIPTION + COPIES_OF_FILTER * filter.as_str().len()
    }

    /// Bytes that a will takes.
    pub fn cost_of_will(will: &Will) -> usize {
        crate::publication::size(&will.message)
    }
}
