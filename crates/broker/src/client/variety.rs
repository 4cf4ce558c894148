//! How much a client's filters may cost those who publish.

use std::hash::Hash;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use mqtt_codec::Filter;
use mqtt_router::{Full, Variety};
use mqtt_session::Session;

/// The filters of a session with fewer subscriptions are added up anew each time: nearly all have fewer, and keep
/// nothing for it.
const KEPT_FROM: usize = 16;

/// The different shapes of a client's filters, see [`Variety`], of those who have many filters.
///
/// Called under the lock of the client's state, with its session.
pub(crate) struct Varieties<C>(DashMap<C, Variety, RandomState>);

impl<C: Clone + Eq + Hash> Default for Varieties<C> {
    fn default() -> Self {
        Self(DashMap::default())
    }
}

impl<C: Clone + Eq + Hash> Varieties<C> {
    /// Counts a filter that `session` is about to have, unless it has it or that would be too much.
    pub(crate) fn add(&self, client: &C, session: &Session, filter: &Filter, max_levels: usize) -> Result<(), Full> {
        let levels = Variety::levels_of(filter);
        if levels == 0 || session.is_subscribed(filter) {
            return Ok(());
        }
        let held = || session.subscriptions().map(|(filter, ..)| filter);
        let add_up = || {
            let mut all = Variety::default();
            // What is there may stay.
            held().for_each(|filter| all.add(filter, usize::MAX).unwrap_or_default());
            all
        };
        if session.subscriptions_len() < KEPT_FROM {
            // If all of them together are not too much, the different ones are not.
            if held().map(Variety::levels_of).sum::<usize>() + levels <= max_levels {
                return Ok(());
            }
            return add_up().add(filter, max_levels);
        }
        if let Some(mut kept) = self.0.get_mut(client) {
            return kept.add(filter, max_levels);
        }
        // Not under the map's lock: there may be many.
        let mut all = add_up();
        let added = all.add(filter, max_levels);
        self.0.insert(client.clone(), all);
        added
    }

    /// Uncounts a filter that `session` no longer has.
    pub(crate) fn remove(&self, client: &C, session: &Session, filter: &Filter) {
        // Exactly when it gets below, so that nothing is kept for who has few.
        if session.subscriptions_len() + 1 == KEPT_FROM {
            self.0.remove(client);
        } else if session.subscriptions_len() >= KEPT_FROM
            && let Some(mut kept) = self.0.get_mut(client)
        {
            kept.remove(filter);
        }
    }

    /// The session is about to end.
    pub(crate) fn forget(&self, client: &C, session: &Session) {
        if session.subscriptions_len() >= KEPT_FROM {
            self.0.remove(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::SubscribeOptions;

    use super::*;
    use crate::client::ClientRef;

    fn filter(text: &str) -> Filter {
        Filter::new(text.to_owned()).unwrap()
    }

    fn session() -> Session {
        Session::new(Arc::default())
    }

    /// Whether few filters are added up or many are counted is the same to the client.
    #[test]
    fn a_shape_counts_once_however_many_filters_there_are() {
        for exact in [0, 3, KEPT_FROM - 2, KEPT_FROM - 1, KEPT_FROM, 100] {
            let (varieties, mut session) = (Varieties::default(), session());
            let client = ClientRef::new("client".into(), self::session());
            let subscribe = |session: &mut Session, text: &str| {
                let added = varieties.add(&client, session, &filter(text), 10).is_ok();
                if added {
                    session.subscribe(&filter(text), SubscribeOptions::default(), None);
                }
                added
            };
            let unsubscribe = |session: &mut Session, text: &str| {
                assert!(session.unsubscribe(&filter(text)));
                varieties.remove(&client, session, &filter(text));
            };
            for number in 0..exact {
                assert!(subscribe(&mut session, &number.to_string()));
            }
            for round in 0..2 {
                for word in 0..50 {
                    assert!(subscribe(&mut session, &format!("{word}/+/x/y")), "{round} {word}");
                }
                assert!(subscribe(&mut session, "0/+/x/y"), "again");
                assert!(subscribe(&mut session, "a/b/c/d/e/#"));
                assert!(!subscribe(&mut session, "#"));
                for word in 0..50 {
                    unsubscribe(&mut session, &format!("{word}/+/x/y"));
                }
                assert!(!subscribe(&mut session, "a/b/c/d/#"), "six of ten are left");
                assert!(subscribe(&mut session, "+/+/+/+"));
                unsubscribe(&mut session, "+/+/+/+");
                unsubscribe(&mut session, "a/b/c/d/e/#");
            }
            if exact < KEPT_FROM {
                assert!(varieties.0.is_empty());
            }
            varieties.forget(&client, &session);
            assert!(varieties.0.is_empty());
        }
    }
}
