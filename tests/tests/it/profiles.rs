//! Events as other brokers tell them, to real clients.

use mqtt_codec::{Connect, Packet, Property, Publish, Qos, ReasonCode, Version};
use mqtt_config::{Config, SysSubscribe};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::admin::{ask, send, start_with};
use crate::broker::{Broker, alone};
use crate::client::{Client, connect, message, will};

const AWS: &str = "$aws/events/presence/#";

fn with_profiles(config: &mut Config, profiles: &[&str]) {
    config.modules.entry("presence".to_owned()).or_default().settings["profiles"] = json!(profiles);
}

async fn with(profiles: &[&str]) -> Option<Broker> {
    Broker::with(|config| with_profiles(config, profiles)).await
}

/// The topic, what is said there, and the properties.
fn told(publish: &Publish) -> (String, Value, Vec<Property>) {
    let topic = publish.topic.as_ref().expect("no alias").to_string();
    (topic, serde_json::from_slice(&publish.payload).expect("JSON"), publish.properties.iter().collect())
}

fn properties(content_type: &str, schema: &str) -> [Property; 2] {
    [Property::ContentType(content_type.into()), Property::UserProperty("schema".into(), schema.into())]
}

#[tokio::test]
async fn several_profiles_tell_of_one_event() {
    let Some(broker) = with(&["emqx5", "aws", "cloudevents"]).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    for filter in ["$SYS/brokers/+/clients/it/#", AWS] {
        assert_eq!(watcher.subscribe(filter, Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
    }
    let asked = Connect { username: Some("foo".into()), ..connect(Version::V3_1_1, "it") };
    let (client, _) = Client::connect_with(broker.addr, asked).await;
    let own = "$SYS/brokers/rollcall@127.0.0.1/clients/it";
    let json = "application/json";
    let cloud = "application/cloudevents+json; charset=utf-8";
    let (topic, event, said) = told(&watcher.take().await);
    assert_eq!(topic, format!("{own}/connected"));
    assert_eq!(said, properties(json, "emqx5/connected"));
    let shown = (&event["protocol"], &event["username"], &event["connack"]);
    assert_eq!(shown, (&json!("mqtt"), &json!("foo"), &Value::Null));
    let (topic, event, said) = told(&watcher.take().await);
    assert_eq!(topic, "$aws/events/presence/connected/it");
    assert_eq!(said, properties(json, "aws/connected"));
    let shown = (&event["clientId"], &event["ipAddress"], &event["principalIdentifier"]);
    assert_eq!(shown, (&json!("it"), &json!("127.0.0.1"), &json!("foo")));
    let session = event["sessionIdentifier"].clone();
    let (topic, event, said) = told(&watcher.take().await);
    assert_eq!(topic, format!("{own}/cloudevent"));
    assert_eq!(said, properties(cloud, "cloudevents/connected"));
    assert_eq!((&event["type"], &event["data"]["connack"]), (&json!("rollcall.client.connected"), &json!(0)));
    assert_eq!(event["id"], event["data"]["event"].to_string());
    client.cut().await;
    let (topic, event, _) = told(&watcher.take().await);
    assert_eq!(topic, format!("{own}/disconnected"));
    assert!(event["connected_at"].as_u64() <= event["disconnected_at"].as_u64());
    let (topic, event, _) = told(&watcher.take().await);
    assert_eq!(topic, "$aws/events/presence/disconnected/it");
    assert_eq!((&event["disconnectReason"], &event["sessionIdentifier"]), (&json!("CONNECTION_LOST"), &session));
    let (topic, event, said) = told(&watcher.take().await);
    assert_eq!(topic, format!("{own}/cloudevent"));
    assert_eq!(
        (&event["type"], &said[1]),
        (&json!("rollcall.client.disconnected"), &properties(cloud, "cloudevents/disconnected")[1])
    );
    watcher.ping().await;
}

#[tokio::test]
async fn emqx6_tells_what_was_said_in_connect_and_disconnect() {
    // No node is told by another what its clients say in CONNECT and DISCONNECT.
    if alone() {
        return;
    }
    let Some(broker) = with(&["emqx6"]).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
    let said = |text: &str| Property::UserProperty("floor".into(), text.into());
    let asked = Connect {
        properties: [Property::ReceiveMaximum(7), Property::SessionExpiry(60), said("2")].into(),
        ..connect(Version::V5, "it")
    };
    let (client, _) = Client::connect_with(broker.addr, asked).await;
    let (_, event, _) = told(&watcher.take().await);
    assert_eq!((&event["receive_maximum"], &event["expiry_interval"]), (&json!(7), &json!(60_000)));
    let pairs = json!([{"key": "floor", "value": "2"}]);
    let expected = json!({
        "User-Property": {"floor": "2"}, "User-Property-Pairs": pairs, "Receive-Maximum": 7, "Session-Expiry-Interval": 60,
    });
    assert_eq!(event["conn_props"], expected);
    client.leave_with(ReasonCode::Success, [Property::SessionExpiry(0), said("1")].into()).await;
    let (_, event, _) = told(&watcher.take().await);
    let pairs = json!([{"key": "floor", "value": "1"}]);
    let expected = json!({"User-Property": {"floor": "1"}, "User-Property-Pairs": pairs, "Session-Expiry-Interval": 0});
    assert_eq!((&event["disconn_props"], &event["reason"]), (&expected, &json!("normal")));
    // Who takes over has not said goodbye for the other.
    let _first = Client::connect(broker.addr, Version::V5, "two").await;
    let _second = Client::connect(broker.addr, Version::V3_1_1, "two").await;
    let (_, event, _) = told(&watcher.take().await);
    assert_eq!((&event["clientid"], &event["receive_maximum"]), (&json!("two"), &json!(100)));
    let (_, event, _) = told(&watcher.take().await);
    assert_eq!((&event["reason"], &event["disconn_props"]), (&json!("discarded"), &json!({"User-Property": {}})));
}

#[tokio::test]
async fn what_aws_tells_is_guarded_as_sys_is() {
    let change = |config: &mut Config| {
        config.sys.subscribe = SysSubscribe::None;
        with_profiles(config, &["emqx4", "aws"]);
    };
    let Some(broker) = Broker::with(change).await else { return };
    let asked = Connect { will: Some(will("$aws/events/presence/connected/x", "lie")), ..connect(Version::V5, "it") };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    for filter in [AWS, "$aws/events/presence/connected/it", "$aws/#", "$share/g/$aws/+/presence/+/+"] {
        assert_eq!(client.subscribe(filter, Qos::AtLeastOnce).await, ReasonCode::NotAuthorized, "{filter}");
    }
    for filter in ["$aws/things/#", "#"] {
        assert_eq!(client.subscribe(filter, Qos::AtLeastOnce).await, ReasonCode::GrantedQos1, "{filter}");
    }
    let lie = |topic: &str| message(topic, "{}", Qos::AtLeastOnce);
    assert_eq!(client.publish(lie("$aws/events/presence/connected/it")).await, ReasonCode::NotAuthorized);
    assert_eq!(client.publish(lie("$aws/things/it")).await, ReasonCode::Success);
    assert_eq!(client.take().await.topic.unwrap().as_str(), "$aws/things/it");
}

/// So many events came until PINGRESP.
async fn count(client: &mut Client) -> usize {
    client.send(Packet::PingReq).await;
    for seen in 0.. {
        match client.receive().await {
            Packet::PingResp => return seen,
            Packet::Publish(publish) => client.acknowledge(&publish).await,
            other => panic!("{other:?}"),
        }
    }
    unreachable!()
}

#[tokio::test]
async fn who_subscribed_before_the_profile_was_on_gives_that_up() {
    let Some(broker) = Broker::with(|config| config.sys.subscribe = SysSubscribe::None).await else { return };
    let mut early = Client::connect(broker.addr, Version::V5, "early").await;
    assert_eq!(early.subscribe("$aws/#", Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
    let modules = broker.server().registry();
    modules.configure("presence", json!({"profiles": ["aws"]})).await.unwrap();
    // All are looked at by a task.
    loop {
        Client::connect(broker.addr, Version::V5, "it").await.leave().await;
        if count(&mut early).await == 0 {
            break;
        }
    }
    let why = modules.configure("presence", json!({"profiles": ["emqx4", "emqx6"]})).await.unwrap_err();
    assert!(why.to_string().contains("profiles: emqx4 and emqx6 have the same topics"), "{why}");
}

#[tokio::test]
async fn programs_can_look_up_what_events_look_like() {
    let Some((broker, addr)) = start_with(|config| with_profiles(config, &["emqx5"])).await else { return };
    let all = ask(addr, "GET /api/v4/presence/schema").await.json();
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/clients/it/+", Qos::AtLeastOnce).await;
    Client::connect(broker.addr, Version::V5, "it").await.leave().await;
    for _ in 0..2 {
        let (_, event, said) = told(&watcher.take().await);
        let Property::UserProperty(_, name) = &said[1] else { panic!("{said:?}") };
        let (profile, kind) = name.split_once('/').unwrap();
        let mut required: Vec<_> = all["data"][profile][kind]["required"].as_array().unwrap().clone();
        required.sort_by_key(ToString::to_string);
        let mut keys: Vec<_> = event.as_object().unwrap().keys().map(|key| json!(key)).collect();
        keys.sort_by_key(ToString::to_string);
        assert_eq!(required, keys);
    }
    let one = ask(addr, "GET /api/v4/presence/schema?profile=aws").await.json();
    assert_eq!(one["data"].as_object().unwrap().len(), 1);
    assert_eq!(ask(addr, "GET /api/v4/presence/schema?profile=emqx7").await.status, 400);
    let described = ask(addr, "GET /api/v4/presence/schema/asyncapi").await.json();
    assert_eq!(described["data"]["asyncapi"], "3.0.0");
    // Presence tries itself with whatever it tells.
    for profile in ["emqx5", "aws", "cloudevents"] {
        let config = json!({"profiles": [profile]}).to_string();
        let configured = send(addr, "PUT /api/v4/modules/presence/config", &config).await;
        assert_eq!(configured.status, 200, "{configured:?}");
        let tested = ask(addr, "POST /api/v4/modules/presence/test").await.json();
        assert_eq!(
            (&tested["data"]["ok"], tested["data"]["events"].as_array().unwrap().len()),
            (&json!(true), 2),
            "{tested}"
        );
    }
}

/// A form can be made of it, and what it takes is what it shows.
#[tokio::test]
async fn rules_are_set_and_shown_as_lists_of_tables() {
    let Some((_broker, addr)) = start_with(|_| {}).await else { return };
    let types = ask(addr, "GET /api/v4/module_types").await.json();
    let mut all = types["data"].as_object().unwrap().values().flat_map(|group| group.as_array().unwrap());
    let presence = all.find(|of| of["type"] == "presence").unwrap();
    let setting = |name: &str| presence["settings"].as_array().unwrap().iter().find(|of| of["name"] == name).unwrap();
    let (rules, profiles) = (setting("availability"), setting("profiles"));
    assert_eq!((&rules["kind"], &rules["max"], &rules["default"]), (&json!("tables"), &json!(64), &json!([])));
    assert_eq!((&rules["fields"][0]["name"], &rules["fields"][3]["name"]), (&json!("topic"), &json!("match")));
    assert_eq!((&profiles["kind"], &profiles["choices"][1]), (&json!("choices"), &json!("emqx5")));
    let config = json!({"availability": [{"topic": "a/${clientid}", "match": "x*"}]});
    let configured = send(addr, "PUT /api/v4/modules/presence/config", &config.to_string()).await;
    assert_eq!(configured.status, 200, "{configured:?}");
    let shown = ask(addr, "GET /api/v4/modules/presence/config").await.json();
    assert_eq!(shown["data"]["availability"], config["availability"]);
    let wrong = json!({"availability": [{"topic": "a/${clientid}"}, {"topic": ""}]});
    let refused = send(addr, "PUT /api/v4/modules/presence/config", &wrong.to_string()).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("availability, entry 2: topic: "), "{refused:?}");
}
