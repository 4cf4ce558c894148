//! What one pattern leads to: its subscribers, and its groups.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use foldhash::fast::RandomState;
use mqtt_codec::Qos;

use crate::group::Shared;
use crate::{Attendance, Options};

/// A list longer than this is indexed by key, so that leaving it costs the same however long it is.
const INDEXED_ABOVE: usize = 32;
/// An index is dropped below this; the gap keeps a list that hovers from building it again and again.
const PLAIN_BELOW: usize = 16;

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription<K> {
    pub(crate) key: K,
    /// 0: none. Kept as a number so that a list of one id can be lent from here.
    id: u32,
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Its subscriber is not there. Set in place, so that lists that are lent need not be copied for it: who looks at one sees it
    /// or not, and either is right while it changes.
    is_absent: AtomicBool,
}

impl<K: Clone> Clone for Subscription<K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), is_absent: self.is_absent.load(Relaxed).into(), ..*self }
    }
}

impl<K> Subscription<K> {
    pub(crate) fn new(key: K, options: Options) -> Self {
        let Options { qos, no_local, retain_as_published, subscription_id } = options;
        let id = subscription_id.map_or(0, u32::from);
        Self { key, id, qos, no_local, retain_as_published, is_absent: AtomicBool::new(false) }
    }

    pub(crate) fn set_attendance(&self, attendance: Attendance) {
        self.is_absent.store(attendance == Attendance::Absent, Relaxed);
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.is_absent.load(Relaxed)
    }

    /// The subscription id, as a list of none or one.
    pub(crate) fn ids(&self) -> &[u32] {
        if self.id == 0 { &[] } else { std::slice::from_ref(&self.id) }
    }

    /// [MQTT-3.8.3-3]
    pub(crate) fn is_hidden_from(&self, publisher: Option<&K>) -> bool
    where
        K: PartialEq,
    {
        self.no_local && publisher == Some(&self.key)
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            subscription_id: self.id.try_into().ok(),
        }
    }
}

/// The subscribers of one pattern or the members of one group, as a publisher may hold them.
#[derive(Clone, Debug)]
pub(crate) struct List<K> {
    pub(crate) subscriptions: Vec<Subscription<K>>,
    no_local: usize,
}

/// A look at subscribers that stays as it is, whatever is subscribed or unsubscribed meanwhile.
#[derive(Debug)]
pub(crate) enum Snapshot<K> {
    One(Subscription<K>),
    List(Arc<List<K>>),
}

impl<K> Snapshot<K> {
    pub(crate) fn subscriptions(&self) -> &[Subscription<K>] {
        match self {
            Self::One(subscription) => std::slice::from_ref(subscription),
            Self::List(list) => &list.subscriptions,
        }
    }

    /// True if any of them does not want what it published itself.
    pub(crate) fn has_no_local(&self) -> bool {
        match self {
            Self::One(subscription) => subscription.no_local,
            Self::List(list) => list.no_local > 0,
        }
    }
}

/// Subscribers, each key once. One is kept in place: most filters have no more.
#[derive(Debug, Default)]
pub(crate) enum Subscribers<K> {
    #[default]
    None,
    One(Subscription<K>),
    Many(Box<Many<K>>),
}

#[derive(Debug)]
pub(crate) struct Many<K> {
    /// Copied on a change only while a publisher holds a snapshot.
    list: Arc<List<K>>,
    /// Where each key is in a long list.
    index: Option<HashMap<K, u32, RandomState>>,
}

impl<K: Clone + Eq + Hash> Subscribers<K> {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn subscriptions(&self) -> &[Subscription<K>] {
        match self {
            Self::None => &[],
            Self::One(subscription) => std::slice::from_ref(subscription),
            Self::Many(many) => &many.list.subscriptions,
        }
    }

    pub(crate) fn find(&self, key: &K) -> Option<&Subscription<K>> {
        match self {
            Self::Many(many) => many.position(key).map(|at| &many.list.subscriptions[at]),
            Self::None | Self::One(_) => self.subscriptions().iter().find(|subscription| subscription.key == *key),
        }
    }

    pub(crate) fn snapshot(&self) -> Option<Snapshot<K>> {
        match self {
            Self::None => None,
            Self::One(subscription) => Some(Snapshot::One(subscription.clone())),
            Self::Many(many) => Some(Snapshot::List(many.list.clone())),
        }
    }

    /// Adds or replaces; true if it replaced.
    pub(crate) fn insert(&mut self, subscription: Subscription<K>) -> bool {
        match self {
            Self::None => *self = Self::One(subscription),
            Self::One(old) if old.key == subscription.key => {
                *old = subscription;
                return true;
            }
            Self::One(_) => {
                let Self::One(first) = mem::take(self) else { return false };
                *self = Self::Many(Box::new(Many::of_two(first, subscription)));
            }
            Self::Many(many) => return many.insert(subscription),
        }
        false
    }

    /// What `key` was here with, if it was.
    pub(crate) fn remove(&mut self, key: &K) -> Option<Subscription<K>> {
        match self {
            Self::None => None,
            Self::One(subscription) if subscription.key != *key => None,
            Self::One(_) => match mem::take(self) {
                Self::One(subscription) => Some(subscription),
                Self::None | Self::Many(_) => None,
            },
            Self::Many(many) => {
                let removed = many.remove(key);
                // Back in place: most filters have one subscriber, which needs no list.
                if let [last] = &*many.list.subscriptions {
                    *self = Self::One(last.clone());
                }
                removed
            }
        }
    }
}

impl<K: Clone + Eq + Hash> Many<K> {
    fn of_two(first: Subscription<K>, second: Subscription<K>) -> Self {
        let no_local = usize::from(first.no_local) + usize::from(second.no_local);
        Self { list: Arc::new(List { subscriptions: vec![first, second], no_local }), index: None }
    }

    fn position(&self, key: &K) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).map(|&at| at as usize),
            None => self.list.subscriptions.iter().position(|subscription| subscription.key == *key),
        }
    }

    fn insert(&mut self, subscription: Subscription<K>) -> bool {
        let position = self.position(&subscription.key);
        let list = Arc::make_mut(&mut self.list);
        list.no_local += usize::from(subscription.no_local);
        if let Some(at) = position {
            // [MQTT-3.8.4-3]: the new one replaces the old, in the count too.
            list.no_local -= usize::from(list.subscriptions[at].no_local);
            list.subscriptions[at] = subscription;
            return true;
        }
        if let Some(index) = &mut self.index {
            index.insert(subscription.key.clone(), list.subscriptions.len() as u32);
        }
        list.subscriptions.push(subscription);
        // Once, when it gets long; from then on each change keeps it right.
        if self.index.is_none() && list.subscriptions.len() > INDEXED_ABOVE {
            self.index =
                Some((0..).zip(&list.subscriptions).map(|(at, subscription)| (subscription.key.clone(), at)).collect());
        }
        false
    }

    fn remove(&mut self, key: &K) -> Option<Subscription<K>> {
        let at = self.position(key)?;
        let list = Arc::make_mut(&mut self.list);
        // The last one moves here; the order in a list means nothing.
        let removed = list.subscriptions.swap_remove(at);
        list.no_local -= usize::from(removed.no_local);
        // Once most have left, the memory they needed is given back.
        let shrink = list.subscriptions.len() < list.subscriptions.capacity() / 4;
        if shrink {
            list.subscriptions.shrink_to(list.subscriptions.len() * 2);
        }
        // Dropped before it is brought up to date: short lists are searched.
        if list.subscriptions.len() < PLAIN_BELOW {
            self.index = None;
        }
        if let Some(index) = &mut self.index {
            index.remove(key);
            // `None`: it was the last itself, and nothing has moved.
            if let Some(moved) = list.subscriptions.get(at) {
                index.insert(moved.key.clone(), at as u32);
            }
            if shrink {
                index.shrink_to(list.subscriptions.len() * 2);
            }
        }
        Some(removed)
    }
}

pub(crate) type Groups<K> = HashMap<Box<str>, Arc<Shared<K>>, RandomState>;

/// What one pattern leads to. As small as one subscriber, because that is what most are.
#[derive(Debug)]
pub(crate) enum Leaf<K> {
    Plain(Subscribers<K>),
    Shared(Box<PlainAndShared<K>>),
}

#[derive(Debug)]
pub(crate) struct PlainAndShared<K> {
    plain: Subscribers<K>,
    groups: Groups<K>,
}

impl<K> Default for Leaf<K> {
    fn default() -> Self {
        Self::Plain(Subscribers::None)
    }
}

impl<K: Clone + Eq + Hash> Leaf<K> {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Plain(Subscribers::None))
    }

    pub(crate) fn plain(&self) -> &Subscribers<K> {
        match self {
            Self::Plain(plain) => plain,
            Self::Shared(both) => &both.plain,
        }
    }

    pub(crate) fn groups(&self) -> Option<&Groups<K>> {
        match self {
            Self::Plain(_) => None,
            Self::Shared(both) => Some(&both.groups),
        }
    }

    pub(crate) fn plain_mut(&mut self) -> &mut Subscribers<K> {
        match self {
            Self::Plain(plain) => plain,
            Self::Shared(both) => &mut both.plain,
        }
    }

    /// The group of this name, which is made if it is new.
    pub(crate) fn make_group(&mut self, name: &str) -> &Arc<Shared<K>> {
        if let Self::Plain(plain) = self {
            let plain = mem::take(plain);
            *self = Self::Shared(Box::new(PlainAndShared { plain, groups: Groups::default() }));
        }
        match self {
            Self::Shared(both) => both.groups.entry(name.into()).or_default(),
            Self::Plain(_) => unreachable!("it has just been given groups"),
        }
    }

    pub(crate) fn drop_group(&mut self, name: &str) {
        let Self::Shared(both) = self else { return };
        let PlainAndShared { plain, groups } = &mut **both;
        groups.remove(name);
        if groups.is_empty() {
            // Also an empty one: whether the leaf goes is for its caller to see.
            *self = Self::Plain(mem::take(plain));
        } else if groups.len() < groups.capacity() / 4 {
            // A match walks the table, holes and all.
            groups.shrink_to(groups.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests;
