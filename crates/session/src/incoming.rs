//! Messages from the client.

use mqtt_codec::{Ack, Message, Packet, PacketId, Publish, Qos, ReasonCode, Version};

use crate::connection::Phase;
use crate::held::PER_DELIVERY;
use crate::id_set::IdSet;
use crate::{Change, Event, Outbox, Publication, Session, Timestamp, Violation};

/// QoS 2 packet ids of one client that may wait for their PUBREL, unless the receive maximum allows more. Before MQTT 5 clients
/// are told no limit, and some send all they have at once; over all its connections none has a limit.
///
/// At the limit the client is closed. To forget the oldest instead would route it twice should it come again, and as long as the
/// session lives the client may count on that not to happen. [MQTT-4.3.3-10]
const MAX_OPEN: usize = 10_000;

/// So many are noted before it is asked whether the client may hold more: a few are not worth it.
const ASK_EVERY: usize = 64;

/// What an id takes in a store's index.
const PER_STORED_ID: usize = PER_DELIVERY;

/// Owed to a publisher; spent by [`Session::acknowledge`].
#[must_use]
#[derive(Debug)]
pub struct Receipt(Option<Owed>);

#[derive(Debug)]
struct Owed {
    qos: Qos,
    packet_id: PacketId,
    /// Of the connection that the message came by; `None`: the driver knows that it is the current one.
    serial: Option<u32>,
}

impl Receipt {
    /// For a QoS 0 publish: nothing is owed.
    pub const NONE: Self = Self(None);

    /// For a QoS 1 publish from a client that speaks no MQTT 5: its session has no part in it before it is answered, so
    /// it needs no [`Session::handle_packet`]. The driver sees to it that the connection it came by is still the current
    /// one when this is spent.
    pub const fn at_least_once(packet_id: PacketId) -> Self {
        Self(Some(Owed { qos: Qos::AtLeastOnce, packet_id, serial: None }))
    }
}

/// QoS 2 messages received and not released: their ids may come again, the messages are not routed again.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// Seen on this connection: these count against our receive maximum.
    current: IdSet,
    /// Seen on earlier ones only. The client's send quota starts anew with each connection.
    carried: IdSet,
}

impl Incoming {
    pub(crate) const fn len(&self) -> usize {
        self.current.len() + self.carried.len()
    }

    pub(crate) fn rewind(&mut self) {
        // The client's send quota is whole again, so what it has sent before does not count against it; but it is known
        // still.
        let current = std::mem::take(&mut self.current);
        if self.carried.is_empty() {
            self.carried = current;
        } else {
            for id in current.iter() {
                self.carried.insert(id);
            }
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.current.iter().chain(self.carried.iter())
    }

    /// Seen before this process.
    pub(crate) fn restore(&mut self, id: PacketId) {
        self.carried.insert(id);
    }

    fn remove(&mut self, id: PacketId) -> bool {
        self.current.remove(id) || self.carried.remove(id)
    }

    /// Bytes that the ids take.
    pub(crate) const fn held(&self, is_stored: bool) -> usize {
        let stored = if is_stored { self.len() * PER_STORED_ID } else { 0 };
        self.current.allocated() + self.carried.allocated() + stored
    }
}

impl Session {
    /// Answers a publish: PUBACK or PUBREC with `reason`; nothing at QoS 0.
    ///
    /// If another connection has taken over since, the answer is not sent: there the id may stand for another message.
    pub fn acknowledge(&mut self, receipt: Receipt, reason: ReasonCode, out: &mut Outbox) {
        let Some(Owed { qos, packet_id, serial }) = receipt.0 else {
            return;
        };
        let is_current =
            self.connection.phase != Phase::Gone && serial.is_none_or(|serial| serial == self.connection.serial);
        if qos == Qos::ExactlyOnce
            && reason.is_error()
            && self.connection.version == Version::V5
            && let Some(incoming) = &mut self.incoming
            // [MQTT-4.3.3-9]: refused, and the id is free. Before MQTT 5 the client is told nothing and goes on to PUBREL.
            && incoming.remove(packet_id)
        {
            self.note(Change::Freed(packet_id));
        }
        if !is_current {
            return;
        }
        let ack = Ack::new(packet_id, reason);
        let packet = if qos == Qos::ExactlyOnce {
            Packet::PubRec(ack)
        } else {
            // [MQTT-4.3.2-5]: from here on the id is another message's, so nothing of it is kept.
            self.connection.owed = self.connection.owed.saturating_sub(1);
            Packet::PubAck(ack)
        };
        out.push(&packet, self.connection.version);
    }

    /// The message was not taken and the client is told so by the end of its connection: it may send it again.
    pub fn withdraw(&mut self, receipt: Receipt) {
        if let Some(Owed { qos: Qos::ExactlyOnce, packet_id, .. }) = receipt.0
            && let Some(incoming) = &mut self.incoming
            && incoming.remove(packet_id)
        {
            self.note(Change::Freed(packet_id));
        }
    }

    pub(crate) fn handle_publish(
        &mut self,
        publish: Publish,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Event, Violation> {
        let Publish { qos, retain, topic, packet_id, properties, payload, .. } = publish;
        let mut alias = None;
        if !properties.is_empty() {
            alias = properties.topic_alias();
            // [MQTT-3.3.4-6]
            if properties.subscription_id().is_some() {
                return Err(Violation::SubscriptionId);
            }
        }
        if let (Some(alias), Some(topic)) = (alias, &topic) {
            let cost = self.connection.cost_of_alias(alias, topic);
            if cost > 0 && !self.has_share(cost) {
                return Err(Violation::Share);
            }
        }
        // Also of a message that is only acknowledged: it may give an alias its meaning, which later ones go by.
        let topic = self.connection.resolve(topic, alias, &self.config)?;
        let receipt = match (qos, packet_id) {
            (Qos::AtMostOnce, _) => Receipt::NONE,
            (_, None) => return Err(Violation::NoPacketId),
            (Qos::AtLeastOnce, Some(packet_id)) => {
                self.check_receive_maximum()?;
                self.connection.owed = self.connection.owed.saturating_add(1);
                Receipt(Some(Owed { qos, packet_id, serial: Some(self.connection.serial) }))
            }
            (Qos::ExactlyOnce, Some(packet_id)) => {
                if !self.receive(packet_id)? {
                    // [MQTT-4.3.3-10]: a repeated id is acknowledged, never routed again.
                    out.push(&Packet::PubRec(Ack::new(packet_id, ReasonCode::Success)), self.connection.version);
                    return Ok(Event::Nothing);
                }
                Receipt(Some(Owed { qos, packet_id, serial: Some(self.connection.serial) }))
            }
        };
        let message = Message { topic, payload, qos, retain, properties };
        Ok(Event::Publish(Publication::new(message, now), receipt))
    }

    pub(crate) fn handle_pubrel(&mut self, ack: &Ack, out: &mut Outbox) {
        // [MQTT-4.3.3-12]: with that the id is free for another message.
        let known = self.incoming.as_mut().is_some_and(|incoming| incoming.remove(ack.packet_id));
        if known {
            self.note(Change::Freed(ack.packet_id));
        }
        // [MQTT-4.3.3-11]; a PUBREL may come again after its PUBCOMP was lost.
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdNotFound };
        out.push(&Packet::PubComp(Ack::new(ack.packet_id, reason)), self.connection.version);
    }

    /// Notes a QoS 2 id; false if it is known.
    fn receive(&mut self, packet_id: PacketId) -> Result<bool, Violation> {
        // A repeated one is no message more, so it is not held against the limit.
        if self.incoming.as_ref().is_some_and(|incoming| incoming.current.contains(packet_id)) {
            return Ok(false);
        }
        self.check_receive_maximum()?;
        // Sent again by this connection, it counts from now on, but its message was routed for the one before.
        let is_new = self.incoming.as_ref().is_none_or(|incoming| !incoming.carried.contains(packet_id));
        if is_new {
            self.check_room_for_id()?;
            self.note(Change::Received(packet_id));
        }
        let incoming = self.incoming.get_or_insert_default();
        incoming.carried.remove(packet_id);
        incoming.current.insert(packet_id);
        Ok(is_new)
    }

    fn check_room_for_id(&self) -> Result<(), Violation> {
        let (open, maximum) = (self.unreleased_len(), MAX_OPEN.max(self.config.receive_maximum.into()));
        if open >= maximum {
            return Err(Violation::Unreleased(maximum));
        }
        if open > 0 && open.is_multiple_of(ASK_EVERY) && !self.has_share(ASK_EVERY * PER_STORED_ID) {
            return Err(Violation::Share);
        }
        Ok(())
    }

    /// One more message above QoS 0 came. [MQTT-3.3.4-7]
    ///
    /// Before MQTT 5 nobody was told a limit; there it is [`MAX_OPEN`].
    fn check_receive_maximum(&self) -> Result<(), Violation> {
        let open = self.incoming.as_ref().map_or(0, |incoming| incoming.current.len());
        let maximum = self.config.receive_maximum;
        if self.connection.version == Version::V5 && open + usize::from(self.connection.owed) >= usize::from(maximum) {
            return Err(Violation::ReceiveMaximum(maximum));
        }
        Ok(())
    }
}
