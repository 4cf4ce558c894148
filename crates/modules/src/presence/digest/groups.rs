//! Groups of clients: those of a listener, and those of a part of the network.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// Groups counted at a time; what happens in others is in the sums of all.
const GROUPS: usize = 4096;

/// A group that loses fewer is no suspect: chance alone would make it one.
const FEWEST: u64 = 2;

/// Groups that are named.
const SUSPECTS: usize = 20;

/// How many came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    #[serde(rename = "connected")]
    pub(super) came: u64,
    #[serde(rename = "disconnected")]
    pub(super) went: u64,
}

impl Tally {
    pub(super) const NONE: Self = Self { came: 0, went: 0 };

    pub(super) const fn one(went: bool) -> Self {
        Self { came: !went as u64, went: went as u64 }
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.came += other.came;
        self.went += other.went;
    }

    pub(super) const fn count(self) -> u64 {
        self.came + self.went
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Group {
    Listener(Box<str>),
    /// Its first 16 bits, or 32 of IPv6: what one provider or one site has.
    Subnet(IpAddr),
}

impl Group {
    fn of(ip: IpAddr) -> Self {
        Self::Subnet(match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Ipv4Addr::new(a, b, 0, 0).into()
            }
            IpAddr::V6(ip) => {
                let [a, b, ..] = ip.segments();
                Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0).into()
            }
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener:{name}"),
            Self::Subnet(ip) => write!(f, "subnet:{ip}/{}", if ip.is_ipv4() { 16 } else { 32 }),
        }
    }
}

/// What happens in each group.
#[derive(Default)]
pub(super) struct Groups(Option<HashMap<Group, Tally>>);

impl Groups {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) fn note(&mut self, listener: &str, ip: IpAddr, one: Tally) {
        let groups = self.0.get_or_insert_default();
        for group in [Group::Listener(listener.into()), Group::of(ip)] {
            if groups.len() < GROUPS || groups.contains_key(&group) {
                groups.entry(group).or_default().add(one);
            }
        }
    }

    pub(super) fn listeners(&self) -> HashMap<&str, Tally> {
        let listeners = self.each().filter_map(|(group, tally)| match group {
            Group::Listener(name) => Some((&**name, *tally)),
            Group::Subnet(_) => None,
        });
        listeners.collect()
    }

    fn each(&self) -> impl Iterator<Item = (&Group, &Tally)> {
        self.0.iter().flatten()
    }
}

/// How many are online in each group.
#[derive(Default)]
pub(super) struct Online(HashMap<Group, Size>);

#[derive(Clone, Copy, Default)]
struct Size {
    /// When the storm began.
    before: u64,
    now: u64,
}

impl Online {
    pub(super) fn count(&mut self, listener: &str, ip: IpAddr) {
        for group in [Group::Listener(listener.into()), Group::of(ip)] {
            if self.0.len() < GROUPS || self.0.contains_key(&group) {
                self.0.entry(group).or_default().now += 1;
            }
        }
    }

    /// All are counted as they are after this, the storm's first second.
    pub(super) fn begin(&mut self, groups: &Groups) {
        self.0.values_mut().for_each(|size| size.before = size.now);
        for (group, tally) in groups.each() {
            if self.0.len() < GROUPS || self.0.contains_key(group) {
                let size = self.0.entry(group.clone()).or_default();
                size.before = (size.now + tally.went).saturating_sub(tally.came);
            }
        }
    }

    /// Another second of the storm.
    pub(super) fn go_on(&mut self, groups: &Groups) {
        for (group, tally) in groups.each() {
            if let Some(size) = self.0.get_mut(group) {
                size.now = (size.now + tally.came).saturating_sub(tally.went);
            }
        }
    }

    /// Those of which more than half are gone since it began, the largest losses first.
    pub(super) fn suspects(&self) -> Vec<String> {
        let lost = |size: &Size| size.before.saturating_sub(size.now);
        let gone = self.0.iter().filter(|(_, size)| lost(size) * 2 > size.before && lost(size) >= FEWEST);
        let mut gone: Vec<_> = gone.map(|(group, size)| (lost(size), group.to_string())).collect();
        gone.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        gone.into_iter().take(SUSPECTS).map(|(_, name)| name).collect()
    }
}
