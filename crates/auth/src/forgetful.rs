//! A map that forgets what is old, and what it has no room for.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::time::{Duration, Instant};

/// Keeps each entry for a time, and so many of them. Where there is no room, older ones are forgotten before their time.
///
/// Entries are in two generations; the older one is dropped as a whole, so nothing is ever searched through.
pub(crate) struct Forgetful<K, V> {
    young: HashMap<K, Kept<V>>,
    old: HashMap<K, Kept<V>>,
    /// When the young generation began.
    since: Instant,
    room: usize,
    time: Duration,
}

struct Kept<V> {
    since: Instant,
    value: V,
}

impl<K: Hash + Eq, V> Forgetful<K, V> {
    pub(crate) fn new(room: usize, time: Duration, now: Instant) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), since: now, room, time }
    }

    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<&V> {
        let kept = self.young.get(key).or_else(|| self.old.get(key))?;
        (now.saturating_duration_since(kept.since) < self.time).then_some(&kept.value)
    }

    /// Its time begins anew.
    pub(crate) fn insert(&mut self, key: K, value: V, now: Instant) {
        // Twice the time without an entry that is of it: both generations are over.
        for _ in 0..2 {
            if now.saturating_duration_since(self.since) >= self.time {
                self.turn(self.since + self.time);
            }
        }
        if self.young.len() >= self.room.div_ceil(2) {
            self.turn(now);
        }
        self.old.remove(&key);
        self.young.insert(key, Kept { since: now, value });
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    fn turn(&mut self, now: Instant) {
        self.old = mem::take(&mut self.young);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_there_for_its_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut map = Forgetful::new(100, Duration::from_secs(10), start);
        map.insert("a", 1, at(9));
        map.insert("b", 2, at(12));
        map.insert("a", 3, at(15));
        for (key, second, expected) in
            [("a", 24, Some(&3)), ("a", 25, None), ("b", 21, Some(&2)), ("b", 22, None), ("c", 15, None)]
        {
            assert_eq!(map.get(&key, at(second)), expected, "{key} {second}");
        }
        map.insert("c", 4, at(100));
        assert_eq!((map.young.len(), map.old.len()), (1, 0), "what is over takes no room");
        map.remove(&"c");
        assert_eq!(map.get(&"c", at(100)), None);
    }

    #[test]
    fn there_are_never_more_than_have_room() {
        let now = Instant::now();
        let mut map = Forgetful::new(10, Duration::from_secs(10), now);
        for number in 0..100 {
            map.insert(number, (), now);
            assert!(map.young.len() + map.old.len() <= 10);
            assert!((0..=number).rev().take(5).all(|number| map.get(&number, now).is_some()), "{number}");
        }
    }
}
