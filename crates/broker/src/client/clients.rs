//! All clients, found by their ids.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;
use foldhash::fast::RandomState;

/// Parts that are locked one at a time. Who looks at all clients holds up who comes in by a part of them only: of a million
/// clients that is a thousand.
const SHARDS: usize = 1024;

/// What has a client id.
pub(crate) trait Identified {
    fn client_id(&self) -> &str;
}

/// All clients, lock-sharded by client id.
pub(crate) struct Clients<C> {
    all: DashMap<ById<C>, (), RandomState>,
    /// Those with a connection.
    online: AtomicUsize,
}

/// A client is found by the id it has anyway, so an entry is one pointer.
struct ById<C>(C);

impl<C: Identified> Default for Clients<C> {
    fn default() -> Self {
        let all = DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS);
        Self { all, online: AtomicUsize::new(0) }
    }
}

impl<C: Identified + Clone + PartialEq> Clients<C> {
    pub(crate) fn get(&self, id: &str) -> Option<C> {
        self.all.get(id).map(|found| found.key().0.clone())
    }

    /// The client of this id; `new` makes it if there is none.
    pub(crate) fn get_or_insert(&self, id: &str, new: impl Fn() -> C) -> C {
        loop {
            if let Some(client) = self.get(id) {
                return client;
            }
            let client = new();
            if self.all.insert(ById(client.clone()), ()).is_none() {
                return client;
            }
        }
    }

    /// Only where there is none of this id.
    pub(crate) fn insert(&self, client: C) {
        self.all.insert(ById(client), ());
    }

    /// Removes this client, not another of its id.
    pub(crate) fn remove(&self, client: &C) {
        self.all.remove_if(client.client_id(), |found, ()| found.0 == *client);
    }

    /// All there are, or most: some may come or go meanwhile.
    pub(crate) fn all(&self) -> Vec<C> {
        self.all.iter().map(|found| found.key().0.clone()).collect()
    }

    /// Those of [`Self::all`] whose ids are `wanted`.
    pub(crate) fn select(&self, wanted: impl Fn(&str) -> bool) -> Vec<C> {
        self.all.iter().filter(|found| wanted(found.key().0.client_id())).map(|found| found.key().0.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many have a connection.
    pub(crate) fn online(&self) -> usize {
        self.online.load(Relaxed)
    }

    /// One more has a connection.
    pub(crate) fn note_online(&self) {
        self.online.fetch_add(1, Relaxed);
    }

    /// One has none any more.
    pub(crate) fn note_offline(&self) {
        self.online.fetch_sub(1, Relaxed);
    }
}

impl<C: Identified> Borrow<str> for ById<C> {
    fn borrow(&self) -> &str {
        self.0.client_id()
    }
}

impl<C: Identified> Hash for ById<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `str` does: that is what is looked up.
        self.0.client_id().hash(state);
    }
}

impl<C: Identified> PartialEq for ById<C> {
    fn eq(&self, other: &Self) -> bool {
        self.0.client_id() == other.0.client_id()
    }
}

impl<C: Identified> Eq for ById<C> {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Debug)]
    struct Client(Arc<str>);

    impl Identified for Client {
        fn client_id(&self) -> &str {
            &self.0
        }
    }

    impl PartialEq for Client {
        fn eq(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.0, &other.0)
        }
    }

    fn client(id: &str) -> Client {
        Client(id.into())
    }

    #[test]
    fn a_client_is_found_by_its_id_until_it_is_removed() {
        let clients = Clients::default();
        let first = clients.get_or_insert("a", || client("a"));
        assert!(clients.get_or_insert("a", || client("a")) == first && clients.len() == 1);
        assert!(clients.get("a") == Some(first.clone()) && clients.get("b").is_none());
        clients.remove(&client("a"));
        assert_eq!(clients.len(), 1, "that was another of the same id");
        clients.remove(&first);
        assert!(clients.get("a").is_none() && clients.all().is_empty());
    }
}
