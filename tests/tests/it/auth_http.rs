//! A service that says who comes in.

use std::net::SocketAddr;

use bytestring::ByteString;
use mqtt_codec::{Connect, Qos, ReasonCode, Version};
use mqtt_config::Anonymous;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{
    admin::{ask, send, start_with},
    client::{Client, VERSIONS, connect, message},
};

/// Lets in `alice` with a rule and `root` with all rights, and knows nothing of `carol`; until it is dropped.
async fn serve() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut input = Vec::new();
            while !String::from_utf8_lossy(&input).contains("ipaddress=") {
                stream.read_buf(&mut input).await.unwrap();
            }
            let text = String::from_utf8(input).unwrap();
            let rule = json!({"result": "allow", "acl": [
                {"permission": "allow", "topic": "own/${username}/#"}, {"permission": "deny", "topic": "#"},
            ]});
            let (status, body) = match text.split("username=").nth(1).and_then(|rest| rest.split('&').next()) {
                Some("alice") => (200, rule.to_string()),
                Some("root") => (200, json!({"result": "allow", "is_superuser": true}).to_string()),
                Some("carol") => (200, "ignore".to_owned()),
                _ => (401, String::new()),
            };
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    (addr, task)
}

fn named(version: Version, name: Option<&str>) -> Connect {
    let username = name.map(ByteString::from);
    Connect { username, password: name.map(|_| "secret".into()), ..connect(version, "c") }
}

#[tokio::test]
async fn a_service_says_who_comes_in_and_nobody_does_without_it() {
    let (service, task) = serve().await;
    let started = start_with(|config| {
        config.auth.http.url = Some(format!("http://{service}/auth"));
        config.auth.anonymous = Anonymous::All;
        config.auth.rules = vec![json!({"allow": false, "topics": ["closed"]})];
    });
    let Some((broker, admin)) = started.await else { return };
    let answer = async |connect| Client::try_connect(broker.addr, connect).await.1.reason;
    let wrong = ReasonCode::BadUserNameOrPassword;
    for version in VERSIONS {
        for (name, expected) in
            [(Some("alice"), ReasonCode::Success), (Some("bob"), wrong), (None, wrong), (Some("carol"), wrong)]
        {
            assert_eq!(answer(named(version, name)).await, expected, "{version:?} {name:?}");
        }
    }
    let (mut alice, _) = Client::connect_with(broker.addr, named(Version::V5, Some("alice"))).await;
    for (topic, expected) in
        [("own/alice/a", ReasonCode::NoMatchingSubscribers), ("own/bob", ReasonCode::NotAuthorized)]
    {
        assert_eq!(alice.publish(message(topic, "x", Qos::AtLeastOnce)).await, expected, "{topic}");
    }
    let (mut root, _) = Client::connect_with(broker.addr, named(Version::V5, Some("root"))).await;
    assert_eq!(root.subscribe("closed", Qos::AtMostOnce).await, ReasonCode::Success, "no rule holds for it");

    // Who is one of the users is known also while the service is away; the first of them are not asked of it.
    let added = send(admin, "POST /api/v4/auth/users", r#"{"username":"dave","password":"secret"}"#).await;
    assert_eq!(added.status, 200, "{added:?}");
    for _ in 0..5 {
        assert_eq!(answer(named(Version::V5, Some("alice"))).await, ReasonCode::Success, "she is none of them");
    }
    task.abort();
    let _ = task.await;
    for version in VERSIONS {
        for (name, expected) in [(Some("alice"), ReasonCode::ServerUnavailable), (Some("dave"), ReasonCode::Success)] {
            assert_eq!(answer(named(version, name)).await, expected, "{version:?} {name:?}");
        }
    }
    let stopped = ask(admin, "PUT /api/v4/modules/auth_http/unload").await;
    assert_eq!(stopped.json(), json!({"code": 0}));
    assert_eq!(answer(named(Version::V5, None)).await, ReasonCode::Success, "as auth.anonymous says");
}
