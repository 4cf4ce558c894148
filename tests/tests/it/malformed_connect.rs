//! CONNECT packets that are none: no session, no success, no DISCONNECT; in 5 a CONNACK that tells why, and the end.

use mqtt_codec::Version;

use crate::{broker::Broker, client::Client};

const NAME: [u8; 6] = [0, 4, b'M', b'Q', b'T', b'T'];

/// CONNECT with everything behind the protocol name given.
fn packet(rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x10, (NAME.len() + rest.len()) as u8];
    bytes.extend_from_slice(&NAME);
    bytes.extend_from_slice(rest);
    bytes
}

/// `told` is the code in the answer that each is to get; `None`: no answer at all.
async fn check_all(cases: &[(&str, Option<u8>, Vec<u8>)]) {
    let broker = Broker::start().await;
    let mut faults = Vec::new();
    for (what, told, bytes) in cases {
        let mut client = Client::open(broker.addr, Version::V5).await;
        client.send_bytes(bytes).await;
        // Whoever takes it for half a packet finds the rest wrong; whoever takes it for a good one answers this.
        client.send_bytes(&[0xc0, 0, 0x00, 0]).await;
        let answer = client.bytes_to_end().await;
        // [MQTT-3.14.0-1]: no DISCONNECT before a CONNACK with success.
        let expected = told.map_or_else(Vec::new, |code| vec![0x20, 3, 0, code, 0]);
        if answer != expected {
            faults.push(format!("{what}, {bytes:02x?}: {answer:02x?}"));
        }
    }
    broker.lives().await;
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn bad_connects_in_3_1_1_are_closed_without_an_answer() {
    let with_flags = |flags, payload: &[u8]| packet(&[&[4, flags, 0, 60, 0, 1, b'a'], payload].concat());
    check_all(&[
        ("nothing in it", None, vec![0x10, 0]),
        ("flags in the first byte", None, [&[0x11][..], &with_flags(2, &[])[1..]].concat()),
        ("the reserved flag", None, with_flags(3, &[])),
        ("a will with QoS 3", None, with_flags(0x1e, &[0, 1, b'w', 0, 1, b'x'])),
        ("will QoS without a will", None, with_flags(0x0a, &[])),
        ("will retain without a will", None, with_flags(0x22, &[])),
        ("a password without a user name", None, with_flags(0x42, &[0, 1, b'p'])),
        ("a user name that is not there", None, with_flags(0x82, &[])),
        ("a will that is not there", None, with_flags(0x06, &[])),
        ("a will without its payload", None, with_flags(0x06, &[0, 1, b'w'])),
        ("a will to nothing", None, with_flags(0x06, &[0, 0, 0, 1, b'x'])),
        ("a will to a wildcard", None, with_flags(0x06, &[0, 1, b'#', 0, 1, b'x'])),
        ("a will to no UTF-8", None, with_flags(0x06, &[0, 1, 0xff, 0, 1, b'x'])),
        ("bytes behind its end", None, with_flags(2, &[0, 1, b'z'])),
        ("a user name of no UTF-8", None, with_flags(0x82, &[0, 2, 0xc3, 0x28])),
        ("a user name with U+0000", None, with_flags(0x82, &[0, 1, 0])),
        ("a client id of no UTF-8", None, packet(&[4, 2, 0, 60, 0, 1, 0xff])),
        ("a client id with a surrogate", None, packet(&[4, 2, 0, 60, 0, 3, 0xed, 0xa0, 0x80])),
        ("a client id with U+0000", None, packet(&[4, 2, 0, 60, 0, 3, b'a', 0, b'b'])),
        ("a client id longer than the packet", None, packet(&[4, 2, 0, 60, 0, 9, b'a'])),
        ("no client id", None, packet(&[4, 2, 0, 60])),
        ("half a keep alive", None, packet(&[4, 2, 0])),
        ("no flags", None, packet(&[4])),
        ("no level", None, packet(&[])),
        ("a length of five bytes", None, vec![0x10, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ("a length longer than needed", None, [&[0x10, 0x8d, 0x00][..], &with_flags(2, &[])[2..]].concat()),
    ])
    .await;
}

#[tokio::test]
async fn bad_connects_in_5_are_told_why() {
    let with =
        |properties: &[u8]| packet(&[&[5, 2, 0, 60, properties.len() as u8], properties, &[0, 1, b'a']].concat());
    let with_will = |properties: &[u8]| {
        let will = [&[properties.len() as u8], properties, &[0, 1, b'w', 0, 1, b'x']].concat();
        packet(&[&[5, 6, 0, 60, 0, 0, 1, b'a'], &will[..]].concat())
    };
    check_all(&[
        ("no properties", Some(0x81), packet(&[5, 2, 0, 60])),
        ("the reserved flag", Some(0x81), packet(&[5, 3, 0, 60, 0, 0, 1, b'a'])),
        ("a will with QoS 3", Some(0x81), packet(&[5, 0x1e, 0, 60, 0, 0, 1, b'a', 0, 0, 1, b'w', 0, 1, b'x'])),
        ("will retain without a will", Some(0x81), packet(&[5, 0x22, 0, 60, 0, 0, 1, b'a'])),
        ("receive maximum 0", Some(0x82), with(&[33, 0, 0])),
        ("maximum packet size 0", Some(0x82), with(&[39, 0, 0, 0, 0])),
        ("two session expiries", Some(0x82), with(&[17, 0, 0, 0, 1, 17, 0, 0, 0, 1])),
        ("two receive maxima", Some(0x82), with(&[33, 0, 1, 33, 0, 1])),
        ("two maximum packet sizes", Some(0x82), with(&[39, 0, 0, 1, 0, 39, 0, 0, 1, 0])),
        ("two topic alias maxima", Some(0x82), with(&[34, 0, 1, 34, 0, 1])),
        ("two requests for response information", Some(0x82), with(&[25, 1, 25, 1])),
        ("request response information 2", Some(0x82), with(&[25, 2])),
        ("two requests for problem information", Some(0x82), with(&[23, 1, 23, 1])),
        ("request problem information 2", Some(0x82), with(&[23, 2])),
        ("two authentication methods", Some(0x82), with(&[21, 0, 1, b'x', 21, 0, 1, b'x'])),
        ("authentication data without a method", Some(0x82), with(&[22, 0, 1, b'x'])),
        ("an unknown property", Some(0x81), with(&[0x7f, 0])),
        ("a foreign property", Some(0x81), with(&[35, 0, 1])),
        ("the will's property outside of it", Some(0x81), with(&[24, 0, 0, 0, 1])),
        ("half a property", Some(0x81), with(&[17, 0, 0])),
        ("half a user property", Some(0x81), with(&[38, 0, 1, b'k'])),
        ("properties longer than the packet", Some(0x81), packet(&[5, 2, 0, 60, 99, 0, 1, b'a'])),
        ("a will with a foreign property", Some(0x81), with_will(&[17, 0, 0, 0, 1])),
        ("a will with two delays", Some(0x82), with_will(&[24, 0, 0, 0, 1, 24, 0, 0, 0, 1])),
        ("a will with payload format 2", Some(0x82), with_will(&[1, 2])),
        ("a will with two content types", Some(0x82), with_will(&[3, 0, 1, b'x', 3, 0, 1, b'x'])),
        ("a will that answers to a wildcard", Some(0x82), with_will(&[8, 0, 1, b'#'])),
        ("a will with an alias", Some(0x81), with_will(&[35, 0, 1])),
        ("a will to nothing", Some(0x81), packet(&[5, 6, 0, 60, 0, 0, 1, b'a', 0, 0, 0, 0, 1, b'x'])),
        ("bytes behind its end", Some(0x81), packet(&[5, 2, 0, 60, 0, 0, 1, b'a', 0])),
    ])
    .await;
}

/// What is fine in 5 and not in 3.1.1 must not be refused with the rest.
#[tokio::test]
async fn a_password_alone_is_fine_in_5() {
    let broker = Broker::start().await;
    let mut client = Client::open(broker.addr, Version::V5).await;
    client.send_bytes(&packet(&[5, 0x42, 0, 60, 0, 0, 1, b'a', 0, 1, b'p'])).await;
    assert!(matches!(client.receive().await, mqtt_codec::Packet::ConnAck(connack) if !connack.reason.is_error()));
}

/// By its header, before the rest has come.
#[tokio::test]
async fn a_connect_that_is_too_large_is_told_so_in_5() {
    let Some(broker) = Broker::with(|config| config.limits.max_packet_size = 1024).await else { return };
    for (version, told) in [(4, &[][..]), (5, &[0x20, 3, 0, 0x95, 0])] {
        let mut client = Client::open(broker.addr, Version::V5).await;
        client.send_bytes(&[&[0x10, 0x80, 0x10], &NAME[..], &[version, 2]].concat()).await;
        assert_eq!(client.bytes_to_end().await, told, "{version}");
    }
}
