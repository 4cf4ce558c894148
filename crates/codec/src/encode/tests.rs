//! What is written, and that it is read back as it was.

use bytes::BytesMut;

use crate::{
    Ack, Auth, ConnAck, Connect, Decoder, Disconnect, Packet, PacketId, Properties, Property, Publish, PublishHead,
    Qos, ReasonCode, Role, SubAck, TooLarge, Version,
};

#[track_caller]
fn check(packet: Packet, version: Version, bytes: &[u8]) {
    let mut out = BytesMut::new();
    packet.encode(version, &mut out).unwrap();
    assert_eq!(&out[..], bytes, "{packet:?}");
    assert_eq!(packet.encoded_len(version), bytes.len(), "{packet:?}");
}

fn ack(reason: ReasonCode) -> Ack {
    Ack::new(PacketId::new(10).unwrap(), reason)
}

#[test]
fn success_without_properties_is_told_by_silence() {
    check(Packet::PubAck(ack(ReasonCode::Success)), Version::V5, &[0x40, 2, 0, 10]);
    check(Packet::PubRec(ack(ReasonCode::NotAuthorized)), Version::V5, &[0x50, 3, 0, 10, 0x87]);
    check(Packet::PubRel(ack(ReasonCode::PacketIdNotFound)), Version::V3_1_1, &[0x62, 2, 0, 10]);
    let bye = |reason| Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY });
    check(bye(ReasonCode::Success), Version::V5, &[0xE0, 0]);
    check(bye(ReasonCode::SessionTakenOver), Version::V5, &[0xE0, 1, 0x8E]);
}

#[test]
fn a_refusal_before_version_5_is_the_nearest_return_code() {
    for (reason, code) in [
        (ReasonCode::Success, 0),
        (ReasonCode::UnsupportedProtocolVersion, 1),
        (ReasonCode::ClientIdNotValid, 2),
        (ReasonCode::ServerBusy, 3),
        (ReasonCode::BadUserNameOrPassword, 4),
        (ReasonCode::Banned, 5),
    ] {
        let ack = ConnAck { session_present: true, reason, properties: Properties::EMPTY };
        let present = u8::from(reason == ReasonCode::Success);
        check(Packet::ConnAck(ack), Version::V3_1_1, &[0x20, 2, present, code]);
    }
}

#[test]
fn a_failure_before_version_5_is_0x80() {
    let reasons = vec![ReasonCode::Success, ReasonCode::GrantedQos2, ReasonCode::NotAuthorized];
    let ack = SubAck { packet_id: PacketId::new(10).unwrap(), reasons, properties: Properties::EMPTY };
    check(Packet::SubAck(ack.clone()), Version::V3_1_1, &[0x90, 5, 0, 10, 0, 2, 0x80]);
    check(Packet::SubAck(ack), Version::V5, &[0x90, 6, 0, 10, 0, 0, 2, 0x87]);
}

#[test]
fn what_a_version_has_no_place_for_is_left_out() {
    let properties = Properties::from([Property::ReasonString("why".into())]);
    let ack = Ack { properties: properties.clone(), ..ack(ReasonCode::NotAuthorized) };
    check(Packet::PubAck(ack), Version::V3_1, &[0x40, 2, 0, 10]);
    check(Packet::Auth(Auth { reason: ReasonCode::Success, properties }), Version::V3_1_1, &[]);
}

static NONE: Properties = Properties::EMPTY;
static HEAD: PublishHead<'static> = PublishHead {
    dup: true,
    qos: Qos::AtLeastOnce,
    retain: true,
    topic: "a/b",
    packet_id: PacketId::new(10),
    topic_alias: Some(7),
    message_expiry: Some(60),
    subscription_ids: &[1, 200],
    properties: &NONE,
    payload_len: 2,
};

#[test]
fn a_publish_head_has_its_own_properties_before_the_forwarded_ones() {
    let properties = Properties::from([Property::PayloadFormat(false), Property::UserProperty("k".into(), "v".into())]);
    let head = PublishHead { properties: &properties, ..HEAD };
    let mut bytes = BytesMut::new();
    head.encode(Version::V5, &mut bytes).unwrap();
    bytes.extend_from_slice(b"hi");
    assert_eq!(bytes.len(), head.encoded_len(Version::V5));
    let Ok(Some(Packet::Publish(publish))) = Decoder::new(Role::Client(Version::V5), 1000).decode(&mut bytes) else {
        panic!()
    };
    let expected = [
        Property::TopicAlias(7),
        Property::MessageExpiry(60),
        Property::SubscriptionId(1),
        Property::SubscriptionId(200),
        Property::PayloadFormat(false),
        Property::UserProperty("k".into(), "v".into()),
    ];
    assert_eq!(publish.properties, Properties::from(expected));
    assert_eq!((publish.dup, publish.qos, publish.retain), (true, Qos::AtLeastOnce, true));
    assert_eq!((publish.packet_id, &publish.payload[..]), (HEAD.packet_id, &b"hi"[..]));
}

#[test]
fn a_publish_head_before_version_5_has_no_properties() {
    let mut bytes = BytesMut::new();
    HEAD.encode(Version::V3_1_1, &mut bytes).unwrap();
    assert_eq!(&bytes[..], b"\x3B\x09\0\x03a/b\0\x0A");
    assert_eq!(HEAD.encoded_len(Version::V3_1_1), 11);
}

#[test]
fn a_fixed_header_of_any_length_is_right() {
    for payload_len in [0, 1, 118, 119, 16_373, 16_374, 16_375, 2_097_141, 2_097_142] {
        let payload = vec![0; payload_len].into();
        let (topic, packet_id) = (crate::Topic::new("topic").ok(), PacketId::new(1));
        let (dup, retain, properties) = (false, false, Properties::EMPTY);
        let packet =
            Packet::Publish(Publish { dup, qos: Qos::ExactlyOnce, retain, topic, packet_id, properties, payload });
        let mut bytes = BytesMut::new();
        packet.encode(Version::V3_1_1, &mut bytes).unwrap();
        assert_eq!(bytes.len(), packet.encoded_len(Version::V3_1_1));
        let mut client = Decoder::new(Role::Client(Version::V3_1_1), u32::MAX);
        assert_eq!(client.decode(&mut bytes), Ok(Some(packet)), "{payload_len}");
    }
}

#[test]
fn what_is_too_large_is_not_begun() {
    let mut out = BytesMut::from(&b"before"[..]);
    let head = PublishHead { payload_len: 268_435_455, ..HEAD };
    assert!(head.encode(Version::V5, &mut out).is_err());
    let connect = Packet::Connect(Box::new(Connect::new(Version::V5, "x".repeat(65_536))));
    assert_eq!(connect.encode(Version::V5, &mut out), Err(TooLarge(65_536)));
    assert_eq!(&out[..], b"before");
}

#[test]
fn a_connect_comes_back() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let packet = Packet::Connect(Box::new(Connect::new(version, "me")));
        let mut bytes = BytesMut::new();
        packet.encode(version, &mut bytes).unwrap();
        let mut decoder = Decoder::new(Role::Server, 1000);
        assert_eq!(decoder.decode(&mut bytes), Ok(Some(packet)));
        assert_eq!((decoder.version(), bytes.len()), (Some(version), 0));
    }
}
