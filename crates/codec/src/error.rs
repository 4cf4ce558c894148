//! What can be wrong with bytes.

use crate::topic::TopicError;
use crate::{PacketType, ReasonCode};

/// Why bytes are not a packet. After any of these the stream can't be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Type 0, or type 15 before MQTT 5. [MQTT-2.1.2]
    #[error("packet type {0} is reserved")]
    ReservedType(u8),
    /// [MQTT-2.1.3-1]
    #[error("a {packet} has the flags {flags:#06b}")]
    Flags {
        /// Of this packet.
        packet: PacketType,
        /// The lower half of the first byte.
        flags: u8,
    },
    /// Only the other end of a connection sends this packet.
    #[error("a {0} goes the other way")]
    WrongWay(PacketType),
    /// [MQTT-3.1.0-1]
    #[error("the first packet is a {0}, not a CONNECT")]
    NotConnected(PacketType),
    /// More bytes than the reader accepts.
    #[error("a packet of {size} bytes where {max} are allowed")]
    TooLarge {
        /// The packet's, fixed header included.
        size: u32,
        /// The reader's limit.
        max: u32,
    },
    /// More filters than the reader accepts.
    #[error("a {packet} with more than {max} filters")]
    TooManyFilters {
        /// Of this packet.
        packet: PacketType,
        /// The reader's limit.
        max: u32,
    },
    /// More properties than the reader accepts.
    #[error("more than {0} properties")]
    TooManyProperties(u32),
    /// A variable byte integer has more than four bytes.
    #[error("a variable byte integer of more than four bytes")]
    VarIntTooLong,
    /// [MQTT-1.5.5-1]
    #[error("a variable byte integer has more bytes than its value needs")]
    VarIntPadded,
    /// A field reaches past the end of its packet or of its properties.
    #[error("a field ends after its packet")]
    Truncated,
    /// The packet is longer than its fields.
    #[error("{0} bytes after the last field")]
    TrailingBytes(u32),
    /// [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    #[error("bad string: {0}")]
    Text(TextError),
    /// [MQTT-2.2.1-3]
    #[error("packet id 0 in a {0}")]
    PacketIdZero(PacketType),
    /// [MQTT-3.1.2-1]
    #[error("the protocol name is neither MQTT nor MQIsdp")]
    ProtocolName,
    /// CONNECT names a protocol level other than 3, 4 and 5.
    #[error("protocol level {0} is not spoken here (3, 4 and 5 are)")]
    UnsupportedVersion(u8),
    /// [MQTT-3.1.2-3]
    #[error("the reserved flag of CONNECT is set")]
    ConnectReserved,
    /// [MQTT-3.1.2-11] [MQTT-3.1.2-13]
    #[error("will QoS or will retain without a will")]
    WillFlags,
    /// [MQTT-3.1.2-12]
    #[error("a will with QoS 3")]
    WillQos,
    /// 3.1.1 [MQTT-3.1.2-22]
    #[error("a password without a user name")]
    PasswordAlone,
    /// [MQTT-3.1.3-4]: the client id is not a string.
    #[error("the client id is not a string: {0}")]
    ClientId(TextError),
    /// [MQTT-3.3.1-4]
    #[error("a PUBLISH with QoS 3")]
    PublishQos,
    /// [MQTT-3.3.1-2]
    #[error("DUP in a PUBLISH with QoS 0")]
    Dup,
    /// A PUBLISH with neither a topic nor (in MQTT 5) an alias.
    #[error("neither a topic nor a topic alias")]
    NoTopic,
    /// [MQTT-4.7.3-1] [MQTT-3.3.2-2]
    #[error("not a topic: {0}")]
    Topic(TopicError),
    /// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    #[error("not a filter: {0}")]
    Filter(TopicError),
    /// [MQTT-3.3.2-13] [MQTT-3.3.2-14]
    #[error("not a response topic: {0}")]
    ResponseTopic(TopicError),
    /// [MQTT-3.8.3-2] [MQTT-3.10.3-2]
    #[error("a {0} without a filter")]
    NoFilter(PacketType),
    /// A SUBSCRIBE asks for QoS 3. [MQTT-3.8.3-4] of 3.1.1
    #[error("a subscription with QoS 3")]
    SubscribeQos,
    /// [MQTT-3.8.3-5]
    #[error("reserved subscription options are set: {0:#010b}")]
    SubscribeReserved(u8),
    /// Retain handling is 0, 1 or 2.
    #[error("retain handling 3")]
    RetainHandling,
    /// [MQTT-3.8.3-4]
    #[error("no-local on a shared subscription")]
    SharedNoLocal,
    /// The flags byte of CONNACK has more than session present.
    #[error("reserved CONNACK flags are set: {0:#010b}")]
    ConnAckFlags(u8),
    /// [MQTT-3.2.2-6]
    #[error("session present in a refusal")]
    SessionPresent,
    /// Not a reason code that this packet may have.
    #[error("reason code {code:#04x} in a {packet}")]
    ReasonCode {
        /// Of this packet.
        packet: PacketType,
        /// The number.
        code: u8,
    },
    /// No property has this identifier.
    #[error("property {0:#04x} is unknown")]
    UnknownProperty(u8),
    /// A property of other packets.
    #[error("property {0:#04x} does not belong here")]
    MisplacedProperty(u8),
    /// A property that may stand once stands twice.
    #[error("property {0:#04x} is repeated")]
    RepeatedProperty(u8),
    /// A value the property can't have.
    #[error("property {0:#04x} has a value out of its range")]
    PropertyValue(u8),
    /// [MQTT-3.3.2-8]
    #[error("topic alias 0")]
    TopicAliasZero,
    /// [MQTT-3.3.4-6]
    #[error("a client publishes with a subscription identifier")]
    SubscriptionIdFromClient,
    /// Authentication data without an authentication method.
    #[error("authentication data without a method")]
    AuthenticationDataAlone,
}

/// Why bytes are no string that MQTT allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// [MQTT-1.5.4-1]
    #[error("it is not UTF-8")]
    Utf8,
    /// [MQTT-1.5.4-2]
    #[error("it has the character U+0000")]
    Null,
    /// Section 1.5.4: U+0001 to U+001F, U+007F to U+009F.
    #[error("it has a control character")]
    Control,
}

impl DecodeError {
    /// The code to close the connection with.
    ///
    /// Where the specification names one it is that; else 0x81 for what can't be parsed and 0x82 for what can.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::TooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::TooManyFilters { .. } | Self::TooManyProperties(_) => ReasonCode::QuotaExceeded,
            Self::UnsupportedVersion(_) => ReasonCode::UnsupportedProtocolVersion,
            Self::ClientId(_) => ReasonCode::ClientIdNotValid,
            Self::TopicAliasZero => ReasonCode::TopicAliasInvalid,
            // A SUBSCRIBE or UNSUBSCRIBE without an id can't be answered at all.
            Self::PacketIdZero(PacketType::Subscribe | PacketType::Unsubscribe) => ReasonCode::MalformedPacket,
            Self::ReservedType(_)
            | Self::WrongWay(_)
            | Self::NotConnected(_)
            | Self::PacketIdZero(_)
            | Self::NoTopic
            | Self::Filter(TopicError::Share)
            | Self::ResponseTopic(_)
            | Self::NoFilter(_)
            | Self::SubscribeQos
            | Self::RetainHandling
            | Self::SharedNoLocal
            | Self::SessionPresent
            | Self::ReasonCode { .. }
            | Self::RepeatedProperty(_)
            | Self::PropertyValue(_)
            | Self::SubscriptionIdFromClient
            | Self::AuthenticationDataAlone => ReasonCode::ProtocolError,
            // Also a topic or filter with a wildcard out of place: 0x8F and 0x90 are for correctly formed ones that
            // a server does not accept.
            _ => ReasonCode::MalformedPacket,
        }
    }
}
