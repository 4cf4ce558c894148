//! Deliveries that wait: for the client to come back, for room in its window, or for room in the outbox.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::{PacketId, Qos};

use self::pieces::Pieces;
use crate::held::Bytes;
use crate::{Config, Publication, Timestamp};

mod pieces;

/// Capacity that an emptied list may keep.
const KEEP: usize = 64;

/// A publication that is kept for one session.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Grows with each that a session keeps for its store; 0: no store knows of it.
    pub number: u64,
    /// Shared by all sessions that keep it.
    pub publication: Arc<Publication>,
    /// Of the subscriptions that matched.
    pub subscription_ids: SubscriptionIds,
    /// On the wire.
    pub qos: Qos,
    /// On the wire.
    pub retain: bool,
    /// A retained message that answers a SUBSCRIBE.
    pub stored: bool,
    /// Once it has been sent above QoS 0.
    pub packet_id: Option<PacketId>,
    /// It waited before it was sent: a store was told its packet id by a [`Change::Sent`](crate::Change::Sent).
    pub was_queued: bool,
    /// It came by a shared subscription: see [`Session::take_orphans`](crate::Session::take_orphans).
    pub by_group: bool,
}

impl Delivery {
    /// Bytes of the message; 0 for a stored one, which the broker keeps anyway.
    pub(crate) fn size(&self) -> usize {
        if self.stored { 0 } else { self.publication.size() }
    }
}

/// The ids of the subscriptions that matched; mostly none or one.
#[derive(Clone, Debug)]
pub struct SubscriptionIds(Ids);

#[derive(Clone, Debug)]
enum Ids {
    /// 0, which is no subscription id: none.
    One(u32),
    /// By a thin pointer, which keeps [`Delivery`] small.
    Many(Box<Box<[u32]>>),
}

impl SubscriptionIds {
    /// A copy of `ids`, none of which is 0.
    pub fn new(ids: &[u32]) -> Self {
        Self(match ids {
            [] => Ids::One(0),
            [id] => Ids::One(*id),
            ids => Ids::Many(Box::new(ids.into())),
        })
    }

    /// In the order given.
    pub fn as_slice(&self) -> &[u32] {
        match &self.0 {
            Ids::One(0) => &[],
            Ids::One(id) => std::slice::from_ref(id),
            Ids::Many(ids) => ids,
        }
    }
}

/// Waiting deliveries in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    deliveries: Pieces<Delivery>,
    /// Of those that are not stored ones.
    bytes: Bytes,
    /// Retained messages that answer a SUBSCRIBE; the broker keeps these anyway.
    stored: usize,
    /// Those at QoS 0.
    at_most_once: usize,
    /// Those that came by shared subscriptions.
    by_group: usize,
    /// Nothing expires before this; `None`: nothing does.
    first_expiry: Option<Timestamp>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Of the messages, but for stored ones.
    pub(crate) const fn bytes(&self) -> Bytes {
        self.bytes
    }

    pub(crate) const fn has_at_most_once(&self) -> bool {
        self.at_most_once > 0
    }

    pub(crate) const fn has_by_group(&self) -> bool {
        self.by_group > 0
    }

    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter()
    }

    pub(crate) fn front(&self) -> Option<&Delivery> {
        self.deliveries.front()
    }

    /// True if one more of `size` bytes is within the limits, which stored messages have of their own.
    pub(crate) fn has_room(&self, size: usize, stored: bool, config: &Config) -> bool {
        if stored {
            return self.stored < config.max_stored;
        }
        // Retained messages that wait do not count: the broker has them anyway, and a live one is not to be lost for
        // them.
        let live = self.deliveries.len() - self.stored;
        live < config.max_queued && self.bytes.all().saturating_add(size) <= config.max_queued_bytes
    }

    pub(crate) fn push(&mut self, delivery: Delivery) {
        self.note_expiry(delivery.publication.expires_at);
        self.stored += usize::from(delivery.stored);
        self.bytes.add(delivery.size());
        self.at_most_once += usize::from(delivery.qos == Qos::AtMostOnce);
        self.by_group += usize::from(delivery.by_group);
        self.deliveries.push_back(delivery);
    }

    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.pop_front()?;
        self.stored -= usize::from(delivery.stored);
        self.bytes.remove(delivery.size());
        self.at_most_once -= usize::from(delivery.qos == Qos::AtMostOnce);
        self.by_group -= usize::from(delivery.by_group);
        // The first to expire may be gone long since; only when none is left that is known without a walk.
        if self.deliveries.is_empty() {
            self.first_expiry = None;
            self.deliveries.shrink();
        }
        Some(delivery)
    }

    /// Removes what has expired, at most so much. It walks the queue only if one of them can have.
    pub(crate) fn remove_expired(&mut self, now: Timestamp, most: usize) -> Vec<Delivery> {
        if self.first_expiry.is_none_or(|first| first > now) {
            return Vec::new();
        }
        // Mostly the oldest go first, and for these there is no need of a walk.
        let mut expired = Vec::new();
        while expired.len() < most && self.front().is_some_and(|front| front.publication.is_expired(now)) {
            expired.extend(self.pop());
        }
        let mut left = most - expired.len();
        if left > 0 && !self.is_empty() {
            expired.extend(self.retain(|delivery| {
                let goes = left > 0 && delivery.publication.is_expired(now);
                left -= usize::from(goes);
                !goes
            }));
        }
        expired
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter()
    }

    /// True if one that waits may expire.
    pub(crate) const fn can_expire(&self) -> bool {
        self.first_expiry.is_some()
    }

    /// Removes what does not outlive the connection.
    pub(crate) fn remove_at_most_once(&mut self) {
        if self.has_at_most_once() {
            self.retain(|delivery| delivery.qos > Qos::AtMostOnce);
        }
    }

    /// Takes out what `wanted` says yes to; it is asked in order.
    pub(crate) fn take(&mut self, mut wanted: impl FnMut(&Delivery) -> bool) -> Vec<Delivery> {
        self.retain(|delivery| !wanted(delivery))
    }

    /// What `keep` says no to is taken out.
    fn retain(&mut self, mut keep: impl FnMut(&Delivery) -> bool) -> Vec<Delivery> {
        let mut removed = Vec::new();
        // Added anew, for all the sums are made by that, the first to expire too.
        for delivery in std::mem::take(self).deliveries {
            if keep(&delivery) {
                self.push(delivery);
            } else {
                removed.push(delivery);
            }
        }
        removed
    }

    fn note_expiry(&mut self, expires_at: Option<Timestamp>) {
        self.first_expiry = match (self.first_expiry, expires_at) {
            (Some(first), Some(moment)) => Some(first.min(moment)),
            (first, moment) => first.or(moment),
        };
    }
}

/// Gives memory back if a burst left much of it behind.
pub(crate) fn shrink<T>(list: &mut VecDeque<T>) {
    if list.capacity() > KEEP {
        *list = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Message, Properties, Topic};

    use super::*;

    fn delivery(qos: Qos, expires_at: Option<u64>) -> Delivery {
        let message = Message {
            topic: Topic::new("t").unwrap(),
            payload: bytes::Bytes::from_static(b"12"),
            qos,
            retain: false,
            properties: Properties::EMPTY,
        };
        let publication = Arc::new(Publication {
            message,
            expires_at: expires_at.map(Timestamp),
            place: Default::default(),
            weight: Default::default(),
            accepted: Default::default(),
            origin: Default::default(),
        });
        Delivery {
            number: 0,
            publication,
            subscription_ids: SubscriptionIds::new(&[]),
            qos,
            retain: false,
            stored: false,
            packet_id: None,
            was_queued: false,
            by_group: false,
        }
    }

    #[test]
    fn a_delivery_takes_40_bytes() {
        assert_eq!(size_of::<Delivery>(), 40);
    }

    #[test]
    fn bytes_and_counts_follow_what_goes() {
        let mut queue = Queue::default();
        for (qos, expiry) in
            [(Qos::AtMostOnce, Some(5)), (Qos::AtLeastOnce, Some(9)), (Qos::AtMostOnce, None), (Qos::ExactlyOnce, None)]
        {
            queue.push(delivery(qos, expiry));
        }
        assert_eq!(
            (queue.len(), queue.bytes.all(), queue.at_most_once, queue.first_expiry),
            (4, 12, 2, Some(Timestamp(5)))
        );
        assert_eq!(queue.remove_expired(Timestamp(4), 9).len(), 0);
        assert_eq!(queue.remove_expired(Timestamp(5), 9).len(), 1);
        assert_eq!(
            (queue.len(), queue.bytes.all(), queue.at_most_once, queue.first_expiry),
            (3, 9, 1, Some(Timestamp(9)))
        );
        queue.remove_at_most_once();
        assert_eq!((queue.len(), queue.bytes.all(), queue.has_at_most_once()), (2, 6, false));
        assert!(queue.pop().is_some() && queue.pop().is_some() && queue.pop().is_none());
        assert_eq!((queue.bytes.all(), queue.first_expiry), (0, None));
    }

    #[test]
    fn subscription_ids_come_back() {
        for ids in [&[][..], &[7], &[1, 2, 3]] {
            assert_eq!(SubscriptionIds::new(ids).as_slice(), ids);
        }
    }
}
