//! Several lists of subscribers as one: a subscriber that is in more than one gets one copy of a message.

use std::hash::{BuildHasher, Hash};
use std::ops::Range;

use foldhash::fast::RandomState;
use mqtt_codec::Qos;

use crate::Match;
use crate::leaf::{Snapshot, Subscription};

/// Up to so many subscriptions comparing each with each costs less than hashing.
const COMPARED: usize = 8;

/// The subscriptions of all lists but one, merged by key; and where that one list repeats any of them.
///
/// Entries are known by their place in the lists, so that merging clones no key.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    merged: Vec<Merged>,
    /// Entries of the list left as it is that are merged all the same, ascending.
    covered: Vec<u32>,
    /// Ids of all that are merged, those of one subscriber together.
    ids: Vec<u32>,
    /// Ids as they were met.
    met: Vec<MetId>,
    /// A hash table of `merged`; empty while there are few.
    slots: Vec<Slot>,
    /// Subscriptions of those who are absent that were not looked at.
    passed_over: usize,
    hasher: RandomState,
}

#[derive(Debug)]
struct Merged {
    list: usize,
    subscription: usize,
    qos: Qos,
    retain_as_published: bool,
    ids: Range<u32>,
}

#[derive(Debug)]
struct MetId {
    merged: usize,
    id: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    merged: u32,
}

/// Where a subscription may be added that was not found.
struct Vacancy {
    slot: usize,
    hash: u32,
}

impl Slot {
    const FREE: Self = Self { hash: 0, merged: u32::MAX };
}

impl Merge {
    pub(crate) fn clear(&mut self) {
        self.merged.clear();
        self.covered.clear();
        self.ids.clear();
        self.met.clear();
        self.slots.clear();
        self.passed_over = 0;
    }

    pub(crate) fn covered(&self) -> &[u32] {
        &self.covered
    }

    pub(crate) const fn passed_over(&self) -> usize {
        self.passed_over
    }

    /// With each whether it is absent.
    pub(crate) fn iter<'a, K>(&'a self, lists: &'a [Snapshot<K>]) -> impl Iterator<Item = (bool, Match<'a, K>)> {
        self.merged.iter().map(|merged| {
            let subscription = &lists[merged.list].subscriptions()[merged.subscription];
            let found = Match {
                key: &subscription.key,
                qos: merged.qos,
                retain_as_published: merged.retain_as_published,
                subscription_ids: &self.ids[merged.ids.start as usize..merged.ids.end as usize],
            };
            (subscription.is_absent(), found)
        })
    }

    /// Merges all `lists`, leaving in the one at `direct` what is nowhere else; `passes_over`: without those who are absent.
    pub(crate) fn run<K: Eq + Hash>(
        &mut self,
        lists: &[Snapshot<K>],
        direct: usize,
        publisher: Option<&K>,
        passes_over: bool,
    ) {
        let others = || lists.iter().enumerate().filter(|&(at, _)| at != direct);
        let most = others().map(|(_, list)| list.subscriptions().len()).sum::<usize>();
        if most > COMPARED {
            // At most half full, so that a search soon meets a free one.
            self.slots.resize((most * 2).next_power_of_two(), Slot::FREE);
        }
        for (list, snapshot) in others() {
            for (at, subscription) in snapshot.subscriptions().iter().enumerate() {
                // [MQTT-3.8.3-3]: by this subscription nothing comes, by others of the same subscriber it may.
                if subscription.is_hidden_from(publisher) {
                    continue;
                }
                if passes_over && subscription.is_absent() {
                    self.passed_over += 1;
                    continue;
                }
                let merged = match self.find(lists, &subscription.key) {
                    Ok(merged) => merged,
                    Err(vacancy) => self.add(list, at, vacancy),
                };
                self.absorb(merged, subscription);
            }
        }
        for (at, subscription) in (0..).zip(lists[direct].subscriptions()) {
            if subscription.is_hidden_from(publisher) || (passes_over && subscription.is_absent()) {
                continue;
            }
            if let Ok(merged) = self.find(lists, &subscription.key) {
                self.absorb(merged, subscription);
                self.covered.push(at);
            }
        }
        self.collect_ids();
    }

    fn find<K: Eq + Hash>(&self, lists: &[Snapshot<K>], key: &K) -> Result<usize, Vacancy> {
        let same = |merged: &Merged| lists[merged.list].subscriptions()[merged.subscription].key == *key;
        if self.slots.is_empty() {
            return self.merged.iter().position(same).ok_or(Vacancy { slot: 0, hash: 0 });
        }
        let full = self.hasher.hash_one(key);
        let hash = (full >> 32) as u32;
        let mask = self.slots.len() - 1;
        let mut slot = full as usize & mask;
        loop {
            let Slot { hash: other, merged } = self.slots[slot];
            if merged == Slot::FREE.merged {
                return Err(Vacancy { slot, hash });
            }
            if other == hash && same(&self.merged[merged as usize]) {
                return Ok(merged as usize);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn add(&mut self, list: usize, subscription: usize, vacancy: Vacancy) -> usize {
        let merged = self.merged.len();
        if let Some(slot) = self.slots.get_mut(vacancy.slot) {
            *slot = Slot { hash: vacancy.hash, merged: merged as u32 };
        }
        self.merged.push(Merged { list, subscription, qos: Qos::AtMostOnce, retain_as_published: false, ids: 0..0 });
        merged
    }

    fn absorb<K>(&mut self, merged: usize, subscription: &Subscription<K>) {
        // [MQTT-3.3.4-4]: the ids of all that match, in one copy.
        self.met.extend(subscription.ids().iter().map(|&id| MetId { merged, id }));
        let merged = &mut self.merged[merged];
        // [MQTT-3.3.4-2]
        merged.qos = merged.qos.max(subscription.qos);
        merged.retain_as_published |= subscription.retain_as_published;
    }

    /// Sorts the ids by whom they belong to, by counting.
    fn collect_ids(&mut self) {
        if self.met.is_empty() {
            return;
        }
        for met in &self.met {
            self.merged[met.merged].ids.end += 1;
        }
        let mut start = 0;
        for merged in &mut self.merged {
            let count = merged.ids.end;
            merged.ids = start..start;
            start += count;
        }
        self.ids.resize(self.met.len(), 0);
        for met in &self.met {
            let ids = &mut self.merged[met.merged].ids;
            self.ids[ids.end as usize] = met.id;
            ids.end += 1;
        }
    }
}
