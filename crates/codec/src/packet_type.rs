//! The types of packets, and what the first byte of each may be.

use crate::{DecodeError, Role, Version};

/// The fifteen packet types, by their number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the specification, section 2.1.2")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// `None` for 0 and numbers over 15.
    pub const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The specification's name: `CONNECT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// The type a reader in `role` may get now, from a packet's first byte; PUBLISH's flags are its own matter.
    pub(crate) fn admit(first: u8, role: Role, version: Option<Version>) -> Result<Self, DecodeError> {
        let packet = Self::from_u8(first >> 4).ok_or(DecodeError::ReservedType(first >> 4))?;
        let Some(version) = version else {
            // [MQTT-3.1.0-1]; its flags are checked once its version is known.
            return match packet {
                Self::Connect => Ok(packet),
                _ => Err(DecodeError::NotConnected(packet)),
            };
        };
        if packet == Self::Auth && version < Version::V5 {
            return Err(DecodeError::ReservedType(first >> 4));
        }
        if packet != Self::Connect {
            packet.check_flags(first & 0x0F, version)?;
        }
        if packet.may_reach(role) { Ok(packet) } else { Err(DecodeError::WrongWay(packet)) }
    }

    /// [MQTT-2.1.3-1]
    pub(crate) fn check_flags(self, flags: u8, version: Version) -> Result<(), DecodeError> {
        let fine = match self {
            Self::Publish => true,
            // MQTT 3.1 leaves the flags of CONNECT without meaning, and lets DUP be set where QoS 1 is.
            Self::Connect => flags == 0 || version == Version::V3_1,
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => {
                flags == 0b0010 || version == Version::V3_1 && flags == 0b1010
            }
            _ => flags == 0,
        };
        if fine { Ok(()) } else { Err(DecodeError::Flags { packet: self, flags }) }
    }

    fn may_reach(self, role: Role) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => role == Role::Server,
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp => role != Role::Server,
            // Before MQTT 5 only clients send DISCONNECT.
            Self::Disconnect => matches!(role, Role::Server | Role::Client(Version::V5)),
            Self::Publish | Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp | Self::Auth => true,
        }
    }
}

impl std::fmt::Display for PacketType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
