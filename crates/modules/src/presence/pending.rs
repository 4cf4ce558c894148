//! Those who are about to be told offline.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

/// Clients in the order in which they are due. Each is here once, however often it comes and goes.
pub(super) struct Pending {
    order: BTreeSet<(u64, Arc<str>)>,
    clients: HashMap<Arc<str>, u64>,
    most: usize,
}

impl Pending {
    pub(super) fn new(most: usize) -> Self {
        Self { order: BTreeSet::new(), clients: HashMap::new(), most }
    }

    /// In place of when it was due before; false: there are too many.
    pub(super) fn insert(&mut self, due: u64, client_id: Arc<str>) -> bool {
        self.remove(&client_id);
        if self.clients.len() >= self.most {
            return false;
        }
        self.order.insert((due, Arc::clone(&client_id)));
        self.clients.insert(client_id, due);
        true
    }

    /// Whether it was here.
    pub(super) fn remove(&mut self, client_id: &str) -> bool {
        let Some((client_id, due)) = self.clients.remove_entry(client_id) else { return false };
        self.order.remove(&(due, client_id));
        true
    }

    pub(super) fn has(&self, client_id: &str) -> bool {
        self.clients.contains_key(client_id)
    }

    /// When the first is due.
    pub(super) fn first(&self) -> Option<u64> {
        self.order.first().map(|(due, _)| *due)
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
