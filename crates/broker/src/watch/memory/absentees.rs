//! What is held for clients that are away, by the addresses that they were at.
//!
//! A session may outlive its connection for ever, and costs whoever leaves it behind nothing. So all of one address may hold
//! [three times what is free](super::Memory::has_room_for_absentees), however many client ids they have: who takes all
//! they can get from one address leaves a quarter for others. Sessions that are there stay. Who would leave one more behind is
//! refused, be it from this machine, for what is behind a proxy on it comes from there too.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use mqtt_hooks::network;

/// What is held for clients that are away, by the addresses that they were at.
#[derive(Debug, Default)]
pub(crate) struct Absentees {
    /// As long as any of its clients is away, so no more than there are sessions.
    table: DashMap<IpAddr, Arc<Absent>, RandomState>,
}

/// Those of one address.
#[derive(Debug)]
pub(crate) struct Absent {
    address: IpAddr,
    clients: AtomicUsize,
    bytes: AtomicUsize,
}

impl Absent {
    /// Where they were.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// So many bytes more are held for one of them, or less: it may wrap around.
    pub(crate) fn note_held(&self, change: usize) {
        self.bytes.fetch_add(change, Relaxed);
    }
}

impl Absentees {
    /// One more of this address is away.
    pub(crate) fn add(&self, address: IpAddr) -> Arc<Absent> {
        let address = network(address);
        let new = || Arc::new(Absent { address, clients: AtomicUsize::new(0), bytes: AtomicUsize::new(0) });
        let absent = self.table.entry(address).or_insert_with(new);
        // While the entry is locked, so that it is not taken for the last one's.
        absent.clients.fetch_add(1, Relaxed);
        Arc::clone(&absent)
    }

    /// One of them is back, or its session has ended; nothing is held for it by now.
    pub(crate) fn remove(&self, absent: &Absent) {
        if absent.clients.fetch_sub(1, Relaxed) == 1 {
            self.table.remove_if(&absent.address, |_, absent| absent.clients.load(Relaxed) == 0);
        }
    }

    /// Bytes held for all of this address.
    pub(crate) fn bytes_of(&self, address: IpAddr) -> usize {
        self.table.get(&network(address)).map_or(0, |absent| absent.bytes.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_forgotten_when_the_last_of_it_is_back() {
        let absentees = Absentees::default();
        let [one, same_network, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|address| address.parse().unwrap());
        let away = [one, same_network, other].map(|address| absentees.add(address));
        away.iter().for_each(|absent| absent.note_held(1000));
        assert_eq!([one, same_network, other].map(|address| absentees.bytes_of(address)), [2000, 2000, 1000]);
        for absent in away {
            absent.note_held(1000_usize.wrapping_neg());
            absentees.remove(&absent);
        }
        assert!(absentees.table.is_empty());
    }
}
