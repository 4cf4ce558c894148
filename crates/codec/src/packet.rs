//! The packets, the same types for every protocol version.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{Filter, PacketType, Properties, ReasonCode, Topic};

/// A protocol version this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1, `MQIsdp` level 3.
    V3_1 = 3,
    /// MQTT 3.1.1, `MQTT` level 4.
    V3_1_1 = 4,
    /// MQTT 5.0, `MQTT` level 5.
    V5 = 5,
}

impl Version {
    /// The protocol level byte of CONNECT: 3, 4 or 5.
    pub const fn level(self) -> u8 {
        self as u8
    }

    /// What a bridge adds to the protocol level byte.
    pub(crate) const BRIDGE: u8 = 0x80;

    /// The version of this level.
    pub fn from_level(level: u8) -> Option<Self> {
        [Self::V3_1, Self::V3_1_1, Self::V5].into_iter().find(|version| version.level() == level)
    }

    /// The protocol name of CONNECT.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V3_1 => "MQIsdp",
            Self::V3_1_1 | Self::V5 => "MQTT",
        }
    }
}

/// How often a message is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// The level 0, 1 or 2; `None` for any other number.
    pub const fn from_u8(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// Pairs a packet with its answer; never zero. [MQTT-2.2.1-3]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// `None` for zero.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self.0.get()
    }

    /// The id after this one; 65,535 is followed by 1.
    #[must_use]
    pub const fn next(self) -> Self {
        match NonZeroU16::new(self.0.get().wrapping_add(1)) {
            Some(id) => Self(id),
            None => Self(NonZeroU16::MIN),
        }
    }
}

/// Any MQTT control packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// A client asks to come in.
    Connect(Box<Connect>),
    /// The answer to CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Publish),
    /// QoS 1: taken over.
    PubAck(Ack),
    /// QoS 2, step one: received.
    PubRec(Ack),
    /// QoS 2, step two: released.
    PubRel(Ack),
    /// QoS 2, step three: complete.
    PubComp(Ack),
    /// Asks for messages.
    Subscribe(Subscribe),
    /// The answer to SUBSCRIBE.
    SubAck(SubAck),
    /// Asks for no more messages.
    Unsubscribe(Unsubscribe),
    /// The answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// Are you there?
    PingReq,
    /// Yes.
    PingResp,
    /// The last word of a connection.
    Disconnect(Disconnect),
    /// Extended authentication (MQTT 5).
    Auth(Auth),
}

impl Packet {
    /// Which of the fifteen this is.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

/// CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// The version all later packets of this connection are in.
    pub version: Version,
    /// May be empty: the server assigns one.
    pub client_id: ByteString,
    /// Another broker connects: the highest bit of the protocol level is set, by a convention older than MQTT 3.1.1.
    pub is_bridge: bool,
    /// Clean session (3.x) or clean start (5).
    pub clean_start: bool,
    /// Seconds; 0 turns it off.
    pub keep_alive: u16,
    /// User name, if any.
    pub username: Option<ByteString>,
    /// Password, if any.
    pub password: Option<Bytes>,
    /// What to publish should this client vanish.
    pub will: Option<Will>,
    /// Session expiry, receive maximum, maximum packet size, topic alias maximum, ...
    pub properties: Properties,
}

impl Connect {
    /// A clean start without keep alive, user name, will and properties.
    pub fn new(version: Version, client_id: impl Into<ByteString>) -> Self {
        Self {
            version,
            client_id: client_id.into(),
            is_bridge: false,
            clean_start: true,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
            properties: Properties::EMPTY,
        }
    }
}

/// The will of a CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Will {
    /// What is published; its properties are without the will delay.
    pub message: Message,
    /// Seconds between the end of the connection and the publishing; 0 before MQTT 5.
    pub delay: u32,
}

/// What is published: a topic, a payload and what goes with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// The content.
    pub payload: Bytes,
    /// The quality the publisher asked for.
    pub qos: Qos,
    /// To be kept for later subscribers.
    pub retain: bool,
    /// As sent by the publisher, never a topic alias or a subscription identifier.
    pub properties: Properties,
}

/// CONNACK.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnAck {
    /// The server had a session for this client and goes on with it.
    pub session_present: bool,
    /// Before MQTT 5 written as the nearest of the return codes 0 to 5.
    pub reason: ReasonCode,
    /// The limits of the server; empty before MQTT 5.
    pub properties: Properties,
}

/// PUBLISH.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Sent before, perhaps.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
    /// `None`: named by the topic alias in the properties (MQTT 5).
    pub topic: Option<Topic>,
    /// Present at QoS 1 and 2, absent at QoS 0.
    pub packet_id: Option<PacketId>,
    /// Empty before MQTT 5.
    pub properties: Properties,
    /// The content.
    pub payload: Bytes,
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// Of the PUBLISH this is about.
    pub packet_id: PacketId,
    /// Always success before MQTT 5.
    pub reason: ReasonCode,
    /// Empty before MQTT 5.
    pub properties: Properties,
}

impl Ack {
    /// An acknowledgement without properties.
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: Properties::EMPTY }
    }
}

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// Returned in SUBACK.
    pub packet_id: PacketId,
    /// At most a subscription identifier and user properties.
    pub properties: Properties,
    /// Never empty. [MQTT-3.8.3-2]
    pub filters: Vec<SubscribeFilter>,
}

/// One filter of a SUBSCRIBE with its options.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscribeFilter {
    /// What is asked for.
    pub filter: Filter,
    /// How.
    pub options: SubscribeOptions,
}

/// Subscription options; before MQTT 5 only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The highest QoS at which messages are sent to the client.
    pub qos: Qos,
    /// Not what this client published itself.
    pub no_local: bool,
    /// Keep the retain flag as the publisher set it.
    pub retain_as_published: bool,
    /// Which retained messages are sent at once.
    pub retain_handling: RetainHandling,
}

/// When a SUBSCRIBE is answered with retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// If the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// SUBACK.
#[derive(Clone, Debug, PartialEq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in order; before MQTT 5 every failure is written as 0x80.
    pub reasons: Vec<ReasonCode>,
    /// Empty before MQTT 5.
    pub properties: Properties,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe {
    /// Returned in UNSUBACK.
    pub packet_id: PacketId,
    /// Never empty. [MQTT-3.10.3-2]
    pub filters: Vec<Filter>,
    /// User properties; empty before MQTT 5.
    pub properties: Properties,
}

/// UNSUBACK.
#[derive(Clone, Debug, PartialEq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in order; not on the wire before MQTT 5.
    pub reasons: Vec<ReasonCode>,
    /// Empty before MQTT 5.
    pub properties: Properties,
}

/// DISCONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Disconnect {
    /// Always success before MQTT 5.
    pub reason: ReasonCode,
    /// Empty before MQTT 5.
    pub properties: Properties,
}

/// AUTH (MQTT 5).
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Authentication method and data.
    pub properties: Properties,
}
