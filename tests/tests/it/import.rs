//! `rollcall import`: what is made of another broker's files is started, and asked by clients.

use std::path::{Path, PathBuf};
use std::process::Output;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_codec::{Connect, Qos, ReasonCode, Version};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    broker::outside,
    cli::{Running, command, output},
    client::{Client, connect, message},
};

/// A folder, and files of other brokers in it.
struct Bench(TempDir);

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = bench.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("{here}", bench.0.path().to_str().unwrap())).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `rollcall import KIND FILE`, the rest with files in the folder where they begin with `@`.
    async fn import(&self, words: &[&str]) -> Output {
        let words = words.iter().map(|word| word.strip_prefix('@').map_or((*word).to_owned(), |name| self.text(name)));
        let words: Vec<_> = ["import".to_owned()].into_iter().chain(words).collect();
        output(&mut command(&words.iter().map(String::as_str).collect::<Vec<_>>())).await
    }

    async fn start(&self, file: &str) -> Running {
        Running::start(&mut command(&["--config", &self.text(file), "--bind", "127.0.0.1:0"])).await
    }
}

#[track_caller]
fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

/// Of a real program of another broker.
fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/migrate/tests/files");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn login(id: &str, user: &str, password: &'static str) -> Connect {
    let (username, password) = (Some(ByteString::from(user)), Some(Bytes::from_static(password.as_bytes())));
    Connect { username, password, ..connect(Version::V5, id) }
}

const DYNAMIC: &str = "listener 18830\nallow_anonymous true\nmax_qos 1\n\
                       plugin /usr/lib/mosquitto_dynamic_security.so\nplugin_opt_config_file {here}/dynsec.json\n";

#[tokio::test]
async fn clients_of_mosquittos_dynamic_security_come_in_and_may_do_what_they_could() {
    if outside() {
        return;
    }
    let bench = Bench::new(&[("mosquitto.conf", DYNAMIC), ("dynsec.json", &fixture("dynamic-security.json"))]);
    let told = said(&bench.import(&["mosquitto", "@mosquitto.conf", "--out", "@rollcall.toml"]).await);
    for needle in ["mosquitto.conf:3: max_qos 1: all of QoS", "client carol: it is disabled", "client alice: a user"] {
        assert!(told.contains(needle), "no {needle} in {told}");
    }
    let running = bench.start("rollcall.toml").await;
    let (mut alice, _) = Client::connect_with(running.addr(), login("a", "alice", "alicepass")).await;
    for (topic, expected) in [
        ("data/alice/1", ReasonCode::NoMatchingSubscribers),
        ("data/alice/secret", ReasonCode::NotAuthorized),
        ("data/bob/1", ReasonCode::NotAuthorized),
    ] {
        assert_eq!(alice.publish(message(topic, "x", Qos::AtLeastOnce)).await, expected, "{topic}");
    }
    for (filter, expected) in [("cmd/alice/#", ReasonCode::Success), ("cmd/#", ReasonCode::NotAuthorized)] {
        assert_eq!(alice.subscribe(filter, Qos::AtMostOnce).await, expected, "{filter}");
    }
    for (user, password) in [("alice", "alicepas"), ("carol", "carolpass"), ("nobody", "x")] {
        let (_, connack) = Client::try_connect(running.addr(), login("b", user, password)).await;
        assert_eq!(connack.reason, ReasonCode::BadUserNameOrPassword, "{user}");
    }
    // Of the group of those that say no name.
    let mut guest = Client::connect(running.addr(), Version::V5, "g").await;
    assert_eq!(guest.publish(message("data/alice/secret", "x", Qos::AtLeastOnce)).await, ReasonCode::NotAuthorized);
    assert_eq!(guest.subscribe("cmd/alice/1", Qos::AtMostOnce).await, ReasonCode::Success);
    running.stop().await;
}

#[tokio::test]
async fn an_import_writes_nothing_unless_told_and_nothing_by_halves() {
    if outside() {
        return;
    }
    let bench = Bench::new(&[
        ("good.conf", DYNAMIC),
        ("dynsec.json", &fixture("dynamic-security.json")),
        ("bad.conf", "listener 1883\npassword_file {here}/users\nallow_anonymous maybe\n"),
        ("users", "a:plain\n"),
    ]);
    let files = || std::fs::read_dir(bench.0.path()).unwrap().count();
    let before = files();
    said(&bench.import(&["mosquitto", "@good.conf"]).await);
    said(&bench.import(&["mosquitto", "@good.conf", "--out", "@r.toml", "--dry-run"]).await);
    let bad = bench.import(&["mosquitto", "@bad.conf", "--out", "@r.toml"]).await;
    assert_eq!(bad.status.code(), Some(1));
    let told = String::from_utf8(bad.stdout).unwrap();
    for needle in ["bad.conf:3: allow_anonymous maybe: wants true or false", "users:1: the password stands there"] {
        assert!(told.contains(needle), "no {needle} in {told}");
    }
    assert_eq!(files(), before);
    // One of the files is there already.
    std::fs::write(bench.path("r.users"), "kept").unwrap();
    assert_eq!(bench.import(&["mosquitto", "@good.conf", "--out", "@r.toml"]).await.status.code(), Some(1));
    assert!(!bench.path("r.toml").exists());
    let told = said(&bench.import(&["mosquitto", "@good.conf", "--out", "@r.toml", "--force", "--json"]).await);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["left"].as_u64() > Some(0) && told["written"].as_str().unwrap().ends_with("r.toml"), "{told}");
    assert_ne!(std::fs::read_to_string(bench.path("r.users")).unwrap(), "kept");
    assert_eq!(files(), before + 2);
}

const EMQX: &str = "node.name = emqx@127.0.0.1\nlistener.tcp.external = 0.0.0.0:1883\nallow_anonymous = true\nacl_nomatch = allow\n\
                    acl_file = etc/acl.conf\ncluster.discovery = manual\n";

/// As `emqx_ctl data export` writes it: alice's password is "alicepass".
const EXPORT: &str = r#"{"version": "4.3", "date": "2026-01-01 00:00:00",
  "auth_mnesia": [{"login": "alice", "type": "username", "created_at": 1,
    "password": "qrvM3TM1OGEzMjc4NTFmNmYyNTUyYWVlM2RmZWUxZjk0OTkyNDFiMjRiYmMxNmUzMThhMzVlYzJlYmNhN2YyOWJkYjk="}],
  "acl_mnesia": [{"type": "username", "type_value": "alice", "topic": "secret/#", "action": "pub", "access": "deny", "created_at": 1}],
  "blacklist": [{"who": {"clientid": "bad"}, "by": "admin", "reason": "noise", "at": 1, "until": 4000000000}],
  "apps": [], "users": [], "rules": [], "resources": []}"#;

#[tokio::test]
async fn clients_of_emqx_come_in_with_their_passwords_and_bans_and_rules_hold() {
    if outside() {
        return;
    }
    let bench = Bench::new(&[
        ("emqx/etc/emqx.conf", EMQX),
        ("emqx/etc/acl.conf", "{deny, all, subscribe, [\"private/#\"]}.\n{allow, all}.\n"),
        ("emqx/data/loaded_modules", "{emqx_mod_presence, true}.\n{emqx_mod_delayed, true}.\n"),
        ("export.json", EXPORT),
    ]);
    let told = said(&bench.import(&["emqx4", "@emqx", "@export.json", "--out", "@rollcall.toml"]).await);
    assert!(told.contains("emqx.conf:6: cluster.discovery = manual: brokers make no cluster"), "{told}");
    let (state, folder) = (bench.text("rollcall.state.json"), bench.text("data"));
    let imported = output(&mut command(&["import", "rollcall", &state, "--data-dir", &folder])).await;
    said(&imported);
    let running = Running::start(&mut command(&[
        "--config",
        &bench.text("rollcall.toml"),
        "--bind",
        "127.0.0.1:0",
        "--data-dir",
        &folder,
    ]))
    .await;
    assert_eq!(running.word("node"), "emqx@127.0.0.1");
    let (mut alice, _) = Client::connect_with(running.addr(), login("a", "alice", "alicepass")).await;
    assert_eq!(alice.publish(message("secret/1", "x", Qos::AtLeastOnce)).await, ReasonCode::NotAuthorized);
    assert_eq!(alice.subscribe("private/1", Qos::AtMostOnce).await, ReasonCode::NotAuthorized);
    assert_eq!(alice.subscribe("a", Qos::AtMostOnce).await, ReasonCode::Success);
    let (_, connack) = Client::try_connect(running.addr(), login("b", "alice", "alicepas")).await;
    assert_eq!(connack.reason, ReasonCode::BadUserNameOrPassword);
    let (_, connack) = Client::try_connect(running.addr(), connect(Version::V5, "bad")).await;
    assert_eq!(connack.reason, ReasonCode::Banned);
    running.stop().await;
}

/// Another Rollcall stands for it, which answers in the same words.
#[tokio::test]
async fn an_emqx_that_runs_is_asked_for_its_bans_and_modules() {
    if outside() {
        return;
    }
    let bench = Bench::new(&[("password", "correct horse\n")]);
    let other = Running::start(&mut command(&[
        "--bind",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--data-dir",
        &bench.text("other"),
        "--set",
        "admin.password=correct horse",
        "--set",
        "modules.topic_metrics.enabled=true",
    ]))
    .await;
    let url = format!("http://{}", other.word("admin"));
    let ban = ["--data-dir", &bench.text("other"), "banned", "add", "username", "mallory"];
    said(&output(&mut command(&ban)).await);
    let words = ["emqx4", &url, "--user", "admin", "--password-file", "@password", "--out", "@r.toml"];
    said(&bench.import(&words).await);
    let made = std::fs::read_to_string(bench.path("r.toml")).unwrap();
    assert!(made.contains("[modules.topic_metrics]") && made.contains("enabled = true"), "{made}");
    let state = std::fs::read_to_string(bench.path("r.state.json")).unwrap();
    assert!(state.contains("\"mallory\"") && state.contains("\"username\""), "{state}");
    std::fs::write(bench.path("password"), "wrong").unwrap();
    let refused = bench.import(&["emqx4", &url, "--user", "admin", "--password-file", "@password"]).await;
    assert_eq!(refused.status.code(), Some(1));
    other.stop().await;
}
