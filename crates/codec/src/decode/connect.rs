//! CONNECT.

use nom::Parser as _;
use nom::combinator::cond;
use nom::number::complete::{be_u8, be_u16};

use crate::property::id::Ids;
use crate::property::{Property, properties};
use crate::read::{Frame, Parsed, binary};
use crate::{Connect, DecodeError, Message, PacketType, Qos, Version, Will};

pub(super) fn connect(frame: Frame<'_>, header_flags: u8, max_properties: u32) -> Parsed<'_, Connect> {
    let (input, (version, is_bridge)) = version(frame.0)?;
    PacketType::Connect.check_flags(header_flags, version)?;
    let (input, flags) = be_u8(input)?;
    let flags = Flags(flags);
    flags.check(version)?;
    let (input, keep_alive) = be_u16(input)?;
    let (input, properties) = properties(frame, version, Ids::CONNECT, max_properties)(input)?;
    let (input, client_id) = binary(input)?;
    let client_id = frame.name(client_id).map_err(DecodeError::ClientId)?;
    let (input, will) =
        cond(flags.has(Flags::WILL), |input| will(input, frame, version, flags, max_properties)).parse(input)?;
    // For the sake of MQTT 3, in MQTT 3.1 the length of the packet takes precedence over these two flags.
    let is_there = |input: &[u8], flag| flags.has(flag) && (version > Version::V3_1 || !input.is_empty());
    let (input, username) = cond(is_there(input, Flags::USERNAME), binary).parse(input)?;
    let username = username.map(|name| frame.name(name)).transpose().map_err(DecodeError::Text)?;
    let (input, password) = cond(is_there(input, Flags::PASSWORD), binary).parse(input)?;
    let password = password.map(|password| frame.share(password));
    let clean_start = flags.has(Flags::CLEAN_START);
    Ok((
        input,
        Connect { version, client_id, is_bridge, clean_start, keep_alive, username, password, will, properties },
    ))
}

/// The version that a CONNECT says of which this is the beginning, the fixed header left out.
pub(super) fn version_said(input: &[u8]) -> Option<Version> {
    version(input).ok().map(|(_, (version, _))| version)
}

/// The version, and whether it is a bridge that speaks it.
fn version(input: &[u8]) -> Parsed<'_, (Version, bool)> {
    let (input, name) = binary(input)?;
    if name != b"MQTT" && name != b"MQIsdp" {
        // [MQTT-3.1.2-1]
        return Err(DecodeError::ProtocolName.into());
    }
    let (input, level) = be_u8(input)?;
    let version = match (name, level & !Version::BRIDGE) {
        (b"MQIsdp", 3) => Version::V3_1,
        (b"MQTT", 4) => Version::V3_1_1,
        (b"MQTT", 5) => Version::V5,
        // [MQTT-3.1.2-2]
        _ => return Err(DecodeError::UnsupportedVersion(level).into()),
    };
    Ok((input, (version, level & Version::BRIDGE > 0)))
}

/// The flags byte of CONNECT.
#[derive(Clone, Copy)]
struct Flags(u8);

impl Flags {
    const RESERVED: u8 = 0x01;
    const CLEAN_START: u8 = 0x02;
    const WILL: u8 = 0x04;
    const WILL_QOS: u8 = 0x18;
    const WILL_RETAIN: u8 = 0x20;
    const PASSWORD: u8 = 0x40;
    const USERNAME: u8 = 0x80;

    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn check(self, version: Version) -> Result<(), DecodeError> {
        // [MQTT-3.1.2-3]; MQTT 3.1 leaves the bit without meaning.
        if self.has(Self::RESERVED) && version > Version::V3_1 {
            return Err(DecodeError::ConnectReserved);
        }
        // [MQTT-3.1.2-11] [MQTT-3.1.2-13]; MQTT 3.1 disregards them then.
        if !self.has(Self::WILL) && self.has(Self::WILL_QOS | Self::WILL_RETAIN) && version > Version::V3_1 {
            return Err(DecodeError::WillFlags);
        }
        // 3.1.1 [MQTT-3.1.2-22]; MQTT 5 lets a password stand alone.
        if self.has(Self::PASSWORD) && !self.has(Self::USERNAME) && version < Version::V5 {
            return Err(DecodeError::PasswordAlone);
        }
        Ok(())
    }
}

fn will<'a>(
    input: &'a [u8],
    frame: Frame<'a>,
    version: Version,
    flags: Flags,
    max_properties: u32,
) -> Parsed<'a, Will> {
    // [MQTT-3.1.2-12]
    let qos = Qos::from_u8((flags.0 & Flags::WILL_QOS) >> 3).ok_or(DecodeError::WillQos)?;
    let (input, mut properties) = properties(frame, version, Ids::WILL, max_properties)(input)?;
    let delay = properties.will_delay();
    if delay.is_some() {
        properties = properties.retain(|property| !matches!(property, Property::WillDelay(_)));
    }
    let (input, topic) = binary(input)?;
    let topic = frame.topic(topic)?;
    let (input, payload) = binary(input)?;
    let payload = frame.share(payload);
    let message = Message { topic, payload, qos, retain: flags.has(Flags::WILL_RETAIN), properties };
    Ok((input, Will { message, delay: delay.unwrap_or(0) }))
}
