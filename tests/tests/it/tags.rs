//! Tags of clients: where they come from, where they are shown, and what rules make of them.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mqtt_codec::{Connect, Message, Packet, Property, Qos, ReasonCode, Version};
use mqtt_config::{Config, Verify};
use serde_json::{Value, json};

use crate::admin::{ask, send, start_with};
use crate::broker::{Broker, outside};
use crate::client::{Client, connect, message, will};
use crate::commands::Site;
use crate::doors::{Authority, add_doors, dial_tls};
use crate::events::Watcher;

fn set_tags(config: &mut Config, rules: Value) {
    config.modules.entry("presence".to_owned()).or_default().settings["tags"] = rules;
}

/// Signed with `secret`, valid until 2100.
fn token(mut claims: Value) -> String {
    claims["exp"] = json!(4_102_444_800_u64);
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

async fn with_token(broker: &Broker, version: Version, id: &str, claims: Value) -> Client {
    let asked = Connect { password: Some(token(claims).into()), ..connect(version, id) };
    Client::connect_with(broker.addr, Connect { username: Some("it".into()), ..asked }).await.0
}

/// The tags that are shown of a client.
async fn tags(admin: SocketAddr, id: &str) -> Value {
    let shown = ask(admin, &format!("GET /api/v4/presence/clients?clientid={id}")).await.json();
    shown["data"][0]["tags"].clone()
}

async fn ids(admin: SocketAddr, query: &str) -> Vec<String> {
    let shown = ask(admin, &format!("GET /api/v4/presence/clients?{query}")).await.json();
    let rows = shown["data"].as_array().unwrap();
    rows.iter().map(|row| row["clientid"].as_str().unwrap().to_owned()).collect()
}

async fn query(asker: &mut Client, query: Value) -> Value {
    asker.subscribe("answers", Qos::AtMostOnce).await;
    let properties = [Property::ResponseTopic("answers".into())].into();
    let question = message("$presence/query", query.to_string(), Qos::AtLeastOnce);
    assert_eq!(asker.publish(Message { properties, ..question }).await, ReasonCode::Success);
    serde_json::from_slice(&asker.take().await.payload).unwrap()
}

#[tokio::test]
async fn a_client_has_tags_by_its_id_its_token_its_properties_and_the_roster() {
    let rules = json!([
        {"match": "dev-*-*", "tag": "site-$1"},
        {"from": "claim", "name": "groups"},
        {"from": "user_property", "name": "floor", "tag": "floor-$1"},
    ]);
    let Some((broker, admin)) = start_with(|config| {
        set_tags(config, rules);
        config.auth.jwt_secret = Some("secret".to_owned());
    })
    .await
    else {
        return;
    };
    let members = json!({"members": [{"clientid": "dev-rome-1", "tags": ["lift"]}]});
    assert_eq!(send(admin, "PUT /api/v4/presence/roster", &members.to_string()).await.status, 200);
    let user = |name: &str, value: &str| Property::UserProperty(name.into(), value.into());
    let properties = [user("floor", "3"), user("other", "x"), user("floor", "a/b")].into();
    let one = Connect { properties, ..connect(Version::V5, "dev-rome-1") };
    let (one, _) = Client::connect_with(broker.addr, one).await;
    assert_eq!(tags(admin, "dev-rome-1").await, json!(["lift", "site-rome", "floor-3"]));
    let _two = with_token(&broker, Version::V3_1_1, "two", json!({"sub": "it", "groups": ["ops", "lift"]})).await;
    assert_eq!(tags(admin, "two").await, json!(["ops", "lift"]));
    let _three = Client::connect(broker.addr, Version::V3_1, "three").await;
    assert_eq!(tags(admin, "three").await, json!([]));
    assert_eq!(ids(admin, "tag=lift").await, ["dev-rome-1", "two"]);
    assert_eq!(ids(admin, "tag=floor-3&_limit=1").await, ["dev-rome-1"]);
    assert_eq!(ids(admin, "tag=a").await, [""; 0]);
    // The list that EMQ X has shows them too.
    let listed = |query: &'static str| async move {
        let rows = ask(admin, &format!("GET /api/v4/clients?{query}")).await.json()["data"].take();
        let row = |row: &Value| (row["clientid"].clone(), row.get("tags").cloned());
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let two = (json!("two"), Some(json!(["ops", "lift"])));
    assert_eq!(listed("tag=ops").await, std::slice::from_ref(&two));
    assert_eq!(listed("tag=lift").await[1..], [two]);
    assert_eq!(listed("clientid=three").await, [(json!("three"), None)]);
    // The roster is looked at as it is, and the rest as it was: also when the client is gone.
    let mut watcher = Watcher::start(broker.addr).await;
    one.leave().await;
    watcher.disconnected("dev-rome-1", "normal").await;
    let members = json!({"members": [{"clientid": "dev-rome-1", "tags": ["stairs"]}]});
    assert_eq!(send(admin, "PUT /api/v4/presence/roster", &members.to_string()).await.status, 200);
    assert_eq!(tags(admin, "dev-rome-1").await, json!(["stairs", "site-rome", "floor-3"]));
    assert_eq!(ids(admin, "tag=site-rome&conn_state=disconnected").await, ["dev-rome-1"]);
    assert_eq!(ids(admin, "tag=lift&conn_state=disconnected").await, [""; 0]);
    // And asked over MQTT.
    let mut asker = Client::connect(broker.addr, Version::V5, "asker").await;
    let answer = query(&mut asker, json!({"tag": "site-rome"})).await;
    assert_eq!(answer["clients"][0]["tags"], json!(["stairs", "site-rome", "floor-3"]), "{answer}");
    let metrics = ask(admin, "GET /metrics").await;
    assert!(metrics.body.contains("presence_tags_skipped_total 1\n"), "a/b was to be a tag");
}

#[tokio::test]
async fn rules_are_about_tags_that_are_proven_also_for_the_will() {
    let rules = json!([
        {"from": "claim", "name": "groups"},
        {"from": "user_property", "name": "group"},
    ]);
    let Some((broker, admin)) = start_with(|config| {
        set_tags(config, rules);
        config.auth.jwt_secret = Some("secret".to_owned());
        config.auth.rules = vec![
            json!({"allow": true, "who": {"tag": ["ops", "lift"]}, "topics": ["cmd/#"]}),
            json!({"allow": false, "topics": ["cmd/#"]}),
        ];
    })
    .await
    else {
        return;
    };
    let mut ops = with_token(&broker, Version::V5, "ops", json!({"sub": "it", "groups": "ops"})).await;
    assert_eq!(ops.subscribe("cmd/+", Qos::AtMostOnce).await, ReasonCode::Success);
    let properties = [Property::UserProperty("group".into(), "ops".into())].into();
    let says = Connect { properties, ..connect(Version::V5, "says") };
    let mut says = Client::connect_with(broker.addr, says).await.0;
    assert_eq!(says.subscribe("cmd/+", Qos::AtMostOnce).await, ReasonCode::NotAuthorized);
    assert_eq!(says.publish(message("cmd/a", "x", Qos::AtLeastOnce)).await, ReasonCode::NotAuthorized);
    let explained = |tag| async move {
        let asked = format!("GET /api/v4/auth/explain?action=publish&topic=cmd/a&clientid=new{tag}");
        ask(admin, &asked).await.json()["data"]["allowed"].clone()
    };
    assert_eq!((explained("&tag=ops").await, explained("").await), (json!(true), json!(false)));
    // Who is listed from now on has it when it comes next, before its will is looked at.
    let asked = || Connect { will: Some(will("cmd/a", "gone")), ..connect(Version::V5, "lift") };
    let (_, refused) = Client::try_connect(broker.addr, asked()).await;
    assert_eq!(refused.reason, ReasonCode::NotAuthorized);
    let members = json!({"members": [{"clientid": "lift", "tags": ["lift"]}]});
    assert_eq!(send(admin, "PUT /api/v4/presence/roster", &members.to_string()).await.status, 200);
    let lift = Client::connect_with(broker.addr, asked()).await.0;
    lift.cut().await;
    assert_eq!(ops.take_text().await, "gone");
}

#[tokio::test]
async fn a_certificate_gives_tags() {
    let authority = Authority::new();
    let rules = json!([{"from": "certificate", "name": "CN", "match": "*-*", "tag": "$1"}]);
    let started = start_with(|config| {
        set_tags(config, rules);
        add_doors(config, &authority, Verify::Optional);
    });
    let Some((broker, admin)) = started.await else { return };
    let addr = broker.server().addresses().listener("mqtts").unwrap();
    let stream = dial_tls(addr, authority.trusted(Some(&authority.sign("meter-7")))).await.unwrap();
    let mut client = Client::over(stream, Version::V5);
    client.send(Packet::Connect(Box::new(connect(Version::V5, "it")))).await;
    client.receive().await;
    assert_eq!(tags(admin, "it").await, json!(["meter"]));
}

#[tokio::test]
async fn tags_outlive_the_client_and_the_process() {
    if outside() {
        return;
    }
    let set = "modules.presence.tags=[{match = \"dev-*-*\", tag = \"site-$1\"}]";
    let site = Site::start_with(&["--set", set]).await;
    let addr = site.running.addr();
    let mut watcher = Watcher::start(addr).await;
    let _online = Client::connect(addr, Version::V5, "dev-rome-1").await;
    Client::connect(addr, Version::V5, "dev-oslo-1").await.leave().await;
    watcher.connected("dev-rome-1").await;
    watcher.connected("dev-oslo-1").await;
    watcher.disconnected("dev-oslo-1", "normal").await;
    let Site { folder, running } = site;
    running.kill().await;
    // Without the rules.
    let running = Site::run(folder.path()).await;
    let mut asker = Client::connect(running.addr(), Version::V5, "asker").await;
    for (id, tag) in [("dev-rome-1", "site-rome"), ("dev-oslo-1", "site-oslo")] {
        let answer = query(&mut asker, json!({ "tag": tag })).await;
        assert_eq!(answer["clients"][0]["clientid"], id, "{answer}");
    }
}
