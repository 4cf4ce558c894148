//! What the broker publishes about itself.

use std::{collections::BTreeMap, time::Duration};

use mqtt_codec::{Packet, Qos, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, keeping, message, retained},
};

const NODE: &str = "$SYS/brokers/rollcall@127.0.0.1";

async fn ticking() -> Option<Broker> {
    Broker::with(|config| {
        config.sys.interval = Duration::from_millis(50);
        config.sys.heartbeat = Duration::from_millis(50);
    })
    .await
}

const STATS: [&str; 8] = [
    "connections",
    "channels",
    "sessions",
    "topics",
    "suboptions",
    "subscribers",
    "subscriptions",
    "subscriptions.shared",
];

const METRICS: [&str; 36] = [
    "bytes/received",
    "bytes/sent",
    "packets/received",
    "packets/sent",
    "packets/connect/received",
    "packets/connack/sent",
    "packets/publish/received",
    "packets/publish/sent",
    "packets/puback/received",
    "packets/puback/sent",
    "packets/pubrec/received",
    "packets/pubrec/sent",
    "packets/pubrel/received",
    "packets/pubrel/sent",
    "packets/pubcomp/received",
    "packets/pubcomp/sent",
    "packets/subscribe/received",
    "packets/suback/sent",
    "packets/unsubscribe/received",
    "packets/unsuback/sent",
    "packets/pingreq/received",
    "packets/pingresp/sent",
    "packets/disconnect/received",
    "packets/disconnect/sent",
    "messages/received",
    "messages/sent",
    "messages/qos0/received",
    "messages/qos1/received",
    "messages/qos2/received",
    "messages/dropped",
    "messages/retained",
    "messages/delivered",
    "delivery/dropped",
    "client/connected",
    "client/disconnected",
    "session/created",
];

/// Waits until `topic` says `value`.
async fn until(client: &mut Client, topic: &str, value: &str) {
    loop {
        let got = client.take().await;
        if got.topic.unwrap().as_str() == topic && got.payload == value {
            return;
        }
    }
}

#[tokio::test]
async fn everything_emqx_has_is_told() {
    let Some(broker) = ticking().await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    client.subscribe("$SYS/#", Qos::AtMostOnce).await;
    let mut wanted: Vec<String> =
        ["version", "sysdescr", "uptime", "datetime"].map(|name| format!("{NODE}/{name}")).into();
    wanted.push("$SYS/brokers".to_owned());
    for name in STATS.into_iter().chain(["retained"]) {
        wanted.push(format!("{NODE}/stats/{name}.count"));
        wanted.push(format!("{NODE}/stats/{name}.max"));
    }
    wanted.extend(METRICS.map(|name| format!("{NODE}/metrics/{name}")));
    let mut seen = BTreeMap::new();
    // Some rounds, each ending with the same topic.
    let mut rounds = 0;
    while rounds < 4 {
        let got = client.take().await;
        let name = got.topic.unwrap().as_str().to_owned();
        rounds += usize::from(name == "$SYS/brokers");
        seen.insert(name, String::from_utf8(got.payload.to_vec()).unwrap());
    }
    let missing: Vec<_> = wanted.iter().filter(|name| !seen.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(seen["$SYS/brokers"], "rollcall@127.0.0.1");
    for (name, value) in seen.iter().filter(|(name, _)| name.contains("/stats/") || name.contains("/metrics/")) {
        assert!(value.parse::<u64>().is_ok(), "{name}: {value}");
    }
    assert!(seen[&format!("{NODE}/uptime")].ends_with(" seconds"));
    let datetime = &seen[&format!("{NODE}/datetime")];
    assert!(datetime.len() == 19 && datetime.as_bytes()[10] == b' ', "{datetime}");
}

#[tokio::test]
async fn names_and_versions_are_retained_and_the_rest_is_not() {
    let Some(broker) = ticking().await else { return };
    let mut first = Client::connect(broker.addr, Version::V5, "first").await;
    first.subscribe("$SYS/brokers/#", Qos::AtMostOnce).await;
    until(&mut first, "$SYS/brokers", "rollcall@127.0.0.1").await;
    until(&mut first, "$SYS/brokers", "rollcall@127.0.0.1").await;
    for (name, is_kept) in [("version", true), ("sysdescr", true), ("uptime", false), ("stats/sessions.count", false)] {
        let mut late = Client::connect(broker.addr, Version::V3_1_1, "late").await;
        late.subscribe(&format!("{NODE}/{name}"), Qos::AtMostOnce).await;
        assert_eq!(late.take().await.retain, is_kept, "{name}");
    }
    let mut late = Client::connect(broker.addr, Version::V3_1_1, "late").await;
    late.subscribe("$SYS/brokers", Qos::AtMostOnce).await;
    assert!(late.take().await.retain);
}

#[tokio::test]
async fn numbers_follow_what_happens() {
    let Some(broker) = ticking().await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe(&format!("{NODE}/stats/#"), Qos::AtMostOnce).await;
    until(&mut watcher, &format!("{NODE}/stats/connections.count"), "1").await;
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    until(&mut watcher, &format!("{NODE}/stats/connections.count"), "2").await;
    client.subscribe("a", Qos::AtMostOnce).await;
    client.subscribe("$share/g/a", Qos::AtMostOnce).await;
    until(&mut watcher, &format!("{NODE}/stats/subscriptions.count"), "3").await;
    until(&mut watcher, &format!("{NODE}/stats/subscriptions.shared.count"), "1").await;
    client.leave().await;
    until(&mut watcher, &format!("{NODE}/stats/connections.count"), "1").await;
    until(&mut watcher, &format!("{NODE}/stats/connections.max"), "2").await;
    until(&mut watcher, &format!("{NODE}/stats/subscriptions.count"), "1").await;

    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher2").await;
    watcher.subscribe(&format!("{NODE}/metrics/#"), Qos::AtMostOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        publisher.publish(message("a", "x", qos)).await;
    }
    publisher.publish(retained("kept", "x", Qos::AtMostOnce)).await;
    for (name, value) in [
        ("messages/qos0/received", "2"),
        ("messages/qos1/received", "2"),
        ("messages/qos2/received", "1"),
        ("messages/received", "5"),
        ("packets/publish/received", "5"),
        ("packets/puback/sent", "2"),
        ("packets/pubcomp/sent", "1"),
        ("packets/connect/received", "4"),
        ("client/connected", "4"),
        ("client/disconnected", "1"),
    ] {
        until(&mut watcher, &format!("{NODE}/metrics/{name}"), value).await;
    }
}

/// What was subscribed to from this machine is not for who comes back from another one.
#[tokio::test]
async fn a_resumed_session_is_held_to_the_rules_of_where_it_is_now() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for version in [Version::V3_1_1, Version::V5] {
        let (mut here, _) = Client::connect_with(broker.addr, keeping(version, "watcher")).await;
        here.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
        here.subscribe("$share/g/$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
        here.subscribe("a", Qos::AtLeastOnce).await;
        here.leave().await;
        // An event and a message wait for it.
        let mut other = Client::connect(broker.addr, version, "other").await;
        other.publish(message("a", "1", Qos::AtLeastOnce)).await;

        let elsewhere = broker.server().connect_in_memory("192.0.2.1:50000".parse().unwrap());
        let mut there = Client::over(elsewhere, version);
        there.send(Packet::Connect(Box::new(keeping(version, "watcher")))).await;
        let Packet::ConnAck(answer) = there.receive().await else { panic!("no CONNACK") };
        assert!(answer.session_present);
        assert_eq!(there.take_text().await, "1");
        other.publish(message("a", "2", Qos::AtLeastOnce)).await;
        other.leave().await;
        assert_eq!(there.take_text().await, "2");
        there.ping().await;
        let gone = there.unsubscribe(&["$SYS/brokers/+/clients/#", "$share/g/$SYS/brokers/+/clients/#"]).await;
        if version == Version::V5 {
            assert_eq!(gone, [ReasonCode::NoSubscriptionExisted; 2]);
        }
        there.leave().await;
        // From here it may subscribe again, and keeps it.
        let (mut here, _) = Client::connect_with(broker.addr, keeping(version, "watcher")).await;
        here.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
        here.leave().await;
        let (mut here, _) = Client::connect_with(broker.addr, keeping(version, "watcher")).await;
        Client::connect(broker.addr, version, "marker").await.leave().await;
        while !here.take().await.topic.unwrap().as_str().ends_with("/marker/disconnected") {}
        here.leave().await;
        Client::connect(broker.addr, version, "watcher").await.leave().await;
    }
}
