//! Bytes to packets.

mod ack;
mod connect;
mod publish;
mod subscribe;

use bytes::{Buf, Bytes, BytesMut};

use crate::property::id::Ids;
use crate::property::properties;
use crate::read::{self, Frame};
use crate::{DecodeError, Packet, PacketType, Properties, Version};

/// Which end of the connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads what clients send; the first packet must be CONNECT and sets the version.
    Server,
    /// Reads what a server sends, in this version.
    Client(Version),
}

/// The first byte and the remaining length of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// Packet type and flags.
    pub first: u8,
    /// Bytes this header takes: 2 to 5.
    pub len: usize,
    /// Bytes that follow the header.
    pub remaining: usize,
}

impl FixedHeader {
    /// `None`: more bytes are needed.
    pub fn read(input: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        let length = read::peek_var_int(rest)?;
        Ok(length.map(|(remaining, len)| Self { first, len: 1 + len, remaining: remaining as usize }))
    }

    /// Bytes of the whole packet.
    pub const fn packet_size(&self) -> usize {
        self.len + self.remaining
    }
}

/// The version of a CONNECT that begins so, be the rest of it right or not; `None`: it is no CONNECT, or does not say yet.
///
/// For who is to be told why a CONNECT is refused that can't be decoded.
pub fn version_said(input: &[u8]) -> Option<Version> {
    let header = FixedHeader::read(input).ok().flatten()?;
    let is_connect = header.first >> 4 == PacketType::Connect as u8;
    is_connect.then(|| connect::version_said(&input[header.len..])).flatten()
}

/// Takes packets off a buffer.
#[derive(Clone, Debug)]
pub struct Decoder {
    role: Role,
    version: Option<Version>,
    max_packet_size: u32,
    max_filters: u32,
    max_properties: u32,
}

impl Decoder {
    /// `max_packet_size` is in bytes and counts the fixed header.
    pub const fn new(role: Role, max_packet_size: u32) -> Self {
        let version = match role {
            Role::Server => None,
            Role::Client(version) => Some(version),
        };
        Self { role, version, max_packet_size, max_filters: u32::MAX, max_properties: u32::MAX }
    }

    /// A SUBSCRIBE or UNSUBSCRIBE has at most so many filters. Without that as many as fit a packet: four bytes each.
    #[must_use]
    pub const fn with_max_filters(self, max_filters: u32) -> Self {
        Self { max_filters, ..self }
    }

    /// A packet, and the will in it, has at most so many properties. Without that as many as fit a packet: five bytes each.
    #[must_use]
    pub const fn with_max_properties(self, max_properties: u32) -> Self {
        Self { max_properties, ..self }
    }

    /// The version of the connection, once known.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes one packet off the front of `input`; `None` leaves `input` as it is: more bytes are needed.
    ///
    /// Payloads and strings are slices of `input`'s memory. A packet that is refused by its first byte or by its
    /// size is refused before the rest of it has come.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(&first) = input.first() else { return Ok(None) };
        // Most packets are PUBLISH, which any end may send with any flags.
        let publish = self.version.filter(|_| first >> 4 == PacketType::Publish as u8);
        let packet_type = match publish {
            Some(_) => PacketType::Publish,
            None => PacketType::admit(first, self.role, self.version)?,
        };
        let Some(header) = FixedHeader::read(input)? else { return Ok(None) };
        let size = header.packet_size();
        if size > self.max_packet_size as usize {
            return Err(DecodeError::TooLarge { size: size as u32, max: self.max_packet_size });
        }
        if input.len() < size {
            return Ok(None);
        }
        if let Some(version) = publish {
            return publish::publish(header, input, version, self);
        }
        if let Some(packet) = ack::bare(packet_type, &input[header.len..size]) {
            input.advance(size);
            return Ok(Some(packet));
        }
        let mut frame = input.split_to(size).freeze();
        frame.advance(header.len);
        self.packet(packet_type, first & 0x0F, frame).map(Some)
    }

    fn packet(&mut self, packet_type: PacketType, flags: u8, frame: Bytes) -> Result<Packet, DecodeError> {
        let Some(version) = self.version.filter(|_| packet_type != PacketType::Connect) else {
            let connect = read::finish(connect::connect(Frame(&frame), flags, self.max_properties))?;
            self.version.get_or_insert(connect.version);
            return Ok(Packet::Connect(Box::new(connect)));
        };
        let Self { role, max_filters, max_properties, .. } = *self;
        let body = Body { packet_type, version, role, max_filters, max_properties, frame: Frame(&frame) };
        Ok(match packet_type {
            PacketType::ConnAck => Packet::ConnAck(body.parse(ack::conn_ack)?),
            PacketType::PubAck => Packet::PubAck(body.parse(ack::ack)?),
            PacketType::PubRec => Packet::PubRec(body.parse(ack::ack)?),
            PacketType::PubRel => Packet::PubRel(body.parse(ack::ack)?),
            PacketType::PubComp => Packet::PubComp(body.parse(ack::ack)?),
            PacketType::Subscribe => Packet::Subscribe(body.parse(subscribe::subscribe)?),
            PacketType::SubAck => Packet::SubAck(body.parse(subscribe::sub_ack)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(body.parse(subscribe::unsubscribe)?),
            PacketType::UnsubAck => Packet::UnsubAck(body.parse(subscribe::unsub_ack)?),
            PacketType::Disconnect => Packet::Disconnect(body.parse(ack::disconnect)?),
            PacketType::Auth => Packet::Auth(body.parse(ack::auth)?),
            PacketType::PingReq => body.parse(|_, input| Ok((input, Packet::PingReq)))?,
            PacketType::PingResp => body.parse(|_, input| Ok((input, Packet::PingResp)))?,
            PacketType::Connect | PacketType::Publish => unreachable!("decoded above"),
        })
    }
}

/// What follows the fixed header, and all that its parser needs to know.
#[derive(Clone, Copy)]
struct Body<'a> {
    packet_type: PacketType,
    version: Version,
    role: Role,
    max_filters: u32,
    max_properties: u32,
    frame: Frame<'a>,
}

impl<'a> Body<'a> {
    fn parse<T>(self, parser: impl FnOnce(Self, &'a [u8]) -> read::Parsed<'a, T>) -> Result<T, DecodeError> {
        read::finish(parser(self, self.frame.0))
    }

    fn properties(self, allowed: Ids, input: &'a [u8]) -> read::Parsed<'a, Properties> {
        properties(self.frame, self.version, allowed, self.max_properties)(input)
    }
}

#[cfg(test)]
mod tests;
