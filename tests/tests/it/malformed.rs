//! Bytes that no client may send: each ends its connection, and only that.

use mqtt_codec::{Packet, Qos, Version};

use crate::{
    broker::Broker,
    client::{Client, message, retained},
};

const MALFORMED: u8 = 0x81;
const PROTOCOL: u8 = 0x82;
const NOT_AUTHORIZED: u8 = 0x87;
const FILTER: u8 = 0x8f;
const TOPIC: u8 = 0x90;
const ALIAS: u8 = 0x94;
const TOO_LARGE: u8 = 0x95;

/// What is wrong, the bytes after CONNECT, and the codes of which one must be told.
struct Case(&'static str, &'static [u8], &'static [u8]);

/// The same bytes in 3.1, 3.1.1 and 5.
const ALL: &[Case] = &[
    Case("type 0", &[0x00, 0], &[MALFORMED, PROTOCOL]),
    Case("type 0 with flags", &[0x0f, 0], &[MALFORMED, PROTOCOL]),
    Case("a second CONNECT with other flags", &[0x11, 0], &[MALFORMED, PROTOCOL]),
    Case("CONNACK", &[0x20, 3, 0, 0, 0], &[MALFORMED, PROTOCOL]),
    Case("SUBACK", &[0x90, 4, 0, 1, 0, 0], &[MALFORMED, PROTOCOL]),
    Case("UNSUBACK", &[0xb0, 4, 0, 1, 0, 0], &[MALFORMED, PROTOCOL]),
    Case("PINGRESP", &[0xd0, 0], &[MALFORMED, PROTOCOL]),
    Case("PUBLISH with QoS 3", &[0x36, 7, 0, 1, b'a', 0, 1, 0, b'x'], &[MALFORMED]),
    Case("PUBLISH with QoS 0 and DUP", &[0x38, 5, 0, 1, b'a', 0, b'x'], &[MALFORMED, PROTOCOL]),
    Case("PUBLISH with packet id 0", &[0x32, 7, 0, 1, b'a', 0, 0, 0, b'x'], &[MALFORMED, PROTOCOL]),
    Case("PUBLISH to `+`", &[0x30, 5, 0, 1, b'+', 0, b'x'], &[MALFORMED, PROTOCOL, TOPIC]),
    Case("PUBLISH to `a/#`", &[0x30, 7, 0, 3, b'a', b'/', b'#', 0, b'x'], &[MALFORMED, PROTOCOL, TOPIC]),
    Case("PUBLISH to nothing", &[0x30, 4, 0, 0, 0, b'x'], &[PROTOCOL]),
    Case("PUBLISH without a topic", &[0x30, 0], &[MALFORMED]),
    Case("PUBLISH with half a length", &[0x30, 1, 0], &[MALFORMED]),
    Case("PUBLISH with a topic longer than itself", &[0x30, 5, 0, 9, b'a', 0, b'x'], &[MALFORMED]),
    Case("PUBLISH without its packet id", &[0x32, 3, 0, 1, b'a'], &[MALFORMED]),
    Case("PUBLISH with half its packet id", &[0x32, 4, 0, 1, b'a', 0], &[MALFORMED]),
    Case("PUBLISH to U+0000", &[0x30, 5, 0, 1, 0, 0, b'x'], &[MALFORMED]),
    Case("PUBLISH to a surrogate", &[0x30, 7, 0, 3, 0xed, 0xa0, 0x80, 0, b'x'], &[MALFORMED]),
    Case("PUBLISH to no UTF-8", &[0x30, 5, 0, 1, 0xff, 0, b'x'], &[MALFORMED]),
    Case("PUBLISH to overlong UTF-8", &[0x30, 6, 0, 2, 0xc0, 0xaf, 0, b'x'], &[MALFORMED]),
    Case("PUBLISH to cut UTF-8", &[0x30, 6, 0, 2, 0xe2, 0x82, 0, b'x'], &[MALFORMED]),
    Case("a length of five bytes", &[0x30, 0x80, 0x80, 0x80, 0x80, 0x01], &[MALFORMED]),
    Case("a length of 0xff for ever", &[0x30, 0xff, 0xff, 0xff, 0xff, 0xff], &[MALFORMED, TOO_LARGE]),
    Case("a length longer than needed", &[0xc0, 0x80, 0x00], &[MALFORMED]),
    Case("a length much longer than needed", &[0xc0, 0x80, 0x80, 0x80, 0x00], &[MALFORMED]),
    Case("PUBACK with flags", &[0x42, 2, 0, 1], &[MALFORMED]),
    Case("PUBACK with packet id 0", &[0x40, 2, 0, 0], &[MALFORMED, PROTOCOL]),
    Case("PUBACK with half a packet id", &[0x40, 1, 0], &[MALFORMED]),
    Case("PUBACK with nothing", &[0x40, 0], &[MALFORMED]),
    Case("PUBREC with flags", &[0x5f, 2, 0, 1], &[MALFORMED]),
    Case("PUBREC with packet id 0", &[0x50, 2, 0, 0], &[MALFORMED, PROTOCOL]),
    Case("PUBREL without its flag", &[0x60, 2, 0, 1], &[MALFORMED]),
    Case("PUBREL with other flags", &[0x63, 2, 0, 1], &[MALFORMED]),
    Case("PUBREL with packet id 0", &[0x62, 2, 0, 0], &[MALFORMED, PROTOCOL]),
    Case("PUBCOMP with flags", &[0x71, 2, 0, 1], &[MALFORMED]),
    Case("PUBCOMP with packet id 0", &[0x70, 2, 0, 0], &[MALFORMED, PROTOCOL]),
    Case("PINGREQ with flags", &[0xc1, 0], &[MALFORMED]),
    Case("PINGREQ with a byte", &[0xc0, 1, 0], &[MALFORMED]),
    Case("DISCONNECT with flags", &[0xe1, 0], &[MALFORMED]),
];

/// Where 3.1 and 3.1.1 differ from 5 on the wire.
const OLD: &[Case] = &[
    Case("AUTH", &[0xf0, 0], &[]),
    Case("PUBLISH to nothing", &[0x30, 3, 0, 0, b'x'], &[]),
    Case("PUBACK with a byte too many", &[0x40, 3, 0, 1, 0], &[]),
    Case("PUBREL with a byte too many", &[0x62, 3, 0, 1, 0], &[]),
    Case("DISCONNECT with a byte", &[0xe0, 1, 0], &[]),
    Case("SUBSCRIBE without its flag", &[0x80, 6, 0, 1, 0, 1, b'a', 0], &[]),
    Case("SUBSCRIBE with other flags", &[0x84, 6, 0, 1, 0, 1, b'a', 0], &[]),
    Case("SUBSCRIBE with packet id 0", &[0x82, 6, 0, 0, 0, 1, b'a', 0], &[]),
    Case("SUBSCRIBE without a filter", &[0x82, 2, 0, 1], &[]),
    Case("SUBSCRIBE with QoS 3", &[0x82, 6, 0, 1, 0, 1, b'a', 3], &[]),
    Case("SUBSCRIBE with reserved bits", &[0x82, 6, 0, 1, 0, 1, b'a', 4], &[]),
    Case("SUBSCRIBE without a QoS", &[0x82, 5, 0, 1, 0, 1, b'a'], &[]),
    Case("SUBSCRIBE to nothing", &[0x82, 5, 0, 1, 0, 0, 0], &[]),
    Case("SUBSCRIBE to U+0000", &[0x82, 6, 0, 1, 0, 1, 0, 0], &[]),
    Case("SUBSCRIBE to a surrogate", &[0x82, 8, 0, 1, 0, 3, 0xed, 0xbf, 0xbf, 0], &[]),
    Case("SUBSCRIBE to a filter longer than itself", &[0x82, 6, 0, 1, 0, 9, b'a', 0], &[]),
    Case("UNSUBSCRIBE without its flag", &[0xa0, 5, 0, 1, 0, 1, b'a'], &[]),
    Case("UNSUBSCRIBE without a filter", &[0xa2, 2, 0, 1], &[]),
    Case("UNSUBSCRIBE with packet id 0", &[0xa2, 5, 0, 0, 0, 1, b'a'], &[]),
    Case("UNSUBSCRIBE from a filter longer than itself", &[0xa2, 5, 0, 1, 0, 2, b'a'], &[]),
    Case("SUBSCRIBE to `a#`", &[0x82, 7, 0, 1, 0, 2, b'a', b'#', 0], &[]),
    Case("SUBSCRIBE to `#/a`", &[0x82, 8, 0, 1, 0, 3, b'#', b'/', b'a', 0], &[]),
    Case("SUBSCRIBE to `a+`", &[0x82, 7, 0, 1, 0, 2, b'a', b'+', 0], &[]),
];

const NEW: &[Case] = &[
    Case("AUTH without a method in CONNECT", &[0xf0, 0], &[PROTOCOL]),
    Case("AUTH with flags", &[0xf1, 0], &[MALFORMED, PROTOCOL]),
    Case("AUTH to begin", &[0xf0, 7, 0x19, 5, 21, 0, 2, b'x', b'y'], &[PROTOCOL]),
    Case("PUBLISH without property length", &[0x30, 3, 0, 1, b'a'], &[MALFORMED]),
    Case("PUBLISH with properties longer than itself", &[0x30, 5, 0, 1, b'a', 9, 1], &[MALFORMED]),
    Case("PUBLISH with half a property", &[0x30, 5, 0, 1, b'a', 1, 1], &[MALFORMED]),
    Case("PUBLISH with a property longer than the rest", &[0x30, 7, 0, 1, b'a', 3, 3, 0, 9], &[MALFORMED]),
    Case("PUBLISH with a padded property length", &[0x30, 6, 0, 1, b'a', 0x80, 0, b'x'], &[MALFORMED]),
    Case("PUBLISH with an unknown property", &[0x30, 6, 0, 1, b'a', 2, 0x7f, 1], &[MALFORMED]),
    Case("PUBLISH with property 0", &[0x30, 6, 0, 1, b'a', 2, 0, 1], &[MALFORMED]),
    Case("PUBLISH with session expiry", &[0x30, 9, 0, 1, b'a', 5, 17, 0, 0, 0, 1], &[MALFORMED, PROTOCOL]),
    Case("PUBLISH with will delay", &[0x30, 9, 0, 1, b'a', 5, 24, 0, 0, 0, 1], &[MALFORMED, PROTOCOL]),
    Case("PUBLISH with a subscription identifier", &[0x30, 6, 0, 1, b'a', 2, 11, 1], &[PROTOCOL]),
    Case("PUBLISH with two payload formats", &[0x30, 8, 0, 1, b'a', 4, 1, 0, 1, 0], &[PROTOCOL]),
    Case("PUBLISH with payload format 2", &[0x30, 6, 0, 1, b'a', 2, 1, 2], &[MALFORMED, PROTOCOL]),
    Case("PUBLISH with two expiries", &[0x30, 14, 0, 1, b'a', 10, 2, 0, 0, 0, 1, 2, 0, 0, 0, 1], &[PROTOCOL]),
    Case("PUBLISH with two aliases", &[0x30, 10, 0, 1, b'a', 6, 35, 0, 1, 35, 0, 1], &[PROTOCOL]),
    Case("PUBLISH with two content types", &[0x30, 12, 0, 1, b'a', 8, 3, 0, 1, b'x', 3, 0, 1, b'x'], &[PROTOCOL]),
    Case("PUBLISH with alias 0", &[0x30, 7, 0, 1, b'a', 3, 35, 0, 0], &[ALIAS]),
    Case("PUBLISH with alias 65535", &[0x30, 7, 0, 1, b'a', 3, 35, 0xff, 0xff], &[ALIAS]),
    Case("PUBLISH with an alias nobody set", &[0x30, 6, 0, 0, 3, 35, 0, 1], &[PROTOCOL, ALIAS]),
    Case(
        "PUBLISH with a wildcard to answer to",
        &[0x30, 8, 0, 1, b'a', 4, 8, 0, 1, b'#'],
        &[MALFORMED, PROTOCOL, TOPIC],
    ),
    Case("PUBLISH with U+0000 in a user property", &[0x30, 11, 0, 1, b'a', 7, 38, 0, 1, 0, 0, 1, b'b'], &[MALFORMED]),
    Case("PUBLISH with half a user property", &[0x30, 8, 0, 1, b'a', 4, 38, 0, 1, b'b'], &[MALFORMED]),
    Case("PUBACK with an unknown code", &[0x40, 3, 0, 1, 0x7f], &[MALFORMED, PROTOCOL]),
    Case("PUBACK with the code of another packet", &[0x40, 3, 0, 1, 0x8e], &[MALFORMED, PROTOCOL]),
    Case("PUBACK with properties longer than itself", &[0x40, 4, 0, 1, 0, 9], &[MALFORMED]),
    Case("PUBACK with a byte too many", &[0x40, 5, 0, 1, 0, 0, 0], &[MALFORMED]),
    Case("PUBACK with a foreign property", &[0x40, 6, 0, 1, 0, 2, 1, 0], &[MALFORMED, PROTOCOL]),
    Case("PUBREC with an unknown code", &[0x50, 3, 0, 1, 0x01], &[MALFORMED, PROTOCOL]),
    Case("PUBREL with the code of PUBREC", &[0x62, 3, 0, 1, 0x10], &[MALFORMED, PROTOCOL]),
    Case("PUBCOMP with an unknown code", &[0x70, 3, 0, 1, 0xff], &[MALFORMED, PROTOCOL]),
    Case("SUBSCRIBE without its flag", &[0x80, 7, 0, 1, 0, 0, 1, b'a', 0], &[MALFORMED]),
    Case("SUBSCRIBE with packet id 0", &[0x82, 7, 0, 0, 0, 0, 1, b'a', 0], &[MALFORMED, PROTOCOL]),
    Case("SUBSCRIBE without a filter", &[0x82, 3, 0, 1, 0], &[MALFORMED, PROTOCOL]),
    Case("SUBSCRIBE without property length", &[0x82, 2, 0, 1], &[MALFORMED]),
    Case("SUBSCRIBE with QoS 3", &[0x82, 7, 0, 1, 0, 0, 1, b'a', 3], &[MALFORMED, PROTOCOL]),
    Case("SUBSCRIBE with retain handling 3", &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x30], &[MALFORMED, PROTOCOL]),
    Case("SUBSCRIBE with reserved bit 6", &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40], &[MALFORMED]),
    Case("SUBSCRIBE with reserved bit 7", &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x80], &[MALFORMED]),
    Case("SUBSCRIBE without options", &[0x82, 6, 0, 1, 0, 0, 1, b'a'], &[MALFORMED]),
    Case("SUBSCRIBE with identifier 0", &[0x82, 9, 0, 1, 2, 11, 0, 0, 1, b'a', 0], &[PROTOCOL]),
    Case("SUBSCRIBE with two identifiers", &[0x82, 11, 0, 1, 4, 11, 1, 11, 2, 0, 1, b'a', 0], &[PROTOCOL]),
    Case("SUBSCRIBE with a foreign property", &[0x82, 9, 0, 1, 2, 1, 0, 0, 1, b'a', 0], &[MALFORMED, PROTOCOL]),
    Case("SUBSCRIBE to nothing", &[0x82, 6, 0, 1, 0, 0, 0, 0], &[MALFORMED, PROTOCOL, FILTER]),
    Case("SUBSCRIBE to U+0000", &[0x82, 7, 0, 1, 0, 0, 1, 0, 0], &[MALFORMED]),
    Case("SUBSCRIBE to `a#`", &[0x82, 8, 0, 1, 0, 0, 2, b'a', b'#', 0], &[MALFORMED, PROTOCOL, FILTER]),
    Case("SUBSCRIBE to `#/a`", &[0x82, 9, 0, 1, 0, 0, 3, b'#', b'/', b'a', 0], &[MALFORMED, PROTOCOL, FILTER]),
    Case(
        "SUBSCRIBE shared with no-local",
        &[0x82, 16, 0, 1, 0, 0, 10, b'$', b's', b'h', b'a', b'r', b'e', b'/', b'g', b'/', b'a', 4],
        &[PROTOCOL],
    ),
    Case("UNSUBSCRIBE without its flag", &[0xa0, 6, 0, 1, 0, 0, 1, b'a'], &[MALFORMED]),
    Case("UNSUBSCRIBE without a filter", &[0xa2, 3, 0, 1, 0], &[MALFORMED, PROTOCOL]),
    Case("UNSUBSCRIBE with packet id 0", &[0xa2, 6, 0, 0, 0, 0, 1, b'a'], &[MALFORMED, PROTOCOL]),
    Case("UNSUBSCRIBE with a foreign property", &[0xa2, 8, 0, 1, 2, 11, 1, 0, 1, b'a'], &[MALFORMED, PROTOCOL]),
    Case("DISCONNECT with an unknown code", &[0xe0, 1, 0x03], &[MALFORMED, PROTOCOL]),
    Case("DISCONNECT with a foreign property", &[0xe0, 4, 0, 2, 1, 0], &[MALFORMED, PROTOCOL]),
    Case("DISCONNECT with two expiries", &[0xe0, 12, 0, 10, 17, 0, 0, 0, 0, 17, 0, 0, 0, 0], &[PROTOCOL]),
    Case("DISCONNECT with a byte too many", &[0xe0, 3, 0, 0, 0], &[MALFORMED]),
    Case("DISCONNECT with half its properties", &[0xe0, 3, 0, 5, 17], &[MALFORMED]),
];

async fn check(broker: &Broker, version: Version, case: &Case, faults: &mut Vec<String>) {
    let Case(what, bytes, codes) = case;
    let mut client = Client::connect(broker.addr, version, "bad").await;
    client.send_bytes(bytes).await;
    // A broker that took it for half a packet, or for a good one, answers or waits: then this ends it.
    client.send_bytes(&[0xc0, 0, 0xc0, 0, 0xc0, 0]).await;
    let mut got = client.receive_or_end().await;
    if let Some(Packet::PingResp | Packet::PubAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_)) = got {
        faults.push(format!("{version:?}: {what}, {bytes:02x?}: answered with {got:?}"));
        return;
    }
    if version == Version::V5 {
        match &got {
            Some(Packet::Disconnect(disconnect)) => {
                if !codes.contains(&disconnect.reason.as_u8()) {
                    faults.push(format!("{what}, {bytes:02x?}: {codes:02x?} wanted, got {:?}", disconnect.reason));
                }
                got = client.receive_or_end().await;
            }
            other => faults.push(format!("{what}, {bytes:02x?}: no DISCONNECT but {other:?}")),
        }
    }
    if got.is_some() {
        faults.push(format!("{version:?}: {what}, {bytes:02x?}: {got:?} in place of the end"));
    }
}

async fn check_all(version: Version, cases: impl Iterator<Item = &Case>) {
    let broker = Broker::start().await;
    let mut faults = Vec::new();
    for case in cases {
        check(&broker, version, case, &mut faults).await;
    }
    broker.lives().await;
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn offences_against_3_1_end_the_connection_without_a_word() {
    check_all(Version::V3_1, ALL.iter().chain(OLD)).await;
}

#[tokio::test]
async fn offences_against_3_1_1_end_the_connection_without_a_word() {
    check_all(Version::V3_1_1, ALL.iter().chain(OLD)).await;
}

#[tokio::test]
async fn offences_against_5_end_the_connection_with_their_code() {
    check_all(Version::V5, ALL.iter().chain(NEW)).await;
}

/// What stands before the offence has its effect, what stands behind it has none.
#[tokio::test]
async fn packets_before_the_offence_count_and_those_behind_it_do_not() {
    let broker = Broker::start().await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("#", Qos::AtMostOnce).await;
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut client = Client::connect(broker.addr, version, "bad").await;
        client
            .send_bytes(&[0x30, 4, 0, 1, b'b', b'x', 0x36, 6, 0, 1, b'a', 0, 1, b'x', 0x30, 4, 0, 1, b'c', b'x'])
            .await;
        client.expect_end().await;
        assert_eq!(watcher.take().await.topic.unwrap().as_str(), "b");
        watcher.ping().await;
    }
}

/// Nobody but the broker speaks there; version 5 is told, at QoS 0 nothing needs to be.
#[tokio::test]
async fn publishing_below_sys_is_refused() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/#", Qos::AtMostOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "v5").await;
    // The watcher sees the client come.
    watcher.take().await;
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let reason = client.publish(retained("$SYS/brokers", "forged", qos)).await;
        assert_eq!(reason.as_u8(), NOT_AUTHORIZED);
    }
    client.ping().await;
    client.send_publish(message("$SYS/x", "forged", Qos::AtMostOnce)).await;
    client.leave().await;
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut client = Client::connect(broker.addr, version, "v3").await;
        client.send_publish(message("$SYS/x", "forged", Qos::AtLeastOnce)).await;
        client.leave().await;
    }
    let mut events = Vec::new();
    for _ in 0..5 {
        events.push(watcher.take().await.topic.unwrap().as_str().rsplit('/').next().unwrap().to_owned());
    }
    assert_eq!(events, ["disconnected", "connected", "disconnected", "connected", "disconnected"]);
    watcher.ping().await;
}
