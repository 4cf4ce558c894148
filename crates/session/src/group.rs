//! What came by shared subscriptions, and goes to another member of the group when this one goes.
//!
//! Section 4.8.2: what was not sent may go to anyone, and so may what was sent at QoS 1 and not acknowledged. What was
//! sent at QoS 2 is this client's for ever. [MQTT-4.8.2-4] [MQTT-4.8.2-5]

use std::collections::HashMap;
use std::sync::Arc;

use mqtt_codec::{Filter, Qos, Topic};

use crate::queue::Delivery;
use crate::{Publication, Session};

/// Filters compared with topics before the rest stays where it is: each of many messages may have to be compared with each
/// of many filters, and others wait meanwhile.
const COMPARISONS: usize = 1 << 22;

/// Groups that were left while something sent by them was not acknowledged.
const MAX_LEFT: usize = 16;

/// A message that another member of a group is to have.
#[derive(Debug)]
pub struct Orphan {
    /// The shared subscription it came by.
    pub filter: Filter,
    /// The message.
    pub publication: Arc<Publication>,
    /// As it was for the member that had it.
    pub qos: Qos,
}

/// Finds the subscription that a delivery came by. A delivery only knows that it was a shared one: to note which would cost
/// every delivery room, and it can be found again.
struct Finder {
    filters: Vec<(Filter, Option<u32>)>,
    /// By topic, as places among `filters`.
    matching: HashMap<Topic, Vec<usize>>,
    /// How often each message has come so far: it came by one filter after the other.
    seen: HashMap<*const Publication, usize>,
    comparisons: usize,
}

impl Finder {
    /// `None`: it came by none that is known any more.
    fn find(&mut self, delivery: &Delivery) -> Option<&Filter> {
        let topic = &delivery.publication.message.topic;
        if !self.matching.contains_key(topic) {
            if self.comparisons + self.filters.len() > COMPARISONS {
                return None;
            }
            self.comparisons += self.filters.len();
            let places = self.filters.iter().enumerate().filter(|(_, (filter, _))| filter.matches(topic));
            self.matching.insert(topic.clone(), places.map(|(place, _)| place).collect());
        }
        let places = self.matching.get(topic)?;
        if let [only] = places[..] {
            return Some(&self.filters[only].0);
        }
        // Members have a subscription id of their own, and the same message comes once by each group.
        let ids = delivery.subscription_ids.as_slice();
        let same_id: Vec<_> = places.iter().copied().filter(|&place| self.filters[place].1.as_slice() == ids).collect();
        let candidates = if same_id.is_empty() { places } else { &same_id };
        // By its address, which is its own for as long as the session has it.
        let seen = self.seen.entry(Arc::as_ptr(&delivery.publication)).or_default();
        let place = candidates.get(*seen % candidates.len().max(1)).copied()?;
        *seen += 1;
        Some(&self.filters[place].0)
    }
}

impl Session {
    /// The shared subscriptions by which something came that another member may have.
    pub fn groups_in_use(&self) -> Vec<Filter> {
        let mut groups: Vec<Filter> = Vec::new();
        if !self.has_by_group() {
            return groups;
        }
        let mut finder = self.finder();
        for delivery in self.movable(true) {
            if let Some(filter) = finder.find(delivery)
                && !groups.contains(filter)
            {
                groups.push(filter.clone());
            }
        }
        groups
    }

    /// Takes what came by shared subscriptions that `is_meant` says yes to and another member may have; at QoS 1 also what
    /// was `sent` and not acknowledged, which is only to be asked for while there is no connection. [MQTT-3.10.4-3]
    pub fn take_orphans(&mut self, sent: bool, is_meant: impl Fn(&Filter) -> bool) -> Vec<Orphan> {
        if !self.has_by_group() {
            return Vec::new();
        }
        let mut finder = self.finder();
        let mut filters = Vec::new();
        for delivery in self.movable(sent) {
            filters.push(finder.find(delivery).filter(|filter| is_meant(filter)).cloned());
        }
        // They are walked in the same order again.
        let mut found = filters.into_iter();
        let mut orphans = Vec::new();
        // One answer for each that is movable, in the order in which they were found: those that are not ask for none.
        let mut is_taken = |delivery: &Delivery| match is_movable(delivery).then(|| found.next()).flatten().flatten() {
            Some(filter) => {
                let publication = Arc::clone(&delivery.publication);
                orphans.push(Orphan { filter, publication, qos: delivery.qos });
                true
            }
            None => false,
        };
        let mut taken = Vec::new();
        if sent && let Some(inflight) = &mut self.inflight {
            taken = inflight.take(&mut is_taken);
        }
        if let Some(queue) = &mut self.queue {
            taken.extend(queue.take(&mut is_taken));
        }
        self.inflight.take_if(|inflight| inflight.len() == 0);
        self.queue.take_if(|queue| queue.is_empty());
        for delivery in taken {
            self.note_finished(delivery);
        }
        orphans
    }

    /// The client leaves this group, but what was sent by it may still be unfinished.
    pub(crate) fn note_left(&mut self, filter: &Filter) {
        if filter.group().is_some()
            && let Some(inflight) = &mut self.inflight
            && inflight.publishes().any(is_movable)
            // Of those beyond it what was sent stays this client's.
            && inflight.left.len() < MAX_LEFT
            && !inflight.left.contains(filter)
        {
            inflight.left.push(filter.clone());
        }
    }

    fn has_by_group(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.has_by_group())
            || self.inflight.as_ref().is_some_and(|inflight| inflight.publishes().any(is_movable))
    }

    fn finder(&self) -> Finder {
        let left = self.inflight.iter().flat_map(|inflight| &inflight.left);
        let left = left.filter(|filter| !self.is_subscribed(filter)).map(|filter| (filter.clone(), None));
        let current = self.subscriptions().filter(|(filter, ..)| filter.group().is_some());
        let filters = current.map(|(filter, _, id)| (filter.clone(), id)).chain(left).collect();
        Finder { filters, matching: HashMap::new(), seen: HashMap::new(), comparisons: 0 }
    }

    /// In the order in which they came.
    fn movable(&self, sent: bool) -> impl Iterator<Item = &Delivery> {
        let inflight = self.inflight.iter().filter(move |_| sent).flat_map(|inflight| inflight.publishes());
        let queued = self.queue.iter().flat_map(|queue| queue.deliveries());
        inflight.chain(queued).filter(|delivery| is_movable(delivery))
    }
}

/// True unless the client alone may finish it.
fn is_movable(delivery: &Delivery) -> bool {
    let is_sent = delivery.packet_id.is_some();
    delivery.by_group && (delivery.qos == Qos::AtLeastOnce || delivery.qos == Qos::ExactlyOnce && !is_sent)
}
