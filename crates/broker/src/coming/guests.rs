//! How many connections each address has.
//!
//! One address may have many, for there are proxies, but never all: seven times what is free. So whoever takes all they can get
//! from one address leaves an eighth for those who come from others. This machine is no guest: who is on it can stop the broker
//! by other means, and what is behind a proxy on it comes from there.

use std::net::{IpAddr, Ipv6Addr};

use dashmap::DashMap;
use foldhash::fast::RandomState;

/// One address may have so many times what is free.
const TIMES: usize = 7;

/// Of an address of version 6, what is left is for whoever has the network.
const NETWORK: u128 = u128::MAX << 64;

/// How many connections each address has.
#[derive(Debug, Default)]
pub(crate) struct Guests(DashMap<IpAddr, usize, RandomState>);

impl Guests {
    /// One more, if there are so many free places that it may have that; false if not.
    pub(crate) fn enter(&self, address: IpAddr, free: usize) -> bool {
        let Some(guest) = guest(address) else { return true };
        let mut has = self.0.entry(guest).or_default();
        let may_enter = *has < free.saturating_mul(TIMES);
        *has += usize::from(may_enter);
        may_enter
    }

    /// One less.
    pub(crate) fn leave(&self, address: IpAddr) {
        let Some(guest) = guest(address) else { return };
        if let Some(mut has) = self.0.get_mut(&guest) {
            *has -= 1;
        }
        self.0.remove_if(&guest, |_, has| *has == 0);
    }
}

/// Who it counts as; `None`: it is this machine.
fn guest(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK))),
        IpAddr::V4(_) => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_an_eighth_and_is_forgotten_when_it_is_gone() {
        const PLACES: usize = 80;
        let guests = Guests::default();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut taken = 0;
        while guests.enter(greedy, PLACES - taken) {
            taken += 1;
        }
        assert_eq!(taken, PLACES / 8 * 7);
        assert!(guests.enter(other, PLACES - taken));
        guests.leave(other);
        for _ in 0..taken {
            guests.leave(greedy);
        }
        assert!(guests.0.is_empty());
    }

    #[test]
    fn a_network_of_version_6_is_one_guest() {
        let guests = Guests::default();
        for (address, has) in
            [("2001:db8::1", 1), ("2001:db8::2", 2), ("2001:db8:0:1::1", 1), ("::ffff:192.0.2.1", 1), ("192.0.2.1", 2)]
        {
            let address = address.parse().unwrap();
            assert!(guests.enter(address, 100));
            assert_eq!(*guests.0.get(&guest(address).unwrap()).unwrap(), has, "{address}");
        }
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            let address = address.parse().unwrap();
            assert!(guests.enter(address, 0) && guests.0.len() == 3, "{address}");
            guests.leave(address);
        }
    }
}
