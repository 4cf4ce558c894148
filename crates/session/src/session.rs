//! The session.

use std::sync::Arc;

use mqtt_codec::{
    Ack, Auth, Connect, Disconnect, Filter, Packet, PacketId, Qos, ReasonCode, Subscribe, SubscribeOptions, Topic,
    Unsubscribe, Version, Will,
};

use crate::change::Log;
use crate::connection::{Connection, Phase};
use crate::dropped::Dropped;
use crate::incoming::Incoming;
use crate::inflight::{Inflight, PacketIds};
use crate::queue::Queue;
use crate::subscriptions::{Subscriptions, Terms};
use crate::will::SessionWill;
use crate::{Attach, Drops, Gauge, Outbox, Publication, Receipt, Share, Timestamp, Violation};

/// Limits of every session of a broker.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unacknowledged QoS 1 and 2 messages accepted from a client; told in CONNACK and enforced exactly.
    pub receive_maximum: u16,
    /// The highest topic alias accepted from a client; told in CONNACK.
    pub topic_alias_maximum: u16,
    /// The most aliases used towards a client, whatever it allows.
    pub outgoing_aliases: u16,
    /// Unacknowledged messages towards a client, whatever more it allows; 0 counts as 1.
    pub max_inflight: u16,
    /// Messages waiting in one session.
    pub max_queued: usize,
    /// Bytes of topic, payload and properties waiting in one session.
    pub max_queued_bytes: usize,
    /// Retained messages that answer a SUBSCRIBE and wait in one session. They share the broker's copy;
    /// `max_queued` and `max_queued_bytes` do not count them.
    pub max_stored: usize,
    /// Bytes that one session may [hold](Session::held) at the moment.
    pub share: Arc<Share>,
    /// Where messages are counted that sessions keep.
    pub kept: Gauge,
    /// Bytes in the outbox from which on QoS 0 is dropped and QoS 1 and 2 are queued.
    pub max_outbox: usize,
    /// There is a store: sessions that outlive their connection tell what it has to do.
    pub is_stored: bool,
}

/// What the driver must do about a packet.
#[derive(Debug)]
pub enum Event {
    /// Nothing; an answer may be in the outbox.
    Nothing,
    /// Route it, then [`Session::acknowledge`] with the receipt.
    Publish(Publication, Receipt),
    /// Decide, then [`Session::subscribe`] for each granted filter, then push SUBACK.
    Subscribe(Subscribe),
    /// [`Session::unsubscribe`] each, then push UNSUBACK.
    Unsubscribe(Unsubscribe),
    /// The client leaves; the will is dropped unless the reason code keeps it.
    Disconnect(Disconnect),
    /// Extended authentication.
    Auth(Auth),
}

/// What the end of a connection leaves behind.
#[derive(Debug)]
pub struct Detached {
    /// To be published now.
    pub will: Option<Publication>,
    /// When [`Session::take_will`] has one; the earlier of will delay and session end.
    pub will_at: Option<Timestamp>,
    /// When the session ends; `None`: never. At or before now: at once.
    pub expires_at: Option<Timestamp>,
}

/// One client's protocol state.
///
/// What a client does not use owns no memory: most have never more than a subscription or two.
///
/// All but the connection is what a store would have to keep.
#[derive(Debug)]
pub struct Session {
    pub(crate) config: Arc<Config>,
    pub(crate) connection: Connection,
    pub(crate) ids: PacketIds,
    pub(crate) inflight: Option<Box<Inflight>>,
    pub(crate) queue: Option<Box<Queue>>,
    pub(crate) incoming: Option<Box<Incoming>>,
    pub(crate) dropped: Option<Box<Dropped>>,
    /// By QoS.
    pub(crate) sent_late: [u32; 3],
    pub(crate) subscriptions: Subscriptions,
    pub(crate) will: Option<Box<SessionWill>>,
    pub(crate) log: Option<Box<Log>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            receive_maximum: 100,
            topic_alias_maximum: 10,
            outgoing_aliases: 10,
            max_inflight: 100,
            max_queued: 10_000,
            max_queued_bytes: 16 << 20,
            max_stored: 1_000_000,
            share: Arc::default(),
            kept: Gauge::default(),
            max_outbox: 1 << 20,
            is_stored: false,
        }
    }
}

impl Config {
    /// How many messages above QoS 0 a client may be sent before it has acknowledged one [MQTT-3.3.4-9]. Never 0: none could ever be
    /// sent.
    pub fn window_of(&self, connect: &Connect) -> u16 {
        connect.properties.receive_maximum().unwrap_or(u16::MAX).min(self.max_inflight).max(1)
    }
}

impl Session {
    /// A session without a connection and without subscriptions.
    pub fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            connection: Connection::default(),
            ids: PacketIds::default(),
            inflight: None,
            queue: None,
            incoming: None,
            dropped: None,
            sent_late: [0; 3],
            subscriptions: Subscriptions::default(),
            will: None,
            log: None,
        }
    }

    /// What holds for it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// These bounds hold from the next [`Self::attach`] on.
    pub fn configure(&mut self, config: &Arc<Config>) {
        if !Arc::ptr_eq(&self.config, config) {
            self.config = Arc::clone(config);
        }
    }

    /// A connection takes this session on: a waiting will is cancelled, limits and aliases of the old connection are
    /// forgotten. A clean start needs a new session instead; that is the driver's part.
    pub fn attach(&mut self, attach: &Attach<'_>) {
        // Also where `detach` was not called: what is known of an old connection may not be taken for this one's.
        self.forget_connection();
        // Receipts of the old connection's messages are told by it: their answers are not this connection's.
        let serial = self.connection.serial.wrapping_add(1);
        self.connection = Connection::new(attach, serial, &self.config);
        // [MQTT-3.1.3-9]: coming back in time cancels the old will.
        // One that is stored stays so, also if it ends with this connection.
        if self.config.is_stored && attach.session_expiry > 0 {
            self.log.get_or_insert_default();
        }
        self.will = attach.connect.will.as_ref().map(|will| Box::new(SessionWill::new(will)));
    }

    /// The connection is gone. Calling it without a connection does nothing, and tells nothing.
    pub fn detach(&mut self, now: Timestamp) -> Detached {
        let mut detached = Detached { will: None, will_at: None, expires_at: None };
        if !self.is_attached() {
            return detached;
        }
        self.forget_connection();
        let session_expiry = self.connection.session_expiry;
        detached.expires_at = (session_expiry < u32::MAX).then(|| now.plus_seconds(session_expiry));
        if let Some(will) = &mut self.will {
            let due = will.wait(now, session_expiry);
            detached.will = self.take_will(now, false);
            // Without a delay it is published now, and nobody has to come back for it.
            detached.will_at = detached.will.is_none().then_some(due);
        }
        detached
    }

    /// The delayed will, if it is due: `now` is past its moment, or `ended` says the session ends.
    pub fn take_will(&mut self, now: Timestamp, ended: bool) -> Option<Publication> {
        // Only one that waits: as long as its connection is there, whether it is published is not decided.
        let will = self.will.take_if(|will| will.is_due(now) || ended && will.is_waiting())?;
        Some(will.into_publication(now))
    }

    /// A packet from the client. Answers that need no decision go to `out`.
    ///
    /// After a violation the driver ends the connection: DISCONNECT with the violation's code for MQTT 5, nothing
    /// before, then [`Self::detach`].
    pub fn handle_packet(&mut self, packet: Packet, now: Timestamp, out: &mut Outbox) -> Result<Event, Violation> {
        if !self.is_attached() {
            return Ok(Event::Nothing);
        }
        match packet {
            Packet::Publish(publish) => return self.handle_publish(publish, now, out),
            Packet::PubAck(ack) => self.take_puback(&ack, now, out)?,
            Packet::PubRec(ack) => self.handle_pubrec(&ack, now, out)?,
            Packet::PubRel(ack) => self.handle_pubrel(&ack, out),
            Packet::PubComp(ack) => self.handle_pubcomp(&ack, now, out)?,
            // [MQTT-3.12.4-1]
            Packet::PingReq => out.push(&Packet::PingResp, self.connection.version),
            Packet::Subscribe(subscribe) => return handle_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => return Ok(Event::Unsubscribe(unsubscribe)),
            Packet::Disconnect(disconnect) => return self.handle_disconnect(disconnect),
            Packet::Auth(auth) => return Ok(Event::Auth(auth)),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => return Err(Violation::SecondConnect),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(Violation::ServerPacket);
            }
        }
        Ok(Event::Nothing)
    }

    /// [`Self::handle_packet`] for a PUBACK, which is half of all packets at QoS 1.
    pub fn handle_puback(&mut self, ack: &Ack, now: Timestamp, out: &mut Outbox) -> Result<(), Violation> {
        if self.is_attached() { self.take_puback(ack, now, out) } else { Ok(()) }
    }

    /// Notes a subscription; true if the filter was subscribed before.
    pub fn subscribe(&mut self, filter: &Filter, options: SubscribeOptions, id: Option<u32>) -> bool {
        self.subscriptions.insert(filter, Terms { options, id })
    }

    /// Forgets a subscription; false if there was none.
    pub fn unsubscribe(&mut self, filter: &Filter) -> bool {
        self.note_left(filter);
        self.subscriptions.remove(filter)
    }

    /// The filters subscribed with, in no order that means anything.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&Filter, SubscribeOptions, Option<u32>)> {
        self.subscriptions.iter().map(|(filter, terms)| (filter, terms.options, terms.id))
    }

    /// The filters subscribed with, of a session that is over.
    pub fn into_filters(self) -> Box<dyn Iterator<Item = Filter> + Send> {
        self.subscriptions.into_filters()
    }

    /// How many filters are subscribed with.
    pub fn subscriptions_len(&self) -> usize {
        self.subscriptions.len()
    }

    /// How exactly this filter is subscribed with, and its identifier.
    pub fn subscription(&self, filter: &Filter) -> Option<(SubscribeOptions, Option<u32>)> {
        self.subscriptions.find(filter).map(|terms| (terms.options, terms.id))
    }

    /// True if exactly this filter is subscribed with.
    pub fn is_subscribed(&self, filter: &Filter) -> bool {
        self.subscriptions.find(filter).is_some()
    }

    /// True if a will is to be published should the connection be lost, or waits for its delay.
    pub const fn has_will(&self) -> bool {
        self.will.is_some()
    }

    /// The topic of the will, if there is one.
    pub fn will_topic(&self) -> Option<&Topic> {
        self.will.as_ref().map(|will| will.topic())
    }

    /// The will is never published.
    pub fn drop_will(&mut self) {
        self.will = None;
    }

    /// The will, if one is to be published should the connection be lost or waits for its delay; and when it is due, if
    /// it waits. For a store.
    pub fn will(&self) -> Option<(Will, Option<Timestamp>)> {
        self.will.as_ref().map(|will| (will.as_will(), will.due()))
    }

    /// True between attach and detach.
    pub const fn is_attached(&self) -> bool {
        !matches!(self.connection.phase, Phase::Gone)
    }

    /// The version of the current or last connection.
    pub const fn version(&self) -> Version {
        self.connection.version
    }

    /// Bytes of the largest packet the client takes. [`Self::deliver`] sees to it; the driver's own packets must too.
    pub const fn max_packet_size(&self) -> u32 {
        self.connection.max_packet_size
    }

    /// Milliseconds of silence after which the connection ends: one and a half keep alives. [MQTT-3.1.2-22]
    pub const fn silence_limit(&self) -> Option<u64> {
        match self.connection.keep_alive {
            0 => None,
            seconds => Some(seconds as u64 * 1500),
        }
    }

    /// Seconds the session outlives its connection; may change at DISCONNECT.
    pub const fn session_expiry(&self) -> u32 {
        self.connection.session_expiry
    }

    /// The session outlives its connection by no more than this, whatever the client has asked for.
    pub fn cap_session_expiry(&mut self, seconds: u32) {
        self.connection.session_expiry = self.connection.session_expiry.min(seconds);
    }

    /// Messages sent and not yet acknowledged.
    pub fn inflight_len(&self) -> usize {
        self.inflight.as_ref().map_or(0, |inflight| inflight.len())
    }

    /// The message that this packet id stands for towards the client, if PUBACK or PUBREC is yet to come.
    pub fn unacknowledged(&self, packet_id: PacketId, qos: Qos) -> Option<&Arc<Publication>> {
        self.inflight.as_ref()?.unacknowledged(packet_id, qos)
    }

    /// Messages waiting.
    pub fn queue_len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// Messages that the client has not said that it has: sent, or waiting.
    pub fn owed_len(&self) -> usize {
        self.inflight.as_ref().map_or(0, |inflight| inflight.publishes().len()) + self.queue_len()
    }

    /// QoS 2 messages received and not released by the client.
    pub fn unreleased_len(&self) -> usize {
        self.incoming.as_ref().map_or(0, |incoming| incoming.len())
    }

    /// Messages by QoS that were sent since this was last asked, but not by [`Self::deliver`]: they had waited, or were
    /// sent again. For counting.
    pub fn take_sent_late(&mut self) -> [u32; 3] {
        std::mem::take(&mut self.sent_late)
    }

    /// Messages dropped so far, for any reason.
    pub const fn dropped(&self) -> u64 {
        self.drops().total()
    }

    /// Messages dropped so far, by reason.
    pub const fn drops(&self) -> Drops {
        match &self.dropped {
            Some(dropped) => dropped.so_far,
            None => Drops::NONE,
        }
    }

    fn handle_disconnect(&mut self, disconnect: Disconnect) -> Result<Event, Violation> {
        if let Some(seconds) = disconnect.properties.session_expiry() {
            // Section 3.14.2.2.2: a Protocol Error.
            if self.connection.is_brief && seconds > 0 {
                return Err(Violation::SessionExpiry);
            }
            self.connection.session_expiry = seconds;
        }
        // [MQTT-3.14.4-3]: every other code leaves the will to be published.
        if disconnect.reason == ReasonCode::Success {
            self.will = None;
        }
        Ok(Event::Disconnect(disconnect))
    }

    /// What does not outlive a connection goes; what was sent on it may have to be sent again.
    fn forget_connection(&mut self) {
        self.connection.close();
        if let Some(inflight) = &mut self.inflight {
            inflight.rewind();
        }
        if let Some(incoming) = &mut self.incoming {
            incoming.rewind();
        }
        if let Some(queue) = &mut self.queue {
            queue.remove_at_most_once();
        }
        // A client that is away and owes nothing is only its subscriptions.
        self.inflight.take_if(|inflight| inflight.len() == 0);
        self.incoming.take_if(|incoming| incoming.len() == 0);
        self.queue.take_if(|queue| queue.is_empty());
    }
}

fn handle_subscribe(subscribe: Subscribe) -> Result<Event, Violation> {
    // [MQTT-3.8.3-4]
    if subscribe.filters.iter().any(|wish| wish.options.no_local && wish.filter.group().is_some()) {
        return Err(Violation::NoLocalShared);
    }
    Ok(Event::Subscribe(subscribe))
}
