//! What a session is subscribed to.

use std::mem;

use bytestring::ByteString;
use foldhash::{HashMap, HashMapExt};
use mqtt_codec::{Filter, SubscribeOptions};

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
    Hashed(Box<HashMap<Filter, Terms>>),
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
            Self::Hashed(map) => map.len(),
        }
    }

    pub(crate) fn find(&self, filter: &Filter) -> Option<&Terms> {
        match self {
            Self::Listed(list) => list.iter().find(|(listed, _)| listed == filter).map(|(_, terms)| terms),
            Self::Hashed(map) => map.get(filter),
        }
    }

    /// True if the filter was there.
    pub(crate) fn insert(&mut self, filter: &Filter, terms: Terms) -> bool {
        match self {
            Self::Listed(list) => {
                if let Some((_, there)) = list.iter_mut().find(|(listed, _)| listed == filter) {
                    *there = terms;
                    return true;
                }
                let mut there = mem::take(list).into_vec();
                if there.len() < MAX_LISTED {
                    there.reserve_exact(1);
                    there.push((detached(filter), terms));
                    *list = there.into_boxed_slice();
                } else {
                    let mut map = HashMap::with_capacity(2 * MAX_LISTED);
                    map.extend(there);
                    map.insert(detached(filter), terms);
                    *self = Self::Hashed(Box::new(map));
                }
                false
            }
            Self::Hashed(map) => {
                if let Some(there) = map.get_mut(filter) {
                    *there = terms;
                    return true;
                }
                map.insert(detached(filter), terms);
                false
            }
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
            Self::Hashed(map) => {
                let existed = map.remove(filter).is_some();
                if map.is_empty() {
                    *self = Self::default();
                }
                existed
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Filter, &Terms)> {
        let (listed, hashed) = match self {
            Self::Listed(list) => (&list[..], None),
            Self::Hashed(map) => (&[][..], Some(map.iter())),
        };
        listed.iter().map(|(filter, terms)| (filter, terms)).chain(hashed.into_iter().flatten())
    }
}

/// A filter comes as a slice of the buffer it was read from; the session would keep all of that.
fn detached(filter: &Filter) -> Filter {
    Filter::new(ByteString::from(filter.as_str().to_owned())).expect("copied from a filter")
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
