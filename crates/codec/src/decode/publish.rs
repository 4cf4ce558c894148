//! PUBLISH.

use bytes::{Buf, Bytes};

use crate::property::id::{self, Ids};
use crate::property::properties;
use crate::read::{self, Failure, Frame, Parsed};
use crate::{DecodeError, PacketId, PacketType, Properties, Publish, Qos, Role, Topic, Version};

/// What stands before the payload.
struct Head {
    topic: Option<Topic>,
    packet_id: Option<PacketId>,
    properties: Properties,
}

pub(super) fn publish(flags: u8, mut frame: Bytes, version: Version, role: Role) -> Result<Publish, DecodeError> {
    // [MQTT-3.3.1-4]
    let qos = Qos::from_u8(flags >> 1 & 0b11).ok_or(DecodeError::PublishQos)?;
    let dup = flags & 0b1000 != 0;
    let retain = flags & 0b0001 != 0;
    // [MQTT-3.3.1-2]
    if dup && qos == Qos::AtMostOnce {
        return Err(DecodeError::Dup);
    }
    let (payload, head) = match head(Frame(&frame), qos, version, role) {
        Ok((rest, head)) => (rest.len(), head),
        Err(nom::Err::Error(Failure(error)) | nom::Err::Failure(Failure(error))) => return Err(error),
        Err(nom::Err::Incomplete(_)) => return Err(DecodeError::Truncated),
    };
    frame.advance(frame.len() - payload);
    let Head { topic, packet_id, properties } = head;
    Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: frame })
}

fn head(frame: Frame<'_>, qos: Qos, version: Version, role: Role) -> Parsed<'_, Head> {
    let (input, topic) = read::binary(frame.0)?;
    let (input, packet_id) = match qos {
        Qos::AtMostOnce => (input, None),
        _ => read::packet_id(PacketType::Publish)(input).map(|(rest, id)| (rest, Some(id)))?,
    };
    let (input, properties) = properties(frame, version, Ids::PUBLISH)(input)?;
    if !properties.is_empty() && role == Role::Server && properties.has(id::SUBSCRIPTION_ID) {
        // [MQTT-3.3.4-6]
        return Err(DecodeError::SubscriptionIdFromClient.into());
    }
    let topic = match topic {
        [] if properties.has(id::TOPIC_ALIAS) => None,
        // Section 3.3.2.1 makes it a protocol error in MQTT 5; before, an empty topic is simply not a topic.
        [] if version == Version::V5 => return Err(DecodeError::NoTopic.into()),
        _ => Some(frame.topic(topic)?),
    };
    Ok((input, Head { topic, packet_id, properties }))
}
