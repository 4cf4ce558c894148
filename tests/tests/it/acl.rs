//! What clients may do by rules of the configuration, of files, and as operators set them.

use std::net::SocketAddr;

use bytestring::ByteString;
use mqtt_codec::{Connect, Packet, Qos, ReasonCode, Version, Will};
use mqtt_config::{AuthDefault, DenyAction};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::{
    admin::{ask, send, start_with},
    broker::{Broker, outside},
    cli::{Running, check_error, command},
    client::{Client, VERSIONS, connect, keeping, message, topic, will},
    clock,
};

async fn with_rules(rules: Value) -> Option<(Broker, SocketAddr)> {
    start_with(|config| config.auth.rules = rules.as_array().unwrap().clone()).await
}

async fn set(admin: SocketAddr, rules: Value) -> Value {
    let answer = send(admin, "PUT /api/v4/auth/rules", &json!({ "rules": rules }).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].clone()
}

async fn user(broker: &Broker, version: Version, name: &str) -> Client {
    let connect = Connect { username: Some(ByteString::from(name)), ..connect(version, name) };
    Client::connect_with(broker.addr, connect).await.0
}

#[tokio::test]
async fn clients_do_what_rules_allow() {
    let rules = json!([
        {"allow": true, "who": {"user": "admin"}},
        {"allow": false, "action": "publish", "topics": ["cmd/#"]},
        {"allow": true, "topics": ["cmd/%c"]},
        {"allow": false, "action": "subscribe", "topics": ["cmd/#"]},
    ]);
    let Some((broker, _admin)) = with_rules(rules).await else { return };
    let mut admin = user(&broker, Version::V5, "admin").await;
    assert_eq!(admin.subscribe("#", Qos::AtMostOnce).await, ReasonCode::Success);
    let mut one = user(&broker, Version::V5, "one").await;
    for (filter, expected) in [
        ("cmd/one", ReasonCode::Success),
        ("cmd/two", ReasonCode::NotAuthorized),
        ("cmd/+", ReasonCode::NotAuthorized),
        ("#", ReasonCode::NotAuthorized),
        ("$share/g/#", ReasonCode::NotAuthorized),
        ("free/#", ReasonCode::Success),
    ] {
        assert_eq!(one.subscribe(filter, Qos::AtMostOnce).await, expected, "{filter}");
    }
    assert_eq!(one.publish(message("cmd/one", "x", Qos::AtLeastOnce)).await, ReasonCode::NotAuthorized);
    assert_eq!(one.publish(message("other", "x", Qos::AtLeastOnce)).await, ReasonCode::Success);
    // Before MQTT 5 it is acknowledged, and goes nowhere.
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut old = user(&broker, version, "old").await;
        old.publish(message("cmd/one", "forbidden", Qos::AtLeastOnce)).await;
    }
    admin.send_publish(message("cmd/one", "allowed", Qos::AtMostOnce)).await;
    assert_eq!(one.take_text().await, "allowed");
}

#[tokio::test]
async fn a_change_ends_subscriptions_that_are_forbidden_now() {
    let Some((broker, admin)) = with_rules(json!([])).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    for filter in ["secret/a", "#", "open/#"] {
        client.subscribe(filter, Qos::AtMostOnce).await;
    }
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    away.subscribe("secret/b", Qos::AtMostOnce).await;
    away.leave().await;
    let changed = set(admin, json!([{"allow": false, "topics": ["secret/#"]}])).await;
    assert_eq!(changed, json!({"rules": 1, "unsubscribed": 2}));
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    let listed = ask(admin, "GET /api/v4/clients/c").await.json();
    assert_eq!(listed["data"][0]["subscriptions_cnt"], json!(1));
    assert_eq!(other.publish(message("secret/a", "x", Qos::AtLeastOnce)).await, ReasonCode::NotAuthorized);
    other.publish(message("open/a", "y", Qos::AtLeastOnce)).await;
    assert_eq!(client.take_text().await, "y", "nothing else, and that once");
    // Who comes back is held to them too.
    let (_away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    let listed = ask(admin, "GET /api/v4/clients/away").await.json();
    assert_eq!(listed["data"][0]["subscriptions_cnt"], json!(0));
    let changed = ask(admin, "DELETE /api/v4/auth/rules").await.json();
    assert_eq!(changed["data"]["rules"], json!(0));
    assert_eq!(client.subscribe("secret/a", Qos::AtMostOnce).await, ReasonCode::Success);
}

/// What was published since above all; what it may still subscribe to was promised.
#[tokio::test]
async fn what_waits_for_a_client_is_held_to_new_rules_too() {
    let Some((broker, admin)) = with_rules(json!([])).await else { return };
    for (id, filters) in [("all", &["#"][..]), ("some", &["secret/a", "open/a"])] {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, id)).await;
        for filter in filters {
            client.subscribe(filter, Qos::AtLeastOnce).await;
        }
        client.leave().await;
    }
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("open/a", "before", Qos::AtLeastOnce)).await;
    set(admin, json!([{"allow": false, "action": "subscribe", "topics": ["secret/#"]}])).await;
    publisher.publish(message("secret/a", "forbidden", Qos::AtLeastOnce)).await;
    publisher.publish(message("open/a", "after", Qos::AtLeastOnce)).await;
    for id in ["all", "some"] {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, id)).await;
        assert_eq!([client.take_text().await, client.take_text().await], ["before", "after"], "{id}");
        client.ping().await;
    }
}

#[tokio::test]
async fn a_will_that_is_forbidden_by_now_is_not_published() {
    let Some((broker, admin)) = with_rules(json!([])).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("+/will", Qos::AtMostOnce).await;
    let mut clients = Vec::new();
    for (topic, delay) in [("secret/will", 0), ("secret/will", 1), ("open/will", 0)] {
        for version in VERSIONS {
            let will = Will { delay: if version == Version::V5 { delay } else { 0 }, ..will(topic, "x") };
            let named = Connect { will: Some(will), ..keeping(version, &format!("{topic}{delay}{version:?}")) };
            clients.push((topic, Client::connect_with(broker.addr, named).await.0));
        }
    }
    set(admin, json!([{"allow": false, "action": "publish", "topics": ["secret/#"]}])).await;
    let open = clients.iter().filter(|(topic, _)| *topic == "open/will").count();
    for (_, client) in clients {
        client.cut().await;
    }
    clock::wait(broker.addr, 2).await;
    for _ in 0..open {
        assert_eq!(watcher.take().await.topic, Some(topic("open/will")));
    }
    // Nothing else has come by now.
    watcher.ping().await;
}

/// Threads of its own for who tries: the moment between two starts is short.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nobody_slips_in_or_past_a_rule_while_modules_are_restarted() {
    let rules = json!([{"allow": false, "action": "publish", "topics": ["secret/#"]}]);
    let Some((broker, admin)) = with_rules(rules).await else { return };
    let added = send(admin, "POST /api/v4/auth/users", r#"{"username":"alice","password":"right"}"#).await;
    assert_eq!(added.status, 200, "{added:?}");
    let addr = broker.addr;
    let logins = tokio::spawn(async move {
        for _ in 0..300 {
            let connect = Connect { username: Some("alice".into()), ..connect(Version::V5, "eve") };
            let (_, answer) = Client::try_connect(addr, connect).await;
            assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword, "without a password");
        }
    });
    let mut writer = Client::connect(addr, Version::V5, "writer").await;
    let writes = tokio::spawn(async move {
        for _ in 0..1000 {
            let wrote = writer.publish(message("secret/a", "x", Qos::AtLeastOnce)).await;
            assert_eq!(wrote, ReasonCode::NotAuthorized);
        }
    });
    while !logins.is_finished() || !writes.is_finished() {
        for module in ["users", "acl_internal"] {
            broker.server().registry().restart(module).await.unwrap();
        }
    }
    logins.await.unwrap();
    writes.await.unwrap();
}

#[tokio::test]
async fn sys_is_opened_by_a_rule_that_says_so_and_by_no_other() {
    let rules = json!([{"allow": true, "who": {"user": "dashboard"}, "topics": ["$SYS/#"]}, {"allow": true}]);
    let Some((broker, _admin)) = with_rules(rules).await else { return };
    for (name, expected) in [("dashboard", ReasonCode::Success), ("other", ReasonCode::NotAuthorized)] {
        let pipe = broker.server().connect_in_memory("192.0.2.1:50000".parse().unwrap());
        let mut client = Client::over(pipe, Version::V5);
        let connect = Connect { username: Some(ByteString::from(name)), ..connect(Version::V5, name) };
        client.send(Packet::Connect(Box::new(connect))).await;
        assert!(matches!(client.receive().await, Packet::ConnAck(answer) if !answer.reason.is_error()));
        assert_eq!(client.subscribe("$SYS/brokers/#", Qos::AtMostOnce).await, expected, "{name}");
        assert_eq!(client.subscribe("$share/g/$SYS/brokers/#", Qos::AtMostOnce).await, expected, "{name}");
        // Nobody publishes there, whoever allows it.
        let published = client.publish(message("$SYS/x", "x", Qos::AtLeastOnce)).await;
        assert_eq!(published, ReasonCode::NotAuthorized, "{name}");
    }
}

#[tokio::test]
async fn what_no_rule_is_about_is_as_the_default_says() {
    let denying = start_with(|config| {
        config.auth.rules = vec![json!({"allow": true, "topics": ["a"]})];
        config.auth.default = AuthDefault::Deny;
    });
    let Some((broker, _admin)) = denying.await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    assert_eq!(client.subscribe("a", Qos::AtMostOnce).await, ReasonCode::Success);
    assert_eq!(client.subscribe("b", Qos::AtMostOnce).await, ReasonCode::NotAuthorized);
    assert_eq!(client.subscribe("$SYS/#", Qos::AtMostOnce).await, ReasonCode::NotAuthorized, "also on this machine");
}

#[tokio::test]
async fn who_does_what_is_denied_may_be_disconnected() {
    let strict = start_with(|config| {
        config.auth.rules = vec![json!({"allow": false, "topics": ["a"]})];
        config.auth.deny_action = DenyAction::Disconnect;
    });
    let Some((broker, _admin)) = strict.await else { return };
    for version in VERSIONS {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut client = Client::connect(broker.addr, version, "c").await;
            client.send_publish(message("a", "x", qos)).await;
            if version == Version::V5 {
                client.expect_disconnect(ReasonCode::NotAuthorized).await;
            }
            client.expect_end().await;
        }
        let mut client = Client::connect(broker.addr, version, "c").await;
        client.subscribe("a", Qos::AtMostOnce).await;
        if version == Version::V5 {
            client.expect_disconnect(ReasonCode::NotAuthorized).await;
        }
        client.expect_end().await;
        // A bridge says how it is there, and is told that nobody may.
        let mut client = Client::connect(broker.addr, version, "c").await;
        client.publish(message("$SYS/broker/connection/c/state", "1", Qos::AtLeastOnce)).await;
        client.ping().await;
    }
}

#[tokio::test]
async fn files_of_emqx_and_mosquitto_are_read_and_explained() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (toml, conf, data) = (path("rollcall.toml"), path("acl.conf"), path("data"));
    std::fs::write(&conf, "{allow, {user, \"dashboard\"}, subscribe, [\"$SYS/#\"]}.\n{deny, all, all}.\n").unwrap();
    let rules = format!(
        "[auth]\nacl_file = {conf:?}\n[[auth.rules]]\nallow = false\nwho = {{ user = \"eve\" }}\ntopics = [\"a/#\", \"eq #\"]\n"
    );
    std::fs::write(&toml, &rules).unwrap();
    let needle = format!("{conf}:2: wants {{allow, WHO");
    check_error(&["check-config", "--config", &toml], &[&needle]).await;
    std::fs::write(&conf, "topic readwrite a/#\nuser eve\ntopic read b\n").unwrap();
    let args = ["--config", &toml, "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", &data];
    let running = Running::start(&mut command(&args)).await;
    let said = async |args: &[&str]| {
        let output = command(&[args, &["--data-dir", &data]].concat()).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let explained = said(&["acl", "explain", "--client", "c", "--user", "eve", "publish", "a/b"]).await;
    assert_eq!(explained, "denied by auth.rules, rule 1: deny {\"user\":\"eve\"} all [\"a/#\",\"eq #\"]\n");
    let explained = said(&["acl", "explain", "--client", "c", "subscribe", "a/+"]).await;
    assert!(explained.starts_with(&format!("allowed by {conf}:1: ")), "{explained}");
    let explained = said(&["acl", "explain", "--user", "eve", "publish", "b"]).await;
    assert!(explained.starts_with(&format!("denied by {conf}: what no line allows")), "{explained}");
    let listed = said(&["acl", "list"]).await;
    assert_eq!((listed.lines().count(), listed.lines().last()), (6, Some("all else: allow")), "{listed}");
    let mut client = Client::connect(running.addr(), Version::V5, "c").await;
    assert_eq!(client.subscribe("a/#", Qos::AtMostOnce).await, ReasonCode::Success);
    assert_eq!(client.subscribe("b", Qos::AtMostOnce).await, ReasonCode::NotAuthorized);
    let printed = String::from_utf8(command(&["print-config", "--config", &toml]).output().await.unwrap().stdout);
    let again = path("again.toml");
    std::fs::write(&again, printed.unwrap()).unwrap();
    let checked = command(&["check-config", "--config", &again]).output().await.unwrap();
    assert!(checked.status.success(), "{checked:?}");
    std::fs::write(&toml, "[[auth.rules]]\nallow = false\ntopcs = [\"a\"]\n").unwrap();
    check_error(&["check-config", "--config", &toml], &["auth.rules, rule 1: unknown field `topcs`"]).await;
    std::fs::write(&toml, "[auth]\nrules = [3]\n").unwrap();
    check_error(&["check-config", "--config", &toml], &["rollcall.toml:2: auth.rules: "]).await;
}
