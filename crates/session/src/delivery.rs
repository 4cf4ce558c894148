//! Messages towards the client.

use std::sync::Arc;

use mqtt_codec::{Ack, Packet, PacketId, Qos, ReasonCode};

use crate::connection::{Outgoing, Phase};
use crate::dropped::{DropReason, LOST_AT_ONCE};
use crate::frame::Receiver;
use crate::held::PER_DELIVERY;
use crate::inflight::Received;
use crate::queue::{Delivery, SubscriptionIds};
use crate::{Change, Fanout, Gauge, Outbox, Publication, Session, Timestamp, Violation};

/// How a publication is to be delivered to one session.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryOptions<'a> {
    /// Of the subscription; the delivery has the lower of this and the message's.
    pub qos: Qos,
    /// The retain flag on the wire.
    pub retain: bool,
    /// A retained message that answers a SUBSCRIBE: waits in the queue where a live QoS 0 message would be dropped.
    pub stored: bool,
    /// Of all subscriptions that matched.
    pub subscription_ids: &'a [u32],
    /// By a shared subscription, so it goes to another member when this one goes.
    pub by_group: bool,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the outbox.
    Sent,
    /// It waits in the session.
    Queued,
    /// It is lost.
    Dropped(DropReason),
}

impl Session {
    /// Delivers: into `out`, into the queue, or nowhere.
    ///
    /// Between [`Self::attach`] and [`Self::resume`] nothing goes into `out`, for CONNACK is to be the first packet.
    pub fn deliver(
        &mut self,
        fanout: &mut Fanout<'_>,
        options: DeliveryOptions<'_>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Delivered {
        // [MQTT-3.8.4-8]
        let qos = options.qos.min(fanout.publication().message.qos);
        let options = DeliveryOptions { qos, ..options };
        if fanout.publication().is_expired(now) {
            return self.drop_one(DropReason::Expired);
        }
        if qos == Qos::AtMostOnce {
            return self.deliver_at_most_once(fanout, options, now, out);
        }
        // First what waits, if there is room for it by now: [MQTT-4.6.0-5] what came before is sent before.
        if self.connection.phase == Phase::Open && self.has_waiting() {
            self.pump(now, out);
        }
        // Not past what waits: whoever is ready has nothing waiting.
        if self.is_ready() && !self.is_full(out) && self.has_share_for(fanout, options) {
            return self.send(fanout, options, now, out);
        }
        self.enqueue(fanout, options, now)
    }

    /// True if [`Self::pump`] would send something, were there room in the outbox.
    pub fn has_backlog(&self) -> bool {
        if self.connection.phase != Phase::Open {
            return false;
        }
        // What earlier connections had sent goes first, and none of that is in the queue.
        let is_resent = self.inflight.as_ref().is_none_or(|inflight| inflight.is_resent());
        if !is_resent {
            return self.has_window();
        }
        match self.queue.as_ref().and_then(|queue| queue.front()) {
            // At QoS 0 nothing is acknowledged, so no window is needed.
            Some(front) => front.qos == Qos::AtMostOnce || self.has_window(),
            None => false,
        }
    }

    /// True if a message above QoS 0 would be sent at once, were there room in the outbox.
    pub fn is_ready(&self) -> bool {
        self.connection.phase == Phase::Open && self.has_window() && !self.has_waiting()
    }

    /// Sends what waits while the window and the outbox have room. Call it when the outbox has drained.
    pub fn pump(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.connection.phase == Phase::Open && self.send_again(now, out) {
            self.send_queued(now, out);
        }
    }

    /// What the client has not said that it has: sent, or waiting.
    pub fn owed(&self) -> impl Iterator<Item = &Delivery> {
        let sent = self.inflight.iter().flat_map(|inflight| inflight.publishes());
        sent.chain(self.queue.iter().flat_map(|queue| queue.iter()))
    }

    /// What waits and was never sent.
    pub fn waiting(&self) -> impl Iterator<Item = &Publication> {
        self.queue.iter().flat_map(|queue| queue.iter()).map(|delivery| &*delivery.publication)
    }

    /// Drops what waits and was never sent, of what `is_meant` says yes to: the client may not have it any more.
    pub fn drop_waiting(&mut self, is_meant: impl Fn(&Publication) -> bool) {
        let Some(queue) = &mut self.queue else { return };
        let dropped = queue.take(|delivery| is_meant(&delivery.publication));
        self.queue.take_if(|queue| queue.is_empty());
        for delivery in dropped {
            self.note_finished(delivery);
        }
    }

    /// True if something waits that has a message expiry.
    pub fn has_expiring(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.can_expire())
    }

    /// After CONNACK: sends again what was not acknowledged, with the same ids in the same order, DUP set
    /// [MQTT-4.4.0-1] [MQTT-4.6.0-1], then what waits.
    ///
    /// What does not fit the client's window or the outbox follows as they have room.
    pub fn resume(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.connection.phase != Phase::Opening {
            return;
        }
        // CONNACK is in the outbox, so others may follow now.
        self.connection.phase = Phase::Open;
        // [MQTT-4.3.3-6]: what was released is not sent again as a PUBLISH.
        if let Some(inflight) = &self.inflight {
            // [MQTT-4.6.0-4]
            for packet_id in inflight.released() {
                out.push(&Packet::PubRel(Ack::new(packet_id, ReasonCode::Success)), self.connection.version);
            }
        }
        self.pump(now, out);
    }

    pub(crate) fn take_puback(&mut self, ack: &Ack, now: Timestamp, out: &mut Outbox) -> Result<(), Violation> {
        if let Some(inflight) = &mut self.inflight
            && let Some(delivery) = inflight.acknowledge(ack.packet_id)?
        {
            self.note_finished(delivery);
            if self.has_waiting() {
                self.pump(now, out);
            }
        }
        Ok(())
    }

    pub(crate) fn handle_pubrec(&mut self, ack: &Ack, now: Timestamp, out: &mut Outbox) -> Result<(), Violation> {
        // [MQTT-4.3.3-4]: PUBREL only for a reason below 0x80.
        let refused = ack.reason.is_error();
        let order = self.log.as_mut().map_or(0, |log| log.next_number());
        let received = match &mut self.inflight {
            Some(inflight) => inflight.receive(ack.packet_id, refused, order)?,
            None => Received::Unknown,
        };
        let reason = match received {
            Received::Release(delivery) => {
                if delivery.number > 0 {
                    self.note(Change::Released { delivery, order });
                }
                ReasonCode::Success
            }
            Received::ReleaseAgain => ReasonCode::Success,
            // Section 4.3.3: no PUBREL; the message is finished, its id free.
            Received::Refused(delivery) => {
                self.note_finished(delivery);
                self.pump(now, out);
                return Ok(());
            }
            // It had taken the message and takes that back: nothing is left to release.
            Received::Withdrawn(released) => {
                self.note(Change::Completed(released));
                self.pump(now, out);
                return Ok(());
            }
            // What is refused is finished on both sides, known or not. Of what was taken the client waits for PUBREL:
            // it is told that the id is not known, and can forget it too.
            Received::Unknown if refused => return Ok(()),
            Received::Unknown => ReasonCode::PacketIdNotFound,
        };
        out.push(&Packet::PubRel(Ack::new(ack.packet_id, reason)), self.connection.version);
        Ok(())
    }

    pub(crate) fn handle_pubcomp(&mut self, ack: &Ack, now: Timestamp, out: &mut Outbox) -> Result<(), Violation> {
        if let Some(inflight) = &mut self.inflight
            && let Some(released) = inflight.complete(ack.packet_id)?
        {
            self.note(Change::Completed(released));
            self.pump(now, out);
        }
        Ok(())
    }

    fn deliver_at_most_once(
        &mut self,
        fanout: &mut Fanout<'_>,
        options: DeliveryOptions<'_>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Delivered {
        // A live message does not overtake the retained ones: the client would end up with the older value.
        let waits = self.queue.as_ref().is_some_and(|queue| queue.has_at_most_once());
        let is_full = self.is_full(out);
        match self.connection.phase {
            Phase::Gone => self.drop_one(DropReason::Offline),
            Phase::Open if !waits && !is_full => self.send(fanout, options, now, out),
            _ if waits || options.stored => self.enqueue(fanout, options, now),
            Phase::Open => self.drop_one(DropReason::OutboxFull),
            Phase::Opening => self.drop_one(DropReason::Offline),
        }
    }

    /// Into the outbox for the first time, not by way of the queue.
    fn send(
        &mut self,
        fanout: &mut Fanout<'_>,
        options: DeliveryOptions<'_>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Delivered {
        // Not spent yet: this one may be too large to be sent.
        let packet_id = (options.qos > Qos::AtMostOnce).then(|| self.next_id()).flatten();
        // Most receivers get the same bytes but for id and retain flag, so the frame is made once for all of them.
        let written = if self.connection.is_plain(options.subscription_ids) {
            let receiver = Receiver {
                version: self.connection.version,
                qos: options.qos,
                retain: options.retain,
                packet_id,
                max_packet_size: self.connection.packet_limit(),
            };
            fanout.write(&receiver, now, out)
        } else {
            let outgoing = Outgoing { publication: fanout.publication(), options, dup: false, packet_id };
            self.connection.write(&outgoing, now, out)
        };
        // [MQTT-3.1.2-25]: as if it had been sent and acknowledged.
        if written.is_err() {
            return self.drop_one(DropReason::TooLarge);
        }
        if packet_id.is_some() {
            self.ids.spend();
            // [MQTT-4.3.2-3] [MQTT-4.3.3-3]: until it is acknowledged it is owed, over connections and, where there is
            // a store, processes.
            let mut delivery = keep(fanout, options, packet_id, &self.config.kept);
            self.note_kept(&mut delivery);
            self.inflight.get_or_insert_default().push(delivery);
        }
        Delivered::Sent
    }

    fn enqueue(&mut self, fanout: &mut Fanout<'_>, options: DeliveryOptions<'_>, now: Timestamp) -> Delivered {
        let size = fanout.publication().size();
        // Room is made of what has expired before anything is refused for the want of it.
        let has_share = self.has_share_for(fanout, options);
        let queue = self.queue.get_or_insert_default();
        if !has_share || !queue.has_room(size, options.stored, &self.config) {
            let expired = queue.remove_expired(now, LOST_AT_ONCE);
            let has_room = queue.has_room(size, options.stored, &self.config);
            for delivery in expired {
                self.lose(delivery, DropReason::Expired);
            }
            // The newest is dropped and not the oldest: what is stored of those was promised to their publishers.
            if !has_room || !self.has_share_for(fanout, options) {
                self.queue.take_if(|queue| queue.is_empty());
                return self.drop_one(DropReason::QueueFull);
            }
        }
        let mut delivery = keep(fanout, options, None, &self.config.kept);
        self.note_kept(&mut delivery);
        self.queue.get_or_insert_default().push(delivery);
        Delivered::Queued
    }

    /// What earlier connections had sent; true once that is done.
    fn send_again(&mut self, now: Timestamp, out: &mut Outbox) -> bool {
        loop {
            let is_full = self.is_full(out);
            let Some(inflight) = &mut self.inflight else { break };
            let Some(delivery) = inflight.unsent() else {
                break;
            };
            // [MQTT-3.3.4-9]: the window of this connection, which may be smaller than the one in which they were sent.
            if inflight.in_window() >= usize::from(self.connection.window) || is_full {
                return false;
            }
            // [MQTT-3.3.1-1] [MQTT-4.3.3-7]: it is marked as sent before, and as it was on its way once, it does not
            // expire.
            let qos = delivery.qos;
            if self.connection.write(&Outgoing::kept(delivery, true), now, out).is_ok() {
                self.sent_late[qos as usize] += 1;
                inflight.mark_sent();
            } else {
                // [MQTT-3.1.2-25]: the client that is there now takes no packet as large. Its id is free with that.
                if let Some(delivery) = inflight.drop_unsent() {
                    self.lose(delivery, DropReason::TooLarge);
                }
            }
        }
        true
    }

    /// Stops behind so much that can't be sent, too: [`Self::has_backlog`] says then that there is more.
    fn send_queued(&mut self, now: Timestamp, out: &mut Outbox) {
        let mut lost = 0;
        while !self.is_full(out) && lost < LOST_AT_ONCE {
            let has_window = self.has_window();
            let Some(queue) = &mut self.queue else {
                return;
            };
            // One behind it at QoS 0 could go, and does not: it would overtake.
            if queue.front().is_some_and(|front| front.qos > Qos::AtMostOnce) && !has_window {
                return;
            }
            let Some(mut delivery) = queue.pop() else {
                return;
            };
            // [MQTT-3.3.2-5]: it was never sent, so it may still expire.
            if delivery.publication.is_expired(now) {
                self.lose(delivery, DropReason::Expired);
                lost += 1;
                continue;
            }
            if delivery.qos > Qos::AtMostOnce {
                delivery.packet_id = self.next_id();
            }
            if self.connection.write(&Outgoing::kept(&delivery, false), now, out).is_err() {
                self.lose(delivery, DropReason::TooLarge);
                lost += 1;
                continue;
            }
            self.sent_late[delivery.qos as usize] += 1;
            if let Some(packet_id) = delivery.packet_id {
                self.ids.spend();
                // Its record in a store has no id yet: it was kept before one was given.
                delivery.was_queued = true;
                if delivery.number > 0 {
                    self.note(Change::Sent { number: delivery.number, packet_id });
                }
                self.inflight.get_or_insert_default().push(delivery);
            }
        }
    }

    /// Only where the window has room, so that there is one.
    fn next_id(&mut self) -> Option<PacketId> {
        self.ids.peek(self.inflight.get_or_insert_default())
    }

    fn has_window(&self) -> bool {
        let in_window = self.inflight.as_ref().map_or(0, |inflight| inflight.in_window());
        in_window < usize::from(self.connection.window)
    }

    fn has_share_for(&self, fanout: &Fanout<'_>, options: DeliveryOptions<'_>) -> bool {
        let size = if options.stored { 0 } else { fanout.publication().size() };
        self.has_share_to_deliver(size + PER_DELIVERY)
    }

    /// True if something waits, be it for the client's window, the outbox, or the client; or is to be sent again.
    pub fn has_waiting(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_empty())
            || self.inflight.as_ref().is_some_and(|inflight| !inflight.is_resent())
    }
}

/// What a session keeps of a publication.
fn keep(fanout: &mut Fanout<'_>, options: DeliveryOptions<'_>, packet_id: Option<PacketId>, gauge: &Gauge) -> Delivery {
    // The version of the next connection is not known yet, so a session away keeps the ids whatever it spoke.
    let DeliveryOptions { qos, retain, stored, subscription_ids, by_group } = options;
    Delivery {
        number: 0,
        publication: Arc::clone(fanout.shared(gauge)),
        subscription_ids: SubscriptionIds::new(subscription_ids),
        qos,
        retain,
        stored,
        packet_id,
        was_queued: false,
        by_group,
    }
}
