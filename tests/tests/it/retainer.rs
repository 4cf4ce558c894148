//! Which messages are retained, while the module that decides it runs and while it does not.

use mqtt_codec::{Connect, Qos, ReasonCode, Version};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::{
    broker::Broker,
    client::{Client, QOS, VERSIONS, connect, retained, will},
    clock,
};

const MODULE: &str = "retainer";

async fn start_with(settings: Value) -> Option<Broker> {
    let broker = Broker::with(|_| ()).await?;
    broker.server().registry().configure(MODULE, settings).await.unwrap();
    Some(broker)
}

/// What is retained on topics, as who subscribes is sent it.
#[track_caller]
fn kept(broker: &Broker) -> impl Future<Output = Vec<String>> {
    let addr = broker.addr;
    async move {
        let mut client = Client::connect(addr, Version::V5, "looks").await;
        client.subscribe("#", Qos::AtMostOnce).await;
        // It comes before the answer to a ping, if it comes.
        client.send(mqtt_codec::Packet::PingReq).await;
        let mut kept = Vec::new();
        loop {
            match client.receive().await {
                mqtt_codec::Packet::Publish(publish) => {
                    assert!(publish.retain);
                    kept.push(format!("{}={}", publish.topic.unwrap(), String::from_utf8_lossy(&publish.payload)));
                }
                mqtt_codec::Packet::PingResp => break,
                other => panic!("{other:?}"),
            }
        }
        client.leave().await;
        kept.sort();
        kept
    }
}

#[tokio::test]
async fn while_it_is_stopped_nothing_is_kept_sent_or_removed() {
    let Some(broker) = Broker::with(|_| ()).await else { return };
    let registry = broker.server().registry();
    let mut live = Client::connect(broker.addr, Version::V5, "live").await;
    live.subscribe("a/#", Qos::ExactlyOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    for topic in ["a/old", "a/removed", "a/left"] {
        client.publish(retained(topic, "1", Qos::AtLeastOnce)).await;
        live.take().await;
    }
    registry.stop(MODULE).await.unwrap();
    assert_eq!(kept(&broker).await, [""; 0]);
    for qos in QOS {
        for (topic, payload) in [("a/new", "2"), ("a/old", "2"), ("a/removed", "")] {
            assert_eq!(client.publish(retained(topic, payload, qos)).await, ReasonCode::Success);
            assert_eq!(live.take_text().await, payload, "who subscribes gets it");
        }
    }
    for version in VERSIONS {
        let willing = Connect { will: Some(retained_will("a/left")), ..connect(version, "willing") };
        Client::connect_with(broker.addr, willing).await.0.cut().await;
        assert_eq!(live.take_text().await, "gone");
    }
    registry.start(MODULE).await.unwrap();
    assert_eq!(kept(&broker).await, ["a/left=1", "a/old=1", "a/removed=1"]);
    client.publish(retained("a/removed", "", Qos::AtLeastOnce)).await;
    assert_eq!(kept(&broker).await, ["a/left=1", "a/old=1"]);
}

fn retained_will(topic: &str) -> mqtt_codec::Will {
    let mut will = will(topic, "gone");
    will.message.retain = true;
    will
}

#[tokio::test]
async fn large_ones_and_too_many_are_not_kept_but_delivered() {
    let Some(broker) = start_with(json!({"max_payload_size": 3, "max_retained_messages": 2})).await else { return };
    let mut live = Client::connect(broker.addr, Version::V5, "live").await;
    live.subscribe("+", Qos::AtLeastOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    for (topic, payload) in [("a", "1"), ("a", "1234"), ("b", "2"), ("c", "3"), ("b", "22")] {
        client.publish(retained(topic, payload, Qos::AtLeastOnce)).await;
        assert_eq!(live.take_text().await, payload);
    }
    assert_eq!(kept(&broker).await, ["a=1", "b=22"]);
    client.publish(retained("a", "", Qos::AtLeastOnce)).await;
    live.take().await;
    client.publish(retained("c", "3", Qos::AtLeastOnce)).await;
    assert_eq!(kept(&broker).await, ["b=22", "c=3"]);
}

#[tokio::test]
async fn they_expire_who_do_not_say_so_themselves() {
    let Some(broker) = start_with(json!({"expiry_interval": 2})).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    client.publish(retained("soon", "1", Qos::AtLeastOnce)).await;
    let long = mqtt_codec::Message {
        properties: [mqtt_codec::Property::MessageExpiry(100)].into_iter().collect(),
        ..retained("late", "1", Qos::AtLeastOnce)
    };
    client.publish(long).await;
    clock::wait(broker.addr, 3).await;
    assert_eq!(kept(&broker).await, ["late=1"]);
}

#[tokio::test]
async fn a_removal_is_kept_from_subscribers_if_they_are_not_to_see_it() {
    let Some(broker) = start_with(json!({"stop_publish_clear_msg": true})).await else { return };
    let mut live = Client::connect(broker.addr, Version::V5, "live").await;
    live.subscribe("a", Qos::ExactlyOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    for qos in QOS {
        client.publish(retained("a", "1", qos)).await;
        assert_eq!(live.take_text().await, "1");
        assert_eq!(client.publish(retained("a", "", qos)).await, ReasonCode::Success);
        live.ping().await;
        assert_eq!(kept(&broker).await, [""; 0]);
    }
}
