//! What was sent to the client and is not finished.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::{Filter, PacketId, Qos};

use crate::held::is_large;
use crate::queue::{Delivery, shrink};
use crate::{Publication, Violation};

/// How many packet ids there are.
const IDS: u32 = u16::MAX as u32;

/// The packet ids towards one client: 1, 2, 3 and so on, passing over those in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketIds {
    next: PacketId,
    /// At least so many from `next` on are free, so that they are looked for once in a round and not for every id.
    free: u16,
}

impl Default for PacketIds {
    fn default() -> Self {
        Self { next: PacketId::new(1).expect("1 is not 0"), free: u16::MAX }
    }
}

impl PacketIds {
    /// An id that is not in use, if there is one; it is given again until [`Self::spend`].
    pub(crate) fn peek(&mut self, inflight: &Inflight) -> Option<PacketId> {
        if self.free == 0 {
            self.look(inflight);
        }
        (self.free > 0).then_some(self.next)
    }

    /// Goes to the next free id, and sees how many follow it.
    fn look(&mut self, inflight: &Inflight) {
        let next = u32::from(self.next.as_u16());
        // How far each id in use is ahead of the next one, going round: sorted, they tell where the first gap is and
        // how long.
        let mut distances: Vec<_> = inflight.ids().map(|id| (u32::from(id.as_u16()) + IDS - next) % IDS).collect();
        distances.sort_unstable();
        let used = (0..).zip(&distances).take_while(|(place, distance)| place == *distance).count();
        for _ in 0..used {
            self.next = self.next.next();
        }
        let end = distances.get(used).copied().unwrap_or(IDS);
        self.free = (end - used as u32) as u16;
    }

    /// The last id that was given before this process.
    pub(crate) const fn continue_after(&mut self, last: PacketId) {
        self.next = last.next();
        // What is in use was given by an earlier process: the first id is looked for among that.
        self.free = 0;
    }

    pub(crate) const fn spend(&mut self) {
        self.next = self.next.next();
        // More than 0: an id is spent only behind the peek that found it free.
        self.free -= 1;
    }
}

/// Messages sent above QoS 0 and not finished.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    /// Without PUBACK or PUBREC, in the order in which they were sent first.
    publishes: VecDeque<Delivery>,
    /// So many of them, from the front, were sent on this connection; the others will be sent again.
    sent: usize,
    /// PUBREC came and PUBREL was sent, in this order. [MQTT-4.6.0-4]
    released: VecDeque<Released>,
    /// Bytes of the large messages in `publishes`, but for stored ones.
    large: usize,
    /// Groups the client has left while something that came by them was in `publishes`.
    pub(crate) left: Vec<Filter>,
}

/// The client has the message and has not yet said that it has forgotten the packet id.
#[derive(Clone, Copy, Debug)]
pub struct Released {
    /// Of the [`Delivery`] it was.
    pub number: u64,
    /// Higher for each PUBREC, where there is a store; else 0.
    pub order: u64,
    /// Still in use.
    pub packet_id: PacketId,
}

/// What becomes of a message at PUBREC.
#[derive(Debug)]
pub(crate) enum Received {
    /// PUBREL is to be sent.
    Release(Delivery),
    /// PUBREL is to be sent again.
    ReleaseAgain,
    /// The client refused it; it is finished.
    Refused(Delivery),
    /// The client had taken it and refuses it now; it is finished.
    Withdrawn(Released),
    /// No such message.
    Unknown,
}

impl Inflight {
    pub(crate) fn len(&self) -> usize {
        self.publishes.len() + self.released.len()
    }

    /// Bytes of the large messages, but for stored ones. Small ones are as many as the window allows, and stay for no longer
    /// than it takes to acknowledge them.
    pub(crate) const fn large(&self) -> usize {
        self.large
    }

    /// Messages that count against the client's receive maximum.
    pub(crate) fn in_window(&self) -> usize {
        self.sent + self.released.len()
    }

    /// Everything sent on earlier connections has been sent again.
    pub(crate) fn is_resent(&self) -> bool {
        self.sent == self.publishes.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.publishes.iter().filter_map(|delivery| delivery.packet_id).chain(self.released())
    }

    pub(crate) fn released(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.released.iter().map(|released| released.packet_id)
    }

    /// What was sent on connections before.
    pub(crate) fn restored(publishes: VecDeque<Delivery>, released: VecDeque<Released>) -> Self {
        let large = publishes.iter().map(large_size).sum();
        Self { publishes, sent: 0, released, large, left: Vec::new() }
    }

    /// Those without PUBACK or PUBREC, in order.
    pub(crate) fn publishes(&self) -> impl ExactSizeIterator<Item = &Delivery> {
        self.publishes.iter()
    }

    /// Takes out of [`Self::publishes`] what `wanted` says yes to; it is asked in order.
    pub(crate) fn take(&mut self, mut wanted: impl FnMut(&Delivery) -> bool) -> Vec<Delivery> {
        let mut taken = Vec::new();
        let mut sent = 0;
        for (place, delivery) in std::mem::take(&mut self.publishes).into_iter().enumerate() {
            if wanted(&delivery) {
                self.forget_size(&delivery);
                taken.push(delivery);
            } else {
                // Those that stay keep their order and their part: the first of them are those sent on this connection.
                sent += usize::from(place < self.sent);
                self.publishes.push_back(delivery);
            }
        }
        self.sent = sent;
        taken
    }

    /// Gives up all.
    pub(crate) fn into_parts(self) -> (VecDeque<Delivery>, VecDeque<Released>) {
        (self.publishes, self.released)
    }

    /// A message was sent for the first time.
    pub(crate) fn push(&mut self, delivery: Delivery) {
        self.large += large_size(&delivery);
        self.publishes.push_back(delivery);
        self.sent += 1;
    }

    /// A new connection: everything is to be sent again.
    pub(crate) const fn rewind(&mut self) {
        self.sent = 0;
    }

    /// The next to be sent again.
    pub(crate) fn unsent(&self) -> Option<&Delivery> {
        self.publishes.get(self.sent)
    }

    /// What [`Self::unsent`] gave was sent.
    pub(crate) const fn mark_sent(&mut self) {
        self.sent += 1;
    }

    /// What [`Self::unsent`] gave can't be sent to this client.
    pub(crate) fn drop_unsent(&mut self) -> Option<Delivery> {
        let dropped = self.publishes.remove(self.sent)?;
        self.forget_size(&dropped);
        Some(dropped)
    }

    /// What PUBACK or PUBREC of this id is about.
    pub(crate) fn unacknowledged(&self, id: PacketId, qos: Qos) -> Option<&Arc<Publication>> {
        let (index, _) = self.find(id).filter(|(_, of_it)| *of_it == qos)?;
        self.publishes.get(index).map(|delivery| &delivery.publication)
    }

    /// PUBACK: the message it finished.
    pub(crate) fn acknowledge(&mut self, id: PacketId) -> Result<Option<Delivery>, Violation> {
        match self.find(id) {
            Some((index, Qos::AtLeastOnce)) => Ok(self.remove(index)),
            Some(_) => Err(Violation::Acknowledgement(id)),
            // A PUBACK for what was sent at QoS 2.
            None if self.find_released(id).is_some() => Err(Violation::Acknowledgement(id)),
            None => Ok(None),
        }
    }

    /// PUBREC; `order` is that of [`Released`].
    pub(crate) fn receive(&mut self, id: PacketId, refused: bool, order: u64) -> Result<Received, Violation> {
        if let Some((index, qos)) = self.find(id) {
            // A PUBREC for what was sent at QoS 1: the client mistakes the message, and nothing that it says of ids can
            // be trusted.
            if qos != Qos::ExactlyOnce {
                return Err(Violation::Acknowledgement(id));
            }
            let Some(delivery) = self.remove(index) else { return Ok(Received::Unknown) };
            if refused {
                return Ok(Received::Refused(delivery));
            }
            // [MQTT-4.3.3-5]: the message is the client's, the id is in use until PUBCOMP.
            self.released.push_back(Released { number: delivery.number, order, packet_id: id });
            return Ok(Received::Release(delivery));
        }
        Ok(match self.find_released(id) {
            Some(index) if refused => self.released.remove(index).map_or(Received::Unknown, Received::Withdrawn),
            // It says so again, so it has not had our PUBREL.
            Some(_) => Received::ReleaseAgain,
            None => Received::Unknown,
        })
    }

    /// PUBCOMP: what it finished.
    pub(crate) fn complete(&mut self, id: PacketId) -> Result<Option<Released>, Violation> {
        if let Some(index) = self.find_released(id) {
            let released = self.released.remove(index);
            if self.released.is_empty() {
                shrink(&mut self.released);
            }
            return Ok(released);
        }
        match self.find(id) {
            // PUBCOMP without PUBREC.
            Some(_) => Err(Violation::Acknowledgement(id)),
            None => Ok(None),
        }
    }

    /// Clients acknowledge in order, so what is looked for is mostly the first.
    fn find(&self, id: PacketId) -> Option<(usize, Qos)> {
        let index = self.publishes.iter().position(|delivery| delivery.packet_id == Some(id))?;
        Some((index, self.publishes[index].qos))
    }

    fn find_released(&self, id: PacketId) -> Option<usize> {
        self.released.iter().position(|released| released.packet_id == id)
    }

    /// Where none is large, nobody looks at the message again: many threads acknowledge the same one at a time.
    fn forget_size(&mut self, removed: &Delivery) {
        if self.large > 0 {
            self.large -= large_size(removed);
        }
    }

    fn remove(&mut self, index: usize) -> Option<Delivery> {
        let removed = self.publishes.remove(index);
        if let Some(removed) = &removed {
            self.forget_size(removed);
        }
        // Clients may acknowledge what was sent to an earlier connection and not again yet.
        if index < self.sent {
            self.sent -= 1;
        }
        if self.publishes.is_empty() {
            shrink(&mut self.publishes);
            // Nothing is left that may have come by them.
            self.left = Vec::new();
        }
        removed
    }
}

fn large_size(delivery: &Delivery) -> usize {
    let size = delivery.size();
    if is_large(size) { size } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::{Message, Properties, Topic};

    use super::*;
    use crate::Publication;
    use crate::queue::SubscriptionIds;

    fn id(n: u16) -> PacketId {
        PacketId::new(n).unwrap()
    }

    fn delivery(n: u16, qos: Qos) -> Delivery {
        let topic = Topic::new("t").unwrap();
        let message = Message { topic, payload: Default::default(), qos, retain: false, properties: Properties::EMPTY };
        let publication = Arc::new(Publication::new(message, crate::Timestamp(0)));
        let subscription_ids = SubscriptionIds::new(&[]);
        Delivery {
            number: 0,
            publication,
            subscription_ids,
            qos,
            retain: false,
            stored: false,
            packet_id: Some(id(n)),
            was_queued: false,
            by_group: false,
        }
    }

    fn give(ids: &mut PacketIds, inflight: &mut Inflight) -> u16 {
        let given = ids.peek(inflight).unwrap().as_u16();
        assert!(!inflight.ids().any(|used| used == id(given)));
        ids.spend();
        inflight.push(delivery(given, Qos::AtLeastOnce));
        given
    }

    #[test]
    fn ids_in_use_are_passed_over_after_65535() {
        let (mut ids, mut inflight) = (PacketIds::default(), Inflight::default());
        for n in 1..=u16::MAX {
            assert_eq!(give(&mut ids, &mut inflight), n);
            if ![1, 2, 5, 60_000].contains(&n) {
                inflight.acknowledge(id(n)).unwrap();
            }
        }
        let mut given = Vec::new();
        while given.len() < 65_000 {
            given.push(give(&mut ids, &mut inflight));
            inflight.acknowledge(id(*given.last().unwrap())).unwrap();
        }
        let expected: Vec<u16> = (1..=u16::MAX).filter(|n| ![1, 2, 5, 60_000].contains(n)).take(65_000).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn when_all_ids_are_in_use_there_is_none() {
        let (mut ids, mut inflight) = (PacketIds::default(), Inflight::default());
        for n in 1..=u16::MAX {
            assert_eq!(ids.peek(&inflight), Some(id(n)));
            ids.spend();
            inflight.push(delivery(n, Qos::AtLeastOnce));
        }
        assert_eq!(ids.peek(&inflight), None);
        inflight.acknowledge(id(40_000)).unwrap();
        assert_eq!(ids.peek(&inflight), Some(id(40_000)));
    }

    #[test]
    fn acknowledgements_must_fit() {
        let mut inflight = Inflight::default();
        inflight.push(delivery(1, Qos::AtLeastOnce));
        inflight.push(delivery(2, Qos::ExactlyOnce));
        let is_wrong = |result: Result<Option<PacketId>, Violation>, n| {
            assert_eq!(result, Err(Violation::Acknowledgement(id(n))));
        };
        let acknowledge = |inflight: &mut Inflight, n| {
            inflight.acknowledge(id(n)).map(|delivery| delivery.and_then(|delivery| delivery.packet_id))
        };
        let complete = |inflight: &mut Inflight, n| {
            inflight.complete(id(n)).map(|released| released.map(|released| released.packet_id))
        };

        is_wrong(inflight.receive(id(1), false, 0).map(|_| None), 1);
        is_wrong(complete(&mut inflight, 1), 1);
        is_wrong(acknowledge(&mut inflight, 2), 2);
        is_wrong(complete(&mut inflight, 2), 2);

        assert!(matches!(inflight.receive(id(2), false, 0), Ok(Received::Release(_))));
        assert!(matches!(inflight.receive(id(2), false, 0), Ok(Received::ReleaseAgain)));
        is_wrong(acknowledge(&mut inflight, 2), 2);
        assert_eq!((inflight.len(), inflight.in_window()), (2, 2));
        assert_eq!(complete(&mut inflight, 2), Ok(Some(id(2))));
        assert_eq!(complete(&mut inflight, 2), Ok(None));
        assert_eq!(acknowledge(&mut inflight, 1), Ok(Some(id(1))));
        assert_eq!(acknowledge(&mut inflight, 1), Ok(None));
        assert!(matches!(inflight.receive(id(1), false, 0), Ok(Received::Unknown)));
        assert_eq!((inflight.len(), inflight.in_window()), (0, 0));
    }

    #[test]
    fn an_early_acknowledgement_leaves_the_order_of_what_is_sent_again() {
        let mut inflight = Inflight::default();
        for n in 1..=4 {
            inflight.push(delivery(n, Qos::AtLeastOnce));
        }
        inflight.rewind();
        inflight.mark_sent();
        assert_eq!((inflight.in_window(), inflight.is_resent()), (1, false));
        // Of one that was sent again, and of one that was sent on the old connection only.
        inflight.acknowledge(id(1)).unwrap();
        inflight.acknowledge(id(3)).unwrap();
        assert_eq!(inflight.in_window(), 0);
        assert_eq!(inflight.unsent().and_then(|delivery| delivery.packet_id), Some(id(2)));
        inflight.drop_unsent();
        assert_eq!(inflight.unsent().and_then(|delivery| delivery.packet_id), Some(id(4)));
        inflight.mark_sent();
        assert!(inflight.is_resent() && inflight.unsent().is_none());
    }
}
