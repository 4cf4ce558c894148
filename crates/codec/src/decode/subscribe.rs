//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use nom::number::complete::be_u8;

use super::Body;
use crate::property::id::Ids;
use crate::read::{self, Parsed, binary};
use crate::{
    DecodeError, Filter, PacketType, Qos, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    SubscribeOptions, UnsubAck, Unsubscribe, Version,
};

pub(super) fn subscribe<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, Subscribe> {
    let (input, packet_id) = read::packet_id(body.packet_type)(input)?;
    let (input, properties) = body.properties(Ids::SUBSCRIBE, input)?;
    let (input, filters) = body.many(input, subscribe_filter)?;
    Ok((input, Subscribe { packet_id, properties, filters }))
}

fn subscribe_filter<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, SubscribeFilter> {
    let (input, filter) = binary(input)?;
    let filter = body.frame.filter(filter)?;
    let (input, bits) = be_u8(input)?;
    let options = options(bits, body.version)?;
    // [MQTT-3.8.3-4]
    if options.no_local && filter.group().is_some() {
        return Err(DecodeError::SharedNoLocal.into());
    }
    Ok((input, SubscribeFilter { filter, options }))
}

impl SubscribeOptions {
    /// Of the options byte of SUBSCRIBE in MQTT 5; `None` if it can't be one.
    pub fn from_byte(byte: u8) -> Option<Self> {
        options(byte, Version::V5).ok()
    }
}

fn options(bits: u8, version: Version) -> Result<SubscribeOptions, DecodeError> {
    let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
    // [MQTT-3.8.3-5]
    if bits & reserved != 0 {
        return Err(DecodeError::SubscribeReserved(bits));
    }
    Ok(SubscribeOptions {
        qos: Qos::from_u8(bits & 0b11).ok_or(DecodeError::SubscribeQos)?,
        no_local: bits & 0b0100 != 0,
        retain_as_published: bits & 0b1000 != 0,
        retain_handling: match bits >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::RetainHandling),
        },
    })
}

pub(super) fn unsubscribe<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, Unsubscribe> {
    let (input, packet_id) = read::packet_id(body.packet_type)(input)?;
    let (input, properties) = body.properties(Ids::UNSUBSCRIBE, input)?;
    let (input, filters) = body.many(input, filter)?;
    Ok((input, Unsubscribe { packet_id, filters, properties }))
}

fn filter<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, Filter> {
    let (input, filter) = binary(input)?;
    Ok((input, body.frame.filter(filter)?))
}

pub(super) fn sub_ack<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, SubAck> {
    let (input, packet_id) = read::packet_id(body.packet_type)(input)?;
    let (input, properties) = body.properties(Ids::ACK, input)?;
    let reasons = if body.version == Version::V5 {
        body.reasons(input)?
    } else {
        input.iter().map(|&code| granted(code)).collect::<Result<_, _>>()?
    };
    Ok((&[], SubAck { packet_id, reasons, properties }))
}

/// A return code of SUBACK before MQTT 5.
fn granted(code: u8) -> Result<ReasonCode, DecodeError> {
    match code {
        0x80 => Ok(ReasonCode::UnspecifiedError),
        _ => Qos::from_u8(code)
            .map(ReasonCode::granted)
            .ok_or(DecodeError::ReasonCode { packet: PacketType::SubAck, code }),
    }
}

pub(super) fn unsub_ack<'a>(body: Body<'a>, input: &'a [u8]) -> Parsed<'a, UnsubAck> {
    let (input, packet_id) = read::packet_id(body.packet_type)(input)?;
    let (input, properties) = body.properties(Ids::ACK, input)?;
    if body.version < Version::V5 {
        return Ok((input, UnsubAck { packet_id, reasons: Vec::new(), properties }));
    }
    Ok((&[], UnsubAck { packet_id, reasons: body.reasons(input)?, properties }))
}

impl<'a> Body<'a> {
    /// The rest of the packet, which must be one or more of what `item` reads.
    fn many<T>(self, mut input: &'a [u8], item: fn(Self, &'a [u8]) -> Parsed<'a, T>) -> Parsed<'a, Vec<T>> {
        if input.is_empty() {
            // [MQTT-3.8.3-2] [MQTT-3.10.3-2]
            return Err(DecodeError::NoFilter(self.packet_type).into());
        }
        let mut items = Vec::new();
        while !input.is_empty() {
            let (rest, one) = item(self, input)?;
            // Each takes more than the bytes it came in.
            if items.len() >= self.max_filters as usize {
                return Err(DecodeError::TooManyFilters { packet: self.packet_type, max: self.max_filters }.into());
            }
            items.push(one);
            input = rest;
        }
        Ok((input, items))
    }

    fn reasons(self, codes: &[u8]) -> Result<Vec<ReasonCode>, DecodeError> {
        codes.iter().map(|&code| self.reason(code)).collect()
    }
}
