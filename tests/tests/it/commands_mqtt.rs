//! `rollcall pub` and `sub`, and what else the command line shows of messages and of how the broker is.

use std::process::Stdio;

use mqtt_codec::{Property, Qos, Version};
use mqtt_config::Verify;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::broker::{Broker, outside};
use crate::cli::command;
use crate::client::{Client, message, retained};
use crate::commands::{Answer, Site};
use crate::doors::{Authority, add_doors};

/// `rollcall sub`, from when it has subscribed.
struct Sub {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Sub {
    /// Something is retained where it subscribes, which is its first line.
    async fn start(command: &mut Command) -> (Self, Value) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut sub = Self { child, lines };
        let first = sub.next().await;
        (sub, first)
    }

    async fn next(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap().expect("a message");
        serde_json::from_str(&line).unwrap()
    }

    async fn ends(mut self) {
        assert_eq!(self.lines.next_line().await.unwrap(), None);
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn what_is_published_is_shown_with_what_goes_with_it() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    assert_eq!(site.ask(&["pub", "a/0", "kept", "--retain"]).await.done(), "published, and nobody subscribes to it\n");
    let (mut sub, first) = Sub::start(&mut site.command(&["sub", "a/#", "--count", "5", "--qos", "2", "--json"])).await;
    assert_eq!(first, json!({"topic": "a/0", "payload": "kept", "qos": 1, "retain": true, "dup": false}));
    let options = ["--content-type", "text/x", "--response-topic", "r", "--correlation", "7", "--property", "k=v=w"];
    for (qos, version) in [("0", "5"), ("1", "3.1.1"), ("2", "3.1")] {
        let published = site.ask(&["pub", "a/1", "x", "--qos", qos, "--mqtt", version, "--json"]).await.json();
        assert_eq!(published, [json!({"code": 0, "reason": "success"})]);
        let plain =
            json!({"topic": "a/1", "payload": "x", "qos": qos.parse::<u8>().unwrap(), "retain": false, "dup": false});
        assert_eq!(sub.next().await, plain);
    }
    let file = site.folder.path().join("bytes");
    std::fs::write(&file, b"\xff\x00").unwrap();
    site.ask(&[&["pub", "a/2", "--file", file.to_str().unwrap()], &options[..]].concat()).await.done();
    let last = sub.next().await;
    let properties = json!({"content_type": "text/x", "response_topic": "r", "correlation_data": "7",
        "user_properties": [["k", "v=w"]]});
    assert_eq!((&last["payload_base64"], &last["properties"]), (&json!("/wA="), &properties));
    sub.ends().await;
    // For people, nothing that a terminal obeys gets through.
    Answer::given(&mut site.command(&["pub", "b", "--retain", "--mqtt", "3.1.1"]), "\x1b[2J\n").await.done();
    assert_eq!(site.ask(&["sub", "b", "--count", "1"]).await.done(), "b= \\u{1b}[2J\\n\n");
    assert_eq!(site.ask(&["sub", "b", "--count", "1", "--raw"]).await.done(), "\x1b[2J\n\n");
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    site.ask(&["pub", "$SYS/x", "x"]).await.failed(1, &["PUBLISH is refused", "not_authorized"]);
    site.ask(&["pub", "a/#", "x"]).await.failed(2, &["\"a/#\" is no topic"]);
    site.ask(&["pub", "a", "x", "--expiry", "3", "--mqtt", "3.1.1"]).await.failed(2, &["--expiry", "before 5"]);
    site.ask(&["sub", "#/a"]).await.failed(2, &["\"#/a\" is no filter"]);
    site.ask(&["pub", "a", "x", "--broker", "http://127.0.0.1"]).await.failed(2, &["wants mqtt://host:port"]);
    site.ask(&["pub", "a", "x", "--broker", "mqtt://127.0.0.1:1"]).await.failed(3, &["mqtt://127.0.0.1:1"]);
    // No broker is to be asked where that is said.
    let broker = format!("mqtt://{}", site.running.addr());
    Answer::of(&mut command(&["pub", "a", "x", "--broker", &broker])).await.done();
}

#[tokio::test]
async fn messages_go_over_tls_by_a_certificate_too() {
    let authority = Authority::new();
    let Some(broker) = Broker::with(|config| add_doors(config, &authority, Verify::Required)).await else { return };
    let mut reader = Client::connect(broker.addr, Version::V5, "reader").await;
    reader.subscribe("a", Qos::AtMostOnce).await;
    let port = broker.server().addresses().listener("mqtts").unwrap().port();
    let (certificate, key) = authority.sign("it");
    let [ca, certificate, key] =
        [authority.path("ca.pem"), certificate, key].map(|path| path.to_str().unwrap().to_owned());
    let url = format!("mqtts://localhost:{port}");
    let with =
        async |more: &[&str]| Answer::of(&mut command(&[&["pub", "a", "x", "--broker", &url], more].concat())).await;
    with(&["--cafile", &ca, "--cert", &certificate, "--cert-key", &key]).await.done();
    assert_eq!(reader.take_text().await, "x");
    let untrusted = with(&["--cert", &certificate, "--cert-key", &key]).await;
    assert_eq!(untrusted.code, Some(3), "{untrusted:?}");
    assert_eq!(with(&["--cafile", &ca]).await.code, Some(3));
}

#[tokio::test]
async fn retained_messages_routes_and_how_the_broker_is_are_shown() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let mut client = Client::connect(site.running.addr(), Version::V5, "c").await;
    client.subscribe("plant/+", Qos::AtMostOnce).await;
    let properties = [Property::ContentType("text/plain".into())].into();
    client.publish(mqtt_codec::Message { properties, ..retained("keep/1", "one", Qos::AtLeastOnce) }).await;
    client.publish(retained("keep/2", "two\n", Qos::AtLeastOnce)).await;
    client.publish(message("not", "kept", Qos::AtLeastOnce)).await;
    let rows = site.ask(&["retained", "list", "--json"]).await.json();
    assert_eq!(rows.iter().map(|row| row["topic"].as_str().unwrap()).collect::<Vec<_>>(), ["keep/1", "keep/2"]);
    assert_eq!(site.ask(&["retained", "list", "keep/2", "--json"]).await.json().len(), 1);
    let table = site.ask(&["retained", "list", "--limit", "1"]).await.done();
    assert_eq!(table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), ["keep/1", "1", "3"]);
    assert_eq!(site.ask(&["retained", "show", "keep/2"]).await.done(), "two\\n\n");
    site.ask(&["retained", "remove", "keep/2"]).await.done();
    site.ask(&["retained", "show", "keep/2"]).await.failed(1, &["keep/2"]);
    assert_eq!(site.ask(&["routes", "--json"]).await.json()[0]["topic"], "plant/+");
    site.ask(&["modules", "stop", "presence"]).await.done();
    // The broker looks for what is wrong now and then.
    let name = loop {
        if let Some(alarm) = site.ask(&["alarms", "--json"]).await.json().first() {
            break alarm["name"].clone();
        }
    };
    assert_eq!(name, "module_presence_stopped");
    let table = site.ask(&["alarms", "list"]).await.done();
    assert!(table.lines().nth(1).unwrap().starts_with("module_presence_stopped  active  20"), "{table}");
    let status = &site.ask(&["status", "--json"]).await.json()[0];
    let expected = json!({"clients": 1, "subscriptions": 1, "retained": 1, "alarms": ["module_presence_stopped"]});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&status[key], value, "{key} of {status}");
    }
    assert!(site.ask(&["status"]).await.done().contains("rollcall@127.0.0.1"));
    site.ask(&["modules", "start", "presence"]).await.done();
    let over = loop {
        let all = site.ask(&["alarms", "--all", "--json"]).await.json();
        if all.iter().all(|alarm| alarm["activated"] == false) {
            break all;
        }
    };
    assert_eq!(over.iter().map(|alarm| alarm["name"].clone()).collect::<Vec<_>>(), [name]);
}
