//! PUBLISH.

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;

use super::{Decoder, FixedHeader};
use crate::property::id::{self, Ids};
use crate::property::wire;
use crate::read::{self, Parsed};
use crate::{DecodeError, Packet, PacketId, PacketType, Properties, Publish, Qos, Role, TextError, Topic, Version};

/// What stands before the payload, still as bytes.
struct Head<'a> {
    topic: &'a [u8],
    packet_id: Option<PacketId>,
    properties: &'a [u8],
}

/// Takes a PUBLISH that is all there off `input`.
///
/// This is where a broker's reading time goes, so it is written for that: all is checked in place, and only what is
/// right is split off.
pub(super) fn publish(
    header: FixedHeader,
    input: &mut BytesMut,
    version: Version,
    decoder: &Decoder,
) -> Result<Option<Packet>, DecodeError> {
    // [MQTT-3.3.1-4]
    let qos = Qos::from_u8(header.first >> 1 & 0b11).ok_or(DecodeError::PublishQos)?;
    let dup = header.first & 0b1000 != 0;
    // [MQTT-3.3.1-2]
    if dup && qos == Qos::AtMostOnce {
        return Err(DecodeError::Dup);
    }
    let body = &input[header.len..header.packet_size()];
    let (payload, head) = read::unwrap(head(body, qos, version, decoder))?;
    if !head.topic.is_empty() {
        read::check_publish_topic(head.topic)?;
    }
    let (topic_len, packet_id, properties_len) = (head.topic.len(), head.packet_id, head.properties.len());
    let payload_len = payload.len();
    // The packet id and the length of the properties.
    let mut between = body.len() - 2 - topic_len - properties_len - payload_len;

    let mut topic = None;
    match topic_len {
        0 => input.advance(header.len + 2),
        len => match ByteString::try_from(take(input, header.len + 2, len)) {
            Ok(text) => topic = Some(Topic::trusted(text)),
            Err(_) => return Err(DecodeError::Text(TextError::Utf8)),
        },
    }
    let mut properties = Properties::EMPTY;
    if properties_len > 0 {
        properties = Properties(take(input, between, properties_len));
        between = 0;
    }
    let payload = take(input, between, payload_len);
    let retain = header.first & 0b0001 != 0;
    Ok(Some(Packet::Publish(Publish { dup, qos, retain, topic, packet_id, properties, payload })))
}

/// Takes `skip` and `len` bytes off `input` and returns the latter.
// Each part straight from `input`: slices of one `Bytes` keep that in memory, and moving it from there right after it
// was written stalls the processor.
#[inline(always)]
fn take(input: &mut BytesMut, skip: usize, len: usize) -> Bytes {
    let mut part = input.split_to(skip + len).freeze();
    part.advance(skip);
    part
}

fn head<'a>(input: &'a [u8], qos: Qos, version: Version, decoder: &Decoder) -> Parsed<'a, Head<'a>> {
    let (input, topic) = read::binary(input)?;
    let (input, packet_id) = match qos {
        Qos::AtMostOnce => (input, None),
        _ => read::packet_id(PacketType::Publish)(input).map(|(rest, id)| (rest, Some(id)))?,
    };
    let (input, properties) = match input {
        _ if version < Version::V5 => (input, &[][..]),
        [0, rest @ ..] => (rest, &[][..]),
        _ => read::section(input)?,
    };
    let mut alias = false;
    if !properties.is_empty() {
        let ids = wire::check(properties, Ids::PUBLISH, decoder.max_properties)?;
        if decoder.role == Role::Server && ids.has(id::SUBSCRIPTION_ID) {
            // [MQTT-3.3.4-6]
            return Err(DecodeError::SubscriptionIdFromClient.into());
        }
        alias = ids.has(id::TOPIC_ALIAS);
    }
    if topic.is_empty() && !alias {
        return Err(DecodeError::NoTopic.into());
    }
    Ok((input, Head { topic, packet_id, properties }))
}
