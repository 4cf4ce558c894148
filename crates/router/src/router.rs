//! Subscriptions.

mod contents;

use std::hash::Hash;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::{DashMap, Entry as MapEntry};
use foldhash::fast::RandomState;
use mqtt_codec::{Filter, Qos, Topic};

use crate::group::{Joined, Memberships};
use crate::leaf::{Leaf, Subscription};
use crate::patterns::{Patterns, TOGETHER};
use crate::shapes::{ASKED_FROM, Scratch, Shapes, find_ends};
use crate::text::Text;
use crate::{Attendance, Matches, Wish};

/// More than there are workers on any machine, so that two seldom want the same lock.
const SHARDS: usize = 64;

/// Where the next router starts to count its changes. None starts at 0.
static RANGES: AtomicU64 = AtomicU64::new(1 << 40);

/// What a subscriber asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The highest QoS of a delivery.
    pub qos: Qos,
    /// Not what the subscriber published itself. Means nothing in a shared subscription, where it is a protocol error
    /// that the caller refuses. [MQTT-3.8.3-4]
    pub no_local: bool,
    /// Keep the retain flag.
    pub retain_as_published: bool,
    /// Goes with each delivery.
    pub subscription_id: Option<NonZeroU32>,
}

/// A limit is reached; nothing was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit is reached")]
pub struct Full;

/// All subscriptions of a broker.
///
/// `K` is cloned into each subscription, so it should be small and cheap to clone: an id or an `Arc`.
#[derive(Debug)]
pub struct Router<K> {
    /// By pattern. No leaf is empty.
    leaves: DashMap<Text, Leaf<K>, RandomState>,
    /// Of all patterns in `leaves`; changed under the pattern's shard lock.
    shapes: Shapes,
    /// Of all groups in `leaves`; a group is joined and left under its pattern's shard lock.
    memberships: Memberships<K>,
    /// Grows with each change of a subscription, so that [`Matches`] can tell whether what they hold is still right.
    /// Each router counts in a range of its own.
    changes: AtomicU64,
    /// Patterns that begin with `$`.
    dollar: AtomicUsize,
    /// Those of them whose last level is no wildcard.
    dollar_named: AtomicUsize,
    /// The same by a hash of that level.
    dollar_names: [AtomicUsize; NAMES],
    filters: AtomicUsize,
    subscriptions: AtomicUsize,
    shared: AtomicUsize,
}

impl<K: Clone + Eq + Hash> Default for Router<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash> Router<K> {
    /// An empty router.
    pub fn new() -> Self {
        Self {
            leaves: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            shapes: Shapes::default(),
            memberships: Memberships::new(SHARDS),
            changes: AtomicU64::new(RANGES.fetch_add(1 << 40, Ordering::Relaxed)),
            dollar: AtomicUsize::new(0),
            dollar_named: AtomicUsize::new(0),
            dollar_names: [const { AtomicUsize::new(0) }; NAMES],
            filters: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
        }
    }

    /// Subscribes, or replaces the options; true if `key` had subscribed with this filter before.
    ///
    /// What a subscriber's filters may cost those who publish is for the caller to bound, see [`Variety`](crate::Variety).
    pub fn subscribe(&self, filter: &Filter, key: K, options: Options) -> bool {
        let subscription = Subscription::new(key, options);
        let pattern = filter.pattern();
        // The text of a key is made only for a filter that is new.
        if let Some(mut leaf) = self.leaves.get_mut(pattern.as_bytes()) {
            return self.insert(&mut leaf, filter.group(), subscription);
        }
        match self.leaves.entry(pattern.into()) {
            MapEntry::Occupied(mut leaf) => self.insert(leaf.get_mut(), filter.group(), subscription),
            MapEntry::Vacant(vacant) => {
                // Before the leaf is in the map, under its shard's lock: a shape that is not known is not looked up.
                self.shapes.add(pattern);
                self.dollar.fetch_add(usize::from(pattern.starts_with('$')), Ordering::Release);
                if let Some(level) = dollar_name(pattern) {
                    self.dollar_named.fetch_add(1, Ordering::Release);
                    self.dollar_names[place_of(level)].fetch_add(1, Ordering::Release);
                }
                let mut leaf = Leaf::default();
                self.insert(&mut leaf, filter.group(), subscription);
                vacant.insert(leaf);
                false
            }
        }
    }

    /// False if there was no such subscription.
    pub fn unsubscribe(&self, filter: &Filter, key: &K) -> bool {
        let mut found = false;
        let pattern = filter.pattern();
        self.leaves.remove_if_mut(pattern.as_bytes(), |_, leaf| {
            found = self.remove(leaf, filter.group(), key);
            let empty = leaf.is_empty();
            if empty {
                self.dollar.fetch_sub(usize::from(pattern.starts_with('$')), Ordering::Relaxed);
                if let Some(level) = dollar_name(pattern) {
                    self.dollar_named.fetch_sub(1, Ordering::Relaxed);
                    self.dollar_names[place_of(level)].fetch_sub(1, Ordering::Relaxed);
                }
                self.shapes.remove(pattern);
            }
            empty
        });
        found
    }

    /// Says whether a subscriber is there, for its shared subscriptions: one that is not is no longer in the way of
    /// those who are. It is taken to be there when it first subscribes so; without shared subscriptions this does
    /// nothing. Costs what its shared subscriptions are, whoever else has them.
    pub fn set_attendance(&self, key: &K, attendance: Attendance) {
        if self.shared_len() > 0 {
            self.memberships.place(key, attendance);
        }
    }

    /// Says the same for one subscription, which is not shared: [`Self::receivers`] passes over one that is not there, at the
    /// cost of a look at its place in a list. It is taken to be there when it subscribes.
    pub fn set_attendance_at(&self, filter: &Filter, key: &K, attendance: Attendance) {
        if filter.group().is_none()
            && let Some(leaf) = self.leaves.get(filter.pattern().as_bytes())
            && let Some(subscription) = leaf.plain().find(key)
        {
            subscription.set_attendance(attendance);
            // Who goes may be found for a while. Who is back is not to be passed over by a look-up from before.
            if attendance == Attendance::Present {
                self.changes.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// Puts into `found` (emptied first) everyone whose filter matches; `publisher` does not get what its no-local
    /// subscriptions would bring. Asked for the same topic again, `found` is left as it is unless a subscription has
    /// changed since.
    ///
    /// No lock is held once this returns.
    pub fn matches(&self, topic: &Topic, publisher: Option<&K>, found: &mut Matches<K>) {
        self.look_for(topic, publisher, None, found);
    }

    /// [`Self::matches`] for a message of this QoS, or a lower one: those who are [absent](Self::set_attendance_at) and for whom
    /// it would be at QoS 0 are passed over.
    pub fn receivers(&self, topic: &Topic, publisher: Option<&K>, highest: Qos, found: &mut Matches<K>) {
        self.look_for(topic, publisher, Some(highest), found);
    }

    fn look_for(&self, topic: &Topic, publisher: Option<&K>, highest: Option<Qos>, found: &mut Matches<K>) {
        let Matches { scratch, found } = found;
        // Before the look-up: what changes meanwhile makes the next one ask again.
        let changes = self.changes();
        if found.holds(topic, publisher, highest, changes) {
            return;
        }
        found.begin(highest, changes);
        self.look_up(topic, Reach::All, scratch, |leaf| {
            found.add(leaf, publisher);
            true
        });
        found.finish();
        found.remember(topic, changes);
    }

    /// Puts into `found` (emptied first) those alone whose filter matches and names the topic's last level, which no wildcard
    /// does.
    ///
    /// No lock is held once this returns.
    pub fn matches_named(&self, topic: &Topic, found: &mut Matches<K>) {
        self.look_for_named(topic, None, found);
    }

    /// Of those the [`Self::receivers`] of a message of this QoS, or a lower one.
    pub fn receivers_named(&self, topic: &Topic, highest: Qos, found: &mut Matches<K>) {
        self.look_for_named(topic, Some(highest), found);
    }

    fn look_for_named(&self, topic: &Topic, highest: Option<Qos>, found: &mut Matches<K>) {
        let Matches { scratch, found } = found;
        found.begin(highest, self.changes());
        self.look_up(topic, Reach::Named, scratch, |leaf| {
            found.add(leaf, None);
            true
        });
        found.finish();
    }

    /// Puts into `found` (emptied first) the members of this shared subscription alone, if there are any.
    ///
    /// No lock is held once this returns.
    pub fn members(&self, filter: &Filter, found: &mut Matches<K>) {
        found.found.begin(None, self.changes());
        if let Some(name) = filter.group()
            && let Some(leaf) = self.leaves.get(filter.pattern().as_bytes())
        {
            // It takes a turn, as a message does: what is handed on goes round, too.
            found.found.add_group(&leaf, name);
        }
    }

    /// A number that is higher after each change of a subscription.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What [`Self::matches`] finds of this subscriber now, its shared subscriptions apart. Costs the same however many others
    /// there are.
    pub fn wish_of(&self, key: &K, topic: &Topic, publisher: Option<&K>) -> Option<Wish> {
        let mut wish: Option<Wish> = None;
        self.look_up(topic, Reach::All, &mut Scratch::default(), |leaf| {
            if let Some(subscription) = leaf.plain().find(key)
                && !subscription.is_hidden_from(publisher)
            {
                let nothing =
                    || Wish { qos: Qos::AtMostOnce, retain_as_published: false, subscription_ids: Vec::new() };
                let wish = wish.get_or_insert_with(nothing);
                wish.qos = wish.qos.max(subscription.qos);
                wish.retain_as_published |= subscription.retain_as_published;
                wish.subscription_ids.extend(subscription.ids());
            }
            true
        });
        wish
    }

    /// True if any filter matches. Costs less than finding out whose it is.
    pub fn is_wanted(&self, topic: &Topic) -> bool {
        let mut wanted = false;
        self.look_up(topic, Reach::All, &mut Scratch::default(), |_| {
            wanted = true;
            false
        });
        wanted
    }

    /// False if no filter can match a topic that begins with `$`: a wildcard in front does not. [MQTT-4.7.2-1]
    pub fn has_dollar_filters(&self) -> bool {
        self.dollar.load(Ordering::Acquire) > 0
    }

    /// False if no such filter [names](Self::matches_named) the last level of a topic.
    pub fn has_dollar_names(&self) -> bool {
        self.dollar_named.load(Ordering::Acquire) > 0
    }

    /// False if no such filter has this last level. It may be true by chance, of another level: two loads are all it costs.
    pub fn has_dollar_name(&self, level: &str) -> bool {
        // Mostly there are none at all, and then no level is hashed.
        self.has_dollar_names() && self.dollar_names[place_of(level)].load(Ordering::Acquire) > 0
    }

    /// Calls `hit` with each leaf whose pattern matches, until it says false. The leaf's shard is locked meanwhile.
    fn look_up(&self, topic: &Topic, reach: Reach, scratch: &mut Scratch, mut hit: impl FnMut(&Leaf<K>) -> bool) {
        let (topic, hasher) = (topic.as_str(), self.leaves.hasher());
        let Scratch { ends, words, patterns } = scratch;
        let shapes = self.shapes.load();
        ends.clear();
        if !shapes.is_empty() {
            find_ends(topic, ends);
        }
        let fitting = shapes.fitting(ends.len());
        // No wildcard can match: one look-up is all.
        if fitting == 0 {
            if let Some(leaf) = self.leaves.get(topic.as_bytes()) {
                hit(&leaf);
            }
            return;
        }
        patterns.clear();
        // The topic's own text: a filter without wildcards matches that alone.
        patterns.push(hasher, |text| text.push_str(topic));
        let asked = (fitting >= ASKED_FROM).then_some((self.shapes.hasher(), words));
        let ends = &ends[..];
        let goes_on = shapes.all_fitting(topic, ends, asked, |shape| {
            if reach == Reach::Named && !shape.names_last() {
                return true;
            }
            if patterns.is_full() {
                if !self.look_up_together(patterns, &mut hit) {
                    return false;
                }
                patterns.clear();
            }
            patterns.push(hasher, |text| shape.write_pattern(topic, ends, text));
            true
        });
        if goes_on {
            self.look_up_together(patterns, &mut hit);
        }
    }

    /// False if `hit` said so.
    ///
    /// Among a million filters nearly all of the time goes into waiting for memory, which answers several questions in
    /// the time of one. So that no question waits for another answer, everything is locked first (at a lock the
    /// processor asks nothing more), then the entries are picked by their hash alone, and only then compared.
    fn look_up_together(&self, patterns: &Patterns, hit: &mut impl FnMut(&Leaf<K>) -> bool) -> bool {
        let shards = self.leaves.shards();
        let mut first = 0;
        while first < patterns.len() {
            let mut locks = [const { None }; TOGETHER];
            let mut locked = 0;
            for (lock, pattern) in locks.iter_mut().zip(patterns.from(first)) {
                let shard = &shards[self.leaves.determine_shard(pattern.hash as usize)];
                // Who waits for a lock holds none, so that no two wait for each other.
                *lock = if locked == 0 { Some(shard.read()) } else { shard.try_read() };
                if lock.is_none() {
                    break;
                }
                locked += 1;
            }
            let locks = || locks.iter().flatten().zip(patterns.from(first));
            let mut entries = [None; TOGETHER];
            for (entry, (shard, pattern)) in entries.iter_mut().zip(locks()) {
                *entry = shard.get(pattern.hash, |_| true);
                if let Some((text, _)) = entry {
                    // Has it fetched.
                    black_box(text.is_inline());
                }
            }
            for (entry, (shard, pattern)) in entries.iter().zip(locks()) {
                let is_wanted = |(text, _): &(Text, _)| text.as_bytes() == pattern.bytes;
                let entry = entry.and_then(|entry| {
                    // What was picked is seldom another pattern.
                    if is_wanted(entry) { Some(entry) } else { shard.get(pattern.hash, is_wanted) }
                });
                if let Some((_, leaf)) = entry
                    && !hit(leaf.get())
                {
                    return false;
                }
            }
            // At least one each time: the first lock is waited for.
            first += locked;
        }
        true
    }

    fn insert(&self, leaf: &mut Leaf<K>, group: Option<&str>, subscription: Subscription<K>) -> bool {
        let Joined { is_first, replaced } = match group {
            Some(name) => self.memberships.join(leaf.make_group(name), subscription),
            None => {
                let plain = leaf.plain_mut();
                Joined { is_first: plain.is_empty(), replaced: plain.insert(subscription) }
            }
        };
        // Under the pattern's shard lock: who reads the new count looks up behind this change.
        self.changes.fetch_add(1, Ordering::Release);
        if is_first {
            self.filters.fetch_add(1, Ordering::Relaxed);
        }
        if !replaced {
            self.subscriptions.fetch_add(1, Ordering::Relaxed);
            self.shared.fetch_add(usize::from(group.is_some()), Ordering::Relaxed);
        }
        replaced
    }

    fn remove(&self, leaf: &mut Leaf<K>, group: Option<&str>, key: &K) -> bool {
        let is_last = match group {
            Some(name) => {
                let Some(shared) = leaf.groups().and_then(|groups| groups.get(name)) else { return false };
                if !self.memberships.leave(shared, key) {
                    return false;
                }
                let is_last = shared.is_empty();
                if is_last {
                    leaf.drop_group(name);
                }
                is_last
            }
            None => {
                let plain = leaf.plain_mut();
                if plain.remove(key).is_none() {
                    return false;
                }
                plain.is_empty()
            }
        };
        self.changes.fetch_add(1, Ordering::Release);
        if is_last {
            self.filters.fetch_sub(1, Ordering::Relaxed);
        }
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        self.shared.fetch_sub(usize::from(group.is_some()), Ordering::Relaxed);
        true
    }
}

/// Which of the filters that match are looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    All,
    /// Those whose last level is no wildcard.
    Named,
}

/// The last level of a pattern that begins with `$`, if it is no wildcard.
fn dollar_name(pattern: &str) -> Option<&str> {
    (pattern.starts_with('$') && !pattern.ends_with(['+', '#'])).then(|| pattern.rsplit('/').next()).flatten()
}

/// So many names of last levels are told from each other.
const NAMES: usize = 64;

/// FNV-1a: a few instructions for the short names that are asked for.
fn place_of(level: &str) -> usize {
    let hash = level.bytes().fold(0xcbf2_9ce4_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ hash >> 16) as usize % NAMES
}

#[cfg(test)]
mod tests;
