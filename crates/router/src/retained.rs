//! Retained messages.

use mqtt_codec::{Filter, Topic};

use crate::Full;

/// The retained messages, found by filter without walking them all.
#[derive(Debug)]
pub struct Retained<V> {
    _values: std::marker::PhantomData<V>,
}

impl<V: Clone> Retained<V> {
    /// Holds at most `max` messages.
    pub fn new(max: usize) -> Self {
        let _ = max;
        todo!()
    }

    /// Keeps `value`; returns the one it replaces.
    pub fn insert(&self, topic: &Topic, value: V) -> Result<Option<V>, Full> {
        let _ = (topic, value);
        todo!()
    }

    /// Forgets the message of a topic.
    pub fn remove(&self, topic: &Topic) -> Option<V> {
        let _ = topic;
        todo!()
    }

    /// The message of a topic.
    pub fn get(&self, topic: &Topic) -> Option<V> {
        let _ = topic;
        todo!()
    }

    /// Appends to `out` the messages of all topics that `filter` matches.
    pub fn matching(&self, filter: &Filter, out: &mut Vec<V>) {
        let _ = (filter, out);
        todo!()
    }

    /// Drops all for which `keep` says no; returns how many.
    pub fn retain(&self, keep: impl FnMut(&V) -> bool) -> usize {
        let _ = keep;
        todo!()
    }

    /// Messages held.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
