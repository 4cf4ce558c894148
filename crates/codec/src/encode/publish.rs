//! PUBLISH.

use bytes::{BufMut, BytesMut};

use super::{MAX_VAR_INT, TooLarge, section_len, var_int, var_int_len};
use crate::property::id;
use crate::{PacketId, PacketType, Properties, Publish, Qos, Version};

/// A PUBLISH without its payload, borrowed: what a server writes for each receiver.
///
/// The properties go out in the order of the fields here.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead<'a> {
    /// Sent before, perhaps.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
    /// Empty where the alias says it (MQTT 5).
    pub topic: &'a str,
    /// Must be there at QoS 1 and 2; not written at QoS 0.
    pub packet_id: Option<PacketId>,
    /// Stands for the topic.
    pub topic_alias: Option<u16>,
    /// Seconds that are left.
    pub message_expiry: Option<u32>,
    /// Of the subscriptions this goes to; none is 0 or over 268,435,455.
    pub subscription_ids: &'a [u32],
    /// Written after the others, unaltered.
    pub properties: &'a Properties,
    /// Bytes of the payload.
    pub payload_len: usize,
}

impl PublishHead<'_> {
    /// Bytes of the whole packet, payload included.
    pub fn encoded_len(&self, version: Version) -> usize {
        let remaining = self.remaining_len(version, self.properties_len());
        1 + var_int_len(remaining) + remaining
    }

    /// Appends all but the payload, which the caller appends or sends from where it is; on error `out` is as it was.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), TooLarge> {
        self.put(version, 0, out)
    }

    /// [`Self::encode`], with room for `more` bytes behind.
    // Inlined, because else all fields of `self` go through memory: a third of the time of a small message.
    #[inline(always)]
    fn put(&self, version: Version, more: usize, out: &mut BytesMut) -> Result<(), TooLarge> {
        let properties_len = if version == Version::V5 { self.properties_len() } else { 0 };
        let remaining = self.remaining_len(version, properties_len);
        let first = self.first_byte();
        let [high, low] = (self.topic.len() as u16).to_be_bytes();
        match remaining {
            0..=0x7F => out.extend_from_slice(&[first, remaining as u8, high, low]),
            0x80..=0xFFFF => {
                // What is small finds room, or makes it once; what is large should not make it twice.
                out.reserve(6 + remaining - self.payload_len + more);
                let (second, third) = (remaining as u8 | 0x80, (remaining >> 7) as u8);
                if remaining <= 0x3FFF {
                    out.extend_from_slice(&[first, second, third, high, low]);
                } else {
                    out.extend_from_slice(&[first, second, third | 0x80, (remaining >> 14) as u8, high, low]);
                }
            }
            _ => put_long_header(first, remaining, self.topic.len(), remaining - self.payload_len + more, out)?,
        }
        put_topic(self.topic.as_bytes(), out);
        if self.qos != Qos::AtMostOnce {
            // A caller's mistake reaches the peer as packet id 0, which it refuses.
            out.put_u16(self.packet_id.map_or(0, PacketId::as_u16));
        }
        if version == Version::V5 {
            match properties_len {
                0 => out.put_u8(0),
                len => put_properties(
                    len,
                    self.topic_alias,
                    self.message_expiry,
                    self.subscription_ids,
                    self.properties,
                    out,
                ),
            }
        }
        Ok(())
    }

    #[inline]
    fn remaining_len(&self, version: Version, properties_len: usize) -> usize {
        let packet_id = if self.qos == Qos::AtMostOnce { 0 } else { 2 };
        let properties = match (version, properties_len) {
            (Version::V3_1 | Version::V3_1_1, _) => 0,
            (Version::V5, 0) => 1,
            (Version::V5, len) => section_len(len),
        };
        2 + self.topic.len() + packet_id + properties + self.payload_len
    }

    const fn first_byte(&self) -> u8 {
        (PacketType::Publish as u8) << 4 | (self.dup as u8) << 3 | (self.qos as u8) << 1 | self.retain as u8
    }

    #[inline]
    fn properties_len(&self) -> usize {
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let ids: usize = self.subscription_ids.iter().map(|&id| 1 + var_int_len(id as usize)).sum();
        alias + expiry + ids + self.properties.encoded_len()
    }
}

impl Publish {
    /// Appends this packet to `out`; on error `out` is as it was.
    // Inlined into `Packet::encode`: one call instead of two is a tenth of the time of a small message.
    #[inline(always)]
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), TooLarge> {
        self.head().put(version, self.payload.len(), out)?;
        out.extend_from_slice(&self.payload);
        Ok(())
    }

    #[inline]
    pub(super) fn head(&self) -> PublishHead<'_> {
        PublishHead {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic.as_ref().map_or("", |topic| topic.as_str()),
            packet_id: self.packet_id,
            topic_alias: None,
            message_expiry: None,
            subscription_ids: &[],
            properties: &self.properties,
            payload_len: self.payload.len(),
        }
    }
}

/// Topics are short, and for those a call of `memcpy` takes longer than the copying.
#[inline(always)]
fn put_topic(topic: &[u8], out: &mut BytesMut) {
    let (Some(start), Some(end), 16..=32) = (topic.first_chunk::<16>(), topic.last_chunk::<16>(), topic.len()) else {
        return out.extend_from_slice(topic);
    };
    let before_end = out.len() + topic.len() - end.len();
    out.extend_from_slice(start);
    // The halves overlap.
    out.truncate(before_end);
    out.extend_from_slice(end);
}

/// The fixed header and the length of the topic where more than 65,535 bytes follow.
#[inline(never)]
fn put_long_header(
    first: u8,
    remaining: usize,
    topic_len: usize,
    room: usize,
    out: &mut BytesMut,
) -> Result<(), TooLarge> {
    if remaining > MAX_VAR_INT as usize {
        return Err(TooLarge(remaining));
    }
    let Ok(topic_len) = u16::try_from(topic_len) else { return Err(TooLarge(topic_len)) };
    out.reserve(1 + 4 + room);
    out.put_u8(first);
    var_int(out, remaining as u32);
    out.put_u16(topic_len);
    Ok(())
}

// Apart, as `put_long_header`: with too many uses of `out` in one function the compiler reads its length from memory
// again after each copy.
#[inline(never)]
fn put_properties(
    len: usize,
    topic_alias: Option<u16>,
    message_expiry: Option<u32>,
    subscription_ids: &[u32],
    properties: &Properties,
    out: &mut BytesMut,
) {
    var_int(out, len as u32);
    if let Some(alias) = topic_alias {
        out.put_u8(id::TOPIC_ALIAS);
        out.put_u16(alias);
    }
    if let Some(expiry) = message_expiry {
        out.put_u8(id::MESSAGE_EXPIRY);
        out.put_u32(expiry);
    }
    for &subscription_id in subscription_ids {
        out.put_u8(id::SUBSCRIPTION_ID);
        var_int(out, subscription_id);
    }
    out.extend_from_slice(properties.as_bytes());
}
