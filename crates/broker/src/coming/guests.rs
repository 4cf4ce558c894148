//! How many connections each address has.
//!
//! One address may have many, for there are proxies, but never all: seven times what is free. So whoever takes all they can get
//! from one address leaves an eighth for those who come from others. This machine is no guest: who is on it can stop the broker
//! by other means, and what is behind a proxy on it comes from there. What an operator has set for each address holds for this
//! machine too.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::coming::entrance::Over;
use crate::coming::rates::Rates;
use crate::config::Limits;
use crate::watch::metrics::Metric;

/// One address may have so many times what is free.
const TIMES: usize = 7;

/// Of an address of version 6, what is left is for whoever has the network.
const NETWORK: u128 = u128::MAX << 64;

/// How many connections each address has, and may have.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    /// As long as they have any, so no more than there are sockets.
    table: DashMap<IpAddr, Guest, RandomState>,
    max_clients: Option<usize>,
    max_half_open: Option<usize>,
    rates: Option<Rates>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Guest {
    /// Accepted and not yet closed.
    sockets: usize,
    /// Those of them that are not let in yet.
    arriving: usize,
    /// Those that are clients'.
    clients: usize,
}

/// What somebody is who has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Arriving,
    Client,
    /// It was a client, and its socket is not closed yet.
    Gone,
}

impl Guests {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            table: DashMap::default(),
            max_clients: limits.connections_per_address,
            max_half_open: limits.half_open_per_address,
            rates: limits.connect_rate_per_address.map(Rates::new),
        }
    }

    /// One more, if there are so many free places that it may have that; false if not.
    pub(crate) fn enter(&self, address: IpAddr, free: usize) -> bool {
        let Some(guest) = self.guest(address) else { return true };
        let mut has = self.table.entry(guest).or_default();
        let may_enter = address.to_canonical().is_loopback() || has.sockets < free.saturating_mul(TIMES);
        has.sockets += usize::from(may_enter);
        has.arriving += usize::from(may_enter);
        may_enter
    }

    /// Whether the one who has just [entered](Self::enter) may go on to CONNECT.
    pub(crate) fn may_knock(&self, address: IpAddr) -> Result<(), Over> {
        if self.max_half_open.is_none() && self.max_clients.is_none() {
            return Ok(());
        }
        let has = self.guest(address).and_then(|guest| self.table.get(&guest).map(|has| *has)).unwrap_or_default();
        let is_over = |has: usize, max: Option<usize>| max.is_some_and(|max| has > max);
        if is_over(has.arriving, self.max_half_open) {
            return Err(Over { metric: Metric::RefusedHalfOpen, ..Over::quota("limits.half_open_per_address") });
        }
        // Those who are only told that there is no place for them.
        if is_over(has.sockets, self.max_clients.map(|max| max.saturating_mul(2))) {
            return Err(Over::quota("twice limits.connections_per_address are open"));
        }
        Ok(())
    }

    /// Whether one more of this address may connect now, which is counted.
    pub(crate) fn take_turn(&self, address: IpAddr, now: Duration) -> Result<(), Over> {
        match &self.rates {
            Some(rates) if !rates.take(network(address), now) => Err(Over::rate("limits.connect_rate_per_address")),
            _ => Ok(()),
        }
    }

    /// One of its sockets is to be a client's; `takes_over`: of one that has a connection from there already.
    pub(crate) fn take_seat(&self, address: IpAddr, takes_over: bool) -> Result<(), Over> {
        let Some(mut has) = self.guest(address).and_then(|guest| self.table.get_mut(&guest)) else { return Ok(()) };
        if !takes_over && self.max_clients.is_some_and(|max| has.clients >= max) {
            return Err(Over::quota("limits.connections_per_address"));
        }
        has.arriving -= 1;
        has.clients += 1;
        Ok(())
    }

    /// It is none any more.
    pub(crate) fn leave_seat(&self, address: IpAddr, to: Standing) {
        if let Some(mut has) = self.guest(address).and_then(|guest| self.table.get_mut(&guest)) {
            has.clients -= 1;
            has.arriving += usize::from(to == Standing::Arriving);
        }
    }

    /// One less.
    pub(crate) fn leave(&self, address: IpAddr, standing: Standing) {
        let Some(guest) = self.guest(address) else { return };
        if let Some(mut has) = self.table.get_mut(&guest) {
            has.sockets -= 1;
            has.arriving -= usize::from(standing == Standing::Arriving);
            has.clients -= usize::from(standing == Standing::Client);
        }
        self.table.remove_if(&guest, |_, has| has.sockets == 0);
    }

    /// Who it counts as; `None`: it is this machine, and nothing was set.
    fn guest(&self, address: IpAddr) -> Option<IpAddr> {
        let is_counted = self.max_clients.is_some() || self.max_half_open.is_some();
        (is_counted || !address.to_canonical().is_loopback()).then(|| network(address))
    }
}

/// Whoever has one address of a network of version 6 has all of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address => address,
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
        guests.leave(other, Standing::Arriving);
        for _ in 0..taken {
            guests.leave(greedy, Standing::Arriving);
        }
        assert!(guests.table.is_empty());
    }

    #[test]
    fn a_network_of_version_6_is_one_guest() {
        let guests = Guests::default();
        for (address, has) in
            [("2001:db8::1", 1), ("2001:db8::2", 2), ("2001:db8:0:1::1", 1), ("::ffff:192.0.2.1", 1), ("192.0.2.1", 2)]
        {
            let address = address.parse().unwrap();
            assert!(guests.enter(address, 100));
            assert_eq!(guests.table.get(&network(address)).unwrap().sockets, has, "{address}");
        }
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            let address = address.parse().unwrap();
            assert!(guests.enter(address, 0) && guests.table.len() == 3, "{address}");
            guests.leave(address, Standing::Arriving);
        }
    }

    #[test]
    fn what_is_set_for_each_address_holds_for_a_network_and_for_this_machine() {
        let guests = Guests::new(&Limits { connections_per_address: Some(2), ..Limits::default() });
        for two in [["2001:db8::1", "2001:db8::2"], ["127.0.0.1", "::ffff:127.0.0.1"]] {
            let [one, other] = two.map(|address| address.parse::<IpAddr>().unwrap());
            for address in [one, other] {
                assert!(guests.enter(address, 100) && guests.may_knock(address).is_ok());
                assert!(guests.take_seat(address, false).is_ok(), "{address}");
            }
            assert!(guests.enter(one, 100) && guests.take_seat(one, false).is_err());
            // Who comes back takes no more than it has.
            assert!(guests.take_seat(one, true).is_ok());
            guests.leave(one, Standing::Client);
            // Those who are only told so are as many again at most.
            assert!(guests.enter(one, 100) && guests.enter(one, 100) && guests.may_knock(one).is_ok());
            assert!(guests.enter(one, 100) && guests.may_knock(one).is_err());
            (0..3).for_each(|_| guests.leave(one, Standing::Arriving));
            [one, other].iter().for_each(|&address| guests.leave(address, Standing::Client));
        }
        assert!(guests.table.is_empty());
    }

    #[test]
    fn neither_clients_nor_those_who_were_are_half_open() {
        let guests = Guests::new(&Limits { half_open_per_address: Some(1), ..Limits::default() });
        let address = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..3 {
            assert!(guests.enter(address, 100) && guests.may_knock(address).is_ok());
            assert!(guests.take_seat(address, false).is_ok());
        }
        guests.leave_seat(address, Standing::Gone);
        assert!(guests.enter(address, 100) && guests.may_knock(address).is_ok());
        assert!(guests.enter(address, 100) && guests.may_knock(address).is_err());
    }
}
