//! Events that are published to NATS JetStream: to what speaks as a nats-server does, and to a real one where `ROLLCALL_NATS_SERVER` names its
//! program, as `cargo xtask ci --only cluster` does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use mqtt_codec::Version;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::{ask, start_with};
use crate::broker::outside;
use crate::client::Client;
use crate::crash::Home;
use crate::nats::{Mood, Speaker, Stored};
use crate::sinks::{Crowd, check, until};

/// A broker with a sink that is called `n`.
async fn home(url: &str, more: &str) -> Home {
    let sink = format!("modules.sinks.nats=[{{name=\"n\",urls=[{url:?}],timeout=\"1s\",retry_max=\"100ms\"{more}}}]");
    Home::new(&["--set", sink.leak(), "--set", "modules.presence.recovery_grace=0s"]).await
}

fn events(stored: &[Stored]) -> Vec<Value> {
    stored.iter().map(|stored| stored.event.clone()).collect()
}

/// Each has come as often as it did. Those who come last are not told last: nobody waits for others' events.
fn are_all(events: &[Value], crowd: &Crowd) -> bool {
    let comings = events.iter().filter(|event| event["event"] == "connected");
    let ids: BTreeSet<_> = comings.map(|event| event["id"].as_u64().unwrap()).collect();
    ids.len() as u64 == crowd.came.values().sum::<u64>()
}

#[tokio::test]
async fn nothing_is_lost_or_out_of_order_whatever_the_server_does() {
    if outside() {
        return;
    }
    let server = Speaker::start().await;
    let mut home = home(&format!("nats://{}", server.addr), "").await;
    let mut crowd = Crowd::default();
    let odd = "a.b/> *é%";
    crowd.come(home.addr(), odd, Version::V5).await.leave().await;
    for mood in [Mood::Mute, Mood::Fickle, Mood::Away, Mood::Picky, Mood::Streamless] {
        server.be(mood);
        let heard = server.heard();
        // It does not get in the way of those who come: all of them are answered.
        crowd.come_and_go(home.addr()).await;
        if matches!(mood, Mood::Mute | Mood::Fickle | Mood::Picky) {
            until(|| (server.heard() > heard).then_some(())).await;
            home = home.crash().await;
            crowd.come_and_go(home.addr()).await;
        }
    }
    server.be(Mood::Well);
    let stored = until(|| Some(server.stored()).filter(|stored| are_all(&events(stored), &crowd))).await;
    check(&events(&stored), &crowd.came);
    assert!(server.again() > 0, "what was taken and not acknowledged has come again, by the same id");
    let subjects: BTreeSet<_> = stored.iter().map(|stored| &*stored.subject).collect();
    assert!(subjects.contains("rollcall.presence.rollcall@127%2E0%2E0%2E1.a%2Eb%2F%3E%20%2A%C3%A9%25"), "{subjects:?}");
    let headers = &stored.last().unwrap().headers;
    assert!(headers.contains("Rollcall-Node: rollcall@127.0.0.1\r\n"), "{headers}");
}

#[tokio::test]
async fn what_keeps_events_from_the_stream_is_said_in_an_alarm() {
    let server = Speaker::start().await;
    server.be(Mood::Streamless);
    let settings = json!([{
        "name": "n", "urls": [format!("nats://{}", server.addr)], "subject": "p.${event}.${clientid}", "stream": "S",
        "retry_max": "100ms", "user": "u", "password": "open sesame",
    }]);
    let started = start_with(|config| {
        config.modules.entry("sinks".to_owned()).or_default().settings["nats"] = settings;
    });
    let Some((broker, admin)) = started.await else { return };
    let client = Client::connect(broker.addr, Version::V5, "c").await;
    let alarm = async |text: &str| {
        while !ask(admin, "GET /api/v4/alarms/activated").await.body.contains(text) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    alarm("no stream of JetStream takes p.connected.c").await;
    let metrics = ask(admin, "GET /metrics").await.body;
    assert!(metrics.contains("rollcall_sinks_behind{sink=\"n\"} 1"), "{metrics}");
    let shown = ask(admin, "GET /api/v4/modules/sinks/config").await.body;
    assert!(shown.contains("********") && !shown.contains("sesame"), "{shown}");
    server.be(Mood::Well);
    let stored = until(|| server.stored().pop()).await;
    assert!(stored.headers.contains("Nats-Expected-Stream: S\r\n"), "{}", stored.headers);
    let said = server.connect();
    assert_eq!((&said["user"], &said["pass"]), (&json!("u"), &json!("open sesame")));
    while ask(admin, "GET /api/v4/alarms/activated").await.body.contains("sinks_behind") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.be(Mood::Away);
    client.leave().await;
    alarm("no connection to nats://").await;
}

/// A nats-server with JetStream, which is killed when this is dropped.
struct Server {
    program: OsString,
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Server {
    async fn start(program: OsString) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Self::run(&program, folder.path(), port);
        let server = Self { program, folder, port, child };
        server.ready().await;
        server
    }

    fn run(program: &OsString, folder: &Path, port: u16) -> Child {
        let mut command = Command::new(program);
        command.args(["--addr", "127.0.0.1", "--jetstream", "--port", &port.to_string(), "--store_dir"]).arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    async fn ready(&self) -> jetstream::Context {
        let connected = async {
            loop {
                if let Ok(client) = async_nats::connect(self.url()).await {
                    return jetstream::new(client);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), connected).await.expect("a nats-server starts")
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = Self::run(&self.program, self.folder.path(), self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the stream has, with the ids.
async fn read(server: &Server) -> Vec<(String, Value)> {
    let stream = server.ready().await.get_stream("PRESENCE").await.unwrap();
    let mut read = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
        read.push((id, serde_json::from_slice(&message.payload).unwrap()));
    }
    read
}

#[tokio::test]
async fn a_real_server_and_the_broker_are_killed_and_all_is_in_the_stream_once() {
    let Some(program) = std::env::var_os("ROLLCALL_NATS_SERVER") else { return };
    let mut server = Server::start(program).await;
    let mut home = home(&server.url(), ",stream=\"PRESENCE\"").await;
    let mut crowd = Crowd::default();
    // There is no stream yet: what happens waits for it.
    crowd.come_and_go(home.addr()).await;
    let config = jetstream::stream::Config {
        name: "PRESENCE".to_owned(),
        subjects: vec!["rollcall.presence.>".to_owned()],
        ..jetstream::stream::Config::default()
    };
    server.ready().await.create_stream(config).await.unwrap();
    for _ in 0..2 {
        // Killed while events are published, the one and the other.
        crowd.come_and_go(home.addr()).await;
        server.kill();
        crowd.come_and_go(home.addr()).await;
        home = home.crash().await;
        crowd.come_and_go(home.addr()).await;
        server.restart();
        crowd.come_and_go(home.addr()).await;
        home = home.crash().await;
    }
    let wait = async {
        loop {
            let read = read(&server).await;
            let (ids, events): (Vec<_>, Vec<_>) = read.into_iter().unzip();
            if are_all(&events, &crowd) {
                return (ids, events);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (ids, events) = tokio::time::timeout(Duration::from_secs(60), wait).await.expect("all comes in the end");
    check(&events, &crowd.came);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "JetStream drops what comes again");
    // By the ids that it is told.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", &**ids.last().unwrap());
    let context = server.ready().await;
    let again = context.publish_with_headers("rollcall.presence.x", headers, "{}".into()).await.unwrap();
    assert!(again.await.unwrap().duplicate);
}
