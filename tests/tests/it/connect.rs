//! Who is let in, and what who is not is told.

use std::time::Duration;

use mqtt_codec::{Connect, Packet, Properties, Property, Qos, ReasonCode, Version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, keeping, message},
};

/// Sends `bytes` as the first of a connection and wants exactly `answer`, then the end.
async fn check_refusal(broker: &Broker, bytes: &[u8], answer: &[u8]) {
    let mut client = Client::open(broker.addr, Version::V3_1_1).await;
    client.send_bytes(bytes).await;
    assert_eq!(client.bytes_to_end().await, answer, "to {bytes:02x?}");
}

/// A CONNECT up to its protocol level and a little more.
fn leveled(level: u8) -> Vec<u8> {
    vec![0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 60, 0, 1, b'a']
}

#[tokio::test]
async fn every_version_is_let_in() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let (mut client, connack) = Client::connect_with(broker.addr, connect(version, "a")).await;
        assert!(!connack.session_present);
        assert_eq!(connack.properties.is_empty(), version < Version::V5);
        client.ping().await;
        client.leave().await;
    }
}

/// Also above 5: a bridge that is answered so tries again without its bit, and nobody knows a form that is newer.
#[tokio::test]
async fn an_unknown_level_is_answered_in_the_form_of_3_1_1() {
    let broker = Broker::start().await;
    for level in [0, 1, 2, 6, 7, 127, 0x80, 0x83, 0x86, 255] {
        check_refusal(&broker, &leveled(level), &[0x20, 2, 0, 1]).await;
    }
    broker.lives().await;
}

#[tokio::test]
async fn a_wrong_protocol_name_is_not_answered_with_success() {
    let broker = Broker::start().await;
    for name in [&b"MQTX"[..], b"mqtt", b"", b"HTTP/1.1"] {
        let mut bytes = vec![0x10, 9 + name.len() as u8, 0, name.len() as u8];
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&[4, 2, 0, 60, 0, 1, b'a']);
        let mut client = Client::open(broker.addr, Version::V3_1_1).await;
        client.send_bytes(&bytes).await;
        let answer = client.bytes_to_end().await;
        assert!(answer.is_empty() || answer[3] != 0, "{name:?} was answered with {answer:02x?}");
    }
    broker.lives().await;
}

/// [MQTT-3.1.3-8] of 3.1.1
#[tokio::test]
async fn empty_client_id_with_a_kept_session_is_refused_in_3_1_1() {
    let broker = Broker::start().await;
    check_refusal(&broker, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 60, 0, 0], &[0x20, 2, 0, 2]).await;
}

#[tokio::test]
async fn empty_client_id_with_a_clean_session_is_fine_in_3_1_1() {
    let broker = Broker::start().await;
    let mut first = Client::connect(broker.addr, Version::V3_1_1, "").await;
    let mut second = Client::connect(broker.addr, Version::V3_1_1, "").await;
    first.ping().await;
    second.ping().await;
}

/// [MQTT-3.1.3-6] [MQTT-3.2.3.7]
#[tokio::test]
async fn empty_client_id_is_replaced_in_version_5_and_the_client_told() {
    let broker = Broker::start().await;
    for clean_start in [true, false] {
        let asked = Connect { clean_start, ..keeping(Version::V5, "") };
        let (client, connack) = Client::connect_with(broker.addr, asked.clone()).await;
        let assigned = connack.properties.assigned_client_id().expect("an assigned client id");
        let (_other, connack) = Client::connect_with(broker.addr, asked).await;
        assert_ne!(connack.properties.assigned_client_id(), Some(assigned.clone()));
        client.leave().await;

        let (_client, connack) = Client::connect_with(broker.addr, keeping(Version::V5, &assigned)).await;
        assert!(connack.session_present, "the session is found under the assigned id");
        assert_eq!(connack.properties.assigned_client_id(), None);
    }
}

/// [MQTT-4.12.0-1]
#[tokio::test]
async fn an_authentication_method_nobody_has_is_refused() {
    let broker = Broker::start().await;
    let properties: Properties = [Property::AuthenticationMethod("SCRAM-SHA-1".into())].into();
    let asked = Connect { properties, ..connect(Version::V5, "a") };
    let (mut client, connack) = Client::try_connect(broker.addr, asked).await;
    assert_eq!(connack.reason, ReasonCode::BadAuthenticationMethod);
    client.expect_end().await;
}

/// [MQTT-3.1.0-2]
#[tokio::test]
async fn a_second_connect_ends_the_connection() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "twice").await;
        client.send(Packet::Connect(Box::new(connect(version, "twice")))).await;
        client.expect_disconnect(ReasonCode::ProtocolError).await;
    }
    broker.lives().await;
}

/// [MQTT-3.1.0-1]
#[tokio::test]
async fn nothing_may_come_before_connect() {
    let broker = Broker::start().await;
    let first: [&[u8]; 8] = [
        &[0xc0, 0],
        &[0xe0, 0],
        &[0xf0, 0],
        &[0x30, 4, 0, 1, b'a', b'x'],
        &[0x82, 6, 0, 1, 0, 1, b'a', 0],
        &[0x40, 2, 0, 1],
        &[0x20, 2, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in first {
        check_refusal(&broker, bytes, &[]).await;
    }
    broker.lives().await;
}

#[tokio::test]
async fn user_name_and_password_are_taken_without_an_authenticator() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let asked =
            Connect { username: Some("foo".into()), password: Some(b"bar"[..].into()), ..connect(version, "a") };
        let (mut client, _) = Client::connect_with(broker.addr, asked).await;
        client.ping().await;
    }
}

#[tokio::test]
async fn long_client_ids_are_taken() {
    let broker = Broker::start().await;
    let long = "x".repeat(1000);
    for version in [Version::V3_1_1, Version::V5] {
        Client::connect(broker.addr, version, &long).await.leave().await;
    }
}

#[tokio::test]
async fn packets_sent_behind_connect_without_waiting_are_handled_in_order() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::open(broker.addr, version).await;
        client.send(Packet::Connect(Box::new(connect(version, "eager")))).await;
        let packet_id = client.send_publish(message("eager", "x", Qos::AtLeastOnce)).await.unwrap();
        client.send(Packet::PingReq).await;
        assert!(matches!(client.receive().await, Packet::ConnAck(_)));
        client.expect_puback(packet_id).await;
        assert_eq!(client.receive().await, Packet::PingResp);
    }
}

#[tokio::test]
async fn connack_tells_the_limits() {
    let Some(broker) = Broker::with(|config| {
        config.limits.receive_maximum = 7;
        config.limits.topic_alias_maximum = 3;
        config.limits.max_packet_size = 5000;
        config.mqtt.server_keep_alive = Some(33);
        config.mqtt.max_session_expiry = 50;
    })
    .await
    else {
        return;
    };
    let (_client, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "a")).await;
    let told = &connack.properties;
    assert_eq!(told.receive_maximum(), Some(7));
    assert_eq!(told.topic_alias_maximum(), Some(3));
    assert_eq!(told.maximum_packet_size(), Some(5000));
    assert_eq!(told.server_keep_alive(), Some(33));
    assert_eq!(told.session_expiry(), Some(50), "another than the client asked for [MQTT-3.2.2.3.2]");
}

/// [MQTT-3.1.2-24]: not even CONNACK may be larger than the client takes.
#[tokio::test]
async fn a_client_that_takes_no_connack_gets_none() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let asked = Connect { properties: [Property::MaximumPacketSize(2)].into(), ..connect(Version::V5, "tiny") };
    let mut client = Client::open(broker.addr, Version::V5).await;
    client.send(Packet::Connect(Box::new(asked))).await;
    client.expect_end().await;
    broker.lives().await;
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_the_connect_timeout() {
    let Some(broker) = Broker::with(|config| config.mqtt.connect_timeout = Duration::from_millis(100)).await else {
        return;
    };
    check_refusal(&broker, &[], &[]).await;
    check_refusal(&broker, &leveled(4)[..9], &[]).await;
    broker.lives().await;
}

/// Bytes that keep coming do not stretch the time for CONNECT.
#[tokio::test]
async fn a_drip_fed_connect_is_closed_after_the_connect_timeout() {
    let Some(broker) = Broker::with(|config| config.mqtt.connect_timeout = Duration::from_millis(100)).await else {
        return;
    };
    let stream = TcpStream::connect(broker.addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut read, mut write) = stream.into_split();
    let mut pace = Client::connect(broker.addr, Version::V3_1_1, "pace").await;
    let drip = async {
        let mut bytes = vec![0x10, 0xff, 0xff, 3, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0xff, 0xf0];
        bytes.resize(60_000, b'a');
        for byte in bytes {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            pace.ping().await;
        }
    };
    let mut answer = Vec::new();
    let end = async {
        let _ = read.read_to_end(&mut answer).await;
    };
    tokio::select! {
        () = end => {}
        () = drip => {}
    }
    assert!(answer.is_empty(), "{answer:02x?}");
    // Without the select: closed for good, not only while bytes came.
    let _ = read.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{answer:02x?}");
}

#[tokio::test]
async fn one_connection_too_many_is_not_let_in() {
    let Some(broker) = Broker::with(|config| config.mqtt.max_connections = 2).await else { return };
    let mut first = Client::connect(broker.addr, Version::V5, "first").await;
    let second = Client::connect(broker.addr, Version::V5, "second").await;
    let mut third = Client::open(broker.addr, Version::V5).await;
    third.send(Packet::Connect(Box::new(connect(Version::V5, "third")))).await;
    match third.receive_or_end().await {
        None => {}
        Some(Packet::ConnAck(connack)) => assert!(connack.reason.is_error(), "{connack:?}"),
        Some(other) => panic!("{other:?}"),
    }
    first.ping().await;
    second.leave().await;
}
