//! What a client may not do.

use mqtt_codec::{PacketId, ReasonCode};

/// Why a connection must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// [MQTT-3.1.0-2]
    #[error("a second CONNECT")]
    SecondConnect,
    /// CONNACK, SUBACK, UNSUBACK and PINGRESP are a server's.
    #[error("a packet that only a server sends")]
    ServerPacket,
    /// [MQTT-3.3.4-7]
    #[error("more than {0} unacknowledged messages")]
    ReceiveMaximum(u16),
    /// As [`Self::ReceiveMaximum`], over all connections and for those who know no such limit.
    #[error("{0} QoS 2 messages wait for their PUBREL, more than one client may leave so")]
    Unreleased(usize),
    /// [MQTT-3.3.2-8] [MQTT-3.3.2-9]
    #[error("topic alias {0} is not between 1 and {1}")]
    TopicAlias(u16, u16),
    /// Section 3.3.2.3.4.
    #[error("topic alias {0} stands for no topic yet")]
    UnknownTopicAlias(u16),
    /// Section 3.3.2.1.
    #[error("a PUBLISH with neither topic nor topic alias")]
    NoTopic,
    /// [MQTT-2.2.1-3]
    #[error("a PUBLISH above QoS 0 without a packet id")]
    NoPacketId,
    /// [MQTT-3.3.4-6]
    #[error("a subscription identifier in a client's PUBLISH")]
    SubscriptionId,
    /// [MQTT-3.8.3-4]
    #[error("the no local option on a shared subscription")]
    NoLocalShared,
    /// Section 3.14.2.2.2.
    #[error("a session that was to end with its connection is given an expiry at DISCONNECT")]
    SessionExpiry,
    /// Sections 4.3.2 and 4.3.3.
    #[error("an acknowledgement that does not fit the state of message {}", .0.as_u16())]
    Acknowledgement(PacketId),
    /// Nothing of the specification's: it holds all that it may at the moment.
    #[error("the broker holds as much for this client as it can spare")]
    Share,
}

impl Violation {
    /// The code of the DISCONNECT that a version 5 client is sent.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::ReceiveMaximum(_) | Self::Unreleased(_) => ReasonCode::ReceiveMaximumExceeded,
            Self::TopicAlias(..) => ReasonCode::TopicAliasInvalid,
            Self::Share => ReasonCode::QuotaExceeded,
            Self::SecondConnect
            | Self::ServerPacket
            | Self::UnknownTopicAlias(_)
            | Self::NoTopic
            | Self::NoPacketId
            | Self::SubscriptionId
            | Self::NoLocalShared
            | Self::SessionExpiry
            | Self::Acknowledgement(_) => ReasonCode::ProtocolError,
        }
    }
}
