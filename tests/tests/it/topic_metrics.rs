//! Counters of single topics.

use mqtt_codec::{Qos, ReasonCode, Version};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::{
    admin::{self, ask, send},
    client::{Client, QOS, message, retained},
};

const MODULE: &str = "topic_metrics";

#[tokio::test]
async fn what_comes_and_goes_by_a_topic_is_counted() {
    let Some((broker, admin)) = admin::start().await else { return };
    let add = |topic: &str| json!({"topic": topic}).to_string();
    assert_eq!(send(admin, "POST /api/v4/topic-metrics", &add("a/b")).await.status, 404, "it does not run");
    broker.server().registry().start(MODULE).await.unwrap();
    assert_eq!(send(admin, "POST /api/v4/topic-metrics", &add("a/b")).await.json(), json!({"code": 0}));
    for (topic, status) in [("a/b", 409), ("a/#", 400), ("", 400)] {
        assert_eq!(send(admin, "POST /api/v4/topic-metrics", &add(topic)).await.status, status, "{topic}");
    }
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    for qos in QOS {
        client.publish(message("a/b", "nobody", qos)).await;
    }
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("a/+", Qos::AtLeastOnce).await;
    for qos in QOS {
        assert_eq!(client.publish(message("a/b", "x", qos)).await, ReasonCode::Success);
        watcher.take().await;
    }
    client.publish(message("a/c", "x", Qos::AtLeastOnce)).await;
    watcher.take().await;
    let expected = [
        ("in", 6),
        ("out", 3),
        ("dropped", 3),
        ("qos0.in", 2),
        ("qos1.in", 2),
        ("qos2.in", 2),
        ("qos0.out", 1),
        ("qos1.out", 2),
        ("qos2.out", 0),
    ];
    let one = ask(admin, "GET /api/v4/topic-metrics/a%2Fb").await.json();
    let all = ask(admin, "GET /api/v4/topic-metrics").await.json();
    assert_eq!((&all["code"], &all["data"][0]["topic"], &all["data"][1]), (&json!(0), &json!("a/b"), &Value::Null));
    for (name, count) in expected {
        assert_eq!(one["data"][format!("messages.{name}.count")], count, "{name}: {one}");
        assert!(all["data"][0]["metrics"][format!("messages.{name}.rate")].is_number(), "{name}: {all}");
    }
    assert_eq!(ask(admin, "GET /api/v4/topic-metrics/a").await.status, 404);
    assert_eq!(send(admin, "DELETE /api/v4/topic-metrics/a%2Fb", "").await.json(), json!({"code": 0}));
    assert_eq!(send(admin, "DELETE /api/v4/topic-metrics/a%2Fb", "").await.status, 404);
    assert_eq!(ask(admin, "GET /api/v4/topic-metrics").await.json()["data"], json!([]));
}

#[tokio::test]
async fn what_waits_and_what_is_retained_is_counted_as_taken() {
    let Some((broker, admin)) = admin::start().await else { return };
    broker.server().registry().start(MODULE).await.unwrap();
    send(admin, "POST /api/v4/topic-metrics", &json!({"topic": "kept"}).to_string()).await;
    let mut away = Client::connect_with(broker.addr, crate::client::keeping(Version::V5, "away")).await.0;
    away.subscribe("kept", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    client.publish(retained("kept", "x", Qos::AtLeastOnce)).await;
    client.subscribe("kept", Qos::AtMostOnce).await;
    assert!(client.take().await.retain);
    let counted = ask(admin, "GET /api/v4/topic-metrics/kept").await.json();
    for (name, count) in [("in", 1), ("out", 2), ("qos1.out", 1), ("qos0.out", 1), ("dropped", 0)] {
        assert_eq!(counted["data"][format!("messages.{name}.count")], count, "{name}: {counted}");
    }
}
