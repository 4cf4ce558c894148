//! What is held for each address.
//!
//! Client ids cost nothing, and addresses do. So what may stay when whoever made it has gone is shared out by these; a network of
//! version 6 counts as one.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use mqtt_hooks::network;

/// What is held for each address.
#[derive(Debug, Default)]
pub(crate) struct ByAddress {
    /// As long as anything is held for it, so no more than there are things.
    table: DashMap<IpAddr, Arc<Part>, RandomState>,
}

/// What is held for one.
#[derive(Debug)]
pub(crate) struct Part {
    address: IpAddr,
    things: AtomicUsize,
    bytes: AtomicUsize,
}

impl Part {
    /// Whose.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// So many bytes more, or less: it may wrap around.
    pub(crate) fn note_held(&self, change: usize) {
        self.bytes.fetch_add(change, Relaxed);
    }

    /// Sessions or messages.
    pub(crate) fn things(&self) -> usize {
        self.things.load(Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

impl ByAddress {
    /// One thing more is held for this address; its bytes are for the caller to note.
    pub(crate) fn add(&self, address: IpAddr) -> Arc<Part> {
        let address = network(address);
        let new = || Arc::new(Part { address, things: AtomicUsize::new(0), bytes: AtomicUsize::new(0) });
        let part = self.table.entry(address).or_insert_with(new);
        // While the entry is locked, so that it is not taken for the last one's.
        part.things.fetch_add(1, Relaxed);
        Arc::clone(&part)
    }

    /// One thing less, whose bytes are not counted any more.
    pub(crate) fn remove(&self, part: &Part) {
        if part.things.fetch_sub(1, Relaxed) == 1 {
            self.table.remove_if(&part.address, |_, part| part.things.load(Relaxed) == 0);
        }
    }

    /// `None`: nothing is held for it.
    pub(crate) fn of(&self, address: IpAddr) -> Option<Arc<Part>> {
        self.table.get(&network(address)).map(|part| Arc::clone(&part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_forgotten_when_nothing_is_held_for_it() {
        let all = ByAddress::default();
        let [one, same_network, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|address| address.parse().unwrap());
        let parts = [one, same_network, other].map(|address| all.add(address));
        parts.iter().for_each(|part| part.note_held(1000));
        let held = |address| all.of(address).map(|part| (part.things(), part.bytes()));
        assert_eq!([one, same_network, other].map(held), [Some((2, 2000)), Some((2, 2000)), Some((1, 1000))]);
        for part in parts {
            part.note_held(1000_usize.wrapping_neg());
            all.remove(&part);
        }
        assert!(all.table.is_empty() && all.of(one).is_none());
    }
}
