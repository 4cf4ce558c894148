//! What a look-up found.

use std::hash::Hash;
use std::sync::Arc;

use mqtt_codec::{Qos, Topic};

use crate::Group;
use crate::group::Shared;
use crate::leaf::{Groups, Leaf, Snapshot, Subscription};
use crate::merge::Merge;
use crate::shapes::Scratch;

/// Everyone a look-up found; kept by the caller and used again, so that a warm one allocates nothing.
///
/// It holds on to the subscriber lists it found until it is cleared or used again, and a list that is held must be
/// copied by whoever subscribes or unsubscribes meanwhile: clear it when the messages are sent.
#[derive(Debug)]
pub struct Matches<K> {
    pub(crate) scratch: Scratch,
    pub(crate) found: Found<K>,
}

/// The lists found, and what came of merging them.
#[derive(Debug)]
pub(crate) struct Found<K> {
    lists: Vec<Snapshot<K>>,
    groups: Vec<FoundGroup<K>>,
    /// One of the lists has someone who does not want what it published itself.
    has_no_local: bool,
    /// Set only then.
    publisher: Option<K>,
    /// Of a message that goes out with this, at the most, those who are absent may be passed over; `None`: nobody is.
    highest: Option<Qos>,
    /// What was looked up, and how many changes the router had seen before; 0: nothing that could be used again.
    topic: Vec<u8>,
    changes: u64,
    /// How many changes the router had seen before the look-up.
    before: u64,
    /// The list that is walked as it is; all others are in `merge`.
    direct: usize,
    merge: Merge,
}

#[derive(Debug)]
struct FoundGroup<K> {
    shared: Arc<Shared<K>>,
    turn: usize,
}

/// What one subscriber's overlapping subscriptions come to, in memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The highest of the subscriptions. [MQTT-3.3.4-2]
    pub qos: Qos,
    /// Of any of them.
    pub retain_as_published: bool,
    /// Of all of them. [MQTT-3.3.4-3]
    pub subscription_ids: Vec<u32>,
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

impl<K> Default for Matches<K> {
    fn default() -> Self {
        let found = Found {
            lists: Vec::new(),
            groups: Vec::new(),
            has_no_local: false,
            publisher: None,
            highest: None,
            topic: Vec::new(),
            changes: 0,
            before: 0,
            direct: 0,
            merge: Merge::default(),
        };
        Self { scratch: Scratch::default(), found }
    }
}

impl<K: Clone + Eq + Hash> Matches<K> {
    /// True if nobody was found.
    pub fn is_empty(&self) -> bool {
        self.found.groups.is_empty() && self.iter().next().is_none()
    }

    /// True if there is one receiver at the most: one client, or one of a group.
    pub fn is_single(&self) -> bool {
        let Found { lists, groups, .. } = &self.found;
        match (&lists[..], &groups[..]) {
            ([], [] | [_]) => true,
            // Nearly always, and nothing has to be walked through for it.
            ([list], []) if list.subscriptions().len() == 1 => true,
            // Whoever is passed over counts, too: they may be back by the time the message is handed out.
            _ => self.walk(None).take(2).count() + groups.iter().take(2).count() <= 1,
        }
    }

    /// True if this subscriber is among [`Self::iter`].
    pub fn has(&self, key: &K) -> bool {
        let Found { lists, publisher, .. } = &self.found;
        let mut all = lists.iter().flat_map(Snapshot::subscriptions);
        all.any(|subscription| subscription.key == *key && !subscription.is_hidden_from(publisher.as_ref()))
    }

    /// True if no filter matched. One that brings nothing, because its subscriber does not want what it published
    /// itself, did match.
    pub fn is_unmatched(&self) -> bool {
        self.found.groups.is_empty() && self.found.lists.is_empty()
    }

    /// Everyone but members of shared subscriptions, each once.
    pub fn iter(&self) -> impl Iterator<Item = Match<'_, K>> {
        self.walk(self.found.highest).flatten()
    }

    /// Calls `visit` with everyone of [`Self::iter`] who may keep something of a message of this QoS, or is there. Says how many
    /// subscriptions were passed over.
    pub fn visit(&self, qos: Qos, mut visit: impl FnMut(&Match<'_, K>)) -> usize {
        let mut passed_over = self.found.merge.passed_over();
        for found in self.walk(self.found.highest.map(|highest| highest.min(qos))) {
            match found {
                Some(found) => visit(&found),
                None => passed_over += 1,
            }
        }
        passed_over
    }

    /// `None`: one who is passed over.
    fn walk(&self, highest: Option<Qos>) -> impl Iterator<Item = Option<Match<'_, K>>> {
        let Found { lists, publisher, direct, merge, .. } = &self.found;
        let subscriptions = lists.get(*direct).map_or(&[][..], Snapshot::subscriptions);
        let mut covered = merge.covered().iter().copied().peekable();
        // Those of the longest list that are in another one too are merged already.
        let rest = (0..).zip(subscriptions).filter_map(move |(at, subscription)| {
            if covered.next_if_eq(&at).is_some() || subscription.is_hidden_from(publisher.as_ref()) {
                return None;
            }
            Some((subscription.is_absent(), Match::from(subscription)))
        });
        merge.iter(lists).chain(rest).map(move |(is_absent, found)| {
            // [MQTT-3.8.4-8]: it goes out with the lower of the two, and at QoS 0 nobody keeps it.
            let is_kept = highest.is_none_or(|highest| highest.min(found.qos) > Qos::AtMostOnce);
            (is_kept || !is_absent).then_some(found)
        })
    }

    /// The shared subscriptions found.
    pub fn groups(&self) -> impl Iterator<Item = Group<'_, K>> {
        self.found.groups.iter().map(|FoundGroup { shared, turn }| Group { shared, turn: *turn })
    }

    /// [`Router::changes`](crate::Router::changes) as it was before the look-up. No lock is held since: whose subscriptions have
    /// changed at a higher number is here as it was before that, or after.
    pub const fn seen_changes(&self) -> u64 {
        self.found.before
    }

    /// Forgets everyone, keeping the memory.
    pub fn clear(&mut self) {
        self.found.clear();
    }
}

impl<'a, K> From<&'a Subscription<K>> for Match<'a, K> {
    fn from(subscription: &'a Subscription<K>) -> Self {
        Self {
            key: &subscription.key,
            qos: subscription.qos,
            retain_as_published: subscription.retain_as_published,
            subscription_ids: subscription.ids(),
        }
    }
}

impl<K: Clone + Eq + Hash> Found<K> {
    pub(crate) fn clear(&mut self) {
        self.lists.clear();
        self.groups.clear();
        self.has_no_local = false;
        self.publisher = None;
        self.highest = None;
        self.changes = 0;
        self.direct = 0;
        self.merge.clear();
    }

    /// True if looking this up would give what is here.
    pub(crate) fn holds(&self, topic: &Topic, publisher: Option<&K>, highest: Option<Qos>, changes: u64) -> bool {
        self.changes == changes
            && self.highest == highest
            && self.topic == topic.as_str().as_bytes()
            && (!self.has_no_local || self.publisher.as_ref() == publisher)
    }

    /// A look-up begins.
    pub(crate) fn begin(&mut self, highest: Option<Qos>, changes: u64) {
        self.clear();
        self.highest = highest;
        self.before = changes;
    }

    /// What is here came of this topic. Members of a group take turns, so theirs can't be used again.
    pub(crate) fn remember(&mut self, topic: &Topic, changes: u64) {
        if self.groups.is_empty() {
            self.topic.clear();
            self.topic.extend_from_slice(topic.as_str().as_bytes());
            self.changes = changes;
        }
    }

    /// Takes what a matching pattern leads to.
    pub(crate) fn add(&mut self, leaf: &Leaf<K>, publisher: Option<&K>) {
        if let Some(list) = leaf.plain().snapshot() {
            // Only then it matters who publishes, and what was found for one publisher can't be used for another.
            if !self.has_no_local && list.has_no_local() {
                self.has_no_local = true;
                self.publisher = publisher.cloned();
            }
            self.lists.push(list);
        }
        for shared in leaf.groups().into_iter().flat_map(Groups::values) {
            // A turn for each look-up: members take turns by message, not by who publishes.
            self.groups.push(FoundGroup { shared: Arc::clone(shared), turn: shared.next_turn() });
        }
    }

    /// Takes one group of a pattern.
    pub(crate) fn add_group(&mut self, leaf: &Leaf<K>, name: &str) {
        let Some(group) = leaf.groups().and_then(|groups| groups.get(name)) else { return };
        self.groups.push(FoundGroup { shared: Arc::clone(group), turn: group.next_turn() });
    }

    /// Makes one of all subscriptions that a subscriber has among the lists.
    pub(crate) fn finish(&mut self) {
        if self.lists.len() < 2 {
            return;
        }
        // The longest list stays as it is: merging the short ones into a few subscriptions and looking those up from it
        // costs less than the other way round.
        let longest = self.lists.iter().enumerate().max_by_key(|(_, list)| list.subscriptions().len());
        self.direct = longest.map_or(0, |(at, _)| at);
        // Who is to be passed over anyway is not worth a hash.
        let passes_over = self.highest == Some(Qos::AtMostOnce);
        self.merge.run(&self.lists, self.direct, self.publisher.as_ref(), passes_over);
    }
}
