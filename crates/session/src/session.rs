//! The session.

use std::sync::Arc;

use mqtt_codec::{
    Auth, Connect, Filter, Packet, PacketId, Qos, ReasonCode, Subscribe, SubscribeOptions, Unsubscribe, Version,
};

use crate::{Fanout, Outbox, Publication, Timestamp, Violation};

/// Limits of every session of a broker.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unacknowledged QoS 1 and 2 messages accepted from a client; told in CONNACK and enforced exactly.
    pub receive_maximum: u16,
    /// The highest topic alias accepted from a client; told in CONNACK.
    pub topic_alias_maximum: u16,
    /// The most aliases used towards a client, whatever it allows.
    pub outgoing_aliases: u16,
    /// Unacknowledged messages towards a client, whatever more it allows.
    pub max_inflight: u16,
    /// Messages waiting in one session.
    pub max_queued: usize,
    /// Bytes of topic, payload and properties waiting in one session.
    pub max_queued_bytes: usize,
    /// Bytes in the outbox from which on QoS 0 is dropped and QoS 1 and 2 are queued.
    pub max_outbox: usize,
}

/// What CONNECT says, resolved by the driver, for [`Session::attach`].
#[derive(Clone, Debug)]
pub struct Attach<'a> {
    /// The packet.
    pub connect: &'a Connect,
    /// Seconds the session outlives the connection; `u32::MAX` is for ever.
    pub session_expiry: u32,
    /// Seconds; 0: none. The server's where it has its own.
    pub keep_alive: u16,
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
    /// The client leaves with this code; the will is dropped unless the code keeps it.
    Disconnect(ReasonCode),
    /// Extended authentication.
    Auth(Auth),
}

/// Owed to a publisher; spent by [`Session::acknowledge`].
#[must_use]
#[derive(Debug)]
pub struct Receipt(Option<(Qos, PacketId)>);

impl Receipt {
    /// For a QoS 0 publish: nothing is owed.
    pub const NONE: Self = Self(None);
}

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

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The session has as many messages waiting as it may.
    QueueFull,
    /// QoS 0 and the client is away.
    Offline,
    /// QoS 0 and the outbox is full.
    OutboxFull,
    /// Over the client's maximum packet size. [MQTT-3.1.2-24]
    TooLarge,
    /// Past its message expiry.
    Expired,
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
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
}

impl Session {
    /// A session without a connection and without subscriptions.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config }
    }

    /// A connection takes this session on: a waiting will is cancelled, limits and aliases of the old connection are
    /// forgotten. A clean start needs a new session instead; that is the driver's part.
    pub fn attach(&mut self, attach: &Attach<'_>) {
        let _ = (attach, &self.config);
        todo!()
    }

    /// After CONNACK: sends again what was not acknowledged, with the same ids in the same order, DUP set
    /// [MQTT-4.4.0-1] [MQTT-4.6.0-1], then what waits.
    pub fn resume(&mut self, now: Timestamp, out: &mut Outbox) {
        let _ = (now, out);
        todo!()
    }

    /// The connection is gone. Calling it without a connection does nothing.
    pub fn detach(&mut self, now: Timestamp) -> Detached {
        let _ = now;
        todo!()
    }

    /// The delayed will, if it is due: `now` is past its moment, or `ended` says the session ends.
    pub fn take_will(&mut self, now: Timestamp, ended: bool) -> Option<Publication> {
        let _ = (now, ended);
        todo!()
    }

    /// True between attach and detach.
    pub const fn is_attached(&self) -> bool {
        todo!()
    }

    /// The version of the current or last connection.
    pub const fn version(&self) -> Version {
        todo!()
    }

    /// Milliseconds of silence after which the connection ends: one and a half keep alives. [MQTT-3.1.2-22]
    pub const fn silence_limit(&self) -> Option<u64> {
        todo!()
    }

    /// Seconds the session outlives its connection; may change at DISCONNECT.
    pub const fn session_expiry(&self) -> u32 {
        todo!()
    }

    /// A packet from the client. Answers that need no decision go to `out`.
    pub fn handle_packet(&mut self, packet: Packet, now: Timestamp, out: &mut Outbox) -> Result<Event, Violation> {
        let _ = (packet, now, out);
        todo!()
    }

    /// Answers a publish: PUBACK or PUBREC with `reason`; nothing at QoS 0.
    pub fn acknowledge(&mut self, receipt: Receipt, reason: ReasonCode, out: &mut Outbox) {
        let _ = (receipt, reason, out);
        todo!()
    }

    /// Delivers: into `out`, into the queue, or nowhere.
    pub fn deliver(
        &mut self,
        fanout: &mut Fanout<'_>,
        options: DeliveryOptions<'_>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Delivered {
        let _ = (fanout, options, now, out);
        todo!()
    }

    /// True if [`Self::pump`] would send something, were there room in the outbox.
    pub fn has_backlog(&self) -> bool {
        todo!()
    }

    /// Sends what waits while the window and the outbox have room. Call it when the outbox has drained.
    pub fn pump(&mut self, now: Timestamp, out: &mut Outbox) {
        let _ = (now, out);
        todo!()
    }

    /// Notes a subscription; true if the filter was subscribed before.
    pub fn subscribe(&mut self, filter: &Filter, options: SubscribeOptions, id: Option<u32>) -> bool {
        let _ = (filter, options, id);
        todo!()
    }

    /// Forgets a subscription; false if there was none.
    pub fn unsubscribe(&mut self, filter: &Filter) -> bool {
        let _ = filter;
        todo!()
    }

    /// The filters subscribed with.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&Filter, SubscribeOptions, Option<u32>)> {
        std::iter::empty()
    }

    /// Messages sent and not yet acknowledged.
    pub fn inflight_len(&self) -> usize {
        todo!()
    }

    /// Messages waiting.
    pub fn queue_len(&self) -> usize {
        todo!()
    }

    /// Messages dropped so far, for any reason.
    pub const fn dropped(&self) -> u64 {
        todo!()
    }
}
