//! What a look-up found.

use mqtt_codec::Qos;

/// Everyone a look-up found; kept by the caller and used again, so that a warm one allocates nothing.
#[derive(Debug)]
pub struct Matches<K> {
    _keys: Vec<K>,
}

impl<K> Default for Matches<K> {
    fn default() -> Self {
        Self { _keys: Vec::new() }
    }
}

/// One subscriber, with all its overlapping subscriptions as one.
#[derive(Debug)]
pub struct Match<'a, K> {
    /// Who.
    pub key: &'a K,
    /// The highest of the subscriptions. [MQTT-3.3.4-2]
    pub qos: Qos,
    /// Of any of them.
    pub retain_as_published: bool,
    /// Of all of them. [MQTT-3.3.4-3]
    pub subscription_ids: &'a [u32],
}

/// The members of one shared subscription; one of them gets the message.
#[derive(Debug)]
pub struct Group<'a, K> {
    _members: &'a [K],
}

impl<K: Clone + Eq + std::hash::Hash> Matches<K> {
    /// True if nobody was found.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// Everyone but members of shared subscriptions, each once.
    pub fn iter(&self) -> impl Iterator<Item = Match<'_, K>> {
        std::iter::empty()
    }

    /// The shared subscriptions found.
    pub fn groups(&self) -> impl Iterator<Item = Group<'_, K>> {
        std::iter::empty()
    }

    /// Forgets everyone, keeping the memory.
    pub fn clear(&mut self) {
        todo!()
    }
}

impl<'a, K> Group<'a, K> {
    /// All members, the one whose turn it is first.
    pub fn candidates(&self) -> impl Iterator<Item = Match<'a, K>> {
        std::iter::empty()
    }
}
