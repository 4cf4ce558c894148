//! Topics that become others.

use mqtt_codec::{Connect, Message, Property, Qos, ReasonCode, Version};
use mqtt_config::Config;
use mqtt_modules::Modules;
use serde_json::json;

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, keeping, message, retained, will},
};

const MODULE: &str = "topic_rewrite";

/// With rules of action, filter, expression and destination.
async fn start_with(rules: &[[&str; 4]], change: impl FnOnce(&mut Config)) -> Option<Broker> {
    let broker = Broker::with(change).await?;
    let rule = |[action, source_topic, re, dest_topic]: &[&str; 4]| json!({"action": action, "source_topic": source_topic, "re": re, "dest_topic": dest_topic});
    let settings = json!({"rule": rules.iter().map(rule).collect::<Vec<_>>()});
    broker.server().registry().configure(MODULE, settings).await.unwrap();
    broker.server().registry().start(MODULE).await.unwrap();
    Some(broker)
}

async fn start(rules: &[[&str; 4]]) -> Option<Broker> {
    start_with(rules, |_| {}).await
}

#[tokio::test]
async fn messages_and_subscriptions_meet_at_the_topic_that_theirs_become() {
    let Some(broker) = start(&[["all", "x/#", "^x/y/(.+)$", "z/y/$1"]]).await else { return };
    for version in VERSIONS {
        let mut watcher = Client::connect(broker.addr, version, "watcher").await;
        watcher.subscribe("z/y/+", Qos::AtLeastOnce).await;
        let mut other = Client::connect(broker.addr, version, "other").await;
        other.subscribe("x/y/+", Qos::AtLeastOnce).await;
        let mut client = Client::connect(broker.addr, version, "c").await;
        client.publish(message("x/y/1", "becomes", Qos::AtLeastOnce)).await;
        client.publish(message("z/y/1", "is", Qos::AtLeastOnce)).await;
        for receiver in [&mut watcher, &mut other] {
            for text in ["becomes", "is"] {
                let got = receiver.take().await;
                assert_eq!((got.topic.unwrap().as_str(), &*got.payload), ("z/y/1", text.as_bytes()));
            }
        }
        other.unsubscribe(&["x/y/+"]).await;
        client.publish(message("x/y/1", "no more", Qos::AtLeastOnce)).await;
        watcher.take().await;
        other.ping().await;
    }
}

#[tokio::test]
async fn wills_and_retained_messages_and_groups_are_rewritten_too() {
    let Some(broker) = start(&[["all", "x/#", "^x/(.+)$", "z/$1"]]).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    client.publish(retained("x/kept", "kept", Qos::AtLeastOnce)).await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("z/#", Qos::AtLeastOnce).await;
    assert_eq!(watcher.take().await.topic.unwrap().as_str(), "z/kept");
    let willing = Connect { will: Some(will("x/left", "gone")), ..connect(Version::V5, "willing") };
    Client::connect_with(broker.addr, willing).await.0.cut().await;
    assert_eq!(watcher.take().await.topic.unwrap().as_str(), "z/left");
    let mut member = Client::connect(broker.addr, Version::V5, "member").await;
    member.subscribe("$share/g/x/work", Qos::AtLeastOnce).await;
    let mut second = Client::connect(broker.addr, Version::V5, "second").await;
    second.subscribe("$share/g/z/work", Qos::AtLeastOnce).await;
    for n in 0..4 {
        client.publish(message("z/work", n.to_string(), Qos::AtLeastOnce)).await;
        watcher.take().await;
    }
    // Two of them each: it is one group.
    for client in [&mut member, &mut second] {
        client.take().await;
        client.take().await;
        client.ping().await;
    }
    assert_eq!(member.unsubscribe(&["$share/g/x/work"]).await, [ReasonCode::Success]);
}

#[tokio::test]
async fn an_alias_stands_for_the_topic_as_it_was_sent() {
    let Some(broker) = start(&[["pub", "x/#", "^x/(.+)$", "z/$1"]]).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("z/a", Qos::AtLeastOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    let aliased = |name| Message {
        properties: [Property::TopicAlias(1)].into_iter().collect(),
        ..message(name, "x", Qos::AtLeastOnce)
    };
    client.publish(aliased("x/a")).await;
    watcher.take().await;
    let mut again = mqtt_codec::Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: None,
        packet_id: None,
        properties: aliased("x/a").properties,
        payload: "again".into(),
    };
    client.send(mqtt_codec::Packet::Publish(again.clone())).await;
    assert_eq!(watcher.take_text().await, "again");
    again.payload = "and again".into();
    client.send(mqtt_codec::Packet::Publish(again)).await;
    assert_eq!(watcher.take_text().await, "and again");
}

#[tokio::test]
async fn nobody_gets_below_sys_or_past_the_limits_by_a_rule() {
    let rules = [["all", "in/#", "^in/(.+)$", "$1"], ["all", "deep/#", "^deep$", "a/b/c/d/e/f/g/h"]];
    let Some(broker) = start_with(&rules, |config| config.limits.max_topic_levels = 6).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/mine", Qos::AtLeastOnce).await;
    watcher.subscribe("in/$SYS/mine", Qos::AtLeastOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    client.publish(message("in/$SYS/mine", "x", Qos::AtLeastOnce)).await;
    assert_eq!(watcher.take().await.topic.unwrap().as_str(), "in/$SYS/mine");
    assert_eq!(watcher.subscribe("deep", Qos::AtLeastOnce).await, ReasonCode::TopicFilterInvalid);
    watcher.ping().await;
}

#[tokio::test]
async fn nobody_gets_to_topics_of_modules_by_a_rule() {
    let rules = [["pub", "in/#", "^in/(.+)$", "$1"], ["pub", "late/#", "^late/(.+)$", "$delayed/0/$1"]];
    let Some(broker) = start(&rules).await else { return };
    broker.server().registry().start("delayed_publish").await.unwrap();
    let availability = json!({"availability": [{"topic": "dev/${clientid}/availability"}]});
    broker.server().registry().configure("presence", availability).await.unwrap();
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("#", Qos::AtLeastOnce).await;
    let theirs = watcher.take().await;
    assert_eq!(theirs.topic.unwrap().as_str(), "dev/watcher/availability");
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    watcher.take().await;
    client.publish(retained("in/dev/c/availability", "offline", Qos::AtLeastOnce)).await;
    let got = watcher.take().await;
    assert_eq!((got.topic.unwrap().as_str(), &*got.payload), ("in/dev/c/availability", &b"offline"[..]));
    let late = retained("late/dev/c/availability", "offline", Qos::AtLeastOnce);
    assert_eq!(client.publish(late).await, ReasonCode::TopicNameInvalid);
    watcher.ping().await;
}

#[tokio::test]
async fn a_rule_makes_a_delayed_message_of_one() {
    let rules = [
        ["pub", "later/#", "^later/(.+)$", "$delayed/0/$1"],
        ["pub", "x/#", "^x/(.+)$", "z/$1"],
        ["pub", "again/#", "^(.+)$", "$delayed/0/$1"],
        ["pub", "never/#", "^never/(.+)$", "$delayed/never/$1"],
    ];
    let Some(broker) = start(&rules).await else { return };
    broker.server().registry().start("delayed_publish").await.unwrap();
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("#", Qos::AtLeastOnce).await;
    watcher.subscribe("$delayed/#", Qos::AtLeastOnce).await;
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    for (topic, becomes) in [
        ("later/a", "a"),
        // What has waited is looked at as what its client publishes at once.
        ("$delayed/0/x/a", "z/a"),
        ("later/x/a", "z/a"),
        // It waits once.
        ("again/a", "again/a"),
    ] {
        client.publish(message(topic, "x", Qos::AtLeastOnce)).await;
        assert_eq!(watcher.take().await.topic.unwrap().as_str(), becomes, "{topic}");
    }
    assert_eq!(client.publish(message("never/a", "x", Qos::AtLeastOnce)).await, ReasonCode::TopicNameInvalid);
    watcher.ping().await;
}

#[tokio::test]
async fn a_subscription_from_before_the_rules_can_still_be_given_up() {
    let Some(broker) = start(&[]).await else { return };
    let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, "c")).await;
    client.subscribe("x/a", Qos::AtLeastOnce).await;
    let rule = json!({"rule": [{"action": "all", "source_topic": "x/#", "re": "^x/(.+)$", "dest_topic": "z/$1"}]});
    broker.server().registry().configure(MODULE, rule).await.unwrap();
    for expected in [ReasonCode::Success, ReasonCode::NoSubscriptionExisted] {
        assert_eq!(client.unsubscribe(&["x/a"]).await, [expected]);
    }
}
