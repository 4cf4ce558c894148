//! Retained messages.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;
use mqtt_codec::{Filter, Topic};
use parking_lot::RwLock;

use crate::Full;
use crate::seek::{Cursor, Onward, Seeker};

const SHARDS: usize = 64;

/// Topics looked at before the index is unlocked for a moment, so that a long search does not keep publishers waiting.
const LOOKED_AT_ONCE: usize = 256;

/// A topic counts as looked at once for each so many bytes: with topics that are long and alike, comparing is the work.
const LOOKED_AT_BYTES: usize = 1024;

/// The retained messages, found by filter without walking them all.
#[derive(Debug)]
pub struct Retained<V> {
    values: DashMap<Arc<str>, V, RandomState>,
    /// The topics in `values`, in order; changed under the topic's shard lock, so nobody may want a shard's lock while
    /// holding this one.
    ///
    /// Topics are kept with U+0000, which no topic has and which is the lowest of all, for `/`: then they are ordered
    /// level by level, and a topic is followed by all below it.
    index: RwLock<BTreeSet<Arc<str>>>,
    max: usize,
}

/// Whether a walk goes on.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more.
    More,
    /// Nothing is left to be found.
    Over,
}

impl<V: Clone> Retained<V> {
    /// Holds at most `max` messages.
    pub fn new(max: usize) -> Self {
        let values = DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS);
        Self { values, index: RwLock::default(), max }
    }

    /// Keeps `value`; returns the one it replaces.
    pub fn insert(&self, topic: &Topic, value: V) -> Result<Option<V>, Full> {
        let key = key(topic.as_str());
        if let Some(mut old) = self.values.get_mut(&*key) {
            return Ok(Some(std::mem::replace(&mut *old, value)));
        }
        // Shared by map and index: a topic's text is kept once.
        let key = Arc::<str>::from(key);
        match self.values.entry(key.clone()) {
            Entry::Occupied(mut old) => Ok(Some(old.insert(value))),
            Entry::Vacant(vacant) => {
                let mut index = self.index.write();
                // Counted under the lock under which it is added: so many, and not one more.
                if index.len() >= self.max {
                    return Err(Full);
                }
                index.insert(key);
                vacant.insert(value);
                Ok(None)
            }
        }
    }

    /// Forgets the message of a topic.
    pub fn remove(&self, topic: &Topic) -> Option<V> {
        let removed = self.values.remove_if(&*key(topic.as_str()), |key, _| self.index.write().remove(key));
        removed.map(|(_, value)| value)
    }

    /// The message of a topic.
    pub fn get(&self, topic: &Topic) -> Option<V> {
        self.values.get(&*key(topic.as_str())).map(|value| value.clone())
    }

    /// Whether a topic of this text has a message.
    pub fn has(&self, topic: &str) -> bool {
        self.values.contains_key(&*key(topic))
    }

    /// Appends to `out` the messages of all topics that `filter` matches, ordered by topic.
    ///
    /// A shared filter gets what its pattern matches; that shared subscriptions get no retained messages is for the
    /// caller to know. What comes or goes meanwhile may be in or not.
    pub fn matching(&self, filter: &Filter, out: &mut Vec<V>) {
        let mut cursor = Cursor::default();
        while self.next_slice(filter, &mut cursor, LOOKED_AT_ONCE, out) == Progress::More {}
    }

    /// [`Self::matching`] in slices: goes on from `cursor` until about `budget` topics have been looked at, whether they
    /// matched or not, and appends those that did, `budget` of them at most. Each call moves on, also with a budget of 0.
    ///
    /// Over all slices a message that is there from the first to the last is found once, and no topic is found twice,
    /// whatever is inserted, replaced or removed meanwhile. What was inserted after the first slice may be found or
    /// not; what is replaced is found as it is by then. A filter without wildcards is one look-up and has one slice.
    ///
    /// A call costs what its budget says, however much there is, and keeps nobody waiting for longer than it takes to
    /// look at some hundred topics.
    ///
    /// ```
    /// use mqtt_codec::{Filter, Topic};
    /// use mqtt_router::{Cursor, Progress, Retained};
    ///
    /// let retained = Retained::new(100);
    /// for name in ["garden/gate", "garden/pond", "stairs"] {
    ///     retained.insert(&Topic::new(name)?, name)?;
    /// }
    /// let (mut cursor, mut found) = (Cursor::default(), Vec::new());
    /// while retained.next_slice(&Filter::new("garden/#")?, &mut cursor, 1, &mut found) == Progress::More {
    ///     // Others have their turn.
    /// }
    /// assert_eq!(found, ["garden/gate", "garden/pond"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_slice(&self, filter: &Filter, cursor: &mut Cursor, budget: usize, out: &mut Vec<V>) -> Progress {
        if cursor.is_over {
            return Progress::Over;
        }
        let pattern = filter.pattern();
        if !filter.has_wildcard() {
            cursor.is_over = true;
            out.extend(self.values.get(&*key(pattern)).map(|value| value.clone()));
            return Progress::Over;
        }
        let mut found = Vec::new();
        let mut budget = budget.max(1);
        // The lock is let go between two parts, for those who retain something meanwhile.
        while budget > 0 && !cursor.is_over {
            let at_once = budget.min(LOOKED_AT_ONCE);
            let looked_at = self.seek(pattern, cursor, at_once, &mut found);
            budget = budget.saturating_sub(looked_at);
            // Not under the index's lock: see there. What has gone since then is not there all the time.
            out.extend(found.drain(..).filter_map(|key| self.values.get(&key).map(|value| value.clone())));
        }
        if cursor.is_over { Progress::Over } else { Progress::More }
    }

    /// Appends to `out` the messages of up to `limit` topics that come after `after`, ordered level by level; returns the
    /// topic to go on after, or `None` if there are no more. For listings: it does not keep publishers waiting.
    pub fn following(&self, after: Option<&str>, limit: usize, out: &mut Vec<V>) -> Option<String> {
        let after = after.map(key);
        let mut found = Vec::with_capacity(limit.min(LOOKED_AT_ONCE));
        // By its text and not by a count: whatever comes or goes before it, nothing is left out and nothing comes
        // twice.
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let index = self.index.read();
        let mut keys = index.range::<str, _>((start, Bound::Unbounded));
        found.extend(keys.by_ref().take(limit.min(LOOKED_AT_ONCE)).cloned());
        let has_more = keys.next().is_some();
        drop(index);
        let last = found.last().filter(|_| has_more).map(|key| key.replace('\0', "/"));
        // Not under the index's lock: see there.
        out.extend(found.iter().filter_map(|key| self.values.get(key).map(|value| value.clone())));
        last
    }

    /// Drops all for which `keep` says no; returns how many.
    ///
    /// Walks them all, shard by shard, so `keep` must not use these messages.
    pub fn retain(&self, mut keep: impl FnMut(&V) -> bool) -> usize {
        let mut dropped = 0;
        self.values.retain(|key, value| {
            let keeps = keep(value);
            if !keeps {
                self.index.write().remove(key);
                dropped += 1;
            }
            keeps
        });
        dropped
    }

    /// Calls `visit` with each topic and its message. For listings: it walks them all, shard by shard, so `visit` must
    /// not use these messages.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &V)) {
        for value in &self.values {
            visit(&value.key().replace('\0', "/"), &value);
        }
    }

    /// Messages held.
    pub fn len(&self) -> usize {
        self.index.read().len()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks for matching topics for a while; returns what that counts for.
    fn seek(&self, pattern: &str, cursor: &mut Cursor, budget: usize, found: &mut Vec<Arc<str>>) -> usize {
        let index = self.index.read();
        let from = |bound: Bound<&str>| index.range::<str, _>((bound, Bound::Unbounded));
        let mut seeker = Seeker::new(pattern, cursor);
        let mut keys = from(seeker.bound());
        let (mut looked_at, mut is_over) = (0, false);
        while looked_at < budget && !is_over {
            let Some(key) = keys.next() else {
                is_over = true;
                break;
            };
            looked_at += 1 + key.len() / LOOKED_AT_BYTES;
            match seeker.look_at(key) {
                Onward::Found => found.push(key.clone()),
                // A new search from there costs some comparisons, however much lies between.
                Onward::Seek => keys = from(seeker.bound()),
                Onward::End => is_over = true,
            }
        }
        cursor.is_over = is_over;
        looked_at
    }
}

/// The text by which a topic is kept.
fn key(topic: &str) -> String {
    topic.replace('/', "\0")
}

#[cfg(test)]
mod tests;
