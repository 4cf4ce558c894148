//! How many connections each address has.
//!
//! One address may have many, for there are proxies, but never all: seven times what is free. So whoever takes all they can get
//! from one address leaves an eighth for those who come from others. This machine is no guest: who is on it can stop the broker
//! by other means, and what is behind a proxy on it comes from there. It is counted all the same: what an operator sets for each
//! address, at any time, holds for this machine too.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;
use mqtt_hooks::network;

use crate::coming::entrance::Over;
use crate::coming::rates::Rates;
use crate::config::Limits;
use crate::watch::metrics::Metric;

/// One address may have so many times what is free.
const TIMES: usize = 7;

/// How many connections each address has, and may have.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    /// As long as they have any, so no more than there are sockets.
    table: DashMap<IpAddr, Guest, RandomState>,
    max_clients: Maximum,
    max_half_open: Maximum,
    rates: ArcSwapOption<Rates>,
}

/// So many at most, if that is said; it may be said anew.
#[derive(Debug)]
struct Maximum(AtomicUsize);

impl Maximum {
    /// More than there can be.
    const NONE: usize = usize::MAX;

    fn get(&self) -> Option<usize> {
        Some(self.0.load(Relaxed)).filter(|max| *max != Self::NONE)
    }

    fn set(&self, max: Option<usize>) {
        self.0.store(max.unwrap_or(Self::NONE), Relaxed);
    }
}

impl Default for Maximum {
    fn default() -> Self {
        Self(AtomicUsize::new(Self::NONE))
    }
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
        let guests = Self::default();
        guests.renew(limits);
        guests
    }

    /// From now on these hold. Where the rate is another, as if nobody had come before.
    pub(crate) fn renew(&self, limits: &Limits) {
        self.max_clients.set(limits.connections_per_address);
        self.max_half_open.set(limits.half_open_per_address);
        let rate = limits.connect_rate_per_address;
        if self.rates.load().as_ref().map(|rates| rates.rate()) != rate {
            self.rates.store(rate.map(|rate| Arc::new(Rates::new(rate))));
        }
    }

    /// One more, if there are so many free places that it may have that; false if not.
    pub(crate) fn enter(&self, address: IpAddr, free: usize) -> bool {
        let mut has = self.table.entry(network(address)).or_default();
        let may_enter = address.to_canonical().is_loopback() || has.sockets < free.saturating_mul(TIMES);
        has.sockets += usize::from(may_enter);
        has.arriving += usize::from(may_enter);
        may_enter
    }

    /// Whether the one who has just [entered](Self::enter) may go on to CONNECT.
    pub(crate) fn may_knock(&self, address: IpAddr) -> Result<(), Over> {
        let (max_half_open, max_clients) = (self.max_half_open.get(), self.max_clients.get());
        if max_half_open.is_none() && max_clients.is_none() {
            return Ok(());
        }
        let has = self.table.get(&network(address)).map(|has| *has).unwrap_or_default();
        let is_over = |has: usize, max: Option<usize>| max.is_some_and(|max| has > max);
        if is_over(has.arriving, max_half_open) {
            return Err(Over { metric: Metric::RefusedHalfOpen, ..Over::quota("limits.half_open_per_address") });
        }
        // Those who are only told that there is no place for them.
        if is_over(has.sockets, max_clients.map(|max| max.saturating_mul(2))) {
            return Err(Over::quota("twice limits.connections_per_address are open"));
        }
        Ok(())
    }

    /// Whether one more of this address may connect now, which is counted.
    pub(crate) fn take_turn(&self, address: IpAddr, now: impl FnOnce() -> Duration) -> Result<(), Over> {
        match &*self.rates.load() {
            Some(rates) if !rates.take(network(address), now()) => Err(Over::rate("limits.connect_rate_per_address")),
            _ => Ok(()),
        }
    }

    /// One of its sockets is to be a client's; `takes_over`: of one that has a connection from there already.
    pub(crate) fn take_seat(&self, address: IpAddr, takes_over: bool) -> Result<(), Over> {
        let Some(mut has) = self.table.get_mut(&network(address)) else { return Ok(()) };
        if !takes_over && self.max_clients.get().is_some_and(|max| has.clients >= max) {
            return Err(Over::quota("limits.connections_per_address"));
        }
        has.arriving -= 1;
        has.clients += 1;
        Ok(())
    }

    /// It is none any more.
    pub(crate) fn leave_seat(&self, address: IpAddr, to: Standing) {
        if let Some(mut has) = self.table.get_mut(&network(address)) {
            has.clients -= 1;
            has.arriving += usize::from(to == Standing::Arriving);
        }
    }

    /// One less.
    pub(crate) fn leave(&self, address: IpAddr, standing: Standing) {
        let Entry::Occupied(mut guest) = self.table.entry(network(address)) else { return };
        let has = guest.get_mut();
        has.sockets -= 1;
        has.arriving -= usize::from(standing == Standing::Arriving);
        has.clients -= usize::from(standing == Standing::Client);
        if has.sockets == 0 {
            guest.remove();
        }
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
            assert!(guests.enter(address, 0), "{address} is never one too many");
            guests.leave(address, Standing::Arriving);
        }
    }

    #[test]
    fn what_is_set_later_counts_who_came_before_from_this_machine_too() {
        for address in ["127.0.0.1", "192.0.2.1"] {
            let address: IpAddr = address.parse().unwrap();
            let guests = Guests::default();
            assert!(guests.enter(address, 100) && guests.take_seat(address, false).is_ok());
            guests.renew(&Limits { connections_per_address: Some(1), ..Limits::default() });
            assert!(guests.enter(address, 100) && guests.take_seat(address, false).is_err(), "{address}");
            guests.renew(&Limits::default());
            assert!(guests.take_seat(address, false).is_ok());
            (0..2).for_each(|_| guests.leave(address, Standing::Client));
            assert!(guests.table.is_empty());
        }
    }

    #[test]
    fn a_rate_that_is_said_anew_lets_in_as_if_nobody_had_come_and_the_same_one_does_not() {
        let (guests, address, now) = (Guests::default(), IpAddr::from([192, 0, 2, 1]), || Duration::from_secs(1000));
        let rate = |amount| Some(crate::config::Rate { amount, per: Duration::from_secs(60) });
        let renew = |amount| guests.renew(&Limits { connect_rate_per_address: rate(amount), ..Limits::default() });
        renew(1);
        assert!(guests.take_turn(address, now).is_ok() && guests.take_turn(address, now).is_err());
        renew(1);
        assert!(guests.take_turn(address, now).is_err());
        renew(2);
        assert!(guests.take_turn(address, now).is_ok());
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
