//! Events that are taken to a service and to a file, whatever dies meanwhile.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use mqtt_codec::Version;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::admin::{ask, send, start_with};
use crate::broker::outside;
use crate::client::{Client, VERSIONS};
use crate::crash::Home;

/// How the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// It takes what it is sent, and does not say so.
    Mute,
    Busy,
    /// It closes each connection as soon as it is there.
    Away,
}

/// A service, until it is dropped.
struct Service {
    addr: SocketAddr,
    state: Arc<Mutex<(Mood, Vec<Value>)>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((Mood::Well, Vec::new())));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, &shared).await;
            }
        });
        Self { addr, state, task }
    }

    fn be(&self, mood: Mood) {
        self.state.lock().unwrap().0 = mood;
    }

    /// What it has heard, once this client has come.
    async fn heard(&self, client_id: &str) -> Vec<Value> {
        until(|| {
            let (_, heard) = &*self.state.lock().unwrap();
            has_come(heard, client_id).then(|| heard.clone())
        })
        .await
    }
}

fn has_come(events: &[Value], client_id: &str) -> bool {
    events.iter().any(|event| event["clientid"] == client_id && event["event"] == "connected")
}

/// What is there once something is.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it happens in the end")
}

async fn serve(mut stream: TcpStream, state: &Mutex<(Mood, Vec<Value>)>) {
    let mood = state.lock().unwrap().0;
    if mood == Mood::Away {
        return;
    }
    let mut input = Vec::new();
    let (head, body) = loop {
        // A broker that dies sends no more.
        if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&input);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let len = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        if body.len() == len.unwrap().parse::<usize>().unwrap() {
            break (head, body.to_owned());
        }
    };
    let signature = head.split("rollcall-signature: sha256=").nth(1).unwrap().split("\r\n").next().unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"it is one"), body.as_bytes());
    assert_eq!(signature, tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    if mood == Mood::Busy {
        let _ = stream.write_all(b"HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    let events: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert!((1..=10).contains(&events.len()));
    state.lock().unwrap().1.extend(events);
    if mood == Mood::Well {
        let _ = stream.write_all(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n").await;
    }
}

/// Nothing is missing, nothing is out of order, and what there is twice is the same twice. `came` says how often each client came.
pub(crate) fn check(events: &[Value], came: &BTreeMap<String, u64>) {
    let mut by_id = BTreeMap::new();
    let mut clients = BTreeMap::<&str, Vec<&Value>>::new();
    for event in events {
        let id = event["id"].as_u64().unwrap_or_else(|| panic!("no gap: {event}"));
        match by_id.insert(id, event) {
            Some(before) => assert_eq!(before, event),
            None => clients.entry(event["clientid"].as_str().unwrap()).or_default().push(event),
        }
    }
    for (client_id, times) in came {
        let events = &clients[&**client_id];
        for key in ["id", "seq"] {
            assert!(events.is_sorted_by(|a, b| a[key].as_u64() < b[key].as_u64()), "{client_id}");
        }
        let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        let expected = ["connected", "disconnected"].into_iter().cycle().take(kinds.len());
        assert!(kinds.iter().copied().eq(expected), "{client_id} {kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| **kind == "connected").count() as u64, *times, "{client_id}");
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be about to be written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Clients that come and go, and how often each came.
#[derive(Default)]
pub(crate) struct Crowd {
    pub(crate) came: BTreeMap<String, u64>,
    online: Vec<Client>,
}

impl Crowd {
    pub(crate) async fn come(&mut self, addr: SocketAddr, client_id: &str, version: Version) -> Client {
        *self.came.entry(client_id.to_owned()).or_default() += 1;
        Client::connect(addr, version, client_id).await
    }

    /// Some leave, some are cut off, some are there when the next come by the same ids, and some stay.
    pub(crate) async fn come_and_go(&mut self, addr: SocketAddr) {
        for round in 0..3 {
            for (n, version) in VERSIONS.into_iter().cycle().take(12).enumerate() {
                let client = self.come(addr, &format!("c{n}"), version).await;
                match (n + round) % 4 {
                    0 => client.leave().await,
                    1 => client.cut().await,
                    2 => client.reset(),
                    _ => self.online.push(client),
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_out_of_order_where_services_and_the_broker_die() {
    if outside() {
        return;
    }
    let (service, folder) = (Service::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("events.jsonl");
    let webhook = format!(
        "modules.sinks.webhook=[{{name=\"w\",url=\"http://{}/\",secret=\"it is one\",batch=10,timeout=\"1s\",retry_max=\"200ms\"}}]",
        service.addr
    );
    let files = format!("modules.sinks.file=[{{name=\"f\",path={:?}}}]", file.to_str().unwrap());
    let flags = ["--set", webhook.leak(), "--set", files.leak(), "--set", "modules.presence.recovery_grace=0s"];
    let mut home = Home::new(&flags).await;
    let mut crowd = Crowd::default();
    crowd.come_and_go(home.addr()).await;
    crowd.come(home.addr(), "first", Version::V5).await.leave().await;
    check(&service.heard("first").await, &BTreeMap::new());
    for mood in [Mood::Mute, Mood::Away, Mood::Busy] {
        service.be(mood);
        // It does not get in the way of those who come: all of them are answered.
        crowd.come_and_go(home.addr()).await;
        if mood == Mood::Mute {
            crowd.come(home.addr(), "unanswered", Version::V5).await.leave().await;
            let before = service.state.lock().unwrap().1.len();
            until(|| (service.state.lock().unwrap().1.len() > before).then_some(())).await;
        }
        home = home.crash().await;
        crowd.come_and_go(home.addr()).await;
    }
    service.be(Mood::Well);
    let last = crowd.come(home.addr(), "last", Version::V5).await;
    let heard = service.heard("last").await;
    check(&heard, &crowd.came);
    let ids: Vec<_> = heard.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(!ids.is_sorted(), "what was not answered has come again");
    let written = until(|| Some(lines(&file)).filter(|lines| has_come(lines, "last"))).await;
    check(&written, &crowd.came);
    drop(last);
}

#[tokio::test]
async fn a_service_that_stays_away_is_an_alarm_and_a_number() {
    // Nobody listens there any more.
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let webhook =
        json!([{"name": "w", "url": format!("http://{addr}/"), "retry_max": "100ms", "secret": "open sesame"}]);
    let started = start_with(|config| {
        config.modules.entry("sinks".to_owned()).or_default().settings["webhook"] = webhook;
    });
    let Some((broker, admin)) = started.await else { return };
    let _client = Client::connect(broker.addr, Version::V5, "c").await;
    let ask = async |line: &str| ask(admin, line).await.body;
    while !ask("GET /api/v4/alarms").await.contains("sinks_behind") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The secret is shown to nobody, and stays where the settings are sent back as they were shown.
    let shown = ask("GET /api/v4/modules/sinks/config").await;
    assert!(shown.contains("********") && !shown.contains("sesame"), "{shown}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let sent = send(admin, "PUT /api/v4/modules/sinks/config", &shown["data"].to_string()).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let metrics = ask("GET /metrics").await;
    assert!(metrics.contains("rollcall_sinks_behind{sink=\"w\"} 1"), "{metrics}");
}
