//! Bridges of other brokers, which say who they are by the highest bit of the protocol level.

use mqtt_codec::{Connect, Qos, ReasonCode, Version};

use crate::admin::{ask, start};
use crate::broker::Broker;
use crate::client::{Client, VERSIONS, connect, keeping, message, retained, will};

fn bridge(version: Version, client_id: &str) -> Connect {
    Connect { is_bridge: true, ..connect(version, client_id) }
}

#[tokio::test]
async fn a_bridge_is_let_in_and_an_operator_sees_that_it_is_one() {
    let Some((broker, addr)) = start().await else { return };
    for version in VERSIONS {
        let (mut client, _) = Client::connect_with(broker.addr, bridge(version, "bridge")).await;
        client.ping().await;
        let plain = Client::connect(broker.addr, version, "plain").await;
        for (name, is_bridge) in [("bridge", true), ("plain", false)] {
            let answer = ask(addr, &format!("GET /api/v4/clients/{name}")).await.json();
            assert_eq!(answer["data"][0]["is_bridge"], is_bridge, "{name}: {answer}");
        }
        client.leave().await;
        plain.leave().await;
    }
}

/// The other broker is to retain what is retained here, or its own subscribers would miss it.
#[tokio::test]
async fn what_a_bridge_gets_is_retained_as_it_was_published() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for version in VERSIONS {
        let (mut client, _) = Client::connect_with(broker.addr, bridge(version, "bridge")).await;
        client.subscribe("a/#", Qos::AtLeastOnce).await;
        let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
        publisher.publish(retained("a/kept", "1", Qos::AtLeastOnce)).await;
        publisher.publish(message("a/live", "2", Qos::AtLeastOnce)).await;
        assert!(client.take().await.retain);
        assert!(!client.take().await.retain);
        publisher.publish(retained("a/kept", "", Qos::AtLeastOnce)).await;
        assert!(client.take().await.retain);
        client.leave().await;
        publisher.leave().await;
    }
}

/// What it brings from there must not go back: two bridges that do would send one message round for ever.
#[tokio::test]
async fn a_bridge_does_not_get_what_it_brings() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for version in VERSIONS {
        let asked = Connect { will: Some(will("a/b", "its will")), is_bridge: true, ..keeping(version, "bridge") };
        let (mut client, _) = Client::connect_with(broker.addr, asked).await;
        client.subscribe("a/#", Qos::AtLeastOnce).await;
        client.publish(message("a/b", "its own", Qos::AtLeastOnce)).await;
        client.cut().await;
        let (mut client, connack) =
            Client::connect_with(broker.addr, Connect { is_bridge: true, ..keeping(version, "bridge") }).await;
        assert_eq!(connack.session_present, version > Version::V3_1);
        let mut other = Client::connect(broker.addr, version, "other").await;
        other.publish(message("a/b", "another's", Qos::AtLeastOnce)).await;
        assert_eq!(client.take_text().await, "another's");
        client.leave().await;
        other.leave().await;
        Client::connect(broker.addr, version, "bridge").await.leave().await;
    }
}

/// mosquitto's bridges have one that tells whether they are there, unless they are told otherwise.
#[tokio::test]
async fn a_will_below_sys_keeps_nobody_out() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/broker/#", Qos::AtLeastOnce).await;
    watcher.subscribe("marker", Qos::AtLeastOnce).await;
    for version in VERSIONS {
        let gone = Some(will("$SYS/broker/connection/here.there/state", "0"));
        let (client, connack) =
            Client::try_connect(broker.addr, Connect { will: gone, ..bridge(version, "bridge") }).await;
        assert_eq!(connack.reason, ReasonCode::Success);
        client.cut().await;
        let asked = Connect { will: Some(will("marker", "after it")), ..connect(version, "other") };
        Client::connect_with(broker.addr, asked).await.0.cut().await;
        assert_eq!(watcher.take_text().await, "after it");
    }
}
