//! What the targets share: a stream of packets, looked at from all sides.

use bytes::BytesMut;
use mqtt_codec::{Connect, Decoder, Packet, Role, Version};

/// One of the three versions.
pub fn version(byte: u8) -> Version {
    [Version::V3_1, Version::V3_1_1, Version::V5][usize::from(byte) % 3]
}

/// A server's decoder behind its client's CONNECT.
pub fn connected(version: Version, max_packet_size: u32) -> Decoder {
    let mut decoder = Decoder::new(Role::Server, max_packet_size);
    let mut connect = BytesMut::new();
    Packet::Connect(Box::new(Connect::new(version, "c"))).encode(version, &mut connect).expect("it is small");
    assert!(matches!(decoder.decode(&mut connect), Ok(Some(_))));
    decoder
}

/// Decodes all of `bytes`, whole and byte by byte: both must find the same. Each packet must survive being written.
pub fn check(decoder: &Decoder, bytes: &[u8]) {
    let (mut whole, mut input) = (decoder.clone(), BytesMut::from(bytes));
    let (mut dripping, mut drops, mut rest) = (decoder.clone(), BytesMut::new(), bytes.iter());
    loop {
        let found = whole.decode(&mut input);
        let dripped = loop {
            match (dripping.decode(&mut drops), rest.as_slice()) {
                (Ok(None), [_, ..]) => drops.extend(rest.next()),
                (result, _) => break result,
            }
        };
        assert_eq!(found, dripped);
        let Ok(Some(packet)) = found else { return };
        check_packet(&whole, packet);
    }
}

fn check_packet(decoder: &Decoder, packet: Packet) {
    let _ = format!("{packet:?}");
    let version = decoder.version().expect("known after the first packet");
    let mut again = BytesMut::new();
    packet.encode(version, &mut again).expect("it was within the limits when it came");
    assert_eq!(again.len(), packet.encoded_len(version));
    let size = again.len();
    assert_eq!(decoder.clone().decode(&mut again), Ok(Some(packet)), "written in {size} bytes");
    assert!(again.is_empty());
}
