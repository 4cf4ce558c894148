use std::path::{Path, PathBuf};

use super::*;
use crate::InMemory;

const CONF: &str = "\
## EMQ X\nnode.name = emqx@127.0.0.1\nnode.cookie = emqxsecretcookie\nlistener.tcp.external = 0.0.0.0:1883\n\
listener.tcp.external.max_connections = 1024000\nlistener.tcp.internal = 127.0.0.1:11883\nallow_anonymous = true\n\
acl_nomatch = allow\nacl_file = etc/acl.conf\nzone.external.max_inflight = 32\nmqtt.max_packet_size = 1MB\n";

fn migrated(conf: &str, others: &[(&str, &str)]) -> Migration {
    let acl = ("/emqx/etc/acl.conf", "{allow, all}.\n");
    let files = [&[("/emqx/etc/emqx.conf", conf), acl], others].concat();
    let mut paths = vec![PathBuf::from("/emqx")];
    paths.extend(others.iter().map(|(path, _)| PathBuf::from(path)));
    migrate(&InMemory::new(files), &paths, None, &Target::new("/r/rollcall.toml"))
}

#[track_caller]
fn check(conf: &str, key: &str, expected: &str) {
    let migration = migrated(&format!("{CONF}{conf}\n"), &[]);
    assert_eq!(migration.problems, [], "{conf}");
    let mut value = &toml::Value::Table(migration.settings.to_string().parse().unwrap());
    for part in key.split('.') {
        value = value.get(part).unwrap_or_else(|| panic!("{conf}: no {key} in {}", migration.settings));
    }
    assert_eq!(value.to_string(), expected, "{conf}");
}

#[test]
fn a_key_becomes_a_setting() {
    for (conf, key, expected) in [
        ("", "node.name", "\"emqx@127.0.0.1\""),
        ("", "listeners.mqtt.bind", "\"0.0.0.0:1883\""),
        ("", "listeners.mqtt.max_connections", "1024000"),
        ("", "listeners.mqtt-internal.bind", "\"127.0.0.1:11883\""),
        ("", "listeners.ws.bind", "\"off\""),
        ("", "auth.anonymous", "true"),
        ("", "auth.default", "\"allow\""),
        ("", "auth.acl_file", "\"/r/rollcall.acl\""),
        ("", "limits.max_inflight", "32"),
        ("", "limits.max_packet_size", "1048576"),
        ("listener.ws.external = 8083\nlistener.ws.external.mqtt_path = /ws", "listeners.ws.path", "\"/ws\""),
        ("listener.ssl.external = 8883\nlistener.ssl.external.certfile = /c", "listeners.mqtts.cert", "\"/c\""),
        (
            "listener.ssl.external = 8883\nlistener.ssl.external.verify = verify_peer\nlistener.ssl.external.cacertfile = /a\n\
             listener.ssl.external.fail_if_no_peer_cert = true",
            "listeners.mqtts.verify",
            "\"required\"",
        ),
        ("zone.external.session_expiry_interval = 2h", "mqtt.session_expiry", "\"2h\""),
        ("zone.external.max_mqueue_len = 0", "session.max_queued", "4294967295"),
        ("zone.external.rate_limit.conn_messages_in = 100,10s", "limits.message_rate", "\"100/10s\""),
        ("zone.external.rate_limit.conn_bytes_in = 100KB,10s", "limits.byte_rate", "\"102400/10s\""),
        ("acl_deny_action = disconnect", "auth.deny_action", "\"disconnect\""),
        ("flapping_detect_policy = 30, 1m, 5m", "limits.flapping.rate", "\"30/1m\""),
        ("log.level = warning", "log.level", "\"warn\""),
        ("broker.sys_interval = 1m", "sys.interval", "\"1m\""),
        ("auth.http.auth_req.url = http://127.0.0.1/a", "auth.http_url", "\"http://127.0.0.1/a\""),
        (
            "module.subscription.1.topic = a/%c\nmodule.subscription.1.qos = 1",
            "modules.subscription.topics",
            "[{ qos = 1, topic = \"a/%c\" }]",
        ),
    ] {
        check(conf, key, expected);
    }
}

#[test]
fn what_cannot_be_carried_over_is_told_with_its_line() {
    for line in [
        "cluster.discovery = manual",
        "zone.external.mountpoint = dev/",
        "zone.other.max_inflight = 1",
        "mqtt.max_qos_allowed = 1",
        "auth.http.acl_req.url = http://127.0.0.1/acl",
        "listener.quic.external = 14567",
        "made.up = 1",
    ] {
        let migration = migrated(&format!("{CONF}{line}\n"), &[]);
        let place = "/emqx/etc/emqx.conf:12";
        assert!(migration.left().any(|left| left.place.to_string() == place && left.said == line), "{line}");
    }
    let shown = format!("{:?}", migrated(CONF, &[]));
    assert!(!shown.contains("emqxsecretcookie"), "secrets are not told");
}

#[test]
fn a_wrong_line_or_file_is_a_problem_with_its_place() {
    for (conf, others, needle) in [
        ("nonsense", [("/x/loaded_modules", "")], "/emqx/etc/emqx.conf:1: nonsense: wants KEY = VALUE"),
        ("listener.tcp.a = here", [("/x/loaded_modules", "")], "wants ADDRESS:PORT"),
        ("mqtt.max_packet_size = big", [("/x/loaded_modules", "")], "makes no sense"),
        ("", [("/x/loaded_modules", "{a, b}.")], "/x/loaded_modules:1: wants a line like"),
        ("", [("/x/e.json", "{\n\"users\": [")], "/x/e.json:2: "),
        ("", [("/x/e.json", r#"{"blacklist": [{"who": {"shoe": "1"}}]}"#)], "it is not known who is meant"),
        ("", [("/x/acl.conf", "{allow, {user, {re, \"^a\"}}, publish, [\"a\"]}.")], "/x/acl.conf:1: {re, ...}"),
    ] {
        let problems = migrated(conf, &others).problems;
        assert!(problems.iter().any(|problem| problem.to_string().contains(needle)), "{conf}: {problems:?}");
    }
}

const EXPORT: &str = r#"{"version": "4.3", "date": "2026-01-01 00:00:00",
  "auth_mnesia": [
    {"login": "alice", "type": "username", "password": "qrvM3TM1OGEzMjc4NTFmNmYyNTUyYWVlM2RmZWUxZjk0OTkyNDFiMjRiYmMxNmUzMThhMzVlYzJlYmNhN2YyOWJkYjk=", "created_at": 1},
    {"login": "dev-1", "type": "clientid", "password": "eA==", "created_at": 1},
    {"login": "old", "type": "username", "password": "eA==", "created_at": 1}],
  "acl_mnesia": [
    {"type": "all", "topic": "open/#", "action": "pubsub", "access": "allow", "created_at": 1},
    {"type": "username", "type_value": "alice", "topic": "a/#", "action": "pub", "access": "allow", "created_at": 1},
    {"type": "username", "type_value": "alice", "topic": "a/b", "action": "pub", "access": "deny", "created_at": 1}],
  "blacklist": [{"who": {"clientid": "bad"}, "by": "admin", "reason": "noise", "at": 1, "until": 4000000000},
                {"who": {"peerhost": "192.0.2.7"}, "by": "admin", "reason": "", "at": 1, "until": "infinity"}],
  "apps": [{"id": "app1", "secret": "s", "name": "n", "desc": "", "status": true, "expired": "undefined"}],
  "users": [{"username": "admin", "password": "eA==", "tags": "administrator"}],
  "rules": [{"id": "rule:1", "rawsql": "SELECT 1", "actions": [], "enabled": true, "description": ""}],
  "resources": [], "schemas": [], "modules": []}"#;

#[test]
fn an_export_has_users_rules_and_bans() {
    let migration = migrated(CONF, &[("/x/export.json", EXPORT)]);
    assert_eq!(migration.problems, []);
    let users = migration.beside.iter().find(|file| file.path == Path::new("/r/rollcall.users")).unwrap();
    assert_eq!(users.text, "alice:$emqx-sha256$qrvM3Q==$NYoyeFH28lUq7j3+4flJkkGyS7wW4xijXsLryn8pvbk=\n");
    let table: toml::Table = migration.settings.to_string().parse().unwrap();
    let rules = table["auth"]["rules"].as_array().unwrap();
    let topics: Vec<_> =
        rules.iter().map(|rule| (rule["topics"][0].as_str().unwrap(), rule["allow"].as_bool().unwrap())).collect();
    assert_eq!(topics, [("a/b", false), ("a/#", true), ("open/#", true)]);
    let banned: Vec<_> = migration.state.banned.iter().map(|ban| (&*ban.who, ban.until)).collect();
    assert_eq!(banned, [("bad", 4_000_000_000), ("192.0.2.7", 253_402_300_799)]);
    for said in ["auth_mnesia: dev-1", "auth_mnesia: old", "apps: app1", "users: admin", "rules: rule:1"] {
        assert!(migration.left().any(|left| left.said == said), "{said}");
    }
}

#[test]
fn modules_are_on_as_they_were_and_who_was_asked_elsewhere_is_not_let_in() {
    let files = [
        ("/x/loaded_modules", "{emqx_mod_presence, true}.\n{emqx_mod_delayed, false}.\n{emqx_mod_other, true}.\n"),
        ("/x/loaded_plugins", "{emqx_management, true}.\n{emqx_auth_mysql, true}.\n"),
    ];
    let migration = migrated(CONF, &files);
    let table: toml::Table = migration.settings.to_string().parse().unwrap();
    assert_eq!(table["modules"]["presence"]["enabled"].as_bool(), Some(true));
    assert_eq!(table["modules"]["delayed_publish"]["enabled"].as_bool(), Some(false));
    assert_eq!((table["auth"]["anonymous"].as_bool(), table["auth"]["default"].as_str()), (Some(false), Some("deny")));
    assert_eq!(migration.left().filter(|left| left.said.contains("emqx_")).count(), 2);
}
