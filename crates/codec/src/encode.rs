//! Packets to bytes.

mod publish;

use bytes::{BufMut, BytesMut};

pub use publish::PublishHead;

use crate::{
    Connect, Packet, PacketId, PacketType, Properties, ReasonCode, SubscribeFilter, SubscribeOptions, Version, Will,
};

/// The highest value of a variable byte integer, and the most bytes that may follow a fixed header.
pub(crate) const MAX_VAR_INT: u32 = 268_435_455;

/// The packet has more than the 268,435,455 bytes that MQTT allows after the fixed header, or a string or binary
/// field more than 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet or field of {0} bytes is over MQTT's limit")]
pub struct TooLarge(pub usize);

impl Packet {
    /// Appends this packet to `out`; on error `out` is as it was.
    ///
    /// What a version has no place for is left out: properties and reasons before MQTT 5, and the whole of an AUTH.
    // Inlined as `Publish::encode` is, for the same reason.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), TooLarge> {
        match self {
            Self::Publish(publish) => publish.encode(version, out),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack)
                if reason_len(ack.reason, &ack.properties, version) == 0 =>
            {
                let [high, low] = ack.packet_id.as_u16().to_be_bytes();
                out.extend_from_slice(&[self.first_byte(), 2, high, low]);
                Ok(())
            }
            _ => self.encode_other(version, out),
        }
    }

    // Apart, so that a PUBLISH does not pay for the registers it needs.
    #[inline(never)]
    fn encode_other(&self, version: Version, out: &mut BytesMut) -> Result<(), TooLarge> {
        if self.is_unknown_to(version) {
            return Ok(());
        }
        let remaining = self.remaining_len(version);
        if remaining > MAX_VAR_INT as usize {
            return Err(TooLarge(remaining));
        }
        if let Self::Connect(connect) = self {
            check_fields(connect)?;
        }
        out.reserve(1 + var_int_len(remaining) + remaining);
        out.put_u8(self.first_byte());
        var_int(out, remaining as u32);
        self.body(version, out);
        Ok(())
    }

    /// The bytes [`Self::encode`] appends, fixed header included.
    pub fn encoded_len(&self, version: Version) -> usize {
        match self {
            Self::Publish(publish) => publish.head().encoded_len(version),
            _ if self.is_unknown_to(version) => 0,
            _ => {
                let remaining = self.remaining_len(version);
                1 + var_int_len(remaining) + remaining
            }
        }
    }

    fn is_unknown_to(&self, version: Version) -> bool {
        version < Version::V5 && matches!(self, Self::Auth(_))
    }

    fn first_byte(&self) -> u8 {
        let packet_type = self.packet_type();
        // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
        let flags = match packet_type {
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
            _ => 0,
        };
        (packet_type as u8) << 4 | flags
    }

    fn remaining_len(&self, version: Version) -> usize {
        let v5 = version == Version::V5;
        match self {
            Self::Connect(connect) => connect_len(connect),
            Self::ConnAck(ack) => 2 + properties_len(&ack.properties, version),
            Self::Publish(_) => unreachable!("written by its head"),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                2 + reason_len(ack.reason, &ack.properties, version)
            }
            Self::Subscribe(subscribe) => {
                let filters: usize = subscribe.filters.iter().map(|one| 3 + one.filter.as_str().len()).sum();
                2 + properties_len(&subscribe.properties, version) + filters
            }
            Self::SubAck(ack) => 2 + properties_len(&ack.properties, version) + ack.reasons.len(),
            Self::Unsubscribe(unsubscribe) => {
                let filters: usize = unsubscribe.filters.iter().map(|filter| 2 + filter.as_str().len()).sum();
                2 + properties_len(&unsubscribe.properties, version) + filters
            }
            Self::UnsubAck(ack) if v5 => 2 + properties_len(&ack.properties, version) + ack.reasons.len(),
            Self::UnsubAck(_) => 2,
            Self::PingReq | Self::PingResp => 0,
            Self::Disconnect(disconnect) => reason_len(disconnect.reason, &disconnect.properties, version),
            Self::Auth(auth) => reason_len(auth.reason, &auth.properties, version),
        }
    }

    fn body(&self, version: Version, out: &mut BytesMut) {
        let v5 = version == Version::V5;
        match self {
            Self::Connect(connect) => put_connect(connect, out),
            Self::ConnAck(ack) => {
                // [MQTT-3.2.2-6]; the byte has no meaning in MQTT 3.1.
                let session_present = ack.session_present && !ack.reason.is_error() && version > Version::V3_1;
                out.put_u8(u8::from(session_present));
                out.put_u8(if v5 { ack.reason.as_u8() } else { ack.reason.as_return_code() });
                put_properties(&ack.properties, version, out);
            }
            Self::Publish(_) => unreachable!("written by its head"),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                put_id(ack.packet_id, out);
                put_reason(ack.reason, &ack.properties, version, out);
            }
            Self::Subscribe(subscribe) => {
                put_id(subscribe.packet_id, out);
                put_properties(&subscribe.properties, version, out);
                for SubscribeFilter { filter, options } in &subscribe.filters {
                    put_binary(filter.as_str().as_bytes(), out);
                    out.put_u8(options.bits(version));
                }
            }
            Self::SubAck(ack) => {
                put_id(ack.packet_id, out);
                put_properties(&ack.properties, version, out);
                let code = |reason: &ReasonCode| if !v5 && reason.is_error() { 0x80 } else { reason.as_u8() };
                out.extend(ack.reasons.iter().map(code));
            }
            Self::Unsubscribe(unsubscribe) => {
                put_id(unsubscribe.packet_id, out);
                put_properties(&unsubscribe.properties, version, out);
                for filter in &unsubscribe.filters {
                    put_binary(filter.as_str().as_bytes(), out);
                }
            }
            Self::UnsubAck(ack) => {
                put_id(ack.packet_id, out);
                put_properties(&ack.properties, version, out);
                if v5 {
                    out.extend(ack.reasons.iter().map(|reason| reason.as_u8()));
                }
            }
            Self::PingReq | Self::PingResp => {}
            Self::Disconnect(disconnect) => put_reason(disconnect.reason, &disconnect.properties, version, out),
            Self::Auth(auth) => put_reason(auth.reason, &auth.properties, version, out),
        }
    }
}

impl SubscribeOptions {
    /// The options byte of SUBSCRIBE in MQTT 5.
    pub const fn to_byte(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    fn bits(self, version: Version) -> u8 {
        if version < Version::V5 { self.qos as u8 } else { self.to_byte() }
    }
}

/// No field of a CONNECT may be longer than its two byte length can tell; topics and filters never are.
fn check_fields(connect: &Connect) -> Result<(), TooLarge> {
    let fields = [
        connect.client_id.len(),
        connect.username.as_ref().map_or(0, |username| username.len()),
        connect.password.as_ref().map_or(0, |password| password.len()),
        connect.will.as_ref().map_or(0, |will| will.message.payload.len()),
    ];
    match fields.into_iter().find(|&len| len > usize::from(u16::MAX)) {
        Some(len) => Err(TooLarge(len)),
        None => Ok(()),
    }
}

// A CONNECT is in the version it names, whatever the connection was before.
fn connect_len(connect: &Connect) -> usize {
    let will = connect.will.as_ref().map_or(0, |will| {
        let properties = if connect.version == Version::V5 { section_len(will_properties_len(will)) } else { 0 };
        properties + 2 + will.message.topic.as_str().len() + 2 + will.message.payload.len()
    });
    let username = connect.username.as_ref().map_or(0, |username| 2 + username.len());
    let password = connect.password.as_ref().map_or(0, |password| 2 + password.len());
    2 + connect.version.protocol_name().len()
        + 4
        + properties_len(&connect.properties, connect.version)
        + 2
        + connect.client_id.len()
        + will
        + username
        + password
}

fn put_connect(connect: &Connect, out: &mut BytesMut) {
    put_binary(connect.version.protocol_name().as_bytes(), out);
    out.put_u8(connect.version.level() | if connect.is_bridge { Version::BRIDGE } else { 0 });
    let mut flags = u8::from(connect.clean_start) << 1;
    if let Some(Will { message, .. }) = &connect.will {
        flags |= 1 << 2 | (message.qos as u8) << 3 | u8::from(message.retain) << 5;
    }
    flags |= u8::from(connect.password.is_some()) << 6 | u8::from(connect.username.is_some()) << 7;
    out.put_u8(flags);
    out.put_u16(connect.keep_alive);
    put_properties(&connect.properties, connect.version, out);
    put_binary(connect.client_id.as_bytes(), out);
    if let Some(will) = &connect.will {
        if connect.version == Version::V5 {
            var_int(out, will_properties_len(will) as u32);
            if will.delay > 0 {
                out.put_u8(crate::property::id::WILL_DELAY);
                out.put_u32(will.delay);
            }
            out.extend_from_slice(will.message.properties.as_bytes());
        }
        put_binary(will.message.topic.as_str().as_bytes(), out);
        put_binary(&will.message.payload, out);
    }
    if let Some(username) = &connect.username {
        put_binary(username.as_bytes(), out);
    }
    if let Some(password) = &connect.password {
        put_binary(password, out);
    }
}

fn will_properties_len(will: &Will) -> usize {
    let delay = if will.delay > 0 { 5 } else { 0 };
    delay + will.message.properties.encoded_len()
}

fn section_len(len: usize) -> usize {
    var_int_len(len) + len
}

fn properties_len(properties: &Properties, version: Version) -> usize {
    if version < Version::V5 { 0 } else { section_len(properties.encoded_len()) }
}

fn put_properties(properties: &Properties, version: Version, out: &mut BytesMut) {
    if version == Version::V5 {
        var_int(out, properties.encoded_len() as u32);
        out.extend_from_slice(properties.as_bytes());
    }
}

/// Success without properties is told by silence, a reason without properties by the reason alone.
fn reason_len(reason: ReasonCode, properties: &Properties, version: Version) -> usize {
    match (version, reason, properties.is_empty()) {
        (Version::V3_1 | Version::V3_1_1, ..) | (_, ReasonCode::Success, true) => 0,
        (_, _, true) => 1,
        _ => 1 + properties_len(properties, version),
    }
}

fn put_reason(reason: ReasonCode, properties: &Properties, version: Version, out: &mut BytesMut) {
    let len = reason_len(reason, properties, version);
    if len > 0 {
        out.put_u8(reason.as_u8());
    }
    if len > 1 {
        put_properties(properties, version, out);
    }
}

fn put_id(id: PacketId, out: &mut BytesMut) {
    out.put_u16(id.as_u16());
}

/// `data` must be at most 65,535 bytes.
fn put_binary(data: &[u8], out: &mut BytesMut) {
    out.put_u16(data.len() as u16);
    out.extend_from_slice(data);
}

/// The bytes of `value` as a variable byte integer.
pub(crate) const fn var_int_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Appends a variable byte integer; `value` is at most [`MAX_VAR_INT`]. [MQTT-1.5.5-1]
pub(crate) fn var_int(out: &mut impl BufMut, mut value: u32) {
    while value > 0x7F {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests;
