//! Clients that fall silent.

use mqtt_codec::{Connect, Qos, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, message},
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
            mqtt_codec::Packet::Publish(_) => {}
            mqtt_codec::Packet::Disconnect(disconnect) => {
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
