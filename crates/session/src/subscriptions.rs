//! What a session is subscribed to.

use std::mem;

use foldhash::{HashMap, HashMapExt};
use mqtt_codec::{Filter, SubscribeOptions};

use crate::Session;

/// More than this are looked up by hash: a list costs the least memory, and most clients have one to three.
const MAX_LISTED: usize = 8;

/// How one filter was subscribed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) options: SubscribeOptions,
    pub(crate) id: Option<u32>,
}

/// The subscriptions of a session, one for each filter.
#[derive(Debug)]
pub(crate) enum Subscriptions {
    Listed(Box<[(Filter, Terms)]>),
    Hashed(Box<Hashed>),
}

#[derive(Debug)]
pub(crate) struct Hashed {
    map: HashMap<Filter, Terms>,
    /// Bytes that they take: too many to add up each time.
    held: usize,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self::Listed(Box::default())
    }
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Listed(list) => list.len(),
            Self::Hashed(hashed) => hashed.map.len(),
        }
    }

    /// Bytes that they take.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Listed(list) => list.iter().map(|(filter, _)| Session::cost_of(filter)).sum(),
            Self::Hashed(hashed) => hashed.held,
        }
    }

    pub(crate) fn find(&self, filter: &Filter) -> Option<&Terms> {
        match self {
            Self::Listed(list) => list.iter().find(|(listed, _)| listed == filter).map(|(_, terms)| terms),
            Self::Hashed(hashed) => hashed.map.get(filter),
        }
    }

    /// True if the filter was there.
    pub(crate) fn insert(&mut self, filter: &Filter, terms: Terms) -> bool {
        match self {
            Self::Listed(list) => {
                // [MQTT-3.8.4-3]: replaced.
                if let Some((_, there)) = list.iter_mut().find(|(listed, _)| listed == filter) {
                    *there = terms;
                    return true;
                }
                let mut there = mem::take(list).into_vec();
                if there.len() < MAX_LISTED {
                    // A million clients have one or two: room for more is not kept for them.
                    there.reserve_exact(1);
                    there.push((filter.detached(), terms));
                    *list = there.into_boxed_slice();
                } else {
                    let mut map = HashMap::with_capacity(2 * MAX_LISTED);
                    map.extend(there);
                    map.insert(filter.detached(), terms);
                    let held = map.keys().map(Session::cost_of).sum();
                    *self = Self::Hashed(Box::new(Hashed { map, held }));
                }
                false
            }
            Self::Hashed(hashed) => {
                if let Some(there) = hashed.map.get_mut(filter) {
                    *there = terms;
                    return true;
                }
                // In memory of its own: the filter would hold on to the whole buffer that was read.
                hashed.map.insert(filter.detached(), terms);
                hashed.held += Session::cost_of(filter);
                false
            }
        }
    }

    pub(crate) fn into_filters(self) -> Box<dyn Iterator<Item = Filter> + Send> {
        match self {
            Self::Listed(list) => Box::new(list.into_iter().map(|(filter, _)| filter)),
            Self::Hashed(hashed) => Box::new(hashed.map.into_keys()),
        }
    }

    /// False if the filter was not there.
    pub(crate) fn remove(&mut self, filter: &Filter) -> bool {
        match self {
            Self::Listed(list) => {
                let Some(place) = list.iter().position(|(listed, _)| listed == filter) else { return false };
                let mut there = mem::take(list).into_vec();
                there.swap_remove(place);
                *list = there.into_boxed_slice();
                true
            }
            Self::Hashed(hashed) => {
                let existed = hashed.map.remove(filter).is_some();
                if existed {
                    hashed.held -= Session::cost_of(filter);
                }
                if hashed.map.is_empty() {
                    *self = Self::default();
                }
                existed
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Filter, &Terms)> {
        let (listed, hashed) = match self {
            Self::Listed(list) => (&list[..], None),
            Self::Hashed(hashed) => (&[][..], Some(hashed.map.iter())),
        };
        listed.iter().map(|(filter, terms)| (filter, terms)).chain(hashed.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(n: u32) -> Filter {
        Filter::new(format!("a/{n}/+")).unwrap()
    }

    fn terms(id: u32) -> Terms {
        Terms { options: SubscribeOptions::default(), id: Some(id) }
    }

    #[test]
    fn a_filter_is_there_once_however_many_there_are() {
        let mut subscriptions = Subscriptions::default();
        for n in 0..100 {
            assert!(!subscriptions.insert(&filter(n), terms(n)));
            assert!(subscriptions.insert(&filter(n), terms(n + 1000)));
            assert_eq!(subscriptions.len(), n as usize + 1);
        }
        for n in 0..100 {
            assert_eq!(subscriptions.find(&filter(n)).and_then(|terms| terms.id), Some(n + 1000));
        }
        let mut ids: Vec<_> = subscriptions.iter().filter_map(|(_, terms)| terms.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1000..1100).collect::<Vec<_>>());
        for n in 0..100 {
            assert!(subscriptions.remove(&filter(n)) && !subscriptions.remove(&filter(n)));
            assert!(subscriptions.find(&filter(n)).is_none());
        }
        assert_eq!(subscriptions.len(), 0);
    }
}
