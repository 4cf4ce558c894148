//! Subscriptions.

use std::hash::Hash;
use std::num::NonZeroU32;

use mqtt_codec::{Filter, Qos, Topic};

use crate::Matches;

/// What a subscriber asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The highest QoS of a delivery.
    pub qos: Qos,
    /// Not what the subscriber published itself.
    pub no_local: bool,
    /// Keep the retain flag.
    pub retain_as_published: bool,
    /// Goes with each delivery.
    pub subscription_id: Option<NonZeroU32>,
}

/// Bounds of a router.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Levels of all different wildcard shapes together; bounds what one match costs.
    pub shape_levels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { shape_levels: 65_536 }
    }
}

/// A limit is reached; the subscription was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many different wildcard shapes")]
pub struct Full;

/// All subscriptions of a broker.
#[derive(Debug)]
pub struct Router<K> {
    _keys: std::marker::PhantomData<K>,
}

impl<K: Clone + Eq + Hash> Router<K> {
    /// An empty router.
    pub fn new(limits: Limits) -> Self {
        let _ = limits;
        todo!()
    }

    /// Subscribes, or replaces the options; true if `key` had subscribed with this filter before.
    pub fn subscribe(&self, filter: &Filter, key: K, options: Options) -> Result<bool, Full> {
        let _ = (filter, key, options);
        todo!()
    }

    /// False if there was no such subscription.
    pub fn unsubscribe(&self, filter: &Filter, key: &K) -> bool {
        let _ = (filter, key);
        todo!()
    }

    /// Puts into `found` (emptied first) everyone whose filter matches; `publisher` does not get what its no-local
    /// subscriptions would bring.
    ///
    /// No lock is held once this returns.
    pub fn matches(&self, topic: &Topic, publisher: Option<&K>, found: &mut Matches<K>) {
        let _ = (topic, publisher, found);
        todo!()
    }

    /// Different filters, shared ones counted once per group.
    pub fn filters_len(&self) -> usize {
        todo!()
    }

    /// Subscriptions, shared ones included.
    pub fn subscriptions_len(&self) -> usize {
        todo!()
    }

    /// Shared subscriptions.
    pub fn shared_len(&self) -> usize {
        todo!()
    }

    /// Calls `visit` with each different filter's text. For listings: it walks all of them, shard by shard.
    pub fn for_each_filter(&self, visit: impl FnMut(&str)) {
        let _ = visit;
        todo!()
    }
}
