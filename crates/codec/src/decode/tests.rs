//! Offences, one line each: what is sent, what it is called, what code it costs.

use bytes::{Bytes, BytesMut};

use super::*;
use crate::topic::TopicError;
use crate::{Properties, Property, ReasonCode, TextError};

const MAX: u32 = 1 << 20;

fn decoder(role: Role, version: Option<Version>) -> Decoder {
    Decoder { version, ..Decoder::new(role, MAX) }
}

fn server(version: Version) -> Decoder {
    decoder(Role::Server, Some(version))
}

/// A packet with this first byte; the remaining length is added.
fn packet(first: u8, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::from(&[first][..]);
    crate::encode::var_int(&mut bytes, body.len() as u32);
    bytes.extend_from_slice(body);
    bytes
}

#[track_caller]
fn check(mut decoder: Decoder, first: u8, body: &[u8], error: DecodeError, code: u8) {
    assert_eq!(decoder.decode(&mut packet(first, body)), Err(error));
    assert_eq!(error.reason_code().as_u8(), code, "{error:?}");
}

/// What a server answers to a client of MQTT 5.
#[track_caller]
fn refused(first: u8, body: &[u8], error: DecodeError, code: u8) {
    check(server(Version::V5), first, body, error, code);
}

/// What a server answers to a client of MQTT 3.1.1.
#[track_caller]
fn refused_311(first: u8, body: &[u8], error: DecodeError, code: u8) {
    check(server(Version::V3_1_1), first, body, error, code);
}

/// What a client of MQTT 5 makes of a server's packet.
#[track_caller]
fn refused_by_client(first: u8, body: &[u8], error: DecodeError, code: u8) {
    check(Decoder::new(Role::Client(Version::V5), MAX), first, body, error, code);
}

/// What a new connection that starts like this gets.
#[track_caller]
fn refused_connect(body: &[u8], error: DecodeError, code: u8) {
    check(decoder(Role::Server, None), 0x10, body, error, code);
}

#[track_caller]
fn accepted(mut decoder: Decoder, first: u8, body: &[u8]) -> Packet {
    let mut bytes = packet(first, body);
    let packet = decoder.decode(&mut bytes).unwrap().unwrap();
    assert!(bytes.is_empty());
    packet
}

fn flags(packet: PacketType, flags: u8) -> DecodeError {
    DecodeError::Flags { packet, flags }
}

#[test]
fn reserved_types_are_refused_before_their_length_is_known() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let mut input = BytesMut::from(&[0x0A, 0xC0][..]);
        assert_eq!(server(version).decode(&mut input), Err(DecodeError::ReservedType(0)));
    }
    refused(0x00, &[], DecodeError::ReservedType(0), 0x82);
    refused_311(0xF0, &[], DecodeError::ReservedType(15), 0x82);
}

#[test]
fn flags_are_those_of_the_packet_type() {
    use PacketType::*;
    for (packet, right) in [
        (PubAck, 0),
        (PubRec, 0),
        (PubRel, 2),
        (PubComp, 0),
        (Subscribe, 2),
        (Unsubscribe, 2),
        (PingReq, 0),
        (Disconnect, 0),
        (Auth, 0),
    ] {
        for wrong in (0..16).filter(|&wrong| wrong != right) {
            refused((packet as u8) << 4 | wrong, &[0, 1], flags(packet, wrong), 0x81);
        }
    }
    for (packet, right) in [(ConnAck, 0), (SubAck, 0), (UnsubAck, 0), (PingResp, 0)] {
        for wrong in (0..16).filter(|&wrong| wrong != right) {
            refused_by_client((packet as u8) << 4 | wrong, &[0, 1], flags(packet, wrong), 0x81);
        }
    }
    for wrong in 1..16 {
        let connect = b"\0\x04MQTT\x04\x02\0\x0A\0\x01p";
        check(decoder(Role::Server, None), 0x10 | wrong, connect, flags(Connect, wrong), 0x81);
    }
}

#[test]
fn version_3_1_gives_unused_flags_no_meaning() {
    accepted(decoder(Role::Server, None), 0x14, b"\0\x06MQIsdp\x03\x03\0\x0A\0\x01p");
    accepted(server(Version::V3_1), 0x8A, b"\0\x01\0\x01a\0");
    check(server(Version::V3_1), 0x80, b"\0\x01\0\x01a\0", flags(PacketType::Subscribe, 0), 0x81);
}

#[test]
fn only_servers_send_some_packets_and_only_clients_others() {
    use PacketType::*;
    for packet in [ConnAck, SubAck, UnsubAck, PingResp] {
        refused((packet as u8) << 4, &[0, 1, 0], DecodeError::WrongWay(packet), 0x82);
    }
    for (packet, flags) in [(Connect, 0), (Subscribe, 2), (Unsubscribe, 2), (PingReq, 0)] {
        refused_by_client((packet as u8) << 4 | flags, &[0, 1, 0], DecodeError::WrongWay(packet), 0x82);
    }
    let client = Decoder::new(Role::Client(Version::V3_1_1), MAX);
    check(client, 0xE0, &[], DecodeError::WrongWay(Disconnect), 0x82);
}

#[test]
fn the_first_packet_is_connect() {
    for packet in 2..=15 {
        let error = DecodeError::NotConnected(PacketType::from_u8(packet).unwrap());
        check(decoder(Role::Server, None), packet << 4, &[], error, 0x82);
    }
}

#[test]
fn a_second_connect_is_a_packet_and_changes_no_version() {
    let mut decoder = server(Version::V3_1_1);
    let mut again = packet(0x10, b"\0\x04MQTT\x05\x02\0\x0A\0\0\x01p");
    assert!(matches!(decoder.decode(&mut again), Ok(Some(Packet::Connect(_)))));
    assert_eq!(decoder.version(), Some(Version::V3_1_1));
}

#[test]
fn the_size_limit_counts_the_fixed_header_and_comes_before_the_body() {
    let mut decoder = Decoder { max_packet_size: 20, ..server(Version::V3_1_1) };
    let mut fits = packet(0x30, b"\0\x01a123456789012345");
    assert_eq!(fits.len(), 20);
    assert!(decoder.decode(&mut fits).unwrap().is_some());
    let mut head_of_21 = BytesMut::from(&[0x30, 19][..]);
    let error = DecodeError::TooLarge { size: 21, max: 20 };
    assert_eq!(decoder.decode(&mut head_of_21), Err(error));
    assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
}

#[test]
fn variable_byte_integers_are_short_and_no_longer_than_needed() {
    for (bytes, error) in [
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF][..], DecodeError::VarIntTooLong),
        (&[0x30, 0x80, 0x80, 0x80, 0x80, 0x01], DecodeError::VarIntTooLong),
        (&[0x30, 0x80, 0x00], DecodeError::VarIntPadded),
        (&[0x30, 0x83, 0x80, 0x00], DecodeError::VarIntPadded),
        (&[0x30, 0x83, 0x80, 0x80, 0x00], DecodeError::VarIntPadded),
    ] {
        assert_eq!(server(Version::V5).decode(&mut BytesMut::from(bytes)), Err(error), "{bytes:x?}");
        assert_eq!(error.reason_code(), ReasonCode::MalformedPacket);
    }
    for short in [&[0x30][..], &[0x30, 0x80], &[0x30, 0xFF, 0xFF, 0xFF]] {
        assert_eq!(FixedHeader::read(short), Ok(None));
    }
    let largest = FixedHeader { first: 0x30, len: 5, remaining: 268_435_455 };
    assert_eq!(FixedHeader::read(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]), Ok(Some(largest)));
    refused(0x30, b"\0\x01a\x80\0", DecodeError::VarIntPadded, 0x81);
    refused(0x82, b"\0\x01\x03\x0B\x81\0\0\x01a\0", DecodeError::VarIntPadded, 0x81);
}

#[test]
fn connect_names_a_known_protocol() {
    for name in [&b"\0\x03MQT"[..], b"\0\x05MQTTT", b"\0\x04MQTU", b"\0\0", b"\0\x04mqtt"] {
        refused_connect(&[name, b"\x04\x02\0\x0A\0\x01p"].concat(), DecodeError::ProtocolName, 0x81);
    }
    for (name, level) in [(&b"\0\x04MQTT"[..], 3), (b"\0\x04MQTT", 6), (b"\0\x04MQTT", 0x83), (b"\0\x06MQIsdp", 4)] {
        // Whatever follows: another version may lay it out differently.
        refused_connect(&[name, &[level]].concat(), DecodeError::UnsupportedVersion(level), 0x84);
    }
}

#[test]
fn a_bridge_is_known_by_the_highest_bit_of_its_level() {
    for (bytes, version) in [
        (&b"\0\x06MQIsdp\x83\x02\0\x0A\0\x01p"[..], Version::V3_1),
        (b"\0\x04MQTT\x84\x02\0\x0A\0\x01p", Version::V3_1_1),
        (b"\0\x04MQTT\x85\x02\0\x0A\0\0\x01p", Version::V5),
    ] {
        let decoded = decoder(Role::Server, None).decode(&mut packet(0x10, bytes));
        let Ok(Some(Packet::Connect(connect))) = decoded else { panic!("{bytes:02x?}: {decoded:?}") };
        assert_eq!((connect.version, connect.is_bridge), (version, true));
    }
}

#[test]
fn connect_flags_agree_with_each_other() {
    let connect = |level, flags| [&b"\0\x04MQTT"[..], &[level, flags], b"\0\x0A"].concat();
    refused_connect(&connect(4, 0x03), DecodeError::ConnectReserved, 0x81);
    refused_connect(&connect(5, 0x01), DecodeError::ConnectReserved, 0x81);
    refused_connect(&connect(4, 0x0A), DecodeError::WillFlags, 0x81);
    refused_connect(&connect(4, 0x22), DecodeError::WillFlags, 0x81);
    refused_connect(&connect(4, 0x42), DecodeError::PasswordAlone, 0x81);
    refused_connect(b"\0\x04MQTT\x04\x1E\0\x0A\0\x01p\0\x01t\0\x01m", DecodeError::WillQos, 0x81);
    accepted(decoder(Role::Server, None), 0x10, b"\0\x04MQTT\x05\x42\0\x0A\0\0\x01p\0\x01x");
}

#[test]
fn connect_of_3_1_may_lack_what_its_flags_tell() {
    let connect = |flags, rest: &[u8]| [&b"\0\x06MQIsdp\x03"[..], &[flags], b"\0\x0A\0\x01p", rest].concat();
    for (flags, rest, username, password) in [
        (0x82, &b""[..], None, None),
        (0xC2, b"", None, None),
        (0xC2, b"\0\x01u", Some("u"), None),
        (0xC2, b"\0\x01u\0\x01s", Some("u"), Some("s")),
        // Of a will that there is not.
        (0x3A, b"", None, None),
    ] {
        let decoded = decoder(Role::Server, None).decode(&mut packet(0x10, &connect(flags, rest)));
        let Ok(Some(Packet::Connect(connect))) = decoded else { panic!("{flags:02x} {rest:02x?}: {decoded:?}") };
        assert_eq!((connect.username.as_deref(), connect.password.as_deref()), (username, password.map(str::as_bytes)));
        assert_eq!(connect.will, None);
    }
    refused_connect(&connect(0x42, b"\0\x01s"), DecodeError::PasswordAlone, 0x81);
    refused_connect(&connect(0x82, b"\0"), DecodeError::Truncated, 0x81);
    refused_connect(&connect(0x06, b""), DecodeError::Truncated, 0x81);
}

#[test]
fn connect_has_the_fields_its_flags_tell_and_no_more() {
    for (body, error) in [
        (&b"\0\x04MQTT\x04\x02\0\x0A"[..], DecodeError::Truncated),
        (b"\0\x04MQTT\x04\x06\0\x0A\0\x01p\0\x01t", DecodeError::Truncated),
        (b"\0\x04MQTT\x04\x82\0\x0A\0\x01p", DecodeError::Truncated),
        (b"\0\x04MQTT\x04\xC2\0\x0A\0\x01p\0\x01u", DecodeError::Truncated),
        (b"\0\x04MQTT\x05\x02\0\x0A", DecodeError::Truncated),
        (b"\0\x04MQTT\x04\x02\0\x0A\0\x01p\0\x01u", DecodeError::TrailingBytes(3)),
        (b"\0\x04MQTT\x04\x06\0\x0A\0\x01p\0\x01#\0\x01m", DecodeError::Topic(TopicError::Wildcard)),
        (b"\0\x04MQTT\x04\x06\0\x0A\0\x01p\0\0\0\x01m", DecodeError::Topic(TopicError::Empty)),
        (b"\0\x04MQTT\x04\x82\0\x0A\0\x01p\0\x01\xFF", DecodeError::Text(TextError::Utf8)),
    ] {
        refused_connect(body, error, 0x81);
    }
    for (id, why) in [
        (&b"to\xED\xA0\x80"[..], TextError::Utf8),
        (b"top\0\0", TextError::Null),
        (b"top\x01p", TextError::Control),
        (b"to\xC2\x9Fp", TextError::Control),
    ] {
        let body = [&b"\0\x04MQTT\x05\x02\0\x0A\0\0\x05"[..], id].concat();
        refused_connect(&body, DecodeError::ClientId(why), 0x85);
    }
}

#[test]
fn will_delay_is_taken_out_of_the_will_properties() {
    let properties = b"\x0E\x26\0\x01a\0\x01b\x18\0\0\0\x07\x01\x01";
    let body = [&b"\0\x04MQTT\x05\x06\0\x0A\0\0\x01p"[..], properties, b"\0\x01t\0\x01m"].concat();
    let Packet::Connect(connect) = accepted(decoder(Role::Server, None), 0x10, &body) else { panic!() };
    let will = connect.will.unwrap();
    assert_eq!(will.delay, 7);
    let rest = [Property::UserProperty("a".into(), "b".into()), Property::PayloadFormat(true)];
    assert_eq!(will.message.properties, Properties::from(rest));
}

#[test]
fn publish_flags_and_id() {
    refused(0x36, b"\0\x01a\0\x01\0", DecodeError::PublishQos, 0x81);
    refused_311(0x36, b"\0\x01a\0\x01", DecodeError::PublishQos, 0x81);
    refused(0x38, b"\0\x01a\0", DecodeError::Dup, 0x81);
    refused(0x32, b"\0\x01a\0\0\0", DecodeError::PacketIdZero(PacketType::Publish), 0x82);
    refused_311(0x34, b"\0\x01a\0\0", DecodeError::PacketIdZero(PacketType::Publish), 0x82);
    refused_311(0x32, b"\0\x01a\0", DecodeError::Truncated, 0x81);
    refused_311(0x30, b"\0\x05a", DecodeError::Truncated, 0x81);
    refused(0x30, b"\0\x01a", DecodeError::Truncated, 0x81);
    refused(0x30, b"", DecodeError::Truncated, 0x81);
}

#[test]
fn publish_goes_to_a_topic() {
    refused(0x30, b"\0\0\0payload", DecodeError::NoTopic, 0x82);
    refused_311(0x30, b"\0\0payload", DecodeError::NoTopic, 0x82);
    for (topic, error) in [
        (&b"+opic"[..], DecodeError::Topic(TopicError::Wildcard)),
        (b"topi#", DecodeError::Topic(TopicError::Wildcard)),
        (b"top\0\0", DecodeError::Topic(TopicError::Null)),
        (b"top\x1Fp", DecodeError::Topic(TopicError::Control)),
        (b"top\x7Fp", DecodeError::Topic(TopicError::Control)),
        (b"to\xC2\x80p", DecodeError::Topic(TopicError::Control)),
        (b"to\xED\xA0\x80", DecodeError::Text(TextError::Utf8)),
        (b"top\xC3(", DecodeError::Text(TextError::Utf8)),
        (b"to\xC0\x80p", DecodeError::Text(TextError::Utf8)),
    ] {
        refused_311(0x30, &[b"\0\x05", topic, b"payload"].concat(), error, 0x81);
        refused(0x30, &[b"\0\x05", topic, b"\0payload"].concat(), error, 0x81);
    }
    let alias = accepted(server(Version::V5), 0x30, b"\0\0\x03\x23\0\x07payload");
    let Packet::Publish(publish) = alias else { panic!() };
    assert_eq!((publish.topic, publish.properties.topic_alias()), (None, Some(7)));
    assert_eq!(&publish.payload[..], b"payload");
}

#[test]
fn acknowledgements_have_an_id_and_a_reason_of_theirs() {
    use PacketType::*;
    for (packet, flags) in [(PubAck, 0), (PubRec, 0), (PubRel, 2), (PubComp, 0)] {
        let first = (packet as u8) << 4 | flags;
        refused(first, b"", DecodeError::Truncated, 0x81);
        refused(first, b"\x01", DecodeError::Truncated, 0x81);
        refused(first, b"\0\0", DecodeError::PacketIdZero(packet), 0x82);
        refused(first, b"\0\x01\xFF", DecodeError::ReasonCode { packet, code: 0xFF }, 0x82);
        refused(first, b"\0\x01\x01\0", DecodeError::ReasonCode { packet, code: 1 }, 0x82);
        refused(first, b"\0\x01\0\0\0", DecodeError::TrailingBytes(1), 0x81);
        refused(first, b"\0\x01\0\x01", DecodeError::Truncated, 0x81);
        refused_311(first, b"\0\x01\0", DecodeError::TrailingBytes(1), 0x81);
        for short in [&b"\0\x01"[..], b"\0\x01\0", b"\0\x01\0\0"] {
            accepted(server(Version::V5), first, short);
        }
    }
}

#[test]
fn subscribe_asks_for_something_that_exists() {
    use PacketType::*;
    let ask = |filter: &[u8], options| [&b"\0\x01\0\0"[..], &[filter.len() as u8], filter, &[options]].concat();
    refused(0x82, b"\0\0\0\0\x01a\0", DecodeError::PacketIdZero(Subscribe), 0x81);
    refused(0x82, b"\0\x01\0", DecodeError::NoFilter(Subscribe), 0x82);
    refused_311(0x82, b"\0\x01", DecodeError::NoFilter(Subscribe), 0x82);
    refused(0x82, b"\0\x01\0\0\x01a", DecodeError::Truncated, 0x81);
    refused(0x82, b"\0\x01\0\0\x01a\0\0", DecodeError::Truncated, 0x81);
    for (filter, why, code) in [
        (&b""[..], TopicError::Empty, 0x81),
        (b"a#", TopicError::Wildcard, 0x81),
        (b"a/#/b", TopicError::Wildcard, 0x81),
        (b"a+/b", TopicError::Wildcard, 0x81),
        (b"a\0", TopicError::Null, 0x81),
        (b"a\x01", TopicError::Control, 0x81),
        (b"$share/g/a#", TopicError::Wildcard, 0x81),
    ] {
        refused(0x82, &ask(filter, 0), DecodeError::Filter(why), code);
    }
    // These are the server's to refuse, in SUBACK.
    for filter in [&b"$share/+/p"[..], b"$share/#/p", b"$share/g+/p", b"$share/g/", b"$share/g", b"$share//p"] {
        let text = std::str::from_utf8(filter).unwrap().to_owned();
        let Packet::Subscribe(subscribe) = accepted(server(Version::V5), 0x82, &ask(filter, 0)) else { panic!() };
        assert!(subscribe.filters[0].filter.is_bad_share(), "{text}");
        assert_eq!(crate::Filter::new(text), Err(TopicError::Share));
    }
    refused(0x82, &ask(b"a", 0x03), DecodeError::SubscribeQos, 0x82);
    refused(0x82, &ask(b"a", 0x30), DecodeError::RetainHandling, 0x82);
    refused(0x82, &ask(b"a", 0x40), DecodeError::SubscribeReserved(0x40), 0x81);
    refused(0x82, &ask(b"a", 0x80), DecodeError::SubscribeReserved(0x80), 0x81);
    refused(0x82, &ask(b"$share/g/a", 0x04), DecodeError::SharedNoLocal, 0x82);
    for reserved in [0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
        refused_311(
            0x82,
            &[b"\0\x01\0\x01a", &[reserved][..]].concat(),
            DecodeError::SubscribeReserved(reserved),
            0x81,
        );
    }
    refused_311(0x82, b"\0\x01\0\x01a\x03", DecodeError::SubscribeQos, 0x82);
}

#[test]
fn unsubscribe_names_a_filter() {
    use PacketType::*;
    refused(0xA2, b"\0\0\0\0\x01a", DecodeError::PacketIdZero(Unsubscribe), 0x81);
    refused(0xA2, b"\0\x01\0", DecodeError::NoFilter(Unsubscribe), 0x82);
    refused(0xA2, b"\0\x01\0\0\0", DecodeError::Filter(TopicError::Empty), 0x81);
    refused_311(0xA2, b"\0\x01\0\x01a\0", DecodeError::Truncated, 0x81);
}

#[test]
fn pings_and_a_disconnect_before_version_5_are_empty() {
    refused(0xC0, b"\0", DecodeError::TrailingBytes(1), 0x81);
    refused_by_client(0xD0, b"\0", DecodeError::TrailingBytes(1), 0x81);
    refused_311(0xE0, b"\0", DecodeError::TrailingBytes(1), 0x81);
}

#[test]
fn reasons_are_those_of_the_packet_and_the_sender() {
    use PacketType::*;
    for code in [0x01, 0x05, 0x87, 0x8D, 0x8E, 0x9D, 0xFF] {
        refused(0xE0, &[code], DecodeError::ReasonCode { packet: Disconnect, code }, 0x82);
    }
    refused_by_client(0xE0, &[0x04], DecodeError::ReasonCode { packet: Disconnect, code: 4 }, 0x82);
    refused(0xF0, &[0], DecodeError::ReasonCode { packet: Auth, code: 0 }, 0x82);
    refused_by_client(0xF0, &[0x19], DecodeError::ReasonCode { packet: Auth, code: 0x19 }, 0x82);
    refused_by_client(0x20, b"\0\x8B\0", DecodeError::ReasonCode { packet: ConnAck, code: 0x8B }, 0x82);
    refused_by_client(0x20, b"\x02\0\0", DecodeError::ConnAckFlags(2), 0x81);
    refused_by_client(0x20, b"\x01\x87\0", DecodeError::SessionPresent, 0x82);
    refused_by_client(0x90, b"\0\x01\0\x03", DecodeError::ReasonCode { packet: SubAck, code: 3 }, 0x82);
    refused_by_client(0xB0, b"\0\x01\0\x01", DecodeError::ReasonCode { packet: UnsubAck, code: 1 }, 0x82);
    for short in [&b""[..], b"\0", b"\0\0", b"\x04"] {
        accepted(server(Version::V5), 0xE0, short);
    }
    accepted(server(Version::V5), 0xF0, b"");
}

#[test]
fn properties_are_known_and_in_their_place() {
    for id in (0..=0xFF).filter(|&id| crate::property::id::Kind::of(id).is_none()) {
        refused(0x30, &[0, 1, b'a', 2, id, 1], DecodeError::UnknownProperty(id), 0x81);
    }
    for (first, body, id) in [
        (0x30, &b"\0\x01a\x05\x11\0\0\0\x01"[..], 0x11),
        (0x30, b"\0\x01a\x02\x17\0", 0x17),
        (0x40, b"\0\x01\0\x02\x01\0", 0x01),
        (0x62, b"\0\x01\0\x03\x23\0\x01", 0x23),
        (0x82, b"\0\x01\x04\x1F\0\x01a\0\x01a\0", 0x1F),
        (0xA2, b"\0\x01\x02\x0B\x01\0\x01a", 0x0B),
        (0xE0, b"\0\x04\x15\0\x01a", 0x15),
        (0xF0, b"\x18\x05\x11\0\0\0\x01", 0x11),
    ] {
        refused(first, body, DecodeError::MisplacedProperty(id), 0x81);
    }
    refused_by_client(0xE0, b"\0\x05\x11\0\0\0\x01", DecodeError::MisplacedProperty(0x11), 0x81);
    refused_connect(b"\0\x04MQTT\x05\x02\0\x0A\x05\x18\0\0\0\x01\0\x01p", DecodeError::MisplacedProperty(0x18), 0x81);
    let will = b"\0\x04MQTT\x05\x06\0\x0A\0\0\x01p\x05\x11\0\0\0\x01\0\x01t\0\x01m";
    refused_connect(will, DecodeError::MisplacedProperty(0x11), 0x81);
}

#[test]
fn properties_stand_once_but_user_properties() {
    refused(0x30, b"\0\x01a\x04\x01\x01\x01\x01", DecodeError::RepeatedProperty(0x01), 0x82);
    refused(0x30, b"\0\x01a\x06\x23\0\x01\x23\0\x02", DecodeError::RepeatedProperty(0x23), 0x82);
    refused(0x82, b"\0\x01\x04\x0B\x01\x0B\x01\0\x01a\0", DecodeError::RepeatedProperty(0x0B), 0x82);
    refused(0x40, b"\0\x01\0\x06\x1F\0\0\x1F\0\0", DecodeError::RepeatedProperty(0x1F), 0x82);
    accepted(server(Version::V5), 0x30, b"\0\x01a\x0A\x26\0\0\0\0\x26\0\0\0\0");
    let client = Decoder::new(Role::Client(Version::V5), MAX);
    let Packet::Publish(publish) = accepted(client, 0x30, b"\0\x01a\x04\x0B\x01\x0B\x02") else { panic!() };
    assert_eq!(publish.properties, Properties::from([Property::SubscriptionId(1), Property::SubscriptionId(2)]));
}

#[test]
fn property_values_are_in_range() {
    let connect = |section: &[u8]| [b"\0\x04MQTT\x05\x02\0\x0A", section, b"\0\x01p"].concat();
    refused(0x30, b"\0\x01a\x02\x01\x02", DecodeError::PropertyValue(0x01), 0x82);
    refused(0x30, b"\0\x01a\x03\x23\0\0", DecodeError::TopicAliasZero, 0x94);
    refused(0x82, b"\0\x01\x02\x0B\0\0\x01a\0", DecodeError::PropertyValue(0x0B), 0x82);
    refused(0x30, b"\0\x01a\x02\x0B\x01", DecodeError::SubscriptionIdFromClient, 0x82);
    refused_connect(&connect(b"\x03\x21\0\0"), DecodeError::PropertyValue(0x21), 0x82);
    refused_connect(&connect(b"\x05\x27\0\0\0\0"), DecodeError::PropertyValue(0x27), 0x82);
    refused_connect(&connect(b"\x02\x17\x02"), DecodeError::PropertyValue(0x17), 0x82);
    refused_connect(&connect(b"\x02\x19\xFF"), DecodeError::PropertyValue(0x19), 0x82);
    refused_connect(&connect(b"\x04\x16\0\x01x"), DecodeError::AuthenticationDataAlone, 0x82);
    refused_by_client(0x20, b"\0\0\x02\x24\x02", DecodeError::PropertyValue(0x24), 0x82);
    refused(0x30, b"\0\x01a\x04\x08\0\x01#", DecodeError::ResponseTopic(TopicError::Wildcard), 0x82);
    refused(0x30, b"\0\x01a\x03\x08\0\0", DecodeError::ResponseTopic(TopicError::Empty), 0x82);
    refused(0x30, b"\0\x01a\x04\x03\0\x01\xFF", DecodeError::Text(TextError::Utf8), 0x81);
    refused(0x30, b"\0\x01a\x07\x26\0\x01a\0\x01\0", DecodeError::Text(TextError::Null), 0x81);
}

#[test]
fn property_values_are_all_there() {
    for section in [
        &b"\x01\x01"[..],
        b"\x01\x02",
        b"\x04\x02\0\0\0",
        b"\x01\x08",
        b"\x02\x08\0",
        b"\x03\x08\0\x01",
        b"\x01\x0B",
        b"\x02\x0B\x80",
        b"\x02\x23\0",
        b"\x04\x26\0\x01a",
        b"\x05",
    ] {
        refused(0x30, &[b"\0\x01a", section].concat(), DecodeError::Truncated, 0x81);
    }
}

#[test]
fn what_is_decoded_shares_the_memory_of_the_buffer() {
    let mut input = packet(0x30, b"\0\x03a/b\x05\x09\0\x02xypayload");
    let range = input.as_ptr_range();
    let Ok(Some(Packet::Publish(publish))) = server(Version::V5).decode(&mut input) else { panic!() };
    let inside = |bytes: &Bytes| range.contains(&bytes.as_ptr());
    assert!(inside(&publish.payload) && inside(publish.properties.as_bytes()));
    assert!(inside(publish.topic.unwrap().as_byte_string().as_bytes()));
}

#[test]
fn half_a_packet_stays_in_the_buffer() {
    let whole = packet(0x32, b"\0\x03a/b\0\x01\0payload");
    for len in 0..whole.len() {
        let mut input = BytesMut::from(&whole[..len]);
        assert_eq!(server(Version::V5).decode(&mut input), Ok(None));
        assert_eq!(input, whole[..len]);
    }
}

#[test]
fn more_filters_than_the_reader_takes_are_refused() {
    let three = b"\0\x01\0\0\x01a\0\0\x01b\0\0\x01c\0";
    let error = DecodeError::TooManyFilters { packet: PacketType::Subscribe, max: 2 };
    check(server(Version::V5).with_max_filters(2), 0x82, three, error, 0x97);
    assert!(server(Version::V5).with_max_filters(3).decode(&mut packet(0x82, three)).is_ok());
    let three = b"\0\x01\0\x01a\0\x01b\0\x01c";
    let error = DecodeError::TooManyFilters { packet: PacketType::Unsubscribe, max: 2 };
    check(server(Version::V3_1_1).with_max_filters(2), 0xA2, three, error, 0x97);
}

#[test]
fn more_properties_than_the_reader_takes_are_refused() {
    const THREE: &[u8] = b"\x0F\x26\0\0\0\0\x26\0\0\0\0\x26\0\0\0\0";
    let connect = [b"\0\x04MQTT\x05\x06\0\0", THREE, b"\0\0", b"\0", b"\0\x01w\0\0"].concat();
    let will = [b"\0\x04MQTT\x05\x06\0\0\0", &b"\0\0"[..], THREE, b"\0\x01w\0\0"].concat();
    let subscribe = [b"\0\x01", THREE, b"\0\x01a\0"].concat();
    let publish = [b"\0\x01a", THREE, b"payload"].concat();
    let ack = [b"\0\x01\0", THREE].concat();
    let disconnect = [b"\0", THREE].concat();
    let arriving = Decoder::new(Role::Server, u32::MAX);
    let packets = [
        (0x10, connect, &arriving),
        (0x10, will, &arriving),
        (0x82, subscribe, &server(Version::V5)),
        (0x30, publish, &server(Version::V5)),
        (0x40, ack, &server(Version::V5)),
        (0xE0, disconnect, &server(Version::V5)),
    ];
    for (first, body, decoder) in packets {
        let error = DecodeError::TooManyProperties(2);
        check(decoder.clone().with_max_properties(2), first, &body, error, 0x97);
        assert!(decoder.clone().with_max_properties(3).decode(&mut packet(first, &body)).is_ok());
    }
}
