//! Shared subscriptions: groups, of which one member gets a message.
//!
//! Members who are there and members who are absent are kept apart, so that a message costs the same however many are
//! absent, and a member that comes or goes costs the same however many there are.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::Match;
use crate::leaf::{Subscribers, Subscription};

/// So often candidates are gone through from the first again because places have changed.
const MAX_RESTARTS: u8 = 3;

/// Whether a subscriber can be handed a message now. Known of those who have shared subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attendance {
    /// It can.
    #[default]
    Present,
    /// It can't; a message may be kept for it.
    Absent,
}

/// One shared subscription.
///
/// Publishers look at it after the router's locks are gone, a member at a time: a list that is lent would have to be
/// copied by whoever comes or goes meanwhile, and some are long.
#[derive(Debug)]
pub(crate) struct Shared<K> {
    members: Mutex<Members<K>>,
    turn: AtomicUsize,
}

/// Each key is in one of the lists.
#[derive(Debug)]
struct Members<K> {
    present: Subscribers<K>,
    absent: Subscribers<K>,
    /// Grows when members change their places.
    changes: u64,
}

/// What became of a member that joined.
pub(crate) struct Joined {
    pub(crate) is_first: bool,
    pub(crate) replaced: bool,
}

impl<K> Default for Shared<K> {
    fn default() -> Self {
        let members = Members { present: Subscribers::None, absent: Subscribers::None, changes: 0 };
        Self { members: Mutex::new(members), turn: AtomicUsize::new(0) }
    }
}

impl<K: Clone + Eq + Hash> Shared<K> {
    /// A number that is one higher each time.
    pub(crate) fn next_turn(&self) -> usize {
        // It only shares out: two that come at once get two numbers, in whatever order.
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.lock().is_empty()
    }

    /// Calls `visit` with all members.
    pub(crate) fn for_each(&self, visit: impl FnMut(&Subscription<K>)) {
        let members = self.members.lock();
        members.present.subscriptions().iter().chain(members.absent.subscriptions()).for_each(visit);
    }
}

impl<K: Clone + Eq + Hash> Members<K> {
    fn is_empty(&self) -> bool {
        self.present.is_empty() && self.absent.is_empty()
    }

    const fn list(&self, attendance: Attendance) -> &Subscribers<K> {
        match attendance {
            Attendance::Present => &self.present,
            Attendance::Absent => &self.absent,
        }
    }

    fn join(&mut self, subscription: Subscription<K>, attendance: Attendance) -> Joined {
        // Before it is added, under one lock with that.
        let is_first = self.is_empty();
        // Also where one only replaces its options: a walk that begins again needlessly misses nobody.
        self.changes += 1;
        let replaced = match attendance {
            Attendance::Present => self.present.insert(subscription),
            Attendance::Absent => self.absent.insert(subscription),
        };
        Joined { is_first, replaced }
    }

    fn leave(&mut self, key: &K) -> bool {
        self.changes += 1;
        self.present.remove(key).or_else(|| self.absent.remove(key)).is_some()
    }

    fn place(&mut self, key: &K, attendance: Attendance) {
        self.changes += 1;
        let (from, to) = match attendance {
            Attendance::Present => (&mut self.absent, &mut self.present),
            Attendance::Absent => (&mut self.present, &mut self.absent),
        };
        if let Some(subscription) = from.remove(key) {
            to.insert(subscription);
        }
    }
}

/// Who is a member of which groups, and whether it is there.
pub(crate) struct Memberships<K>(DashMap<K, Arc<Mutex<Membership<K>>>, RandomState>);

/// One subscriber's. In every group of these it is in the list that its attendance says.
#[derive(Debug)]
struct Membership<K> {
    attendance: Attendance,
    groups: HashSet<ByAddress<K>, RandomState>,
}

impl<K> fmt::Debug for Memberships<K> {
    /// They are in the groups, too; and not every key can be looked at.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memberships").finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash> Memberships<K> {
    pub(crate) fn new(shards: usize) -> Self {
        Self(DashMap::with_hasher_and_shard_amount(RandomState::default(), shards))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a member to a group, or replaces its options.
    pub(crate) fn join(&self, group: &Arc<Shared<K>>, subscription: Subscription<K>) -> Joined {
        let membership = self.0.entry(subscription.key.clone()).or_insert_with(|| {
            let membership = Membership { attendance: Attendance::default(), groups: HashSet::default() };
            Arc::new(Mutex::new(membership))
        });
        let mut membership = membership.lock();
        // The membership's lock is taken before the group's, as in `place`: so one that joins while it comes or goes
        // gets into the list that is right then.
        membership.groups.insert(ByAddress(Arc::clone(group)));
        group.members.lock().join(subscription, membership.attendance)
    }

    /// False if `key` was no member.
    pub(crate) fn leave(&self, group: &Arc<Shared<K>>, key: &K) -> bool {
        let mut has_left = false;
        // Under the map's lock, or a membership that is joined meanwhile might be the one that is removed.
        self.0.remove_if(key, |_, membership| {
            let mut membership = membership.lock();
            has_left = membership.groups.remove(&ByAddress(Arc::clone(group))) && group.members.lock().leave(key);
            membership.groups.is_empty()
        });
        has_left
    }

    /// Moves `key` in all its groups.
    pub(crate) fn place(&self, key: &K, attendance: Attendance) {
        // Not under the map's lock: there may be many groups.
        let Some(membership) = self.0.get(key).map(|membership| Arc::clone(&membership)) else { return };
        let mut membership = membership.lock();
        if membership.attendance != attendance {
            membership.attendance = attendance;
            for ByAddress(group) in &membership.groups {
                group.members.lock().place(key, attendance);
            }
        }
    }
}

/// A group is equal to itself only.
#[derive(Debug)]
struct ByAddress<K>(Arc<Shared<K>>);

impl<K> PartialEq for ByAddress<K> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<K> Eq for ByAddress<K> {}

impl<K> Hash for ByAddress<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// The members of one shared subscription; one of them gets the message.
#[derive(Debug)]
pub struct Group<'a, K> {
    pub(crate) shared: &'a Shared<K>,
    pub(crate) turn: usize,
}

/// A member of a shared subscription.
#[derive(Clone, Debug)]
pub struct Member<K>(Subscription<K>);

impl<'a, K: Clone + Eq + Hash> Group<'a, K> {
    /// Members who are there, the one whose turn it is first.
    ///
    /// They are looked at one by one as they are asked for. While others come and go, one may be met twice, and one that
    /// is there all the time is met at least once, unless places change faster than the caller looks.
    pub fn present(&self) -> impl Iterator<Item = Member<K>> + use<'a, K> {
        self.walk(Attendance::Present)
    }

    /// Members who are not, likewise.
    pub fn absent(&self) -> impl Iterator<Item = Member<K>> + use<'a, K> {
        self.walk(Attendance::Absent)
    }

    /// All members: [`Self::present`], then [`Self::absent`].
    pub fn candidates(&self) -> impl Iterator<Item = Member<K>> + use<'a, K> {
        self.present().chain(self.absent())
    }

    /// Whether both are one shared subscription of one router.
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.shared, other.shared)
    }

    /// This member, if it still is one.
    pub fn member(&self, key: &K) -> Option<Member<K>> {
        let members = self.shared.members.lock();
        members.present.find(key).or_else(|| members.absent.find(key)).cloned().map(Member)
    }

    const fn walk(&self, attendance: Attendance) -> Walk<'a, K> {
        Walk { shared: self.shared, attendance, first: self.turn, met: 0, changes: None, restarts: 0 }
    }
}

impl<K> Member<K> {
    /// Who.
    pub const fn key(&self) -> &K {
        &self.0.key
    }

    /// Whoever it is, with what it asked for.
    pub fn as_match(&self) -> Match<'_, K> {
        Match::from(&self.0)
    }
}

struct Walk<'a, K> {
    shared: &'a Shared<K>,
    attendance: Attendance,
    first: usize,
    met: usize,
    /// Of the members when one was met last.
    changes: Option<u64>,
    restarts: u8,
}

impl<K: Clone + Eq + Hash> Iterator for Walk<'_, K> {
    type Item = Member<K>;

    fn next(&mut self) -> Option<Member<K>> {
        let members = self.shared.members.lock();
        // One that left has given its place to another, who would be passed over.
        let has_changed = self.changes.replace(members.changes).is_some_and(|changes| changes != members.changes);
        if has_changed && self.restarts < MAX_RESTARTS {
            self.restarts += 1;
            self.met = 0;
        }
        // Locked for one step: between two of them the caller locks a session, which may take its time.
        let subscriptions = members.list(self.attendance).subscriptions();
        if self.met >= subscriptions.len() {
            return None;
        }
        // From whose turn it is, going round; the list may have another length than when the turn was given.
        let subscription = &subscriptions[(self.first % subscriptions.len() + self.met) % subscriptions.len()];
        self.met += 1;
        Some(Member(subscription.clone()))
    }
}

#[cfg(test)]
mod tests;
