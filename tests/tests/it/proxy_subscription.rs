//! Subscriptions that clients have from when they come in.

use mqtt_codec::{Connect, Qos, ReasonCode, Version};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::{
    admin::{self, ask},
    broker::Broker,
    client::{Client, VERSIONS, connect, keeping, message, retained},
};

const MODULE: &str = "subscription";

async fn turn_on(broker: &Broker, topics: Value) {
    broker.server().registry().configure(MODULE, json!({"topics": topics})).await.unwrap();
    broker.server().registry().start(MODULE).await.unwrap();
}

#[tokio::test]
async fn a_client_is_subscribed_when_it_comes_in() {
    let Some((broker, admin)) = admin::start().await else { return };
    turn_on(&broker, json!([{"topic": "to/%c", "qos": 1}, {"topic": "user/%u", "qos": 2}])).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        let named = Connect { username: Some("u".into()), ..connect(version, "c") };
        let (mut client, _) = Client::connect_with(broker.addr, named).await;
        let unnamed = Client::connect(broker.addr, version, "#").await;
        // No ping: it is subscribed before anyone can see that it is in.
        for (topic, qos) in [("to/c", Qos::AtLeastOnce), ("user/u", Qos::ExactlyOnce)] {
            assert_eq!(publisher.publish(message(topic, "x", Qos::ExactlyOnce)).await, ReasonCode::Success);
            assert_eq!(client.take().await.qos, qos, "{topic}");
        }
        let listed = ask(admin, "GET /api/v4/subscriptions/c").await.json();
        assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
        assert_eq!(ask(admin, "GET /api/v4/subscriptions/%23").await.json()["data"], json!([]));
        client.leave().await;
        unnamed.leave().await;
    }
    broker.server().registry().stop(MODULE).await.unwrap();
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    publisher.publish(message("to/c", "x", Qos::AtLeastOnce)).await;
    client.ping().await;
}

#[tokio::test]
async fn a_session_that_goes_on_has_it_again() {
    let Some(broker) = Broker::with(|_| ()).await else { return };
    turn_on(&broker, json!([{"topic": "to/%c", "qos": 1}])).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in [Version::V3_1_1, Version::V5] {
        let client_id = format!("{version:?}");
        let topic = format!("to/{client_id}");
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, &client_id)).await;
        client.unsubscribe(&[&topic]).await;
        client.leave().await;
        publisher.publish(message(&topic, "not kept", Qos::AtLeastOnce)).await;
        let (client, answer) = Client::connect_with(broker.addr, keeping(version, &client_id)).await;
        assert!(answer.session_present);
        client.leave().await;
        publisher.publish(message(&topic, "kept", Qos::AtLeastOnce)).await;
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, &client_id)).await;
        assert_eq!(client.take_text().await, "kept");
        client.ping().await;
    }
}

#[tokio::test]
async fn what_is_retained_comes_as_the_subscription_says() {
    let Some(broker) = Broker::with(|_| ()).await else { return };
    let topics = json!([{"topic": "each", "qos": 1}, {"topic": "new", "qos": 1, "rh": 1}, {"topic": "none", "rh": 2}]);
    turn_on(&broker, topics).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for topic in ["each", "new", "none"] {
        publisher.publish(retained(topic, topic, Qos::AtLeastOnce)).await;
        publisher.take().await;
    }
    let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, "c")).await;
    let mut got = [client.take_text().await, client.take_text().await];
    got.sort();
    assert_eq!(got, ["each", "new"]);
    client.ping().await;
    client.leave().await;
    let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, "c")).await;
    assert_eq!(client.take_text().await, "each");
    client.ping().await;
}
