//! What presence tells besides who comes and goes, where that is turned on.

use mqtt_codec::{Connect, Property, Qos, ReasonCode, Version};
use serde_json::{Value, json};

use crate::broker::{Broker, alone};
use crate::client::{Client, connect, keeping};

/// The next message: the topic below the node's name, and what.
async fn next(watcher: &mut Client) -> (String, Value) {
    let publish = watcher.take().await;
    let topic = publish.topic.as_ref().expect("no alias").as_str();
    let topic = topic.splitn(4, '/').nth(3).expect("below the node").to_owned();
    (topic, serde_json::from_slice(&publish.payload).expect("JSON"))
}

async fn with(settings: Value) -> Option<Broker> {
    Broker::with(|config| {
        let presence = &mut config.modules.entry("presence".to_owned()).or_default().settings;
        for (key, value) in settings.as_object().unwrap() {
            presence[key] = value.clone();
        }
    })
    .await
}

#[tokio::test]
async fn who_is_not_let_in_is_told_of_once_a_second() {
    let Some(broker) = with(json!({"connect_failed": true})).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/clients/+/connect_failed", Qos::AtLeastOnce).await;
    let properties = [Property::AuthenticationMethod("NONE".into())];
    let asked = Connect { properties: properties.into(), ..connect(Version::V5, "stranger") };
    for _ in 0..2 {
        let (mut client, connack) = Client::try_connect(broker.addr, asked.clone()).await;
        assert_eq!(connack.reason, ReasonCode::BadAuthenticationMethod);
        client.expect_end().await;
    }
    let mut count = 0;
    while count < 2 {
        let (topic, told) = next(&mut watcher).await;
        assert_eq!(topic, "clients/stranger/connect_failed");
        assert_eq!((&told["reason"], &told["ipaddress"]), (&json!("bad_authentication_method"), &json!("127.0.0.1")));
        count += told["count"].as_u64().unwrap();
    }
    assert_eq!(count, 2);
}

#[tokio::test]
async fn who_subscribes_to_what_is_told_with_the_keys_of_emqx_5() {
    let Some(broker) = with(json!({"subscriptions": true})).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/clients/a/+", Qos::AtLeastOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    client.subscribe("$share/g/x/+", Qos::ExactlyOnce).await;
    client.unsubscribe(&["$share/g/x/+", "never"]).await;
    client.leave().await;
    let keys = |told: &Value| told.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(next(&mut watcher).await.0, "clients/a/connected");
    let (topic, mut told) = next(&mut watcher).await;
    assert_eq!(topic, "clients/a/subscribed");
    assert!(told["ts"].take().is_u64());
    let subopts = json!({"qos": 2, "nl": 0, "rap": 0, "rh": 0});
    let expected = json!({"clientid": "a", "username": "undefined", "protocol": "mqtt", "topic": "$share/g/x/+",
        "subopts": subopts, "ts": null});
    assert_eq!(told, expected);
    let (topic, told) = next(&mut watcher).await;
    assert_eq!((topic.as_str(), &told["topic"]), ("clients/a/unsubscribed", &json!("$share/g/x/+")));
    assert_eq!(keys(&told).len(), 5);
    assert_eq!(next(&mut watcher).await.0, "clients/a/disconnected");
}

#[tokio::test]
async fn sessions_are_told_to_begin_and_end_between_the_events() {
    // In a cluster it is told after the next coming that a clean start has ended a session.
    if alone() {
        return;
    }
    let Some(broker) = with(json!({"sessions": true})).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/clients/a/+", Qos::AtLeastOnce).await;
    let (kept, _) = Client::connect_with(broker.addr, keeping(Version::V5, "a")).await;
    kept.leave().await;
    let (again, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "a")).await;
    assert!(connack.session_present);
    again.leave().await;
    let clean = Client::connect(broker.addr, Version::V3_1_1, "a").await;
    clean.leave().await;
    let expected = [
        ("connected", ""),
        ("session_created", ""),
        ("disconnected", "normal"),
        ("connected", ""),
        ("disconnected", "normal"),
        ("session_terminated", "discarded"),
        ("connected", ""),
        ("session_created", ""),
        ("disconnected", "normal"),
        ("session_terminated", "expired"),
    ];
    for (event, reason) in expected {
        let (topic, told) = next(&mut watcher).await;
        assert_eq!((topic, told["reason"].as_str().unwrap_or_default()), (format!("clients/a/{event}"), reason));
    }
}
