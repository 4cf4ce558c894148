//! Traces to files.

use std::net::SocketAddr;

use mqtt_codec::{Qos, Version};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::{
    admin::{self, ask, send},
    broker::Broker,
    client::{Client, message},
};

const MODULE: &str = "trace";

/// With the module, and a folder for files.
async fn start(settings: Value) -> Option<(Broker, SocketAddr, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let (broker, admin) = admin::start_with(move |config| config.data_dir = Some(path)).await?;
    broker.server().registry().configure(MODULE, settings).await.unwrap();
    broker.server().registry().start(MODULE).await.unwrap();
    Some((broker, admin, folder))
}

async fn make(admin: SocketAddr, trace: Value) {
    let made = send(admin, "POST /api/v4/trace", &trace.to_string()).await;
    assert_eq!(made.json(), json!({"code": 0}), "{trace}");
}

/// Once a line with this text is there: all lines, without their times.
async fn lines(admin: SocketAddr, name: &str, last: &str) -> Vec<String> {
    loop {
        let text = ask(admin, &format!("GET /api/v4/trace/{name}/download")).await.body;
        if text.contains(last) {
            return text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        }
        tokio::task::yield_now().await;
    }
}

async fn status(admin: SocketAddr, name: &str) -> Value {
    let listed = ask(admin, "GET /api/v4/trace").await.json();
    let rows = listed["data"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).map_or(Value::Null, |row| row["status"].clone())
}

#[tokio::test]
async fn what_becomes_of_a_client_is_written() {
    let Some((broker, admin, _folder)) = start(json!({})).await else { return };
    make(admin, json!({"name": "one", "type": "clientid", "clientid": "c\"d"})).await;
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    other.publish(message("a", "not of it", Qos::AtLeastOnce)).await;
    let mut client = Client::connect(broker.addr, Version::V5, "c\"d").await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    other.publish(message("a", "x", Qos::ExactlyOnce)).await;
    client.take().await;
    client.publish(message("b", "y".repeat(100), Qos::AtLeastOnce)).await;
    client.unsubscribe(&["a"]).await;
    client.leave().await;
    let found = lines(admin, "one", "DISCONNECTED").await;
    let starts = [
        "[CONNECTED] \"c\\\"d\"@127.0.0.1:",
        "[SUBSCRIBED] \"c\\\"d\"@127.0.0.1:",
        "[DELIVER] \"c\\\"d\" topic=\"a\" qos=1",
        "[ACKNOWLEDGED] \"c\\\"d\" topic=\"a\" qos=1",
        "[PUBLISH] \"c\\\"d\" topic=\"b\" qos=1 retain=false payload(100)=\"yyyy",
        "[UNSUBSCRIBED] \"c\\\"d\"@127.0.0.1:",
        "[DISCONNECTED] \"c\\\"d\"@127.0.0.1:",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line} and not {start}");
    }
    let part = ask(admin, "GET /api/v4/trace/one/log?position=25&bytes=11").await.json();
    assert_eq!(part["data"], json!({"items": "[CONNECTED]", "meta": {"position": 36, "bytes": 11}}));
}

#[tokio::test]
async fn messages_of_a_topic_and_clients_of_an_address_are_written() {
    let Some((broker, admin, _folder)) = start(json!({})).await else { return };
    let mut before = Client::connect(broker.addr, Version::V3_1_1, "before").await;
    make(admin, json!({"name": "topic", "type": "topic", "topic": "a/#"})).await;
    make(admin, json!({"name": "here", "type": "ip_address", "ip_address": "127.0.0.1"})).await;
    make(admin, json!({"name": "there", "type": "ip_address", "ip_address": "127.0.0.9"})).await;
    before.publish(message("a/1", "x", Qos::AtLeastOnce)).await;
    before.publish(message("b", "x", Qos::AtLeastOnce)).await;
    before.publish(message("a/2", "x", Qos::AtLeastOnce)).await;
    let found = lines(admin, "topic", "a/2\" reason").await;
    let expected = ["[PUBLISH] \"before\" topic=\"a/1\"", "[DROPPED] topic=\"a/1\" reason=no_subscribers"];
    assert!(found.len() == 4 && found.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{found:#?}");
    assert_eq!(lines(admin, "here", "a/2").await.len(), 3);
    assert_eq!(lines(admin, "there", "").await, [""; 0]);
}

#[tokio::test]
async fn a_trace_ends_when_it_is_told_when_its_file_is_full_and_with_the_module() {
    let Some((broker, admin, folder)) = start(json!({"max_file_size": 1024})).await else { return };
    for name in ["told", "full", "module"] {
        make(admin, json!({"name": name, "type": "topic", "topic": name})).await;
        assert_eq!(status(admin, name).await, "running");
    }
    let later = json!({"name": "later", "type": "topic", "topic": "a", "start_at": "2100-01-01T00:00:00Z"});
    make(admin, later).await;
    assert_eq!(status(admin, "later").await, "waiting");
    assert_eq!(send(admin, "PUT /api/v4/trace/told/stop", "").await.json(), json!({"code": 0}));
    assert_eq!(status(admin, "told").await, "stopped");
    let mut client = Client::connect(broker.addr, Version::V5, "c").await;
    while status(admin, "full").await != "stopped" {
        client.publish(message("full", "x", Qos::AtLeastOnce)).await;
    }
    assert!(std::fs::metadata(folder.path().join("trace/full.log")).unwrap().len() <= 1024);
    broker.server().registry().stop(MODULE).await.unwrap();
    assert_eq!(status(admin, "module").await, "stopped");
    assert_eq!(send(admin, "DELETE /api/v4/trace/full", "").await.status, 404);
    broker.server().registry().start(MODULE).await.unwrap();
    assert_eq!(status(admin, "module").await, "stopped");
    assert_eq!(send(admin, "DELETE /api/v4/trace/full", "").await.json(), json!({"code": 0}));
    assert!(!folder.path().join("trace/full.log").exists());
    assert_eq!(send(admin, "DELETE /api/v4/trace", "").await.json(), json!({"code": 0}));
    assert_eq!(ask(admin, "GET /api/v4/trace").await.json()["data"], json!([]));
}

#[tokio::test]
async fn what_can_t_be_is_refused() {
    let Some((_broker, admin, _folder)) = start(json!({})).await else { return };
    let named = |name: &str| json!({"name": name, "type": "clientid", "clientid": "c"});
    for (trace, status) in [
        (named("../x"), 400),
        (named(""), 400),
        (named("1"), 400),
        (json!({"name": "a", "type": "topic", "topic": "a#"}), 400),
        (json!({"name": "a", "type": "other"}), 400),
        (json!({"name": "a", "type": "clientid", "clientid": "c", "end_at": "2020-01-01T00:00:00Z"}), 400),
        (named("a"), 200),
        (named("a"), 409),
    ] {
        assert_eq!(send(admin, "POST /api/v4/trace", &trace.to_string()).await.status, status, "{trace}");
    }
    for n in 1..30 {
        make(admin, named(&format!("a{n}"))).await;
    }
    assert_eq!(send(admin, "POST /api/v4/trace", &named("more").to_string()).await.status, 409);
    for line in ["PUT /api/v4/trace/none/stop", "DELETE /api/v4/trace/none"] {
        assert_eq!(send(admin, line, "").await.status, 404, "{line}");
    }
    assert_eq!(ask(admin, "GET /api/v4/trace/none/log").await.status, 404);
}
