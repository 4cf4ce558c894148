//! Clients that something is to be told of, by when.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

/// Clients in the order in which they are due. Each is here once, however often it comes and goes.
pub(super) struct Pending {
    order: BTreeSet<(u64, Arc<str>)>,
    clients: HashMap<Arc<str>, When>,
    most: usize,
}

/// When a client is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// By [`Host::clock_ms`](mqtt_hooks::Host::clock_ms).
    pub(super) due: u64,
    /// What the system's clock will show then, if nobody sets it: milliseconds since the Unix epoch.
    pub(super) at: u64,
}

impl Pending {
    pub(super) fn new(most: usize) -> Self {
        Self { order: BTreeSet::new(), clients: HashMap::new(), most }
    }

    /// In place of when it was due before; false: there are too many.
    pub(super) fn insert(&mut self, client_id: Arc<str>, when: When) -> bool {
        self.remove(&client_id);
        if self.clients.len() >= self.most {
            return false;
        }
        self.order.insert((when.due, Arc::clone(&client_id)));
        self.clients.insert(client_id, when);
        true
    }

    /// When it was due, if it was here.
    pub(super) fn remove(&mut self, client_id: &str) -> Option<When> {
        let (client_id, when) = self.clients.remove_entry(client_id)?;
        self.order.remove(&(when.due, client_id));
        Some(when)
    }

    pub(super) fn has(&self, client_id: &str) -> bool {
        self.clients.contains_key(client_id)
    }

    pub(super) fn get(&self, client_id: &str) -> Option<When> {
        self.clients.get(client_id).copied()
    }

    /// When the first is due.
    pub(super) fn first(&self) -> Option<u64> {
        self.order.first().map(|(due, _)| *due)
    }

    /// The same, by both clocks.
    pub(super) fn first_when(&self) -> Option<When> {
        self.order.first().and_then(|(_, client_id)| self.get(client_id))
    }

    /// Some of those who are due; they stay here.
    pub(super) fn due(&self, now: u64, most: usize) -> Vec<Arc<str>> {
        let due = self.order.iter().take_while(|(due, _)| *due <= now);
        due.take(most).map(|(_, client_id)| Arc::clone(client_id)).collect()
    }

    /// With the memory that it took.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_up_ids_finds_an_end() {
        let mut pending = Pending::new(3);
        let when = |due| When { due, at: due };
        for n in 0..10 {
            assert_eq!(pending.insert(n.to_string().into(), when(n)), n < 3);
        }
        // One that flaps has one place.
        assert!(pending.insert("0".into(), when(9)));
        assert_eq!(pending.due(9, 10).len(), 3);
        assert_eq!((pending.remove("0"), pending.remove("0")), (Some(when(9)), None));
        assert_eq!((pending.first(), pending.due(1, 10).len()), (Some(1), 1));
    }
}
