//! One client's packets, readable.

use mqtt_codec::{Connect, Packet, Qos, Version};
use mqtt_config::Config;
use serde_json::Value;

use crate::broker::Broker;
use crate::client::{Client, message};
use crate::http::{Stream, basic, request};

/// `admin:open sesame`
const BASIC: &str = "authorization: Basic YWRtaW46b3BlbiBzZXNhbWU=";

async fn start() -> Option<(Broker, std::net::SocketAddr)> {
    let broker = Broker::with(with_admin);
    let broker = broker.await?;
    let addr = broker.server().addresses().admin.expect("it is on");
    Some((broker, addr))
}

pub(crate) fn with_admin(config: &mut Config) {
    config.admin.bind = Some(([127, 0, 0, 1], 0).into());
    config.admin.password = Some("open sesame".to_owned());
}

pub(crate) async fn follow(addr: std::net::SocketAddr, client_id: &str) -> Stream {
    Stream::open(addr, &format!("GET /api/v4/trace/{client_id}"), &[BASIC.to_owned()]).await
}

#[track_caller]
pub(crate) fn check(line: &Value, direction: &str, start: &str) {
    assert_eq!(line["direction"], direction, "{line}");
    assert!(line["packet"].as_str().unwrap().starts_with(start), "{line} and not {start}");
    assert!(line["at"].as_u64().unwrap() > 1_600_000_000_000, "{line}");
}

#[tokio::test]
async fn a_client_is_traced_over_reconnects() {
    let Some((broker, addr)) = start().await else { return };
    let mut lines = follow(addr, "it").await;
    for version in [Version::V3_1_1, Version::V5] {
        let connect =
            Connect { username: Some("u".into()), password: Some("very secret".into()), ..Connect::new(version, "it") };
        let (mut client, _) = Client::connect_with(broker.addr, connect).await;
        let mut other = Client::connect(broker.addr, version, "other").await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        other.publish(message("a", vec![0_u8, 255], Qos::AtLeastOnce)).await;
        client.take().await;
        client.publish(message("b", "x".repeat(100_000), Qos::ExactlyOnce)).await;
        client.leave().await;
        let cut = format!("PUBLISH id=1 qos=2 topic=\"b\" payload(100000)=\"{}\"..", "x".repeat(64));
        for (direction, start) in [
            ("in", "CONNECT version="),
            ("out", "CONNACK success"),
            ("in", "SUBSCRIBE id="),
            ("out", "SUBACK id="),
            ("out", "PUBLISH id=1 qos=1 topic=\"a\" payload(2)=0x00ff"),
            ("in", "PUBACK id=1 success"),
        ] {
            let line = lines.event("packet").await;
            check(&line, direction, start);
            assert!(!line.to_string().contains("secret"), "{line}");
        }
        let line = lines.event("packet").await;
        check(&line, "in", "PUBLISH id=");
        assert!(line["packet"].as_str().unwrap().ends_with(&cut[cut.find("payload").unwrap()..]), "{line}");
        for (direction, start) in
            [("out", "PUBREC id="), ("in", "PUBREL id="), ("out", "PUBCOMP id="), ("in", "DISCONNECT normal")]
        {
            check(&lines.event("packet").await, direction, start);
        }
    }
}

#[tokio::test]
async fn a_trace_begins_in_the_middle_and_shows_what_is_wrong() {
    let Some((broker, addr)) = start().await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "a b/ü").await;
    let mut lines = follow(addr, "a%20b%2F%C3%BC").await;
    client.ping().await;
    check(&lines.event("packet").await, "in", "PINGREQ");
    check(&lines.event("packet").await, "out", "PINGRESP");
    client.send(Packet::PingResp).await;
    check(&lines.event("packet").await, "in", "not a packet: ");
    check(&lines.event("packet").await, "out", "DISCONNECT protocol_error");
}

#[tokio::test]
async fn who_is_not_let_in_is_traced_too() {
    let Some((broker, addr)) = start().await else { return };
    let mut lines = follow(addr, "it").await;
    let banned = r#"{"who":"it","as":"clientid"}"#;
    let answer = request(addr, "POST /api/v4/banned", &[BASIC.to_owned()], banned).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut client = Client::open(broker.addr, Version::V5).await;
    client.send(Packet::Connect(Box::new(Connect::new(Version::V5, "it")))).await;
    assert!(matches!(client.receive().await, Packet::ConnAck(_)));
    client.expect_end().await;
    check(&lines.event("packet").await, "in", "CONNECT version=");
    check(&lines.event("packet").await, "out", "CONNACK banned");
}

#[tokio::test]
async fn so_many_are_traced_at_once() {
    let Some((broker, addr)) = start().await else { return };
    let (line, mut keys, mut open) = ("GET /api/v4/trace/more", vec![BASIC.to_owned()], Vec::new());
    for name in ["a", "b"] {
        let body = format!("{{\"name\":\"{name}\"}}");
        let made = request(addr, "POST /api/v4/admin/keys", &[BASIC.to_owned()], &body).await.json();
        keys.push(basic(name, made["data"]["secret"].as_str().unwrap()));
    }
    for key in &keys[..2] {
        for _ in 0..8 {
            let line = format!("GET /api/v4/trace/{}", open.len());
            open.push(Stream::open(addr, &line, std::slice::from_ref(key)).await);
        }
        let refused = request(addr, line, std::slice::from_ref(key), "").await;
        assert_eq!(refused.status, 429, "half of them are one login's share: {refused:?}");
    }
    let refused = request(addr, line, &keys[2..], "").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    drop(open.pop());
    drop(refused);
    // Those that are open go on, and the broker ends all the same.
    let mut client = Client::connect(broker.addr, Version::V5, "3").await;
    check(&open[3].event("packet").await, "in", "CONNECT");
    client.ping().await;
    broker.shutdown().await;
    for stream in open {
        stream.read_to_end().await;
    }
}
