//! Clients that fall silent.

use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::{Connect, Packet, Properties, Publish, Qos, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, id, message, topic},
    clock,
};

/// [MQTT-3.1.2-22]
#[tokio::test]
async fn a_silent_client_is_closed() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let asked = Connect { keep_alive: 1, ..connect(version, "silent") };
        let (mut client, _) = Client::connect_with(broker.addr, asked).await;
        client.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    }
}

/// What the broker sends does not count.
#[tokio::test]
async fn receiving_is_not_talking() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let asked = Connect { keep_alive: 1, ..connect(Version::V5, "listens") };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    client.subscribe("a", Qos::AtMostOnce).await;
    loop {
        publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
        match client.receive().await {
            Packet::Publish(_) => {}
            Packet::Disconnect(disconnect) => {
                assert_eq!(disconnect.reason, ReasonCode::KeepAliveTimeout);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    client.expect_end().await;
}

/// Half a packet is no packet.
#[tokio::test]
async fn half_a_packet_does_not_keep_a_client_alive() {
    let broker = Broker::start().await;
    let asked = Connect { keep_alive: 1, ..connect(Version::V5, "half") };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    client.send_bytes(&[0x30, 100, 0, 1, b'a']).await;
    client.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
}

/// Nor is it when it comes drop by drop.
#[tokio::test]
async fn a_packet_that_is_fed_in_drop_by_drop_does_not_keep_a_client_alive() {
    let broker = Broker::start().await;
    let asked = Connect { keep_alive: 1, ..connect(Version::V3_1_1, "drips") };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    client.send_bytes(&[0x30, 100, 0, 1, b'a']).await;
    for _ in 0..90 {
        client.send_bytes(b"x").await;
        if let Ok(bytes) = tokio::time::timeout(Duration::from_millis(100), client.bytes_to_end()).await {
            assert!(bytes.is_empty(), "{bytes:02x?}");
            return;
        }
    }
    panic!("it is still there");
}

/// Who takes longer than that for a large one is not silent.
#[tokio::test]
async fn a_large_packet_that_takes_long_keeps_its_client_alive() {
    let broker = Broker::start().await;
    let asked = Connect { keep_alive: 1, ..connect(Version::V3_1_1, "slow") };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    let mut bytes = BytesMut::new();
    let publish = Publish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: Some(topic("a")),
        packet_id: Some(id(7)),
        properties: Properties::EMPTY,
        payload: vec![b'x'; 8000].into(),
    };
    Packet::Publish(publish).encode(Version::V3_1_1, &mut bytes).unwrap();
    for piece in bytes.chunks(1000) {
        client.send_bytes(piece).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    client.expect_puback(id(7)).await;
}

#[tokio::test]
async fn any_packet_keeps_a_client_alive_and_zero_turns_it_off() {
    let broker = Broker::start().await;
    let alive = |client_id, keep_alive| Connect { keep_alive, ..connect(Version::V5, client_id) };
    let (mut pings, _) = Client::connect_with(broker.addr, alive("pings", 4)).await;
    let (mut talks, _) = Client::connect_with(broker.addr, alive("talks", 4)).await;
    let (mut off, _) = Client::connect_with(broker.addr, alive("off", 0)).await;
    for _ in 0..4 {
        clock::wait(broker.addr, 2).await;
        pings.ping().await;
        talks.send_publish(message("a", "x", Qos::AtMostOnce)).await;
    }
    pings.ping().await;
    talks.ping().await;
    off.ping().await;
}

/// [MQTT-3.2.2-21] [MQTT-3.2.2-22]
#[tokio::test]
async fn the_brokers_keep_alive_replaces_the_clients() {
    let Some(broker) = Broker::with(|config| config.mqtt.server_keep_alive = Some(1)).await else { return };
    let (mut client, connack) = Client::connect_with(broker.addr, connect(Version::V5, "silent")).await;
    assert_eq!(connack.properties.server_keep_alive(), Some(1));
    client.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
}
