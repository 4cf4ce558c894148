//! Users with passwords: who comes in, how they are added, and a wide bind that needs them.

use std::process::Stdio;

use bytestring::ByteString;
use mqtt_codec::{Auth, Connect, Packet, Property, Qos, ReasonCode, Version};
use mqtt_config::Anonymous;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::{
    admin::{ask, send, start, start_with},
    broker::outside,
    cli::{Running, check_error, command},
    client::{Client, VERSIONS, connect},
};

fn as_user(version: Version, username: Option<&str>, password: Option<&'static str>) -> Connect {
    let username = username.map(ByteString::from);
    Connect { username, password: password.map(Into::into), ..connect(version, "c") }
}

/// What CONNACK says, by its name in version 5.
async fn answer(addr: std::net::SocketAddr, connect: Connect) -> ReasonCode {
    Client::try_connect(addr, connect).await.1.reason
}

async fn add(addr: std::net::SocketAddr, username: &str, password: &str) -> Value {
    let body = json!({"username": username, "password": password}).to_string();
    let answer = send(addr, "POST /api/v4/auth/users", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].clone()
}

#[tokio::test]
async fn users_prove_who_they_are_in_every_version() {
    let Some((broker, admin)) = start().await else { return };
    assert_eq!(answer(broker.addr, as_user(Version::V5, Some("alice"), Some("x"))).await, ReasonCode::Success);
    let added = add(admin, "alice", "secret").await;
    assert!(added["note"].as_str().unwrap().contains("first user"), "{added}");
    let wrong = ReasonCode::BadUserNameOrPassword;
    for version in VERSIONS {
        for (username, password, expected) in [
            (Some("alice"), Some("secret"), ReasonCode::Success),
            (Some("alice"), Some("wrong"), wrong),
            (Some("alice"), None, wrong),
            (Some("bob"), Some("secret"), wrong),
            (None, None, ReasonCode::Success),
        ] {
            let found = answer(broker.addr, as_user(version, username, password)).await;
            assert_eq!(found, expected, "{version:?} {username:?} {password:?}");
        }
    }
}

#[tokio::test]
async fn without_anonymous_only_users_come_in() {
    let Some((broker, admin)) = start_with(|config| config.auth.anonymous = Anonymous::None).await else { return };
    for version in VERSIONS {
        assert_eq!(answer(broker.addr, as_user(version, None, None)).await, ReasonCode::NotAuthorized);
    }
    add(admin, "alice", "secret").await;
    for version in VERSIONS {
        assert_eq!(answer(broker.addr, as_user(version, None, None)).await, ReasonCode::NotAuthorized);
        assert_eq!(answer(broker.addr, as_user(version, Some("alice"), Some("secret"))).await, ReasonCode::Success);
    }
}

#[tokio::test]
async fn anonymous_may_be_who_is_on_this_machine() {
    let Some((broker, _admin)) = start_with(|config| config.auth.anonymous = Anonymous::Loopback).await else { return };
    assert_eq!(answer(broker.addr, as_user(Version::V5, None, None)).await, ReasonCode::Success);
    let pipe = broker.server().connect_in_memory("192.0.2.1:50000".parse().unwrap());
    let mut elsewhere = Client::over(pipe, Version::V5);
    elsewhere.send(mqtt_codec::Packet::Connect(Box::new(connect(Version::V5, "elsewhere")))).await;
    match elsewhere.receive().await {
        mqtt_codec::Packet::ConnAck(answer) => assert_eq!(answer.reason, ReasonCode::NotAuthorized),
        other => panic!("no CONNACK but {other:?}"),
    }
}

#[tokio::test]
async fn wrong_passwords_make_their_user_wait_and_nobody_else() {
    let Some((broker, admin)) = start().await else { return };
    for name in ["alice", "bob", "carol"] {
        add(admin, name, "secret").await;
    }
    let login = async |name, password| answer(broker.addr, as_user(Version::V5, Some(name), Some(password))).await;
    assert_eq!(login("alice", "secret").await, ReasonCode::Success);
    for name in ["alice", "bob"] {
        for wrong in ["1", "2", "3", "4"] {
            assert_eq!(login(name, wrong).await, ReasonCode::BadUserNameOrPassword);
        }
    }
    assert_eq!(login("bob", "secret").await, ReasonCode::ConnectionRateExceeded, "within a second");
    assert_eq!(login("alice", "secret").await, ReasonCode::Success, "it is remembered");
    assert_eq!(login("carol", "secret").await, ReasonCode::Success);
}

#[tokio::test]
async fn users_are_added_listed_changed_and_removed_by_rest() {
    let Some((broker, admin)) = start().await else { return };
    add(admin, "a/b c", "one").await;
    let login = async |password| answer(broker.addr, as_user(Version::V5, Some("a/b c"), Some(password))).await;
    assert_eq!(login("one").await, ReasonCode::Success);
    let listed = ask(admin, "GET /api/v4/auth/users").await.json();
    assert_eq!((&listed["data"][0]["username"], &listed["meta"]["hasnext"]), (&json!("a/b c"), &json!(false)));
    let again = send(admin, "POST /api/v4/auth/users", r#"{"username":"a/b c","password":"x"}"#).await;
    assert_eq!(again.status, 409, "{again:?}");
    let changed = send(admin, "PUT /api/v4/auth/users/a%2Fb%20c", r#"{"password":"two"}"#).await;
    assert_eq!(changed.json(), json!({"code": 0}));
    assert_eq!((login("one").await, login("two").await), (ReasonCode::BadUserNameOrPassword, ReasonCode::Success));
    assert_eq!(ask(admin, "DELETE /api/v4/auth/users/nobody").await.status, 404);
    let removed = ask(admin, "DELETE /api/v4/auth/users/a%2Fb%20c").await.json();
    assert!(removed["data"]["note"].as_str().unwrap().contains("last user"), "{removed}");
    assert_eq!(login("anything").await, ReasonCode::Success, "nobody is asked any more");
}

/// RFC 7515's way to sign by hand: HS256 with the secret `secret`, valid until 2100.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiAiYWxpY2UiLCAiZXhwIjogNDEwMjQ0NDgwMCwgImFjbCI6IHsiYWxsIjogWyJvd24vJWMvIyJdfX0.loMmhDr9Q6Lbfui6jDNokIuKC2apUJxMdZ7Oq2c6RnE";

#[tokio::test]
async fn tokens_let_in_as_a_password_and_by_auth() {
    let Some((broker, _admin)) = start_with(|config| {
        config.auth.jwt_secret = Some("secret".to_owned());
        config.auth.anonymous = Anonymous::None;
    })
    .await
    else {
        return;
    };
    let wrong = &TOKEN[..TOKEN.len() - 4];
    let refused = ReasonCode::BadUserNameOrPassword;
    for version in VERSIONS {
        for (username, password, expected) in [
            (Some("alice"), Some(TOKEN), ReasonCode::Success),
            (Some("bob"), Some(TOKEN), refused),
            (Some("alice"), Some(wrong), refused),
            (Some("alice"), Some("secret"), refused),
            (Some("alice"), None, refused),
            (None, None, ReasonCode::NotAuthorized),
        ] {
            let found = answer(broker.addr, as_user(version, username, password)).await;
            assert_eq!(found, expected, "{version:?} {username:?} {password:?}");
        }
    }
    let properties = |token: &'static str| {
        [Property::AuthenticationMethod("JWT".into()), Property::AuthenticationData(token.into())].into()
    };
    let connect = Connect { properties: properties(TOKEN), ..connect(Version::V5, "c") };
    let (mut client, _) = Client::connect_with(broker.addr, connect).await;
    // What its list allows, and nothing else.
    assert_eq!(client.subscribe("own/c/#", Qos::AtMostOnce).await, ReasonCode::Success);
    assert_eq!(client.subscribe("own/#", Qos::AtMostOnce).await, ReasonCode::NotAuthorized);
    let again = |token| Packet::Auth(Auth { reason: ReasonCode::Reauthenticate, properties: properties(token) });
    client.send(again(TOKEN)).await;
    assert!(matches!(client.receive().await, Packet::Auth(auth) if auth.reason == ReasonCode::Success));
    client.send(again(wrong)).await;
    client.expect_disconnect(ReasonCode::NotAuthorized).await;
}

/// A broker's folder, and commands about it.
struct Site(TempDir);

impl Site {
    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    async fn run(&self, args: &[&str]) -> Running {
        let own = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", self.path()];
        Running::start(&mut command(&[&own, args].concat())).await
    }

    /// Exit code and both outputs of a command that is given a line.
    async fn users(&self, args: &[&str], line: &str) -> (Option<i32>, String, String) {
        let mut command = command(&[&["users"], args, &["--data-dir", self.path()]].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended without reading.
        let _ = child.stdin.take().unwrap().write_all(line.as_bytes()).await;
        let output = child.wait_with_output().await.unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    }
}

#[tokio::test]
async fn the_command_line_adds_users_and_then_a_wide_bind_is_taken() {
    if outside() {
        return;
    }
    let site = Site(tempfile::tempdir().unwrap());
    let none = site.0.path().join("none");
    let wide = ["--bind", "0.0.0.0:0", "--data-dir", none.to_str().unwrap(), "--admin", "off"];
    check_error(&wide, &["rollcall users add", "auth.anonymous = true"]).await;
    assert!(!none.exists(), "nothing is left behind");
    let running = site.run(&[]).await;
    let (code, out, err) = site.users(&["add", "alice"], "secret\n").await;
    assert_eq!((code, &*out), (Some(0), "user \"alice\" is added\n"), "{err}");
    assert!(err.contains("note: this is the first user"), "{err}");
    let file = site.0.path().join("password");
    std::fs::write(&file, "other\nmore").unwrap();
    let (code, _, err) = site.users(&["add", "bob", "--password-file", file.to_str().unwrap()], "").await;
    assert_eq!((code, &*err), (Some(0), ""));
    let (code, out, _) = site.users(&["list"], "").await;
    let names: Vec<_> = out.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!((code, names), (Some(0), vec!["USER", "alice", "bob"]));
    assert_eq!(site.users(&["add", "alice"], "secret\n").await.0, Some(1));
    assert_eq!(site.users(&["remove", "carol"], "").await.0, Some(1));
    assert_eq!(site.users(&["passwd", "bob"], "third\n").await.0, Some(0));
    let login = async |running: &Running, name, password| {
        answer(running.addr(), as_user(Version::V3_1_1, Some(name), Some(password))).await
    };
    assert_eq!(login(&running, "bob", "third").await, ReasonCode::Success);
    running.kill().await;
    // They were in the store when the command was answered.
    let running = site.run(&["--set", "listeners.wide.kind=mqtt", "--set", "listeners.wide.bind=0.0.0.0:0"]).await;
    assert_eq!(login(&running, "alice", "secret").await, ReasonCode::Success);
    assert_eq!(login(&running, "alice", "wrong").await, ReasonCode::BadUserNameOrPassword);
    for name in ["bob", "alice"] {
        assert_eq!(site.users(&["remove", name], "").await.0, Some(0));
    }
    running.stop().await;
    let refused =
        command(&["--bind", "0.0.0.0:0", "--data-dir", site.path(), "--admin", "off"]).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(2), "there is no user any more");
    assert!(String::from_utf8(refused.stderr).unwrap().contains("error: --bind: listeners.mqtt.bind: "));
}

/// By Debian's `mosquitto_passwd`, in both of its forms.
#[tokio::test]
async fn password_files_of_mosquitto_are_read_as_they_are() {
    if outside() {
        return;
    }
    let site = Site(tempfile::tempdir().unwrap());
    let file = site.0.path().join("passwords");
    std::fs::write(&file, "").unwrap();
    let path = file.to_str().unwrap();
    let hash = async |form: &str, name: &str, password: &str| {
        let mut made = tokio::process::Command::new("mosquitto_passwd");
        made.args(["-H", form, "-b", path, name, password]).output().await.is_ok_and(|output| output.status.success())
    };
    if !hash("sha512", "alice", "one").await || !hash("sha512-pbkdf2", "bob", "two").await {
        eprintln!("skipped: there is no mosquitto_passwd that knows both forms");
        return;
    }
    let setting = format!("auth.password_file={path}");
    let args = ["--set", &setting, "--set", "listeners.w.kind=mqtt", "--set", "listeners.w.bind=0.0.0.0:0"];
    let running = site.run(&args).await;
    for (name, password, expected) in [
        ("alice", "one", ReasonCode::Success),
        ("alice", "two", ReasonCode::BadUserNameOrPassword),
        ("bob", "two", ReasonCode::Success),
        ("bob", "one", ReasonCode::BadUserNameOrPassword),
        ("carol", "one", ReasonCode::BadUserNameOrPassword),
    ] {
        let found = answer(running.addr(), as_user(Version::V3_1_1, Some(name), Some(password))).await;
        assert_eq!(found, expected, "{name} {password}");
    }
    running.stop().await;
    std::fs::write(&file, "alice:one\n").unwrap();
    let needle = format!("{path}:1: the password stands there as it is");
    let checked = command(&["check-config", "--set", &setting]).output().await.unwrap();
    assert!(String::from_utf8(checked.stderr).unwrap().contains(&needle));
    let refused = command(&["--bind", "127.0.0.1:0", "--data-dir", site.path(), "--set", &setting, "--admin", "off"]);
    let refused = { refused }.output().await.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains(&needle));
}
