//! What an operator watches: metrics, probes, alarms; and that the admin port ends with the broker.

use std::collections::HashSet;
use std::net::SocketAddr;

use mqtt_codec::{Qos, Version};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::broker::{Broker, outside};
use crate::client::{Client, message};
use crate::http::{Answer, request};

/// `admin:open sesame`
const BASIC: &str = "authorization: Basic YWRtaW46b3BlbiBzZXNhbWU=";

async fn start(change: impl FnOnce(&mut mqtt_config::Config)) -> Option<(Broker, SocketAddr)> {
    let broker = Broker::with(|config| {
        config.admin.bind = Some(([127, 0, 0, 1], 0).into());
        config.admin.password = Some("open sesame".to_owned());
        change(config);
    });
    let broker = broker.await?;
    let addr = broker.server().addresses().admin.expect("it is on");
    Some((broker, addr))
}

async fn ask(addr: SocketAddr, line: &str, body: &str) -> Answer {
    let json = "content-type: application/json".to_owned();
    request(addr, line, &[BASIC.to_owned(), json], body).await
}

/// The value of a sample; its labels are part of its name.
#[track_caller]
fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn metrics_count_and_ask_for_no_login() {
    let Some((broker, addr)) = start(|_| ()).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "counted").await;
    client.subscribe("a", Qos::AtMostOnce).await;
    client.publish(message("a", "x", Qos::AtLeastOnce)).await;
    client.take().await;
    let answer = request(addr, "GET /metrics", &[], "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let metrics = &answer.body;
    for (name, value) in [
        ("rollcall_connections", 1.0),
        ("rollcall_subscriptions", 1.0),
        ("rollcall_messages_received_total", 1.0),
        ("rollcall_packets_publish_sent_total", 1.0),
        ("rollcall_client_connected_total", 1.0),
        ("rollcall_store_failing", 0.0),
        ("rollcall_module_running{module=\"presence\"}", 1.0),
        ("rollcall_module_panics_total{module=\"presence\"}", 0.0),
    ] {
        assert_eq!(sample(metrics, name), value, "{name}");
    }
    for name in [
        "rollcall_received_bytes_total",
        "rollcall_resident_memory_bytes",
        "rollcall_memory_held_bytes",
        "rollcall_start_time_seconds",
    ] {
        assert!(sample(metrics, name) > 0.0, "{name}");
    }
    assert_eq!(request(addr, "GET /api/v4/emqx_prometheus", &[], "").await.status, 200);
}

#[tokio::test]
async fn metrics_are_as_the_format_has_them() {
    let Some((_broker, addr)) = start(|_| ()).await else { return };
    let metrics = request(addr, "GET /metrics", &[], "").await.body;
    assert!(metrics.ends_with('\n'));
    let (mut families, mut samples, mut family) = (HashSet::new(), HashSet::new(), "");
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split_once(' ').expect("a name and a text").0;
            assert!(families.insert(family), "{family} comes twice");
            assert!(family.starts_with("rollcall_"), "{family}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, family);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(samples.insert(name), "{name} comes twice");
            let of = name.split('{').next().unwrap();
            let suffixes = ["_bucket", "_sum", "_count"];
            let is_part = suffixes.iter().any(|suffix| of.strip_suffix(suffix) == Some(family));
            assert!(of == family || is_part, "{of} among those of {family}");
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        }
    }
    assert!(families.len() > 80, "{}", families.len());
}

/// What the dashboard shows exists.
#[tokio::test]
async fn grafana_asks_only_for_what_there_is() {
    let Some((_broker, addr)) = start(|_| ()).await else { return };
    let metrics = request(addr, "GET /metrics", &[], "").await.body;
    let known: HashSet<_> = metrics
        .lines()
        .filter_map(|line| match line.strip_prefix("# TYPE ") {
            Some(rest) => rest.split(' ').next(),
            None => line.split(['{', ' ']).next(),
        })
        .collect();
    let text = include_str!("../../../deploy/grafana.json");
    let mut asked = Vec::new();
    expressions(&serde_json::from_str(text).unwrap(), &mut asked);
    let words = asked.iter().flat_map(|expr| expr.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()));
    let named: HashSet<_> = words.filter(|word| word.starts_with("rollcall_")).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(known.contains(name), "{name} is not in /metrics");
    }
}

/// Everything under a key `expr` or `query`.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("expr" | "query", Value::String(text)) => found.push(text.clone()),
                    (_, value) => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn probes_answer_as_emqxs() {
    let Some((_broker, addr)) = start(|config| config.node.name = "n@127.0.0.1".to_owned()).await else { return };
    let status = request(addr, "GET /status", &[], "").await;
    assert_eq!(
        (status.status, &*status.body),
        (200, "Node n@127.0.0.1 is started\nemqx is running\nrollcall is running")
    );
    let ready = request(addr, "GET /ready", &[], "").await;
    assert_eq!((ready.status, &*ready.body), (200, "ready"));
}

#[tokio::test]
async fn an_alarm_is_shown_told_and_declared_over() {
    let Some((broker, addr)) = start(|config| config.mqtt.max_connections = 2).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/alarms/#", Qos::AtMostOnce).await;
    let none = json!({"code": 0, "data": [{"node": "rollcall@127.0.0.1", "alarms": []}]});
    assert_eq!(ask(addr, "GET /api/v4/alarms", "").await.json(), none);
    let _second = Client::connect(broker.addr, Version::V5, "second").await;
    let told = watcher.take().await;
    assert!(told.topic.unwrap().as_str().ends_with("/alarms/activate"));
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!((&told["name"], &told["deactivate_at"]), (&json!("connections_limit"), &json!("infinity")));
    for path in ["/alarms", "/alarms/activated"] {
        let shown = ask(addr, &format!("GET /api/v4{path}"), "").await.json();
        assert_eq!(shown["data"][0]["alarms"], json!([told]));
        let shown = ask(addr, &format!("GET /api/v4/nodes/rollcall@127.0.0.1{path}"), "").await.json();
        assert_eq!(shown, json!({"code": 0, "data": [told]}));
    }
    assert_eq!(ask(addr, "GET /api/v4/alarms/deactivated", "").await.json(), none);
    let metrics = request(addr, "GET /metrics", &[], "").await.body;
    assert_eq!(sample(&metrics, "rollcall_alarm_active{name=\"connections_limit\"}"), 1.0);

    let deactivate = "POST /api/v4/alarms/deactivated";
    assert_eq!(ask(addr, deactivate, "{}").await.json(), json!({"code": 107, "message": "missing_param"}));
    let which = json!({"node": "rollcall@127.0.0.1", "name": "connections_limit"}).to_string();
    assert_eq!(ask(addr, deactivate, &which).await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, deactivate, &which).await.json(), json!({"message": "not_found"}));
    assert!(watcher.take().await.topic.unwrap().as_str().ends_with("/alarms/deactivate"));
    let over = ask(addr, "GET /api/v4/alarms/deactivated", "").await.json();
    assert_eq!(over["data"][0]["alarms"][0]["activated"], false);
    assert_eq!(ask(addr, "DELETE /api/v4/alarms/deactivated", "").await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, "GET /api/v4/alarms", "").await.json(), none);
    assert_eq!(ask(addr, "GET /api/v4/nodes/other/alarms", "").await.status, 404);
}

/// Nothing of a broker that has ended holds its folder, whoever is still connected to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_is_free_when_the_broker_has_ended() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut config = mqtt_config::Config { data_dir: Some(folder.path().to_owned()), ..Default::default() };
        config.use_free_ports();
        config.admin.bind = Some(([127, 0, 0, 1], 0).into());
        let server = rollcall::start(config).await.expect("the folder is free");
        let addresses = server.addresses();
        let (mqtt, admin) = (addresses.listener("mqtt").unwrap(), addresses.admin.unwrap());
        // Half a request, and a socket without a CONNECT.
        let mut half = TcpStream::connect(admin).await.unwrap();
        half.write_all(b"GET /status HTTP/1.1\r\n").await.unwrap();
        open.push(half);
        open.push(TcpStream::connect(mqtt).await.unwrap());
        Client::connect(mqtt, Version::V5, "later").await.leave().await;
        assert_eq!(request(admin, "GET /ready", &[], "").await.status, 200);
        server.shutdown().await;
    }
}

/// Its own going is an event too, which nobody is there to acknowledge; that is no loss to anybody.
#[tokio::test]
async fn a_watcher_that_leaves_is_not_taken_for_one_that_missed_something() {
    let Some((broker, addr)) = start(|_| ()).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
    let client = Client::connect(broker.addr, Version::V5, "client").await;
    // Not acknowledged.
    watcher.receive_publish().await;
    client.leave().await;
    watcher.cut().await;
    loop {
        let metrics = request(addr, "GET /metrics", &[], "").await.body;
        if sample(&metrics, "rollcall_connections") == 0.0 {
            assert_eq!(sample(&metrics, "rollcall_presence_events_dropped_total"), 0.0);
            break;
        }
    }
}
