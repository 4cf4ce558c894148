//! Properties as bytes: one at a time, and the check of a whole section.

use bytes::BufMut;

use super::id::{self, Ids, Kind};
use super::{Properties, Property};
use crate::encode::{MAX_VAR_INT, var_int};
use crate::read::{self, Frame, Parsed};
use crate::{DecodeError, Version};

/// A property whose strings are still bytes.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) id: u8,
    pub(super) value: RawValue<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum RawValue<'a> {
    Byte(u8),
    U16(u16),
    U32(u32),
    Bytes(&'a [u8]),
    Pair(&'a [u8], &'a [u8]),
}

/// One property.
pub(super) fn raw(input: &[u8]) -> Parsed<'_, Raw<'_>> {
    use nom::number::complete::{be_u8, be_u16, be_u32};

    let (input, id) = be_u8(input)?;
    // Identifiers are variable byte integers, but none needs a second byte.
    let kind = Kind::of(id).ok_or(DecodeError::UnknownProperty(id))?;
    let (input, value) = match kind {
        Kind::Bool => be_u8(input).map(|(rest, value)| (rest, RawValue::Byte(value)))?,
        Kind::U16 => be_u16(input).map(|(rest, value)| (rest, RawValue::U16(value)))?,
        Kind::U32 => be_u32(input).map(|(rest, value)| (rest, RawValue::U32(value)))?,
        Kind::VarInt => read::var_int(input).map(|(rest, value)| (rest, RawValue::U32(value)))?,
        Kind::Text | Kind::Data => read::binary(input).map(|(rest, value)| (rest, RawValue::Bytes(value)))?,
        Kind::Pair => {
            let (input, key) = read::binary(input)?;
            let (input, value) = read::binary(input)?;
            (input, RawValue::Pair(key, value))
        }
    };
    Ok((input, Raw { id, value }))
}

/// The properties of a packet; none and no bytes before MQTT 5.
pub(crate) fn properties<'a>(
    frame: Frame<'a>,
    version: Version,
    allowed: Ids,
    max: u32,
) -> impl Fn(&'a [u8]) -> Parsed<'a, Properties> {
    move |input| match input {
        _ if version < Version::V5 => Ok((input, Properties::EMPTY)),
        [0, rest @ ..] => Ok((rest, Properties::EMPTY)),
        _ => {
            let (rest, section) = read::section(input)?;
            check(section, allowed, max)?;
            Ok((rest, Properties(frame.share(section))))
        }
    }
}

/// Checks a whole section of at most `max` properties and tells what is in it: afterwards all of it can be read without a
/// mistake.
pub(crate) fn check(mut section: &[u8], allowed: Ids, max: u32) -> Result<Ids, DecodeError> {
    let mut seen = Ids::NONE;
    let mut count = 0;
    while !section.is_empty() {
        let (rest, raw) = read::unwrap(raw(section))?;
        section = rest;
        // Each is read again whenever one is looked for.
        count += 1;
        if count > max {
            return Err(DecodeError::TooManyProperties(max));
        }
        if !allowed.has(raw.id) {
            return Err(DecodeError::MisplacedProperty(raw.id));
        }
        if seen.has(raw.id) && !may_repeat(raw.id, allowed) {
            return Err(DecodeError::RepeatedProperty(raw.id));
        }
        seen = seen.with(raw.id);
        check_value(raw)?;
    }
    if seen.has(id::AUTHENTICATION_DATA) && !seen.has(id::AUTHENTICATION_METHOD) {
        return Err(DecodeError::AuthenticationDataAlone);
    }
    Ok(seen)
}

fn may_repeat(id: u8, allowed: Ids) -> bool {
    // Only PUBLISH has both; a PUBLISH has one subscription identifier for each subscription it goes to.
    id == id::USER_PROPERTY || id == id::SUBSCRIPTION_ID && allowed.has(id::TOPIC_ALIAS)
}

fn check_value(raw: Raw<'_>) -> Result<(), DecodeError> {
    match (raw.id, raw.value) {
        (id, RawValue::Byte(2..)) => Err(DecodeError::PropertyValue(id)),
        (id::TOPIC_ALIAS, RawValue::U16(0)) => Err(DecodeError::TopicAliasZero),
        (id @ id::RECEIVE_MAXIMUM, RawValue::U16(0))
        | (id @ (id::MAXIMUM_PACKET_SIZE | id::SUBSCRIPTION_ID), RawValue::U32(0)) => {
            Err(DecodeError::PropertyValue(id))
        }
        (id::RESPONSE_TOPIC, RawValue::Bytes(text)) => read::check_topic(text),
        (id::CORRELATION_DATA | id::AUTHENTICATION_DATA, _) => Ok(()),
        (_, RawValue::Bytes(text)) => read::check_text(text).map_err(DecodeError::Text),
        (_, RawValue::Pair(key, value)) => {
            read::check_text(key).and_then(|()| read::check_text(value)).map_err(DecodeError::Text)
        }
        _ => Ok(()),
    }
}

/// Appends `property` with its identifier. Strings and data are cut to the 65,535 bytes that fit, subscription
/// identifiers to the 268,435,455 that can be written.
pub(super) fn write(property: &Property, out: &mut impl BufMut) {
    out.put_u8(property.id());
    match property {
        Property::PayloadFormat(value)
        | Property::RequestProblemInformation(value)
        | Property::RequestResponseInformation(value)
        | Property::MaximumQos(value)
        | Property::RetainAvailable(value)
        | Property::WildcardSubscriptionAvailable(value)
        | Property::SubscriptionIdsAvailable(value)
        | Property::SharedSubscriptionAvailable(value) => out.put_u8(u8::from(*value)),
        Property::ServerKeepAlive(value)
        | Property::ReceiveMaximum(value)
        | Property::TopicAliasMaximum(value)
        | Property::TopicAlias(value) => out.put_u16(*value),
        Property::MessageExpiry(value)
        | Property::SessionExpiry(value)
        | Property::WillDelay(value)
        | Property::MaximumPacketSize(value) => out.put_u32(*value),
        Property::SubscriptionId(value) => var_int(out, (*value).min(MAX_VAR_INT)),
        Property::ContentType(text)
        | Property::ResponseTopic(text)
        | Property::AssignedClientId(text)
        | Property::AuthenticationMethod(text)
        | Property::ResponseInformation(text)
        | Property::ServerReference(text)
        | Property::ReasonString(text) => write_text(text, out),
        Property::CorrelationData(data) | Property::AuthenticationData(data) => {
            write_binary(&data[..data.len().min(usize::from(u16::MAX))], out);
        }
        Property::UserProperty(key, value) => {
            write_text(key, out);
            write_text(value, out);
        }
    }
}

fn write_text(text: &str, out: &mut impl BufMut) {
    write_binary(&text.as_bytes()[..text.floor_char_boundary(usize::from(u16::MAX))], out);
}

fn write_binary(data: &[u8], out: &mut impl BufMut) {
    out.put_u16(data.len() as u16);
    out.put_slice(data);
}
