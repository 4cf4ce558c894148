//! Messages to `$delayed/SECONDS/TOPIC`.

use mqtt_codec::{Connect, Message, Property, Qos, ReasonCode, Version};
use mqtt_modules::Modules;
use serde_json::json;

use crate::{
    admin::{self, ask, send},
    broker::{Broker, outside},
    client::{Client, QOS, VERSIONS, connect, keeping, message, retained, will},
    clock,
    crash::Home,
};

const MODULE: &str = "delayed_publish";
const ON: [&str; 2] = ["--set", "modules.delayed_publish.enabled=true"];

/// With the module, which is off by default; `None`: another broker's modules are not ours.
async fn start() -> Option<Broker> {
    let broker = Broker::with(|_| ()).await?;
    broker.server().registry().start(MODULE).await.unwrap();
    Some(broker)
}

#[tokio::test]
async fn a_message_comes_when_its_time_has_come_and_not_by_its_own_topic() {
    let Some(broker) = start().await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("a/#", Qos::ExactlyOnce).await;
    watcher.subscribe("$delayed/#", Qos::ExactlyOnce).await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "c").await;
        for qos in QOS {
            assert_eq!(client.publish(message("$delayed/1/a/late", "late", qos)).await, ReasonCode::Success);
            client.publish(message("a/now", "now", Qos::AtMostOnce)).await;
            assert_eq!(watcher.take_text().await, "now");
            let late = watcher.take().await;
            assert_eq!((late.topic.unwrap().as_str(), late.qos, &*late.payload), ("a/late", qos, &b"late"[..]));
        }
        client.leave().await;
    }
}

#[tokio::test]
async fn what_can_t_be_read_goes_nowhere() {
    let Some(broker) = start().await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    let mut old = Client::connect(broker.addr, Version::V3_1_1, "old").await;
    for filter in ["a", "$delayed/#", "$SYS/a"] {
        client.subscribe(filter, Qos::AtMostOnce).await;
    }
    for topic in ["$delayed/x/a", "$delayed/4294968/a", "$delayed/0", "$delayed/0/$delayed/0/a"] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            assert_eq!(client.publish(message(topic, "x", qos)).await, ReasonCode::TopicNameInvalid, "{topic}");
        }
        // Before version 5 there is no word for it.
        old.publish(message(topic, "x", Qos::AtLeastOnce)).await;
    }
    let to_sys = message("$delayed/0/$SYS/a", "x", Qos::AtLeastOnce);
    client.publish(to_sys).await;
    client.publish(message("$delayed/0/a", "marker", Qos::AtLeastOnce)).await;
    assert_eq!(client.take_text().await, "marker");
}

#[tokio::test]
async fn who_is_one_too_many_is_told_that_it_is_not_kept() {
    let Some(broker) = Broker::with(|_| ()).await else { return };
    broker.server().registry().configure(MODULE, json!({"max_delayed_messages": 2})).await.unwrap();
    broker.server().registry().start(MODULE).await.unwrap();
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    for told in [ReasonCode::Success, ReasonCode::Success, ReasonCode::QuotaExceeded] {
        assert_eq!(client.publish(message("$delayed/1000/a", "x", Qos::AtLeastOnce)).await, told);
    }
    // It expires before it would be published: as it was asked to.
    let expiring = Message {
        properties: [Property::MessageExpiry(1)].into_iter().collect(),
        ..message("$delayed/1000/a", "x", Qos::AtLeastOnce)
    };
    assert_eq!(client.publish(expiring).await, ReasonCode::Success);
}

#[tokio::test]
async fn it_is_retained_and_expires_as_it_was_sent() {
    let Some(broker) = start().await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let properties = [Property::MessageExpiry(100), Property::UserProperty("k".into(), "v".into())].into();
    client.publish(Message { properties, ..retained("$delayed/1/a", "late", Qos::AtLeastOnce) }).await;
    let late = client.take().await;
    assert_eq!(late.properties.message_expiry(), Some(99));
    assert!(late.properties.iter().any(|property| property == Property::UserProperty("k".into(), "v".into())));
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    other.subscribe("a", Qos::AtLeastOnce).await;
    let kept = other.take().await;
    assert!(kept.retain && *kept.payload == b"late"[..]);
}

#[tokio::test]
async fn a_will_can_be_delayed() {
    let Some(broker) = start().await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("left", Qos::AtMostOnce).await;
    for version in VERSIONS {
        let willing = Connect { will: Some(will("$delayed/1/left", "x")), ..connect(version, "willing") };
        let (client, _) = Client::connect_with(broker.addr, willing).await;
        client.cut().await;
        assert_eq!(watcher.take_text().await, "x");
    }
    let sly = Connect { will: Some(will("$delayed/0/$SYS/a", "x")), ..connect(Version::V5, "sly") };
    let (mut sly, answer) = Client::try_connect(broker.addr, sly).await;
    assert_eq!(answer.reason, ReasonCode::Success);
    sly.ping().await;
}

#[tokio::test]
async fn a_stop_keeps_what_waits_for_the_next_start() {
    let Some(broker) = start().await else { return };
    let registry = broker.server().registry();
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    client.publish(message("$delayed/1/a", "late", Qos::AtLeastOnce)).await;
    registry.stop(MODULE).await.unwrap();
    clock::wait(broker.addr, 2).await;
    client.subscribe("$delayed/#", Qos::AtLeastOnce).await;
    client.send_publish(message("$delayed/1/a", "as it is", Qos::AtMostOnce)).await;
    assert_eq!(client.take_text().await, "as it is");
    registry.start(MODULE).await.unwrap();
    assert_eq!(client.take_text().await, "late");
}

#[tokio::test]
async fn what_was_acknowledged_comes_after_a_crash_and_once() {
    if outside() {
        return;
    }
    let mut home = Home::new(&ON).await;
    let (mut away, _) = Client::connect_with(home.addr(), keeping(Version::V5, "away")).await;
    away.subscribe("a", Qos::ExactlyOnce).await;
    away.leave().await;
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut client = Client::connect(home.addr(), Version::V5, "c").await;
        assert_eq!(client.publish(message("$delayed/1/a", "late", qos)).await, ReasonCode::Success);
        home = home.crash().await;
        // Its time may have come before the subscriber does.
        clock::wait(home.addr(), 2).await;
        let (mut away, answer) = Client::connect_with(home.addr(), keeping(Version::V5, "away")).await;
        assert!(answer.session_present);
        let late = away.take().await;
        assert_eq!((late.qos, &*late.payload), (qos, &b"late"[..]));
        away.leave().await;
        home = home.restart().await;
        let (mut away, _) = Client::connect_with(home.addr(), keeping(Version::V5, "away")).await;
        away.ping().await;
        away.leave().await;
    }
}

#[tokio::test]
async fn an_operator_sees_what_waits_and_takes_it_out() {
    let Some((broker, admin)) = admin::start().await else { return };
    broker.server().registry().start(MODULE).await.unwrap();
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    client.subscribe("a/#", Qos::AtLeastOnce).await;
    for n in [3, 2, 1] {
        client.publish(message(&format!("$delayed/{n}/a/{n}"), "late", Qos::AtLeastOnce)).await;
    }
    let page = ask(admin, "GET /api/v4/delayed/messages?_limit=2").await.json();
    let rows = page["data"].as_array().unwrap();
    assert_eq!((&rows[0]["topic"], &rows[1]["topic"], rows.len()), (&"a/1".into(), &"a/2".into(), 2));
    assert_eq!((&rows[1]["qos"], &rows[1]["from_clientid"]), (&1.into(), &"c".into()));
    let id = rows[1]["msgid"].as_str().unwrap();
    let rest = ask(admin, &format!("GET /api/v4/delayed/messages?_after={id}")).await.json();
    assert_eq!((&rest["data"][0]["topic"], &rest["meta"]["hasnext"]), (&"a/3".into(), &false.into()));
    assert_eq!(ask(admin, &format!("GET /api/v4/delayed/messages/{id}")).await.json()["data"]["payload"], "late");
    assert_eq!(send(admin, &format!("DELETE /api/v4/delayed/messages/{id}"), "").await.json()["code"], 0);
    for method in ["GET", "DELETE"] {
        assert_eq!(send(admin, &format!("{method} /api/v4/delayed/messages/{id}"), "").await.status, 404);
    }
    for n in [1, 3] {
        assert_eq!(client.take().await.topic.unwrap().as_str(), format!("a/{n}"));
    }
    let metrics = ask(admin, "GET /metrics").await.body;
    assert!(metrics.contains("rollcall_delayed_publish_published_total 2"), "{metrics}");
}
