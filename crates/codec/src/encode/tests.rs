//! What is written, and that it is read back as it was.

use bytes::BytesMut;

use crate::{Ack, ConnAck, Connect, Decoder, Disconnect, Packet, PacketId, Properties, ReasonCode, Role, Version};

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
