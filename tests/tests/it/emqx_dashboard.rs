//! The requests of EMQ X's own enterprise dashboard (4.3.7), and what it takes from the answers.
//!
//! It shows a name and a password at each request, and a browser adds whose page asks.

use std::net::SocketAddr;

use mqtt_codec::{Qos, Version};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::admin::start;
use crate::client::Client;
use crate::http::{Answer, basic, request};

/// As a page of that dashboard, which is served where the API is.
async fn page(addr: SocketAddr, line: &str, body: &str) -> Answer {
    let headers = [
        basic("admin", "open sesame"),
        "cache-control: no-cache".to_owned(),
        "sec-fetch-site: same-origin".to_owned(),
        format!("referer: http://{addr}/"),
    ];
    request(addr, line, &headers, body).await
}

async fn data(addr: SocketAddr, line: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = page(addr, line, &body).await;
    assert_eq!(answer.status, 200, "{line}: {answer:?}");
    let mut answer = answer.json();
    assert_eq!(answer["code"], 0, "{line}: {answer}");
    answer["data"].take()
}

/// Asserts that a shape is in what is there: `null` is anything, of a list each entry has the shape of the one.
#[track_caller]
fn check(line: &str, found: &Value, shape: &Value) {
    match (shape, found) {
        (Value::Null, _) => {}
        (Value::Object(keys), Value::Object(found)) => keys.iter().for_each(|(key, shape)| {
            let value = found.get(key).unwrap_or_else(|| panic!("{line}: no {key} in {found:?}"));
            check(line, value, shape);
        }),
        (Value::Array(shapes), Value::Array(found)) => {
            assert!(!found.is_empty(), "{line}: nothing is listed");
            found.iter().for_each(|one| check(line, one, &shapes[0]));
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => {}
        (shape, found) => panic!("{line}: {found} is not like {shape}"),
    }
}

#[tokio::test]
async fn each_page_finds_what_it_takes() {
    let Some((broker, addr)) = start().await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "one").await;
    client.subscribe("a", Qos::AtMostOnce).await;
    let node = "rollcall@127.0.0.1";
    let words = json!({"en": "", "zh": ""});
    let alarm = json!({"node": "", "alarms": null});
    let points = json!({(node): [[0, 0]]});
    let listener = json!({"protocol": "", "listen_on": "", "acceptors": 0, "max_conns": 0, "current_conns": 0});
    let stats = json!({"connections.count": 0, "connections.max": 0, "subscriptions.count": 0, "topics.count": 0,
        "retained.count": 0, "subscriptions.shared.count": 0});
    let metrics = json!({"client.connected": 0, "client.auth.success": 0, "client.auth.failure": 0, "messages.received": 0,
        "messages.sent": 0, "messages.dropped": 0, "messages.dropped.expired": 0, "messages.dropped.no_subscribers": 0});
    let of_broker = json!({"node": "", "version": "", "uptime": "", "sysdescr": "", "datetime": ""});
    let of_node = json!({"node": "", "node_status": "", "connections": 0, "load1": "", "load5": "", "load15": "", "max_fds": 0,
        "memory_total": 0, "memory_used": 0, "otp_release": "", "process_available": 0, "process_used": 0, "uptime": "", "version": ""});
    for (line, shape) in [
        // Login, and the bell that each page has.
        ("POST /api/v4/auth?_t=false&_m=false", Value::Null),
        ("GET /api/v4/alarms/activated", json!([alarm])),
        ("GET /api/v4/alarms/deactivated", json!([alarm])),
        // Monitor.
        (
            "GET /api/v4/monitor/current_metrics",
            json!({"node": 0, "received": 0, "sent": 0, "subscription": 0, "connection": 0}),
        ),
        ("GET /api/v4/monitor/metrics/dropped", points.clone()),
        ("GET /api/v4/monitor/metrics/connection", points.clone()),
        ("GET /api/v4/monitor/metrics/route", points.clone()),
        ("GET /api/v4/monitor/metrics/subscriptions", points.clone()),
        ("GET /api/v4/monitor/metrics/sent", points.clone()),
        ("GET /api/v4/monitor/metrics/received", points.clone()),
        (
            "GET /api/v4/license_info",
            json!({"customer": "", "customer_type": 0, "max_connections": 0, "email": "", "issued_at": "",
            "expiry_at": "", "expiry": false, "type": ""}),
        ),
        ("GET /api/v4/brokers", json!([of_broker])),
        ("GET /api/v4/stats", json!([{"node": "", "stats": stats}])),
        ("GET /api/v4/nodes", json!([of_node])),
        ("GET /api/v4/metrics", json!([{"metrics": metrics}])),
        // One node.
        ("GET /api/v4/brokers/rollcall@127.0.0.1", of_broker),
        ("GET /api/v4/nodes/rollcall@127.0.0.1", of_node),
        ("GET /api/v4/nodes/rollcall@127.0.0.1/stats", stats),
        ("GET /api/v4/nodes/rollcall@127.0.0.1/metrics", metrics),
        ("GET /api/v4/nodes/rollcall@127.0.0.1/listeners", json!([listener])),
        ("GET /api/v4/nodes/rollcall@127.0.0.1/monitor/metrics/sent", points),
        // Clients, topics, subscriptions.
        (
            "GET /api/v4/clients?_page=1&_limit=20",
            json!([{"clientid": "", "username": "", "ip_address": "", "keepalive": 0,
            "proto_name": "", "proto_ver": 0, "connected": true, "connected_at": ""}]),
        ),
        ("GET /api/v4/nodes/rollcall@127.0.0.1/subscriptions/one", json!([{"clientid": "", "topic": "", "qos": 0}])),
        ("GET /api/v4/routes?_page=1&_limit=20", json!([{"topic": "", "node": ""}])),
        ("GET /api/v4/subscriptions?_page=1&_limit=20", json!([{"clientid": "", "topic": "", "qos": 0, "node": ""}])),
        // Modules.
        (
            "GET /api/v4/modules",
            json!([{"id": "", "type": "", "title": words, "description": words, "enabled": true, "config": {}}]),
        ),
        (
            "GET /api/v4/modules/presence",
            json!({"id": "", "type": "", "title": words, "description": words, "enabled": true,
            "config": {"qos": 0}}),
        ),
        (
            "GET /api/v4/module_types",
            json!({"auth": [{"name": ""}], "protocol": null, "message": null, "extension": null, "devops": null,
            "module": [{"name": "", "title": words, "description": words, "params": {}}]}),
        ),
        (
            "GET /api/v4/module_types/presence",
            json!({"name": "", "params": {"qos": {"type": "", "title": words, "description": words,
            "default": 0, "order": 0, "required": true}}}),
        ),
        // General.
        (
            "GET /api/v4/nodes/rollcall@127.0.0.1/plugins",
            json!([{"name": "", "version": "", "description": "", "active": true, "type": ""}]),
        ),
        ("GET /api/v4/users", json!([{"username": "", "tags": ""}])),
    ] {
        let body = if line.starts_with("POST") {
            json!({"username": "admin", "password": "open sesame"})
        } else {
            Value::Null
        };
        check(line, &data(addr, line, &body).await, &shape);
    }
}

#[tokio::test]
async fn a_module_is_stopped_started_set_removed_and_added() {
    let Some((broker, addr)) = start().await else { return };
    let status = || broker.server().registry().status("presence").unwrap();
    for enabled in [false, true, true] {
        data(addr, "PUT /api/v4/modules/presence", &json!({"enabled": enabled})).await;
        assert_eq!(status().running, enabled);
    }
    // What the form does not show stays as it was set.
    let set = json!({"type": "presence", "id": "presence", "enabled": true, "description": {"en": "", "zh": ""}, "config": {"qos": 0}});
    data(addr, "PUT /api/v4/modules/presence", &json!({"config": {"extended": true}})).await;
    let answer = data(addr, "PUT /api/v4/modules/presence", &set).await;
    assert_eq!((&answer["config"]["qos"], &answer["config"]["extended"]), (&json!(0), &json!(true)), "{answer}");
    let wrong = page(addr, "PUT /api/v4/modules/presence", &json!({"config": {"qos": 7}}).to_string()).await;
    assert!(wrong.status == 400 && wrong.json()["message"].is_string(), "{wrong:?}");

    data(addr, "DELETE /api/v4/modules/presence", &Value::Null).await;
    let ids = |modules: &Value| modules.as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert!(!ids(&data(addr, "GET /api/v4/modules", &Value::Null).await).contains(&json!("presence")));
    let added = data(addr, "POST /api/v4/modules", &json!({"type": "presence", "config": {"qos": 2}})).await;
    assert_eq!((&added["id"], &added["type"]), (&json!("presence"), &json!("presence")));
    assert_eq!((&added["enabled"], &added["config"]["qos"]), (&json!(true), &json!(2)));
    assert!(ids(&data(addr, "GET /api/v4/modules", &Value::Null).await).contains(&json!("presence")));
    let twice =
        page(addr, "POST /api/v4/modules", &json!({"type": "presence", "config": {"qos": 0}}).to_string()).await;
    assert_eq!(twice.status, 409, "{twice:?}");
    assert_eq!(broker.server().registry().settings("presence").unwrap()["qos"], 2, "what was refused changes nothing");

    data(addr, "PUT /api/v4/modules/presence", &json!({"enabled": false})).await;
    data(addr, "POST /api/v4/maybe_start_modules", &json!({"type": "presence"})).await;
    assert!(status().running);
}

#[tokio::test]
async fn scripts_are_answered_as_by_the_open_source_edition_unless_they_ask() {
    let Some((_broker, addr)) = start().await else { return };
    let script = [basic("admin", "open sesame")];
    for (line, is_enterprise) in [
        ("GET /api/v4/modules", false),
        ("GET /api/v4/modules?edition=opensource", false),
        ("GET /api/v4/modules?edition=enterprise", true),
    ] {
        let answer = request(addr, line, &script, "").await.json();
        assert_eq!(answer["data"][0]["id"].is_string(), is_enterprise, "{line}: {answer}");
        assert_eq!(answer["data"][0]["modules"].is_array(), !is_enterprise, "{line}: {answer}");
    }
    assert_eq!(request(addr, "GET /api/v4/modules?edition=other", &script, "").await.status, 400);
    // Our own pages are no less in a browser; their token tells them apart.
    let ours = [&script[..], &["referer: http://127.0.0.1/".to_owned(), "x-csrf-token: x".to_owned()]].concat();
    let answer = request(addr, "GET /api/v4/modules", &ours, "").await.json();
    assert!(answer["data"][0]["modules"].is_array(), "{answer}");
}

#[tokio::test]
async fn plugins_are_the_modules_that_do_what_they_do() {
    let Some((broker, addr)) = start().await else { return };
    let running = || broker.server().registry().status("users").unwrap().running;
    let deed = async |deed: &str| page(addr, &format!("PUT /api/v4/plugins/emqx_auth_mnesia/{deed}"), "").await.json();
    assert_eq!((deed("unload").await, running()), (json!({"code": 0}), false));
    assert_eq!(deed("unload").await["code"], 111);
    // So that dashboard starts one.
    assert_eq!((deed("reload").await, running()), (json!({"code": 0}), true));
    assert_eq!(deed("load").await["code"], 110);
    assert_eq!(deed("reload").await, json!({"code": 0}));
    let none = page(addr, "PUT /api/v4/nodes/rollcall@127.0.0.1/plugins/emqx_none/load", "").await.json();
    assert_eq!(none, json!({"message": "not_found"}));
    assert_eq!(page(addr, "PUT /api/v4/plugins/emqx_auth_mnesia/eat", "").await.status, 404);
}

#[tokio::test]
async fn an_export_is_made_taken_away_and_taken_back() {
    let Some((broker, addr)) = start().await else { return };
    let registry = broker.server().registry();
    data(addr, "PUT /api/v4/modules/presence", &json!({"config": {"qos": 2}})).await;
    data(addr, "POST /api/v4/banned", &json!({"who": "bad", "as": "clientid"})).await;
    let made = data(addr, "POST /api/v4/data/export", &Value::Null).await;
    let listed = data(addr, "GET /api/v4/data/export", &Value::Null).await;
    check("GET /data/export", &listed, &json!([{"node": "", "filename": "", "size": 0, "created_at": ""}]));
    assert_eq!(listed[0], made);
    let path = format!("/api/v4/data/file/{}", made["filename"].as_str().unwrap());
    let read = page(addr, &format!("GET {path}"), "").await.json();
    assert_eq!((&read["code"], &read["data"]["file"]), (&json!(0), &read["file"]));
    assert!(!read["file"].as_str().unwrap().contains("open sesame"), "no secret leaves");

    data(addr, "PUT /api/v4/modules/presence", &json!({"config": {"qos": 0}, "enabled": false})).await;
    data(addr, "DELETE /api/v4/banned/clientid/bad", &Value::Null).await;
    data(addr, &format!("DELETE {path}"), &Value::Null).await;
    assert_eq!(page(addr, &format!("GET {path}"), "").await.status, 404);
    let brought = data(addr, "POST /api/v4/data/file", &json!({"filename": "mine.json", "file": read["file"]})).await;
    assert_eq!(brought["node"], "rollcall@127.0.0.1");
    data(addr, "POST /api/v4/data/import", &json!({"filename": "mine.json", "node": brought["node"]})).await;
    assert_eq!(registry.settings("presence").unwrap()["qos"], 2);
    assert!(registry.status("presence").unwrap().running);
    assert_eq!(page(addr, "GET /api/v4/banned", "").await.json()["data"][0]["who"], "bad");

    let wrong = json!({"filename": "a/b", "file": "{}"});
    assert_eq!(page(addr, "POST /api/v4/data/file", &wrong.to_string()).await.json()["code"], 108);
    let wrong = json!({"filename": "a", "file": "{"});
    assert_eq!(page(addr, "POST /api/v4/data/file", &wrong.to_string()).await.json()["code"], 108);
    let other = r#"{"modules":[{"name":"nothing","enable":true}]}"#;
    data(addr, "POST /api/v4/data/file", &json!({"filename": "a", "file": other})).await;
    let failed = page(addr, "POST /api/v4/data/import", &json!({"filename": "a"}).to_string()).await.json();
    assert_eq!(failed, json!({"message": "no module is called nothing"}));
}

#[tokio::test]
async fn what_there_is_to_be_asked_is_listed() {
    let Some((_broker, addr)) = start().await else { return };
    for line in ["GET /api/v4", "GET /api/v4/"] {
        let listed = data(addr, line, &Value::Null).await;
        check(line, &listed, &json!([{"name": "", "method": "", "path": "", "descr": ""}]));
        let paths: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert!(paths.contains(&"/clients/:clientid") && paths.contains(&"/module_types"), "{paths:?}");
    }
    for line in [
        "GET /api/v4/alarms/present",
        "GET /api/v4/alarms/history",
        "DELETE /api/v4/alarms/history",
        "DELETE /api/v4/acl-cache",
    ] {
        data(addr, line, &Value::Null).await;
    }
}

#[tokio::test]
async fn boards_made_for_emqx_find_its_numbers() {
    let Some((broker, addr)) = start().await else { return };
    let _client = Client::connect(broker.addr, Version::V5, "one").await;
    let text = request(addr, "GET /api/v4/emqx_prometheus", &[], "").await;
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    for line in [
        "# TYPE emqx_connections_count gauge",
        "emqx_connections_count 1",
        "# TYPE emqx_packets_connect counter",
        "emqx_packets_connect 1",
        "emqx_client_connected 1",
        "emqx_session_takeovered 0",
        "emqx_messages_dropped_expired 0",
        "emqx_cluster_nodes_running 1",
    ] {
        assert!(text.body.lines().any(|found| found == line), "{line}: {}", text.body);
    }
    let json = request(addr, "GET /api/v4/emqx_prometheus?type=json", &[], "").await.json();
    for group in ["stats", "metrics", "packets", "messages", "delivery", "client", "session"] {
        assert!(json[group].is_object(), "{group}: {json}");
    }
    assert_eq!(
        (&json["stats"]["emqx_connections_count"], &json["client"]["emqx_client_connected"]),
        (&json!(1), &json!(1))
    );
}
