//! The two events: what they say, when they come, and when they do not.

use mqtt_codec::{Connect, Packet, Property, Qos, ReasonCode, Version};
use mqtt_modules::Modules;
use serde_json::json;

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, keeping, message, will},
    events::Watcher,
};

const CONNECTED: [&str; 12] = [
    "username",
    "ts",
    "sockport",
    "proto_ver",
    "proto_name",
    "keepalive",
    "ipaddress",
    "expiry_interval",
    "connected_at",
    "connack",
    "clientid",
    "clean_start",
];

const DISCONNECTED: [&str; 9] =
    ["username", "ts", "sockport", "reason", "proto_ver", "proto_name", "ipaddress", "disconnected_at", "clientid"];

#[tokio::test]
async fn events_have_exactly_their_keys_in_order_and_tell_the_truth() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for (version, level, name) in [(Version::V3_1, 3, "MQIsdp"), (Version::V3_1_1, 4, "MQTT"), (Version::V5, 5, "MQTT")]
    {
        let asked =
            Connect { username: Some("foo".into()), keep_alive: 77, clean_start: true, ..connect(version, "it") };
        let (client, _) = Client::connect_with(broker.addr, asked).await;
        let event = watcher.event().await;
        assert_eq!(event.publish.topic.unwrap().as_str(), "$SYS/brokers/rollcall@127.0.0.1/clients/it/connected");
        assert_eq!((event.publish.qos, event.publish.retain), (Qos::AtLeastOnce, false));
        let schema = if event.is_connected { "emqx4/connected" } else { "emqx4/disconnected" };
        let schema = Property::UserProperty("schema".into(), schema.into());
        assert_eq!(event.publish.properties, [Property::ContentType("application/json".into()), schema].into());
        let connected = event.object;
        assert_eq!(connected.keys(), CONNECTED);
        for (key, value) in [
            ("username", json!("foo")),
            ("sockport", json!(broker.addr.port())),
            ("proto_ver", json!(level)),
            ("proto_name", json!(name)),
            ("keepalive", json!(77)),
            ("ipaddress", json!("127.0.0.1")),
            ("expiry_interval", json!(0)),
            ("connack", json!(0)),
            ("clientid", json!("it")),
            ("clean_start", json!(true)),
        ] {
            assert_eq!(connected.value(key), &value, "{key}");
        }
        let connected_at = connected.number("connected_at");
        assert!(connected_at > 1_700_000_000_000, "milliseconds");
        assert!(connected.number("ts") >= connected_at);

        client.leave().await;
        let disconnected = watcher.disconnected("it", "normal").await;
        assert_eq!(disconnected.keys(), DISCONNECTED);
        for (key, value) in [
            ("username", json!("foo")),
            ("sockport", json!(broker.addr.port())),
            ("proto_ver", json!(level)),
            ("proto_name", json!(name)),
            ("ipaddress", json!("127.0.0.1")),
            ("clientid", json!("it")),
        ] {
            assert_eq!(disconnected.value(key), &value, "{key}");
        }
        assert!(disconnected.number("disconnected_at") >= connected_at);
        watcher.silence().await;
    }
}

#[tokio::test]
async fn expiry_intervals_are_those_that_count() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let expiring = |seconds| Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(seconds)].into(),
        ..connect(Version::V5, "it")
    };
    for (asked, seconds) in [
        (connect(Version::V3_1, "it"), 0),
        (connect(Version::V3_1_1, "it"), 0),
        (keeping(Version::V3_1_1, "it"), 7200),
        (keeping(Version::V3_1, "it"), 7200),
        (connect(Version::V5, "it"), 0),
        (expiring(0), 0),
        (expiring(5), 5),
        (expiring(u32::MAX), u64::from(u32::MAX)),
    ] {
        let clean_start = asked.clean_start;
        let (client, _) = Client::connect_with(broker.addr, asked).await;
        let event = watcher.connected("it").await;
        assert_eq!(event.number("expiry_interval"), seconds);
        assert_eq!(event.value("clean_start"), &json!(clean_start));
        client.leave().await;
        watcher.disconnected("it", "normal").await;
    }
}

#[tokio::test]
async fn a_client_without_a_user_name_is_undefined() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let client = Client::connect(broker.addr, Version::V3_1_1, "it").await;
    assert_eq!(watcher.connected("it").await.text("username"), "undefined");
    client.leave().await;
    assert_eq!(watcher.disconnected("it", "normal").await.text("username"), "undefined");
}

#[tokio::test]
async fn assigned_ids_are_told() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let (_client, connack) = Client::connect_with(broker.addr, connect(Version::V5, "")).await;
    let assigned = connack.properties.assigned_client_id().unwrap();
    assert_eq!(watcher.connected(&assigned).await.text("clientid"), &*assigned);
    let _old = Client::connect(broker.addr, Version::V3_1_1, "").await;
    let event = watcher.event().await;
    assert!(event.is_connected && !event.client_id.is_empty());
    assert_eq!(event.object.text("clientid"), event.client_id);
}

#[tokio::test]
async fn odd_client_ids_are_told_as_they_are() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for (client_id, in_topic) in [
        ("a/b", "a/b"),
        ("a+b#c", "a%2Bb%23c"),
        ("a%2Bb%23c", "a%252Bb%2523c"),
        ("connected", "connected"),
        ("\"quoted\\\"", "\"quoted\\\""),
        ("Ω \u{1f680}", "Ω \u{1f680}"),
        (" ", " "),
    ] {
        let client = Client::connect(broker.addr, Version::V5, client_id).await;
        assert_eq!(watcher.connected(in_topic).await.text("clientid"), client_id);
        client.leave().await;
        assert_eq!(watcher.disconnected(in_topic, "normal").await.text("clientid"), client_id);
    }
}

/// Guarantee 5: whoever has its CONNACK has been announced.
#[tokio::test]
async fn the_event_comes_before_connack() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for round in 0..50 {
        let client = Client::connect(broker.addr, VERSIONS[round % 3], "it").await;
        watcher.client.send(Packet::PingReq).await;
        watcher.connected("it").await;
        assert_eq!(watcher.client.receive().await, Packet::PingResp);
        client.leave().await;
        watcher.client.send(Packet::PingReq).await;
        watcher.disconnected("it", "normal").await;
        assert_eq!(watcher.client.receive().await, Packet::PingResp);
    }
}

/// Guarantee 2 and 5.
#[tokio::test]
async fn a_takeover_ends_the_old_one_before_it_announces_the_new_one() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for version in VERSIONS {
        for (clean_start, reason) in [(false, "takeovered"), (true, "discarded")] {
            let old = Connect { will: Some(will("will/it", "old")), ..keeping(version, "it") };
            let (mut old, _) = Client::connect_with(broker.addr, old).await;
            watcher.connected("it").await;
            let (new, _) = Client::connect_with(broker.addr, Connect { clean_start, ..keeping(version, "it") }).await;
            assert_eq!(watcher.client.take_text().await, "old", "the will is before the event");
            let gone = watcher.disconnected("it", reason).await;
            let come = watcher.connected("it").await;
            assert!(gone.number("disconnected_at") <= come.number("connected_at"));
            old.expect_disconnect(ReasonCode::SessionTakenOver).await;
            watcher.silence().await;
            new.leave().await;
            watcher.disconnected("it", "normal").await;
        }
    }
}

/// Guarantee 6.
#[tokio::test]
async fn who_never_came_in_is_not_announced() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let starts: [&[u8]; 6] = [
        &[],
        &[0x10],
        &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1],
        &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 9, 2, 0, 60, 0, 1, b'a'],
        &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 60, 0, 0],
        &[0xc0, 0],
    ];
    for start in starts {
        let mut client = Client::open(broker.addr, Version::V3_1_1).await;
        client.send_bytes(start).await;
        client.cut().await;
    }
    let idle = Client::open(broker.addr, Version::V5).await;
    let asked =
        Connect { properties: [Property::AuthenticationMethod("x".into())].into(), ..connect(Version::V5, "a") };
    let (_refused, connack) = Client::try_connect(broker.addr, asked).await;
    assert!(connack.reason.is_error());
    let good = Client::connect(broker.addr, Version::V5, "good").await;
    watcher.connected("good").await;
    idle.reset();
    good.leave().await;
    watcher.disconnected("good", "normal").await;
    watcher.silence().await;
}

/// Guarantee 9.
#[tokio::test]
async fn the_module_stops_and_starts_while_clients_are_connected() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let stays = Client::connect(broker.addr, Version::V5, "stays").await;
    let leaves = Client::connect(broker.addr, Version::V5, "leaves").await;
    watcher.connected("stays").await;
    watcher.connected("leaves").await;

    broker.server().registry().stop("presence").await.unwrap();
    leaves.leave().await;
    let comes = Client::connect(broker.addr, Version::V3_1_1, "comes").await;
    watcher.silence().await;
    assert!(broker.server().registry().stop("presence").await.is_err());

    broker.server().registry().start("presence").await.unwrap();
    watcher.silence().await;
    stays.leave().await;
    watcher.disconnected("stays", "normal").await;
    comes.leave().await;
    watcher.disconnected("comes", "normal").await;
    let again = Client::connect(broker.addr, Version::V5, "again").await;
    watcher.connected("again").await;
    broker.server().registry().restart("presence").await.unwrap();
    again.leave().await;
    watcher.disconnected("again", "normal").await;
    watcher.silence().await;
}

#[tokio::test]
async fn a_subscriber_that_was_away_gets_what_it_missed() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V3_1_1, "away")).await;
    away.subscribe("$SYS/brokers/+/clients/+/connected", Qos::AtLeastOnce).await;
    away.subscribe("$SYS/brokers/+/clients/+/disconnected", Qos::AtLeastOnce).await;
    away.leave().await;
    for number in 0..20 {
        Client::connect(broker.addr, Version::V5, &format!("c{number}")).await.leave().await;
    }
    let (away, connack) = Client::connect_with(broker.addr, keeping(Version::V3_1_1, "away")).await;
    assert!(connack.session_present);
    let mut watcher = Watcher { client: away };
    watcher.disconnected("away", "normal").await;
    for number in 0..20 {
        watcher.connected(&format!("c{number}")).await;
        watcher.disconnected(&format!("c{number}"), "normal").await;
    }
    watcher.connected("away").await;
    watcher.silence().await;
}

#[tokio::test]
async fn subscribing_below_sys_is_refused_where_nobody_may() {
    let Some(broker) = Broker::with(|config| config.sys.subscribe = mqtt_config::SysSubscribe::None).await else {
        return;
    };
    for version in VERSIONS {
        let told = if version == Version::V5 { ReasonCode::NotAuthorized } else { ReasonCode::UnspecifiedError };
        let mut client = Client::connect(broker.addr, version, "curious").await;
        for text in [
            "$SYS/#",
            "$SYS/brokers/+/clients/#",
            "$SYS",
            "$SYS/+",
            "$share/g/$SYS/#",
            "$share/g/$SYS/brokers/+/clients/+/connected",
        ] {
            assert_eq!(client.subscribe(text, Qos::AtLeastOnce).await, told, "{text}");
        }
        // These do not reach there. [MQTT-4.7.2-1]
        for text in ["#", "+/brokers/#", "$share/g/#"] {
            assert_eq!(client.subscribe(text, Qos::AtLeastOnce).await, ReasonCode::GrantedQos1, "{text}");
        }
        Client::connect(broker.addr, version, "other").await.leave().await;
        client.ping().await;
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        publisher.publish(message("a", "still served", Qos::AtLeastOnce)).await;
        assert_eq!(client.take_text().await, "still served");
        client.leave().await;
    }
}

#[tokio::test]
async fn shared_subscriptions_to_events_split_them() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut one = Client::connect(broker.addr, Version::V5, "one").await;
    assert_eq!(
        one.subscribe("$share/g/$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await,
        ReasonCode::GrantedQos1,
        "from loopback"
    );
    Client::connect(broker.addr, Version::V5, "it").await.leave().await;
    let mut watcher = Watcher { client: one };
    watcher.connected("it").await;
    watcher.disconnected("it", "normal").await;
}

#[tokio::test]
async fn settings_change_the_events() {
    let Some(broker) = Broker::with(|config| {
        let presence = config.modules.entry("presence".to_owned()).or_default();
        presence.settings = json!({ "qos": 0, "missing_username": "null", "extended": true });
        config.node.name = "here".to_owned();
    })
    .await
    else {
        return;
    };
    let mut watcher = Watcher::start(broker.addr).await;
    let client = Client::connect(broker.addr, Version::V5, "it").await;
    let event = watcher.event().await;
    assert_eq!(event.publish.topic.unwrap().as_str(), "$SYS/brokers/here/clients/it/connected");
    assert_eq!(event.publish.qos, Qos::AtMostOnce);
    assert!(event.object.value("username").is_null());
    assert_eq!(event.object.keys()[..12], CONNECTED);
    assert_eq!(event.object.text("node"), "here");
    client.leave().await;
    let gone = watcher.disconnected("it", "normal").await;
    assert_eq!(gone.keys()[..9], DISCONNECTED);
    assert_eq!(gone.text("initiator"), "client");
    assert_eq!(gone.number("connected_at"), event.object.number("connected_at"));
}

#[tokio::test]
async fn a_module_that_is_off_says_nothing() {
    let Some(broker) =
        Broker::with(|config| config.modules.entry("presence".to_owned()).or_default().enabled = Some(false)).await
    else {
        return;
    };
    let mut watcher = Watcher::start(broker.addr).await;
    Client::connect(broker.addr, Version::V5, "it").await.leave().await;
    watcher.silence().await;
    broker.server().registry().start("presence").await.unwrap();
    Client::connect(broker.addr, Version::V5, "it").await.leave().await;
    watcher.connected("it").await;
    watcher.disconnected("it", "normal").await;
}
