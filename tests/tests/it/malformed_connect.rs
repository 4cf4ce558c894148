//! CONNECT packets that are none: no session, no success, no DISCONNECT, only the end.

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

async fn check_all(cases: &[(&str, Vec<u8>)]) {
    let broker = Broker::start().await;
    let mut faults = Vec::new();
    for (what, bytes) in cases {
        let mut client = Client::open(broker.addr, Version::V5).await;
        client.send_bytes(bytes).await;
        // Whoever takes it for half a packet finds the rest wrong; whoever takes it for a good one answers this.
        client.send_bytes(&[0xc0, 0, 0x00, 0]).await;
        let answer = client.bytes_to_end().await;
        // [MQTT-3.14.0-1]: no DISCONNECT before a CONNACK with success.
        let is_refusal = answer.is_empty() || (answer[0] == 0x20 && answer.len() > 3 && answer[3] != 0);
        if !is_refusal {
            faults.push(format!("{what}, {bytes:02x?}: {answer:02x?}"));
        }
    }
    broker.lives().await;
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn bad_connects_in_3_1_1_are_refused() {
    let with_flags = |flags, payload: &[u8]| packet(&[&[4, flags, 0, 60, 0, 1, b'a'], payload].concat());
    check_all(&[
        ("nothing in it", vec![0x10, 0]),
        ("flags in the first byte", [&[0x11][..], &with_flags(2, &[])[1..]].concat()),
        ("the reserved flag", with_flags(3, &[])),
        ("a will with QoS 3", with_flags(0x1e, &[0, 1, b'w', 0, 1, b'x'])),
        ("will QoS without a will", with_flags(0x0a, &[])),
        ("will retain without a will", with_flags(0x22, &[])),
        ("a password without a user name", with_flags(0x42, &[0, 1, b'p'])),
        ("a user name that is not there", with_flags(0x82, &[])),
        ("a will that is not there", with_flags(0x06, &[])),
        ("a will without its payload", with_flags(0x06, &[0, 1, b'w'])),
        ("a will to nothing", with_flags(0x06, &[0, 0, 0, 1, b'x'])),
        ("a will to a wildcard", with_flags(0x06, &[0, 1, b'#', 0, 1, b'x'])),
        ("a will to no UTF-8", with_flags(0x06, &[0, 1, 0xff, 0, 1, b'x'])),
        ("bytes behind its end", with_flags(2, &[0, 1, b'z'])),
        ("a user name of no UTF-8", with_flags(0x82, &[0, 2, 0xc3, 0x28])),
        ("a user name with U+0000", with_flags(0x82, &[0, 1, 0])),
        ("a client id of no UTF-8", packet(&[4, 2, 0, 60, 0, 1, 0xff])),
        ("a client id with a surrogate", packet(&[4, 2, 0, 60, 0, 3, 0xed, 0xa0, 0x80])),
        ("a client id with U+0000", packet(&[4, 2, 0, 60, 0, 3, b'a', 0, b'b'])),
        ("a client id longer than the packet", packet(&[4, 2, 0, 60, 0, 9, b'a'])),
        ("no client id", packet(&[4, 2, 0, 60])),
        ("half a keep alive", packet(&[4, 2, 0])),
        ("no flags", packet(&[4])),
        ("no level", packet(&[])),
        ("a length of five bytes", vec![0x10, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ("a length longer than needed", [&[0x10, 0x8d, 0x00][..], &with_flags(2, &[])[2..]].concat()),
    ])
    .await;
}

#[tokio::test]
async fn bad_connects_in_5_are_refused() {
    let with =
        |properties: &[u8]| packet(&[&[5, 2, 0, 60, properties.len() as u8], properties, &[0, 1, b'a']].concat());
    let with_will = |properties: &[u8]| {
        let will = [&[properties.len() as u8], properties, &[0, 1, b'w', 0, 1, b'x']].concat();
        packet(&[&[5, 6, 0, 60, 0, 0, 1, b'a'], &will[..]].concat())
    };
    check_all(&[
        ("no properties", packet(&[5, 2, 0, 60])),
        ("the reserved flag", packet(&[5, 3, 0, 60, 0, 0, 1, b'a'])),
        ("a will with QoS 3", packet(&[5, 0x1e, 0, 60, 0, 0, 1, b'a', 0, 0, 1, b'w', 0, 1, b'x'])),
        ("will retain without a will", packet(&[5, 0x22, 0, 60, 0, 0, 1, b'a'])),
        ("receive maximum 0", with(&[33, 0, 0])),
        ("maximum packet size 0", with(&[39, 0, 0, 0, 0])),
        ("two session expiries", with(&[17, 0, 0, 0, 1, 17, 0, 0, 0, 1])),
        ("two receive maxima", with(&[33, 0, 1, 33, 0, 1])),
        ("two maximum packet sizes", with(&[39, 0, 0, 1, 0, 39, 0, 0, 1, 0])),
        ("two topic alias maxima", with(&[34, 0, 1, 34, 0, 1])),
        ("two requests for response information", with(&[25, 1, 25, 1])),
        ("request response information 2", with(&[25, 2])),
        ("two requests for problem information", with(&[23, 1, 23, 1])),
        ("request problem information 2", with(&[23, 2])),
        ("two authentication methods", with(&[21, 0, 1, b'x', 21, 0, 1, b'x'])),
        ("authentication data without a method", with(&[22, 0, 1, b'x'])),
        ("an unknown property", with(&[0x7f, 0])),
        ("a foreign property", with(&[35, 0, 1])),
        ("the will's property outside of it", with(&[24, 0, 0, 0, 1])),
        ("half a property", with(&[17, 0, 0])),
        ("half a user property", with(&[38, 0, 1, b'k'])),
        ("properties longer than the packet", packet(&[5, 2, 0, 60, 99, 0, 1, b'a'])),
        ("a will with a foreign property", with_will(&[17, 0, 0, 0, 1])),
        ("a will with two delays", with_will(&[24, 0, 0, 0, 1, 24, 0, 0, 0, 1])),
        ("a will with payload format 2", with_will(&[1, 2])),
        ("a will with two content types", with_will(&[3, 0, 1, b'x', 3, 0, 1, b'x'])),
        ("a will that answers to a wildcard", with_will(&[8, 0, 1, b'#'])),
        ("a will with an alias", with_will(&[35, 0, 1])),
        ("a will to nothing", packet(&[5, 6, 0, 60, 0, 0, 1, b'a', 0, 0, 0, 0, 1, b'x'])),
        ("bytes behind its end", packet(&[5, 2, 0, 60, 0, 0, 1, b'a', 0])),
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
