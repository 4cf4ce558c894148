//! What modules are shown of messages: each that is published, before it is routed, and what becomes of deliveries.

use std::mem;
use std::sync::Arc;

use mqtt_codec::{Ack, Packet, Qos};
use mqtt_hooks::{Hooks, Incoming, Passage, Publisher};
use mqtt_session::{Delivered, Publication, Session, Timestamp};

use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::delivery::lost::delivery;
use crate::delivery::reasons;

/// Shows a publication to the interceptors, which may change it, and say whether it goes on.
pub(crate) fn intercept(
    publisher: Publisher<'_>,
    publication: &mut Publication,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> Passage {
    if !batch.hooks().has_interceptors() {
        return Passage::Pass;
    }
    // What modules keep for one message gets into the store as a whole.
    let _bundle = batch.durable().bundle();
    let topic = publication.message.topic.clone();
    let mut expires_at = publication.expires_at.map(|at| at.0);
    let mut incoming = Incoming { publisher, message: &mut publication.message, expires_at: &mut expires_at };
    let passage = batch.hooks().intercept(&mut incoming, batch);
    publication.expires_at = expires_at.map(Timestamp);
    // Its publisher may publish to the one and has not asked for the other: what nobody else publishes to is reached in no other way.
    if publication.message.topic != topic && batch.hooks().why_reserved(&publication.message.topic).is_some() {
        let reserved = mem::replace(&mut publication.message.topic, topic);
        tracing::debug!(topic = %publication.message.topic, %reserved, "a message keeps its topic: a module's other one is reserved");
    }
    let properties = &publication.message.properties;
    if properties.message_expiry().is_some() || properties.topic_alias().is_some() {
        // A module put there what only a message has that is not published yet.
        let Publication { message, expires_at, .. } = Publication::new(publication.message.clone(), now);
        publication.message = message;
        publication.expires_at = expires_at.or(publication.expires_at);
    }
    passage
}

/// Tells modules what became of a delivery.
pub(crate) fn tell_delivered(
    client: &ClientRef,
    publication: &Publication,
    qos: Qos,
    delivered: Delivered,
    batch: &Batch<'_>,
) {
    let delivery = delivery(&client.id, publication, qos);
    match delivered {
        Delivered::Sent | Delivered::Queued => batch.hooks().taken(&delivery),
        Delivered::Dropped(reason) => batch.hooks().dropped(&delivery, reasons::of(reason)),
    }
}

/// A delivery that its client is about to acknowledge, for who wants to know.
pub(crate) struct Acknowledged {
    publication: Arc<Publication>,
    qos: Qos,
}

impl Acknowledged {
    /// `None`: nobody wants to know, or `packet` acknowledges nothing. To be asked before the session handles it.
    pub(crate) fn by(packet: &Packet, session: &Session, hooks: &Hooks) -> Option<Self> {
        match packet {
            Packet::PubAck(ack) => Self::with(ack, Qos::AtLeastOnce, session, hooks),
            Packet::PubRec(ack) => Self::with(ack, Qos::ExactlyOnce, session, hooks),
            _ => None,
        }
    }

    /// The same for the acknowledgement of what was sent with this QoS.
    pub(crate) fn with(ack: &Ack, qos: Qos, session: &Session, hooks: &Hooks) -> Option<Self> {
        if !hooks.has_ack_observers() {
            return None;
        }
        let publication = session.unacknowledged(ack.packet_id, qos).filter(|_| !ack.reason.is_error())?;
        Some(Self { publication: Arc::clone(publication), qos })
    }

    /// The session took it.
    pub(crate) fn tell(&self, client: &ClientRef, hooks: &Hooks) {
        let Self { publication, qos } = self;
        hooks.acknowledged(&delivery(&client.id, publication, *qos));
    }
}
