//! How much memory a session holds.
//!
//! What one client may make a broker hold is for the driver to say, and may change at any time: a [`Share`]. What many
//! sessions keep of one message is counted once, by a [`Gauge`].

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use mqtt_codec::{Filter, Will};

use crate::{Outbox, Session};

/// What a delivery takes beside its message: its place in a list, and in a store's index.
pub(crate) const PER_DELIVERY: usize = 128;

/// The same of one that is sent and not acknowledged, with its message if that is small.
const PER_SENT: usize = 2 * PER_DELIVERY;

/// So much may always wait for a client's socket.
const LEAST_OUTBOX: usize = 16 << 10;

/// What a message takes beside topic, payload and properties.
const PER_MESSAGE: usize = 192;

/// Messages from this size on are on the gauge. A smaller one is counted to each session that keeps it: to have it counted
/// once would cost more than is won.
const LARGE: usize = 512;

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

/// Bytes of the messages in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    small: usize,
    large: usize,
}

/// What all deliveries of a session take.
#[derive(Clone, Copy, Debug, Default)]
struct Deliveries {
    places: usize,
    small: usize,
    large: usize,
}

impl Bytes {
    pub(crate) const fn add(&mut self, size: usize) {
        if is_large(size) {
            self.large += size;
        } else {
            self.small += size;
        }
    }

    pub(crate) const fn remove(&mut self, size: usize) {
        if is_large(size) {
            self.large -= size;
        } else {
            self.small -= size;
        }
    }

    pub(crate) const fn all(self) -> usize {
        self.small + self.large
    }
}

impl Deliveries {
    const fn all(self) -> usize {
        self.places + self.small + self.large
    }
}

/// A message that is kept, on a [`Gauge`] as long as it is.
#[derive(Debug, Default)]
pub struct Weight(OnceLock<Box<Weighed>>);

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
    /// From now on a message of `size` bytes is on the gauge, unless it was before or is small.
    pub(crate) fn put_on(&self, gauge: &Gauge, size: usize) {
        if is_large(size) {
            self.0.get_or_init(|| Weighed::new(gauge, size));
        }
    }

    pub(crate) fn new(gauge: &Gauge, size: usize) -> Self {
        if is_large(size) { Self(OnceLock::from(Weighed::new(gauge, size))) } else { Self::default() }
    }
}

/// Whether a message of this size is counted once for all who keep it.
pub(crate) const fn is_large(size: usize) -> bool {
    size >= LARGE
}

impl Weighed {
    fn new(gauge: &Gauge, size: usize) -> Box<Self> {
        let bytes = size + PER_MESSAGE;
        gauge.0.fetch_add(bytes, Relaxed);
        Box::new(Self { gauge: gauge.clone(), bytes })
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
        self.deliveries().all() + self.rest()
    }

    /// [`Self::held`] without large messages, which other sessions may keep too and of which a [`Gauge`] tells.
    pub fn held_alone(&self) -> usize {
        let Deliveries { places, small, .. } = self.deliveries();
        places + small + self.rest()
    }

    /// Whether the session may hold so many bytes more.
    pub fn has_share(&self, bytes: usize) -> bool {
        self.held().saturating_add(bytes) <= self.config.share.bytes()
    }

    /// Whether it may hold so many bytes more of messages. What else it holds had to fit before, and is not summed up for each
    /// of them.
    pub(crate) fn has_share_to_deliver(&self, bytes: usize) -> bool {
        self.deliveries().all().saturating_add(bytes) <= self.config.share.bytes()
    }

    /// Whether as much waits for the client's socket as may: the share bounds that too.
    pub fn is_full(&self, out: &Outbox) -> bool {
        // Some room there always is, for else no answer could leave, and nothing would get less.
        out.len() >= self.config.max_outbox.min(self.config.share.bytes().max(LEAST_OUTBOX))
    }

    fn deliveries(&self) -> Deliveries {
        let mut deliveries = Deliveries::default();
        if let Some(inflight) = &self.inflight {
            deliveries.places = inflight.len() * PER_SENT;
            deliveries.large = inflight.large();
        }
        if let Some(queue) = &self.queue {
            deliveries.places += queue.len() * PER_DELIVERY;
            deliveries.small = queue.bytes().small;
            deliveries.large += queue.bytes().large;
        }
        deliveries
    }

    fn rest(&self) -> usize {
        let will = self.will.as_ref().map_or(0, |will| will.size());
        let incoming = self.incoming.as_ref().map_or(0, |incoming| incoming.held(self.is_stored()));
        will + self.connection.aliases_held() + self.subscriptions.held() + incoming
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
