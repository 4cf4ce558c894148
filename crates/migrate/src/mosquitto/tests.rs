use super::*;
use crate::{Fate, InMemory};

const HASH: &str =
    "$7$101$C4y3BS9gnheJWuGe$QMdySbJ/DRK7drFNQZXqCAx/EcniSVGzS4CxOH+FzZz50NWooKKr3QF3IMy9ltViye+40i2qA5B70kRSGSVKiA==";

fn migrated(conf: &str, others: &[(&str, &str)]) -> Migration {
    let files = [&[("/m.conf", conf)], others].concat();
    migrate(&InMemory::new(files), Path::new("/m.conf"), &Target::new("/r/rollcall.toml"))
}

fn table(migration: &Migration) -> toml::Table {
    assert_eq!(migration.problems, []);
    migration.settings.to_string().parse().unwrap()
}

/// The key has this value, as TOML writes it; what stands in `conf` after a listener that lets everybody in.
#[track_caller]
fn check(conf: &str, key: &str, expected: &str) {
    let migration = migrated(&format!("listener 1883\nallow_anonymous true\n{conf}\n"), &[("/empty", "")]);
    let table = table(&migration);
    let mut value = &toml::Value::Table(table);
    for part in key.split('.') {
        value = value.get(part).unwrap_or_else(|| panic!("{conf}: no {key} in {}", migration.settings));
    }
    assert_eq!(value.to_string(), expected, "{conf}");
}

#[test]
fn a_directive_becomes_a_setting() {
    for (conf, key, expected) in [
        ("", "listeners.mqtt.bind", "\"0.0.0.0:1883\""),
        ("", "listeners.ws.bind", "\"off\""),
        ("", "mqtt.session_expiry", "\"36500days\""),
        ("max_connections 7", "listeners.mqtt.max_connections", "7"),
        ("listener 1884 localhost", "listeners.mqtt-1884.bind", "\"127.0.0.1:1884\""),
        ("listener 1884 ::1", "listeners.mqtt-1884.bind", "\"[::1]:1884\""),
        ("listener 1884\nsocket_domain ipv6", "listeners.mqtt-1884.bind", "\"[::]:1884\""),
        ("listener 0 /run/m.sock", "listeners.mqtt-0.bind", "\"unix:/run/m.sock\""),
        ("listener 9001\nprotocol websockets", "listeners.ws.bind", "\"0.0.0.0:9001\""),
        ("listener 8883\ncertfile /c\nkeyfile /k", "listeners.mqtts.cert", "\"/c\""),
        (
            "listener 8883\ncertfile /c\nkeyfile /k\ncafile /a\nrequire_certificate true",
            "listeners.mqtts.verify",
            "\"required\"",
        ),
        (
            "listener 8883\ncertfile /c\nkeyfile /k\ncafile /a\nrequire_certificate true\nuse_identity_as_username true",
            "listeners.mqtts.username_from",
            "\"cn\"",
        ),
        ("listener 9002\nprotocol websockets\ncertfile /c\nkeyfile /k", "listeners.wss.kind", "\"wss\""),
        ("persistent_client_expiration 14d", "mqtt.session_expiry", "\"336h\""),
        ("persistent_client_expiration 2m", "mqtt.max_session_expiry", "\"1440h\""),
        ("max_inflight_messages 0", "limits.max_inflight", "65535"),
        ("max_inflight_messages 20", "limits.receive_maximum", "20"),
        ("max_queued_messages 1000", "session.max_queued", "1000"),
        ("max_queued_bytes 5000", "session.max_queued_bytes", "5000"),
        ("max_packet_size 2000", "limits.max_packet_size", "2000"),
        ("message_size_limit 1000", "limits.max_packet_size", "132072"),
        ("memory_limit 2000000", "limits.memory", "2000000"),
        ("max_topic_alias 5", "limits.topic_alias_maximum", "5"),
        ("retain_available false", "modules.retainer.enabled", "false"),
        ("sys_interval 10", "sys.interval", "\"10s\""),
        ("log_type debug", "log.level", "\"debug\""),
        ("acl_file /empty", "auth.default", "\"deny\""),
        ("plugin /usr/lib/go-auth.so", "auth.anonymous", "false"),
    ] {
        check(conf, key, expected);
    }
}

#[test]
fn what_cannot_be_carried_over_is_told_with_its_line() {
    for (line, needle) in [
        ("max_qos 1", "all of QoS"),
        ("max_keepalive 60", "server_keep_alive"),
        ("queue_qos0_messages true", "QoS 0"),
        ("upgrade_outgoing_qos true", "lower of both"),
        ("http_dir /www", "web server"),
        ("tls_version tlsv1.1", "TLS 1.2"),
        ("clientid_prefixes dev-", "client id"),
        ("mount_point site1/", "topic_rewrite"),
        ("bind_interface eth0", "address"),
        ("psk_file /psk", "pre-shared"),
        ("sys_interval 0", "can't be turned off"),
        ("made_up 1", "no such directive"),
        ("plugin /x.so", "auth.http_url"),
    ] {
        let migration = migrated(&format!("listener 1883\n{line}\n"), &[]);
        let left: Vec<_> = migration.left().filter(|left| left.said == line).collect();
        assert!(left.iter().any(|left| left.place.to_string() == "/m.conf:2"), "{line}: {:?}", migration.lines);
        assert!(left.iter().any(|left| matches!(&left.fate, Fate::Left(why) if why.contains(needle))), "{left:?}");
    }
}

#[test]
fn a_wrong_line_or_file_is_a_problem_with_its_place() {
    let users = format!("a:{HASH}\nb:plain\n");
    let files = [("/users", users.as_str()), ("/acl", "user a\ntopc b\n"), ("/d.json", "{\n  \"clients\": 3\n}")];
    for (line, needle) in [
        ("listener x", "/m.conf:1: listener x: wants a port"),
        ("allow_anonymous yes", "/m.conf:1: allow_anonymous yes: wants true or false"),
        ("max_queued_messages many", "wants a number"),
        ("persistent_client_expiration 3x", "wants a number and h"),
        ("password_file /none", "/m.conf:1: /none: "),
        ("password_file /users", "/users:2: the password stands there as it is"),
        ("acl_file /acl", "/acl:2: wants user NAME"),
        ("plugin /l/mosquitto_dynamic_security.so\nplugin_opt_config_file /d.json", "/d.json:2: invalid type"),
        ("protocol mqttsn", "wants mqtt or websockets"),
    ] {
        let problems = migrated(line, &files).problems;
        assert!(problems.iter().any(|problem| problem.to_string().contains(needle)), "{line}: {problems:?}");
    }
}

#[test]
fn a_listener_that_would_be_less_safe_is_off() {
    for conf in [
        "mount_point a/",
        "psk_hint x",
        "bind_interface eth0",
        "certfile /c\nkeyfile /k\ncapath /cas\nrequire_certificate true",
        "certfile /c\nkeyfile /k\ncafile /a\nuse_identity_as_username true",
    ] {
        let migration = migrated(&format!("listener 1883\n{conf}\n"), &[]);
        let table = table(&migration);
        let listeners = table["listeners"].as_table().unwrap();
        assert!(listeners.values().all(|listener| listener["bind"].as_str() == Some("off")), "{conf}: {listeners}");
        assert!(migration.left().any(|left| left.said == "listener 1883"), "{conf}");
    }
}

#[test]
fn folders_are_included_in_the_order_of_names() {
    let files = [
        ("/d/2.conf", "max_queued_messages 2\n"),
        ("/d/1.conf", "max_queued_messages 1\nlistener 1\n"),
        ("/d/0.txt", "nonsense here\n"),
    ];
    let migration = migrated("# x\ninclude_dir /d\n", &files);
    assert_eq!(table(&migration)["session"]["max_queued"].as_integer(), Some(2));
    assert!(migration.lines.iter().any(|line| line.place.to_string() == "/d/1.conf:2"));
    assert_eq!(migrated("include_dir /m\n", &[("/m/x.conf", "include_dir /m\n")]).problems.len(), 1, "no endless loop");
}

#[test]
fn users_and_rules_are_the_same_files() {
    let users = format!("a:{HASH}\n");
    let migration = migrated(
        "listener 1883\npassword_file /users\nacl_file /acl\n",
        &[("/users", &users), ("/acl", "user a\ntopic b\n")],
    );
    let auth = table(&migration)["auth"].clone();
    assert_eq!(auth["password_file"].as_str(), Some("/users"));
    assert_eq!(auth["acl_file"].as_str(), Some("/acl"));
    assert_eq!(auth["anonymous"].as_bool(), Some(false), "as mosquitto 2 has it where nothing is said");
    assert_eq!(migration.beside, []);
}

#[test]
fn with_settings_of_listeners_the_strictest_holds() {
    let users = format!("a:{HASH}\n");
    let files = [("/a", users.as_str()), ("/b", users.as_str())];
    let conf = "per_listener_settings true\nlistener 1\nallow_anonymous true\npassword_file /a\nlistener 2\npassword_file /b\n";
    let migration = migrated(conf, &files);
    let auth = table(&migration)["auth"].clone();
    assert_eq!(auth["anonymous"].as_bool(), Some(false));
    assert!(auth.get("password_file").is_none(), "{auth}");
    assert_eq!(migration.left().filter(|left| left.said.starts_with("password_file")).count(), 2);
}

#[test]
fn bridges_are_ready_to_be_uncommented_and_hide_their_passwords() {
    let conf = "connection up\naddress broker:1883\ntopic a/# out 1\nremote_password s3cret\nlistener 1883\nallow_anonymous true\n";
    let migration = migrated(conf, &[]);
    assert_eq!(table(&migration)["listeners"]["mqtt"]["bind"].as_str(), Some("0.0.0.0:1883"));
    let text = migration.settings.to_string();
    assert!(text.contains("# The bridge \"up\"") && text.contains("topic a/# out 1"), "{text}");
    let more = "connection tls\naddress b other\nbridge_cafile /ca\nbridge_protocol_version mqttv50\ntopic # both 2 here/ \"\"\n";
    let text = migrated(&format!("{more}{conf}"), &[]).settings.to_string();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with("[[") || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
    let table: toml::Table = lines.collect::<Vec<_>>().join("\n").parse().unwrap();
    let shown: Vec<_> =
        table["modules"]["bridge"]["bridges"].as_array().unwrap().iter().map(ToString::to_string).collect();
    let tls = r##"{ ca = "/ca", in = [{ local_prefix = "here/", qos = 2, topic = "#" }], name = "tls", out = [{ local_prefix = "here/", qos = 2, topic = "#" }], remote = "mqtts://b:8883" }"##;
    let up = r##"{ name = "up", out = [{ qos = 1, topic = "a/#" }], password = "as mosquitto.conf has it", protocol = 4, remote = "mqtt://broker:1883" }"##;
    assert_eq!(shown, [tls, up]);
    assert!(!format!("{migration:?}").contains("s3cret"));
    assert_eq!(migration.left().count(), 4);
}

const DYNSEC: &str = r#"{
  "defaultACLAccess": {"publishClientSend": false, "publishClientReceive": true, "subscribe": false, "unsubscribe": true},
  "anonymousGroup": "guests",
  "clients": [
    {"username": "alice", "password": "QMdySbJ/DRK7drFNQZXqCAx/EcniSVGzS4CxOH+FzZz50NWooKKr3QF3IMy9ltViye+40i2qA5B70kRSGSVKiA==",
     "salt": "C4y3BS9gnheJWuGe", "iterations": 101, "roles": [{"rolename": "low", "priority": 1}, {"rolename": "high", "priority": 5}]},
    {"username": "bob", "password": "QMdySbJ/DRK7drFNQZXqCAx/EcniSVGzS4CxOH+FzZz50NWooKKr3QF3IMy9ltViye+40i2qA5B70kRSGSVKiA==",
     "salt": "C4y3BS9gnheJWuGe", "iterations": 101, "clientid": "bob-1", "groups": [{"groupname": "team"}]},
    {"username": "off", "disabled": true},
    {"username": "bare"}
  ],
  "groups": [{"groupname": "team", "roles": [{"rolename": "low"}]}, {"groupname": "guests", "roles": [{"rolename": "guest"}]}],
  "roles": [
    {"rolename": "low", "acls": [{"acltype": "publishClientSend", "topic": "a/#", "allow": true},
                                 {"acltype": "subscribeLiteral", "topic": "b/#", "allow": true}]},
    {"rolename": "high", "acls": [{"acltype": "publishClientSend", "topic": "a/secret", "priority": 1, "allow": false},
                                  {"acltype": "publishClientReceive", "topic": "c/x", "allow": false},
                                  {"acltype": "subscribePattern", "topic": "c/#", "allow": true},
                                  {"acltype": "subscribePattern", "topic": "$CONTROL/dynamic-security/#", "allow": true}]},
    {"rolename": "guest", "acls": [{"acltype": "subscribePattern", "topic": "public/#", "allow": true}]}
  ]
}"#;

#[test]
fn dynamic_security_becomes_users_and_rules_in_the_order_in_which_it_asks() {
    let conf = "listener 1883\nplugin /l/mosquitto_dynamic_security.so\nplugin_opt_config_file /d.json\n";
    let migration = migrated(conf, &[("/d.json", DYNSEC)]);
    let table = table(&migration);
    let [users] = &migration.beside[..] else { panic!("{:?}", migration.beside) };
    assert_eq!(users.path, Path::new("/r/rollcall.users"));
    assert_eq!(users.text, format!("alice:{HASH}\nbob:{HASH}\n"));
    let rules = table["auth"]["rules"].as_array().unwrap().iter().map(|rule| {
        let text = |key: &str| rule.get(key).map(toml::Value::to_string).unwrap_or_default();
        format!("{} {} {} {}", text("allow"), text("who"), text("action"), text("topics"))
    });
    let rules: Vec<_> = rules.collect();
    let alice = r#"{ user = ["alice"] }"#;
    let bob = r#"{ clientid = "bob-1", user = ["bob"] }"#;
    let expected = [
        format!(r#"false {alice} "subscribe" ["c/x"]"#),
        format!(r#"true {alice} "subscribe" ["eq b/#"]"#),
        format!(r#"true {alice} "subscribe" ["c/#"]"#),
        format!(r#"false {alice} "publish" ["a/secret"]"#),
        format!(r#"true {alice} "publish" ["a/#"]"#),
        format!(r#"false {alice} "publish" "#),
        format!(r#"false {alice} "subscribe" "#),
        format!(r#"true {bob} "subscribe" ["eq b/#"]"#),
        format!(r#"true {bob} "publish" ["a/#"]"#),
        format!(r#"false {bob} "publish" "#),
        format!(r#"false {bob} "subscribe" "#),
        r#"false { user = ["bob"] } "all" "#.to_owned(),
        r#"true  "subscribe" ["public/#"]"#.to_owned(),
    ];
    assert_eq!(rules, expected);
    assert_eq!(table["auth"]["default"].as_str(), Some("deny"));
    for said in ["client off", "client bare", "client bob: clientid bob-1"] {
        assert!(migration.left().any(|left| left.said == said), "{said}");
    }
}
