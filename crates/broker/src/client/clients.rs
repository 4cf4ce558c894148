//! All clients, found by their ids.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use dashmap::DashSet;
use foldhash::fast::RandomState;

use crate::client::ClientRef;

/// All clients, lock-sharded by client id.
#[derive(Default)]
pub(crate) struct Clients(DashSet<ById, RandomState>);

/// A client is found by the id it has anyway, so an entry is one pointer.
struct ById(ClientRef);

impl Clients {
    pub(crate) fn get(&self, id: &str) -> Option<ClientRef> {
        self.0.get(id).map(|found| found.0.clone())
    }

    /// The client of this id; `new` makes it if there is none.
    pub(crate) fn get_or_insert(&self, id: &str, new: impl Fn() -> ClientRef) -> ClientRef {
        loop {
            if let Some(client) = self.get(id) {
                return client;
            }
            let client = new();
            if self.0.insert(ById(client.clone())) {
                return client;
            }
        }
    }

    /// Only where there is none of this id.
    pub(crate) fn insert(&self, client: ClientRef) {
        self.0.insert(ById(client));
    }

    /// Removes this client, not another of its id.
    pub(crate) fn remove(&self, client: &ClientRef) {
        self.0.remove_if(&*client.id, |found| found.0 == *client);
    }

    /// All there are, or most: some may come or go meanwhile.
    pub(crate) fn all(&self) -> Vec<ClientRef> {
        self.0.iter().map(|found| found.0.clone()).collect()
    }

    /// Those of [`Self::all`] whose ids are `wanted`.
    pub(crate) fn select(&self, wanted: impl Fn(&str) -> bool) -> Vec<ClientRef> {
        self.0.iter().filter(|found| wanted(&found.0.id)).map(|found| found.0.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `str` does: that is what is looked up.
        self.0.id[..].hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_session::{Config, Session};

    use super::*;

    fn client(id: &str) -> ClientRef {
        ClientRef::new(id.into(), Session::new(Arc::new(Config::default())))
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
