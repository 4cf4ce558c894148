//! Groups of clients: those of a listener, and those of a part of the network.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// Groups counted at a time; what happens in others is in the sums of all.
const GROUPS: usize = 4096;

/// Of these with tags: what clients are called is not to be in the way of the rest.
const TAGS: usize = GROUPS / 2;

/// Tags of which it is told how many came and went.
const TAGS_TOLD: usize = 50;

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
    Tag(Box<str>),
}

/// All groups of a client.
fn groups_of<'a>(listener: &str, ip: IpAddr, tags: impl Iterator<Item = &'a str>) -> impl Iterator<Item = Group> {
    [Group::Listener(listener.into()), Group::of(ip)].into_iter().chain(tags.map(|tag| Group::Tag(tag.into())))
}

/// The place of a group in a table; `None`: there is no room for another one.
fn place_of<'a, T: Default>(table: &'a mut HashMap<Group, T>, tags: &mut usize, group: Group) -> Option<&'a mut T> {
    let is_tag = matches!(group, Group::Tag(_));
    if !table.contains_key(&group) {
        if table.len() >= GROUPS || is_tag && *tags >= TAGS {
            return None;
        }
        *tags += usize::from(is_tag);
    }
    Some(table.entry(group).or_default())
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
            Self::Tag(name) => write!(f, "tag:{name}"),
            Self::Subnet(ip) => write!(f, "subnet:{ip}/{}", if ip.is_ipv4() { 16 } else { 32 }),
        }
    }
}

/// What happens in each group.
#[derive(Default)]
pub(super) struct Groups {
    tallies: Option<HashMap<Group, Tally>>,
    /// How many of them are tags.
    tags: usize,
}

impl Groups {
    pub(super) const fn new() -> Self {
        Self { tallies: None, tags: 0 }
    }

    pub(super) fn note<'a>(&mut self, listener: &str, ip: IpAddr, tags: impl Iterator<Item = &'a str>, one: Tally) {
        let tallies = self.tallies.get_or_insert_default();
        for group in groups_of(listener, ip, tags) {
            if let Some(tally) = place_of(tallies, &mut self.tags, group) {
                tally.add(one);
            }
        }
    }

    /// Those with the most events.
    pub(super) fn tags(&self) -> HashMap<&str, Tally> {
        let tags = self.each().filter_map(|(group, tally)| match group {
            Group::Tag(name) => Some((&**name, *tally)),
            _ => None,
        });
        let mut tags: Vec<_> = tags.collect();
        tags.sort_by(|one, other| other.1.count().cmp(&one.1.count()).then_with(|| one.0.cmp(other.0)));
        tags.into_iter().take(TAGS_TOLD).collect()
    }

    pub(super) fn listeners(&self) -> HashMap<&str, Tally> {
        let listeners = self.each().filter_map(|(group, tally)| match group {
            Group::Listener(name) => Some((&**name, *tally)),
            _ => None,
        });
        listeners.collect()
    }

    fn each(&self) -> impl Iterator<Item = (&Group, &Tally)> {
        self.tallies.iter().flatten()
    }
}

/// How many are online in each group.
#[derive(Default)]
pub(super) struct Online {
    sizes: HashMap<Group, Size>,
    /// How many of them are tags.
    tags: usize,
}

#[derive(Clone, Copy, Default)]
struct Size {
    /// When the storm began.
    before: u64,
    now: u64,
}

impl Online {
    pub(super) fn count<'a>(&mut self, listener: &str, ip: IpAddr, tags: impl Iterator<Item = &'a str>) {
        for group in groups_of(listener, ip, tags) {
            if let Some(size) = place_of(&mut self.sizes, &mut self.tags, group) {
                size.now += 1;
            }
        }
    }

    /// All are counted as they are after this, the storm's first second.
    pub(super) fn begin(&mut self, groups: &Groups) {
        self.sizes.values_mut().for_each(|size| size.before = size.now);
        for (group, tally) in groups.each() {
            if let Some(size) = place_of(&mut self.sizes, &mut self.tags, group.clone()) {
                size.before = (size.now + tally.went).saturating_sub(tally.came);
            }
        }
    }

    /// Another second of the storm.
    pub(super) fn go_on(&mut self, groups: &Groups) {
        for (group, tally) in groups.each() {
            if let Some(size) = self.sizes.get_mut(group) {
                size.now = (size.now + tally.came).saturating_sub(tally.went);
            }
        }
    }

    /// Those of which more than half are gone since it began, the largest losses first.
    pub(super) fn suspects(&self) -> Vec<String> {
        let lost = |size: &Size| size.before.saturating_sub(size.now);
        let gone = self.sizes.iter().filter(|(_, size)| lost(size) * 2 > size.before && lost(size) >= FEWEST);
        let mut gone: Vec<_> = gone.map(|(group, size)| (lost(size), group.to_string())).collect();
        gone.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        gone.into_iter().take(SUSPECTS).map(|(_, name)| name).collect()
    }
}
