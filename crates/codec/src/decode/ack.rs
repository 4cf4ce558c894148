//! CONNACK, the four acknowledgements of PUBLISH, DISCONNECT and AUTH.

use nom::number::complete::be_u8;

use super::Body;
use crate::property::id::Ids;
use crate::read::{self, Parsed};
use crate::{
    Ack, Auth, ConnAck, DecodeError, Disconnect, Packet, PacketId, PacketType, Properties, ReasonCode, Role, Version,
};

pub(super) fn conn_ack<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, ConnAck> {
    let (input, flags) = be_u8(input)?;
    let (input, code) = be_u8(input)?;
    if body.version == Version::V3_1 {
        // The first byte has no meaning there.
        return Ok((
            input,
            ConnAck { session_present: false, reason: return_code(code)?, properties: Properties::EMPTY },
        ));
    }
    // [MQTT-3.2.2-1]
    if flags > 1 {
        return Err(DecodeError::ConnAckFlags(flags).into());
    }
    let reason = if body.version == Version::V5 { body.reason(code)? } else { return_code(code)? };
    // [MQTT-3.2.2-6]
    if flags == 1 && reason.is_error() {
        return Err(DecodeError::SessionPresent.into());
    }
    let (input, properties) = body.properties(Ids::CONNACK, input)?;
    Ok((input, ConnAck { session_present: flags == 1, reason, properties }))
}

pub(super) fn ack<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, Ack> {
    let (input, packet_id) = read::packet_id(body.packet_type)(input)?;
    let (input, (reason, properties)) = body.reason_and_properties(Ids::ACK, input)?;
    Ok((input, Ack { packet_id, reason, properties }))
}

/// An acknowledgement that is a packet id and no more, as nearly all are: nothing of the buffer is kept for it.
pub(super) fn bare(packet_type: PacketType, body: &[u8]) -> Option<Packet> {
    let packet_id = PacketId::new(u16::from_be_bytes(body.try_into().ok()?))?;
    let ack = Ack::new(packet_id, ReasonCode::Success);
    match packet_type {
        PacketType::PubAck => Some(Packet::PubAck(ack)),
        PacketType::PubRec => Some(Packet::PubRec(ack)),
        PacketType::PubRel => Some(Packet::PubRel(ack)),
        PacketType::PubComp => Some(Packet::PubComp(ack)),
        _ => None,
    }
}

pub(super) fn disconnect<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, Disconnect> {
    let allowed = if body.role == Role::Server { Ids::DISCONNECT_FROM_CLIENT } else { Ids::DISCONNECT_FROM_SERVER };
    let (input, (reason, properties)) = body.reason_and_properties(allowed, input)?;
    Ok((input, Disconnect { reason, properties }))
}

pub(super) fn auth<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, Auth> {
    let (input, (reason, properties)) = body.reason_and_properties(Ids::AUTH, input)?;
    Ok((input, Auth { reason, properties }))
}

impl<'a> Body<'a> {
    /// The end of a packet that may stop before its reason, which is success then, or before its properties.
    fn reason_and_properties(self, allowed: Ids, input: &'a [u8]) -> Parsed<'a, (ReasonCode, Properties)> {
        if input.is_empty() || self.version < Version::V5 {
            return Ok((input, (ReasonCode::Success, Properties::EMPTY)));
        }
        let (input, code) = be_u8(input)?;
        let reason = self.reason(code)?;
        if input.is_empty() {
            return Ok((input, (reason, Properties::EMPTY)));
        }
        let (input, properties) = self.properties(allowed, input)?;
        Ok((input, (reason, properties)))
    }

    /// A reason code of MQTT 5, if this packet may have it.
    pub(super) fn reason(self, code: u8) -> Result<ReasonCode, DecodeError> {
        let known = ReasonCode::from_u8(code).filter(|&reason| may_have(self.packet_type, self.role, reason));
        known.ok_or(DecodeError::ReasonCode { packet: self.packet_type, code })
    }
}

fn return_code(code: u8) -> Result<ReasonCode, DecodeError> {
    ReasonCode::from_return_code(code).ok_or(DecodeError::ReasonCode { packet: PacketType::ConnAck, code })
}

/// The table of section 2.4.
fn may_have(packet: PacketType, role: Role, reason: ReasonCode) -> bool {
    match packet {
        PacketType::ConnAck => {
            matches!(reason.as_u8(), 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
        }
        PacketType::PubAck | PacketType::PubRec => {
            matches!(reason.as_u8(), 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
        }
        PacketType::PubRel | PacketType::PubComp => matches!(reason.as_u8(), 0x00 | 0x92),
        PacketType::SubAck => {
            matches!(reason.as_u8(), 0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
        }
        PacketType::UnsubAck => matches!(reason.as_u8(), 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
        PacketType::Disconnect if role == Role::Server => matches!(
            reason.as_u8(),
            0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99
        ),
        PacketType::Disconnect => matches!(
            reason.as_u8(),
            0x00 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2
        ),
        PacketType::Auth if role == Role::Server => matches!(reason.as_u8(), 0x18 | 0x19),
        PacketType::Auth => matches!(reason.as_u8(), 0x00 | 0x18),
        _ => false,
    }
}
