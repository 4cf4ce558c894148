//! The REST API as scripts for EMQ X 4.3 use it.

use std::net::SocketAddr;

use bytestring::ByteString;
use mqtt_codec::{Connect, Packet, Property, Qos, ReasonCode, Version};
use serde_json::{Value, json};

use crate::admin::{ask, send, start, start_with};
use crate::client::{Client, connect, keeping, message};
use crate::events::Watcher;
use crate::http::request;

const V4: &str = "/api/v4";

async fn get(addr: SocketAddr, path: &str) -> Value {
    ask(addr, &format!("GET {V4}{path}")).await.json()
}

/// The rows' values of a key, and whether there is a page after them.
#[track_caller]
fn column(answer: &Value, key: &str) -> (Vec<String>, bool) {
    let rows = answer["data"].as_array().unwrap_or_else(|| panic!("no rows: {answer}"));
    let values = rows.iter().map(|row| row[key].as_str().unwrap_or_default().to_owned());
    (values.collect(), answer["meta"]["hasnext"] == true)
}

#[tokio::test]
async fn a_client_has_all_keys_that_it_has_in_emqx() {
    let Some((broker, addr)) = start().await else { return };
    let mut connect = connect(Version::V3_1_1, "one");
    connect.username = Some(ByteString::from_static("anna"));
    let (_client, _) = Client::connect_with(broker.addr, connect).await;
    let answer = get(addr, "/clients/one").await;
    let client = answer["data"][0].as_object().unwrap();
    let keys = "awaiting_rel clean_start clientid connected connected_at created_at expiry_interval heap_size inflight \
                ip_address is_bridge keepalive mailbox_len max_awaiting_rel max_inflight max_mqueue max_subscriptions \
                mountpoint mqueue_dropped mqueue_len node port proto_name proto_ver recv_cnt recv_msg recv_oct \
                recv_pkt reductions send_cnt send_msg send_oct send_pkt subscriptions_cnt username zone";
    let mut found: Vec<_> = client.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found.join(" "), keys);
    for (key, value) in [
        ("username", json!("anna")),
        ("mountpoint", json!("undefined")),
        ("is_bridge", json!(false)),
        ("proto_name", json!("MQTT")),
        ("proto_ver", json!(4)),
        ("ip_address", json!("127.0.0.1")),
        ("connected", json!(true)),
        ("created_at", client["connected_at"].clone()),
    ] {
        assert_eq!(client[key], value, "{key}");
    }
    assert_eq!(get(addr, "/clients/username/anna").await["data"], answer["data"]);
    assert_eq!(get(addr, "/clients/username/ben").await, json!({"code": 0, "data": []}));
}

#[tokio::test]
async fn of_who_is_away_it_is_known_who_it_was() {
    let Some((broker, addr)) = start().await else { return };
    let mut asked = keeping(Version::V5, "one");
    asked.username = Some(ByteString::from_static("anna"));
    let (client, _) = Client::connect_with(broker.addr, asked).await;
    let online = get(addr, "/clients/one").await["data"][0].clone();
    client.leave().await;
    Client::connect(broker.addr, Version::V5, "gone").await.leave().await;
    let away = get(addr, "/clients?conn_state=disconnected").await;
    assert_eq!(column(&away, "clientid"), (vec!["one".to_owned()], false), "those with a session");
    for key in ["username", "ip_address", "port", "keepalive", "clean_start", "proto_ver", "proto_name"] {
        assert_eq!(away["data"][0][key], online[key], "{key}");
    }
    assert_eq!((&away["data"][0]["connected"], &away["data"][0].get("connected_at")), (&json!(false), &None));
    for query in ["username=anna", "_like_username=nn", "ip_address=127.0.0.1", "clean_start=false"] {
        let found = get(addr, &format!("/clients?conn_state=disconnected&{query}")).await;
        assert_eq!(column(&found, "clientid").0, ["one"], "{query}");
    }
    assert_eq!(get(addr, "/clients/username/anna").await["data"], away["data"]);
}

/// What it asks for in DISCONNECT is held to the limit, as what it asks for in CONNECT is.
#[tokio::test]
async fn a_session_expiry_is_shown_as_it_counts() {
    let Some((broker, addr)) = start_with(|config| config.mqtt.max_session_expiry = 50).await else { return };
    let asking = [Property::SessionExpiry(20)];
    for (id, asked, counts) in [("less", 10, 10), ("more", 1000, 50), ("forever", u32::MAX, 50)] {
        let connect = Connect { properties: asking.clone().into(), ..connect(Version::V5, id) };
        let (client, _) = Client::connect_with(broker.addr, connect).await;
        let path = format!("/clients/{id}");
        assert_eq!(get(addr, &path).await["data"][0]["expiry_interval"], 20);
        client.leave_with(ReasonCode::Success, [Property::SessionExpiry(asked)].into()).await;
        while get(addr, &path).await["data"][0]["connected"] == true {}
        assert_eq!(get(addr, &path).await["data"][0]["expiry_interval"], counts, "{id}");
    }
}

#[tokio::test]
async fn what_has_gone_over_a_connection_is_counted() {
    let Some((broker, addr)) = start().await else { return };
    let mut client = Client::connect(broker.addr, Version::V3_1_1, "one").await;
    client.subscribe("t", Qos::AtMostOnce).await;
    client.publish(message("t", vec![0; 5000], Qos::AtLeastOnce)).await;
    client.take().await;
    client.send(Packet::PingReq).await;
    assert_eq!(client.receive().await, Packet::PingResp);
    // CONNECT, SUBSCRIBE, PUBLISH, PINGREQ; CONNACK, SUBACK, PUBACK, PUBLISH, PINGRESP.
    let (received, sent) = (17 + 8 + 5008 + 2, 4 + 5 + 4 + 5006 + 2);
    // What was written is counted after it was, so the client may be ahead.
    let counted = loop {
        let counted = get(addr, "/clients/one").await["data"][0].take();
        if counted["send_oct"].as_u64() >= Some(sent) {
            break counted;
        }
    };
    for (key, value) in
        [("recv_oct", received), ("recv_pkt", 4), ("recv_msg", 1), ("send_oct", sent), ("send_pkt", 5), ("send_msg", 1)]
    {
        assert_eq!(counted[key], value, "{key}");
    }
    // A read or a write may have taken a part only.
    for key in ["recv_cnt", "send_cnt"] {
        assert!(counted[key].as_u64() >= Some(4), "{key}: {}", counted[key]);
    }
}

#[tokio::test]
async fn clients_are_listed_page_by_page() {
    let Some((broker, addr)) = start().await else { return };
    let mut clients = Vec::new();
    for n in 0..5 {
        clients.push(Client::connect(broker.addr, Version::V5, &format!("c/{n}")).await);
    }
    let first = get(addr, "/clients?_page=1&_limit=2").await;
    let meta = json!({"page": 1, "limit": 2, "count": 5, "hasnext": true, "next": "c/1"});
    assert_eq!(first["meta"], meta);
    for (query, ids, more) in [
        ("?_page=1&_limit=2", &["c/0", "c/1"][..], true),
        ("?_page=3&_limit=2", &["c/4"], false),
        ("?_page=4&_limit=2", &[], false),
        ("?_after=c%2F1&_limit=2", &["c/2", "c/3"], true),
        ("?_after=c%2F3&_limit=2", &["c/4"], false),
        ("?clientid=c%2F2", &["c/2"], false),
    ] {
        let answer = get(addr, &format!("/clients{query}")).await;
        assert_eq!(column(&answer, "clientid"), (ids.iter().map(|id| id.to_string()).collect(), more), "{query}");
    }
    assert_eq!(get(addr, "/nodes/rollcall@127.0.0.1/clients?_page=1&_limit=2").await, first);
    assert_eq!(ask(addr, "GET /api/v4/nodes/other/clients").await.status, 404);
    assert_eq!(get(addr, "/clients/c%2F3").await["data"][0]["clientid"], "c/3");
}

#[tokio::test]
async fn clients_are_filtered() {
    let Some((broker, addr)) = start().await else { return };
    let (away, _) = Client::connect_with(broker.addr, keeping(Version::V3_1_1, "away")).await;
    away.leave().await;
    let mut named = connect(Version::V5, "named");
    named.username = Some(ByteString::from_static("anna"));
    let (_named, _) = Client::connect_with(broker.addr, named).await;
    let _old = Client::connect(broker.addr, Version::V3_1, "old").await;
    while get(addr, "/clients/away").await["data"][0]["connected"] == true {}
    for (query, ids) in [
        ("", "away named old"),
        ("conn_state=connected", "named old"),
        ("conn_state=disconnected", "away"),
        ("conn_state=idle", ""),
        ("username=anna", "named"),
        ("_like_username=nn", "named"),
        ("_like_clientid=a", "away named"),
        ("proto_ver=3", "old"),
        ("proto_name=MQTT", "away named"),
        ("clean_start=true", "named old"),
        ("ip_address=127.0.0.1", "away named old"),
        ("ip_address=127.0.0.9", ""),
        ("zone=external", "away named old"),
        ("_gte_created_at=1000000000", "away named old"),
        ("_gte_created_at=9000000000", ""),
        ("_lte_connected_at=9000000000", "named old"),
        ("_gte_mqueue_len=1", ""),
        ("_lte_mqueue_dropped=0&_like_clientid=o", "old"),
        ("clientid=old&proto_ver=4", ""),
    ] {
        let answer = get(addr, &format!("/clients?{query}")).await;
        assert_eq!(column(&answer, "clientid").0.join(" "), ids, "{query}");
        assert_eq!(answer["meta"]["count"], if query.is_empty() { 3 } else { -1 }, "{query}");
    }
    assert_eq!(get(addr, "/clients?proto_ver=x").await["code"], 108);
    assert_eq!(get(addr, "/clients?_limit=-1").await["code"], 108);
}

#[tokio::test]
async fn subscriptions_and_routes_are_listed() {
    let Some((broker, addr)) = start().await else { return };
    let mut one = Client::connect(broker.addr, Version::V5, "one").await;
    let mut two = Client::connect(broker.addr, Version::V5, "two").await;
    one.subscribe("a/+", Qos::AtLeastOnce).await;
    one.subscribe("$share/g/b", Qos::AtMostOnce).await;
    two.subscribe("a/1", Qos::ExactlyOnce).await;
    assert_eq!(two.subscribe("b", Qos::AtMostOnce).await, ReasonCode::Success);
    for (query, topics) in [
        ("", "$share/g/b a/+ a/1 b"),
        ("?_limit=3", "$share/g/b a/+ a/1"),
        ("?_page=2&_limit=3", "b"),
        ("?clientid=two", "a/1 b"),
        ("?clientid=none", ""),
        ("?topic=b", "$share/g/b b"),
        ("?qos=2", "a/1"),
        ("?share=g", "$share/g/b"),
        ("?_match_topic=a/%23", "a/+ a/1"),
        ("?_match_topic=b&clientid=two", "b"),
        ("/one", "$share/g/b a/+"),
    ] {
        let answer = get(addr, &format!("/subscriptions{query}")).await;
        assert_eq!(column(&answer, "topic").0.join(" "), topics, "{query}");
    }
    for (wanted, place) in [("%23/a", "level 1, \\\"#\\\""), ("a/b%2B/c", "level 2, \\\"b+\\\""), ("", "it is empty")] {
        let answer = send(addr, &format!("GET {V4}/subscriptions?_match_topic={wanted}"), "").await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(108)), "{wanted}");
        let why = answer.json()["message"].to_string();
        assert!(why.contains(place), "{why}");
    }
    let node = "rollcall@127.0.0.1";
    assert_eq!(
        get(addr, &format!("/nodes/{node}/subscriptions/two")).await["data"][0],
        json!({"node": node, "clientid": "two", "topic": "a/1", "qos": 2})
    );
    let routes = get(addr, "/routes?_limit=2").await;
    assert_eq!(column(&routes, "topic"), (vec!["a/+".to_owned(), "a/1".to_owned()], true));
    assert_eq!(routes["meta"]["count"], 3);
    assert_eq!(column(&get(addr, "/routes?_limit=2&_page=2").await, "topic"), (vec!["b".to_owned()], false));
    assert_eq!(get(addr, "/routes/a%2F%2B").await["data"], json!([{"topic": "a/+", "node": node}]));
    assert_eq!(get(addr, "/routes/c").await["data"], json!([]));
}

/// The code of the answer to a POST.
async fn post(addr: SocketAddr, path: &str, body: Value) -> Value {
    let answer = send(addr, &format!("POST {V4}{path}"), &body.to_string()).await;
    assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn messages_are_published_over_rest() {
    let Some((broker, addr)) = start().await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "one").await;
    client.subscribe("a/#", Qos::ExactlyOnce).await;
    let publish = "/mqtt/publish";
    let message = json!({
        "topic": "a/1", "payload": "hello", "qos": 1, "clientid": "script", "user_properties": {"k": "v", "n": 1},
        "properties": {"content_type": "text/plain", "message_expiry_interval": 60},
    });
    assert_eq!(post(addr, publish, message).await, json!({"code": 0}));
    let got = client.take().await;
    assert_eq!((&*got.payload, got.qos), (&b"hello"[..], Qos::AtLeastOnce));
    let properties: Vec<_> = got.properties.iter().collect();
    for wanted in [
        Property::ContentType("text/plain".into()),
        Property::UserProperty("k".into(), "v".into()),
        Property::UserProperty("n".into(), "1".into()),
    ] {
        assert!(properties.contains(&wanted), "{properties:?}");
    }
    let several = json!({"topics": "a/2,a/3,bad/#", "payload": "aGk=", "encoding": "base64", "return": true});
    let answer = post(addr, publish, several).await;
    assert_eq!(answer["data"]["msgids"].as_array().map(Vec::len), Some(2), "{answer}");
    assert_eq!(client.take_text().await, "hi");
    assert_eq!(client.take_text().await, "hi");
    let kept = json!({"topic": "a/kept", "payload": {"on": true}, "retain": true, "return": "x"});
    assert_eq!(post(addr, publish, kept).await["data"]["msgid"].as_str().map(str::len), Some(32));
    assert_eq!(client.take_text().await, r#"{"on":true}"#);
    let mut late = Client::connect(broker.addr, Version::V3_1_1, "late").await;
    late.subscribe("a/kept", Qos::AtMostOnce).await;
    assert_eq!(late.take_text().await, r#"{"on":true}"#);
    for (body, code) in [
        (json!({"payload": "x"}), 115),
        (json!({"topic": "a/+"}), 115),
        (json!({"topic": "$SYS/x"}), 115),
        (json!({"topic": "a\u{0}"}), 115),
        (json!({"topic": 5}), 108),
        (json!({"topic": "a", "qos": 3}), 116),
        (json!({"topic": "a", "qos": "1"}), 116),
        (json!({"topic": "a", "clientid": 1}), 108),
        (json!({"topic": "a", "payload": "?", "encoding": "base64"}), 108),
        (json!({"topic": "a", "properties": {"x": 1}}), 108),
        (json!({"topic": "a", "user_properties": {"x": []}}), 108),
        (json!([]), 108),
        (json!(["a/x", null, null, "in the order of the source", null, null, null, null, null, null]), 108),
        (json!({"topic": "a/".repeat(128) + "a"}), 115),
    ] {
        assert_eq!(post(addr, publish, body.clone()).await["code"], code, "{body}");
    }
    let broken = send(addr, "POST /api/v4/mqtt/publish", "{").await;
    assert_eq!((broken.status, broken.json()), (400, json!({"code": 109, "message": "not_json"})));
    let batch = json!([{"topic": "a/4", "payload": "4"}, {"topic": "+"}, {"topic": 1}, ["a/x"]]);
    let answer = post(addr, "/mqtt/publish_batch", batch).await;
    let expected = json!([
        {"topic": "a/4", "code": 0}, {"topic": "+", "code": 115}, {"code": 108, "message": "bad_params"},
        {"code": 108, "message": "bad_params"},
    ]);
    assert_eq!(answer["data"], expected);
    assert_eq!(client.take_text().await, "4");
}

#[tokio::test]
async fn clients_are_subscribed_over_rest() {
    let Some((broker, addr)) = start().await else { return };
    let mut client = Client::connect(broker.addr, Version::V3_1_1, "one").await;
    let kept = json!({"topic": "a/1", "payload": "kept", "retain": true});
    post(addr, "/mqtt/publish", kept).await;
    let (subscribe, unsubscribe) = ("/mqtt/subscribe", "/mqtt/unsubscribe");
    let wish = json!({"clientid": "one", "topics": "a/+,b", "qos": 1});
    assert_eq!(post(addr, subscribe, wish).await, json!({"code": 0}));
    assert_eq!(client.take_text().await, "kept");
    assert_eq!(column(&get(addr, "/subscriptions/one").await, "topic").0, ["a/+", "b"]);
    assert_eq!(post(addr, unsubscribe, json!({"clientid": "one", "topic": "b"})).await, json!({"code": 0}));
    assert_eq!(post(addr, unsubscribe, json!({"clientid": "one", "topic": "b"})).await, json!({"code": 0}));
    assert_eq!(column(&get(addr, "/subscriptions/one").await, "topic").0, ["a/+"]);
    for (path, body, code) in [
        (subscribe, json!({"clientid": "none", "topic": "a"}), 112),
        (subscribe, json!({"clientid": "one", "topic": "a/#/b"}), 115),
        (subscribe, json!({"clientid": "one", "topic": "a", "qos": 3}), 116),
        (subscribe, json!({"topic": "a"}), 108),
        (unsubscribe, json!({"clientid": "none", "topic": "a"}), 112),
        (unsubscribe, json!({"clientid": "one"}), 115),
    ] {
        assert_eq!(post(addr, path, body.clone()).await["code"], code, "{path} {body}");
    }
    let answer = post(addr, "/mqtt/subscribe_batch", json!([{"clientid": "one", "topic": "c"}, {"topic": "c"}])).await;
    assert_eq!(answer["data"][0], json!({"clientid": "one", "topic": "c", "code": 0}));
    assert_eq!(answer["data"][1]["code"], 108);
    let answer = post(addr, "/mqtt/unsubscribe_batch", json!([{"clientid": "none", "topic": "c"}])).await;
    assert_eq!(answer["data"], json!([{"clientid": "none", "topic": "c", "code": 112}]));
}

#[tokio::test]
async fn who_is_banned_goes_and_does_not_come_back() {
    let Some((broker, addr)) = start().await else { return };
    let named = |version, id| {
        let mut connect = connect(version, id);
        connect.username = Some(ByteString::from_static("eve"));
        connect
    };
    let mut watcher = Watcher::start(broker.addr).await;
    let (mut client, _) = Client::connect_with(broker.addr, named(Version::V5, "one")).await;
    watcher.connected("one").await;
    let ban = json!({"as": "username", "who": "eve", "reason": "loud", "until": 9_000_000_000_u64});
    assert_eq!(post(addr, "/banned", ban.clone()).await, json!({"code": 0, "data": ban}));
    client.expect_disconnect(ReasonCode::AdministrativeAction).await;
    watcher.disconnected("one", "banned").await;
    let (_, answer) = Client::try_connect(broker.addr, named(Version::V5, "one")).await;
    assert_eq!(answer.reason, ReasonCode::Banned);
    let (_, answer) = Client::try_connect(broker.addr, named(Version::V3_1_1, "two")).await;
    assert_eq!(answer.reason, ReasonCode::NotAuthorized);
    let listed = get(addr, "/banned").await;
    assert_eq!((&listed["data"][0]["who"], &listed["data"][0]["as"]), (&json!("eve"), &json!("username")));
    assert_eq!((&listed["data"][0]["by"], &listed["meta"]["count"]), (&json!("user"), &json!(1)));
    assert_eq!(ask(addr, "DELETE /api/v4/banned/username/eve").await.json(), json!({"code": 0}));
    Client::connect_with(broker.addr, named(Version::V5, "one")).await;
    for (body, code) in [
        (json!({"who": "x"}), 107),
        (json!({"who": "x", "as": "y"}), 108),
        (json!({"who": "x", "as": "peerhost"}), 108),
        // There would be no path to lift it by.
        (json!({"who": "", "as": "clientid"}), 108),
        (json!({"who": "", "as": "username"}), 108),
        (json!({"who": "127.0.0.9", "as": "peerhost"}), 0),
        // It is over already.
        (json!({"who": "one", "as": "clientid", "until": 1}), 0),
    ] {
        assert_eq!(post(addr, "/banned", body.clone()).await["code"], code, "{body}");
    }
    Client::connect(broker.addr, Version::V5, "one").await;
    assert_eq!(ask(addr, "DELETE /api/v4/banned/none/x").await.json()["code"], 108);
}

#[tokio::test]
async fn the_broker_is_described_as_in_emqx() {
    let Some((broker, addr)) = start().await else { return };
    let _client = Client::connect(broker.addr, Version::V5, "one").await;
    let node = "rollcall@127.0.0.1";
    let nodes = get(addr, "/nodes").await;
    assert_eq!(nodes["data"][0]["node_status"], "Running");
    assert_eq!(nodes["data"][0]["connections"], 1);
    assert!(nodes["data"][0]["memory_total"].as_u64() > nodes["data"][0]["memory_used"].as_u64(), "{nodes}");
    let stats = get(addr, "/stats").await;
    assert_eq!((&stats["data"][0]["node"], &stats["data"][0]["stats"]["sessions.count"]), (&json!(node), &json!(1)));
    assert_eq!(get(addr, &format!("/nodes/{node}/stats")).await["data"]["connections.count"], 1);
    assert_eq!(get(addr, "/metrics").await["data"][0]["metrics"]["client.connected"], 1);
    assert_eq!(get(addr, &format!("/nodes/{node}/metrics")).await["data"]["client.connected"], 1);
    assert_eq!(get(addr, &format!("/brokers/{node}")).await["data"]["sysdescr"], "Rollcall");
    let listener = &get(addr, "/listeners").await["data"][0]["listeners"][0];
    assert_eq!(listener["listen_on"], broker.addr.to_string());
    assert_eq!((&listener["protocol"], &listener["current_conns"]), (&json!("mqtt:tcp"), &json!(1)));
    assert_eq!((&listener["identifier"], &listener["name"]), (&json!("mqtt:tcp:external"), &json!("mqtt")));
    let plugins = get(addr, "/plugins").await;
    assert_eq!(
        (&plugins["data"][0]["node"], &plugins["data"][0]["plugins"][0]["active"]),
        (&json!(node), &json!(true))
    );
    assert_eq!(get(addr, "/apps").await["data"], json!([]));
}

#[tokio::test]
async fn requests_that_make_no_sense_are_told_so() {
    let Some((_broker, addr)) = start().await else { return };
    for (line, status) in [
        ("GET /api/v4/nothing", 404),
        ("PATCH /api/v4/clients", 405),
        ("GET /api/v4/mqtt/publish", 405),
        ("GET /api/v4/clients/%FF", 400),
        ("GET /api/v4/clients/", 200),
        ("GET /api/v4/clients/?_limit=1", 200),
    ] {
        let answer = ask(addr, line).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(answer.json().is_object(), "{line}");
    }
    let long = "x".repeat(3 << 20);
    assert_eq!(send(addr, "POST /api/v4/mqtt/publish", &long).await.status, 413);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let Some((_broker, addr)) = start().await else { return };
    assert_eq!(request(addr, "GET /api/v4/openapi.json", &[], "").await.status, 401);
    let document = get(addr, "/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, method) in [("/clients", "get"), ("/clients/{clientid}", "delete"), ("/mqtt/publish", "post")] {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        assert!(["200", "401", "429"].iter().all(|status| responses.contains_key(*status)), "{path} {responses:?}");
    }
}

/// Applications of EMQ X are keys.
#[tokio::test]
async fn an_application_is_made_used_changed_and_taken_back() {
    let Some((_broker, addr)) = start().await else { return };
    let made =
        send(addr, "POST /api/v4/apps", r#"{"app_id": "backup", "name": "Backup", "desc": "nightly", "status": true}"#)
            .await;
    let secret = made.json()["data"]["secret"].as_str().unwrap().to_owned();
    let app = json!({"app_id": "backup", "name": "backup", "desc": "admin", "status": true, "expired": "undefined"});
    assert_eq!(get(addr, "/apps").await["data"], json!([app]));
    assert_eq!(get(addr, "/apps/backup").await["data"], app);
    let by_key =
        async |line: &str| crate::http::request(addr, line, &[crate::http::basic("backup", &secret)], "").await.status;
    assert_eq!(by_key("DELETE /api/v4/acl-cache").await, 200);
    for (body, code) in [
        (r#"{"app_id": "backup"}"#, 102),
        (r#"{"app_id": ""}"#, 104),
        (r#"{"app_id": "a/b"}"#, 108),
        (r#"{"app_id": "other", "secret": "guess me"}"#, 108),
        (r#"{"app_id": "other", "status": false}"#, 108),
    ] {
        assert_eq!(send(addr, "POST /api/v4/apps", body).await.json()["code"], code, "{body}");
    }
    let changed = send(addr, "PUT /api/v4/apps/backup", r#"{"name": "x", "desc": "viewer", "status": true}"#).await;
    assert_eq!(changed.json()["code"], 0);
    assert_eq!((by_key("GET /api/v4/apps").await, by_key("DELETE /api/v4/acl-cache").await), (200, 403));
    assert_eq!(send(addr, "PUT /api/v4/apps/other", r#"{"desc": "viewer"}"#).await.json()["code"], 107);
    assert_eq!(send(addr, "DELETE /api/v4/apps/backup", "").await.json()["code"], 0);
    assert_eq!(by_key("GET /api/v4/apps").await, 401);
    assert_eq!(send(addr, "DELETE /api/v4/apps/backup", "").await.json()["code"], 107);
}
