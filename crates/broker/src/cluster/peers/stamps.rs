//! Which of two retained messages of one topic is the later one, by all nodes alike.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use bytestring::ByteString;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

/// Topics of one share wait for each other.
const SHARES: usize = 64;

/// Topics of a share with nothing retained of which it is known when that was removed: longer than any message is on its way.
const MAX_REMOVED: usize = 1024;

/// When a message was retained, by its node's clock: milliseconds since the Unix epoch, or more where it must be later than another;
/// and which node that was. 0: before this node knew of others.
pub(crate) type Stamp = (u64, ByteString);

/// Of what is retained. What has none was there before this life of the node.
pub(crate) struct Stamps {
    hasher: RandomState,
    shares: Box<[Mutex<Share>]>,
}

#[derive(Default)]
pub(crate) struct Share {
    /// Whether it is of nothing, too.
    stamps: HashMap<ByteString, (Stamp, bool), RandomState>,
    /// Those of nothing, the oldest first.
    removed: VecDeque<ByteString>,
}

impl Default for Stamps {
    fn default() -> Self {
        Self { hasher: RandomState::default(), shares: (0..SHARES).map(|_| Mutex::default()).collect() }
    }
}

impl Stamps {
    /// The share that this topic is in: nothing is retained on it by anybody else meanwhile.
    pub(super) fn lock(&self, topic: &str) -> MutexGuard<'_, Share> {
        self.shares[self.hasher.hash_one(topic) as usize % SHARES].lock()
    }

    /// What is retained was there before, from now on.
    pub(super) fn forget_all(&self) {
        self.shares.iter().for_each(|share| *share.lock() = Share::default());
    }
}

impl Share {
    /// For what this node retains now.
    pub(super) fn next(&self, topic: &str, node: &str, now: u64) -> Stamp {
        let after = self.stamps.get(topic).map_or(0, |((at, _), _)| at + 1);
        (now.max(after), node.into())
    }

    /// For what all nodes retain now, each by itself: the same for all, and earlier than whatever one of them retains behind it.
    pub(super) fn after(&self, topic: &str) -> Stamp {
        self.stamps.get(topic).map_or_else(|| (1, ByteString::new()), |((at, node), _)| (at + 1, node.clone()))
    }

    /// Whether what was retained then is later than what is there.
    pub(super) fn is_later(&self, topic: &str, stamp: &Stamp) -> bool {
        self.stamps.get(topic).is_none_or(|(last, _)| stamp > last)
    }

    pub(super) fn get(&self, topic: &str) -> Option<&Stamp> {
        self.stamps.get(topic).map(|(stamp, _)| stamp)
    }

    pub(super) fn set(&mut self, topic: &str, stamp: Stamp, is_removed: bool) {
        let topic = ByteString::from(topic);
        self.stamps.insert(topic.clone(), (stamp, is_removed));
        if !is_removed {
            return;
        }
        self.removed.push_back(topic);
        if self.removed.len() > MAX_REMOVED
            && let Some(oldest) = self.removed.pop_front()
            // Something may be retained there by now, or it is in the list once more.
            && self.stamps.get(&oldest).is_some_and(|(_, is_removed)| *is_removed)
            && !self.removed.contains(&oldest)
        {
            self.stamps.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_one_is_the_same_for_all_and_what_was_removed_is_remembered_for_a_while() {
        let stamps = Stamps::default();
        let mut share = stamps.lock("t");
        let early = (5, ByteString::from("b"));
        assert!(share.is_later("t", &early));
        share.set("t", early.clone(), false);
        assert!(!share.is_later("t", &early) && !share.is_later("t", &(5, "a".into())));
        assert!(share.is_later("t", &(5, "c".into())) && share.is_later("t", &(6, "a".into())));
        // However its clock is, what a node retains behind that is later.
        assert_eq!(share.next("t", "a", 3), (6, "a".into()));
        assert_eq!(share.next("t", "a", 9), (9, "a".into()));
        assert_eq!((share.after("t"), share.after("new")), ((6, "b".into()), (1, "".into())));
        share.set("t", (7, "a".into()), true);
        assert!(!share.is_later("t", &early));
        for number in 0..MAX_REMOVED {
            share.set(&number.to_string(), (1, "a".into()), true);
        }
        assert_eq!(share.get("t"), None);
        assert_eq!(share.stamps.len(), MAX_REMOVED);
    }
}
