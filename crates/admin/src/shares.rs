//! Places that are shared out: so many in all, and so many at most for each who asks.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Places of one kind. `K`: who asks for them.
pub(crate) struct Shares<K> {
    all: usize,
    taken: Mutex<Taken<K>>,
}

struct Taken<K> {
    all: usize,
    /// Who has none is not in it, so it has as many entries as there are places.
    by: HashMap<K, usize>,
}

/// A place, free again when it is dropped.
#[must_use]
pub(crate) struct Share<K: Eq + Hash> {
    shares: Arc<Shares<K>>,
    who: K,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Who asks has as many as they may.
    Share,
    /// All are taken.
    All,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    pub(crate) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: Mutex::new(Taken { all: 0, by: HashMap::new() }) })
    }

    /// A place for `who`, who may have `at_most` of them.
    pub(crate) fn take(self: &Arc<Self>, who: &K, at_most: usize) -> Result<Share<K>, Full> {
        let mut taken = self.taken.lock();
        let own = taken.by.get(who).copied().unwrap_or_default();
        if own >= at_most {
            return Err(Full::Share);
        }
        if taken.all >= self.all {
            return Err(Full::All);
        }
        taken.all += 1;
        taken.by.insert(who.clone(), own + 1);
        Ok(Share { shares: Arc::clone(self), who: who.clone() })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        taken.all -= 1;
        let own = taken.by.get_mut(&self.who).expect("who has a place is counted");
        *own -= 1;
        if *own == 0 {
            taken.by.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_share_and_all_have_no_more_than_there_is() {
        let shares = Shares::new(3);
        let mut held = vec![shares.take(&"a", 2).ok(), shares.take(&"a", 2).ok()];
        assert_eq!(shares.take(&"a", 2).err(), Some(Full::Share));
        held.push(shares.take(&"b", 2).ok());
        assert_eq!(shares.take(&"b", 2).err(), Some(Full::All));
        held.remove(0);
        assert!(shares.take(&"b", 2).is_ok());
        drop(held);
        assert!(shares.taken.lock().by.is_empty() && shares.taken.lock().all == 0);
    }
}
