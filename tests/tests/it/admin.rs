//! The admin port: who may come in, and what they may do.

use std::net::SocketAddr;

use mqtt_codec::Version;
use mqtt_config::Config;
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::client::Client;
use crate::events::Watcher;
use crate::http::{Answer, Stream, request};

/// `admin:open sesame`
const BASIC: &str = "authorization: Basic YWRtaW46b3BlbiBzZXNhbWU=";

/// A broker whose operator's password is known.
pub(crate) async fn start() -> Option<(Broker, SocketAddr)> {
    start_with(|_| {}).await
}

/// The same with other settings.
pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Option<(Broker, SocketAddr)> {
    let broker = Broker::with(|config| {
        change(config);
        config.admin.bind = Some(([127, 0, 0, 1], 0).into());
        config.admin.password = Some("open sesame".to_owned());
    });
    let broker = broker.await?;
    let addr = broker.server().addresses().admin.expect("it is on");
    Some((broker, addr))
}

pub(crate) async fn ask(addr: SocketAddr, line: &str) -> Answer {
    send(addr, line, "").await
}

/// Asks with a body.
pub(crate) async fn send(addr: SocketAddr, line: &str, body: &str) -> Answer {
    request(addr, line, &[BASIC.to_owned()], body).await
}

#[tokio::test]
async fn nobody_comes_in_without_a_password() {
    let Some((_broker, addr)) = start().await else { return };
    let wrong = "authorization: Basic YWRtaW46b3BlbiBzZXNhbQ==".to_owned();
    for headers in [vec![], vec![wrong.clone()], vec!["authorization: Basic !".to_owned()]] {
        let answer = request(addr, "GET /api/v4/modules", &headers, "").await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.head.contains("www-authenticate: Basic"), "{answer:?}");
    }
    assert_eq!(ask(addr, "GET /api/v4/modules").await.status, 200);
}

#[tokio::test]
async fn a_page_without_a_login_is_told_so_and_no_browser_asks_for_a_password_itself() {
    let Some((_broker, addr)) = start().await else { return };
    for header in
        [format!("referer: http://{addr}/"), "sec-fetch-site: same-origin".to_owned(), "cookie: rollcall=x".to_owned()]
    {
        let headers = ["accept: text/event-stream".to_owned(), header];
        let answer = request(addr, "GET /api/v4/overview/stream", &headers, "").await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(!answer.head.contains("www-authenticate"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_login_changes_nothing_without_its_token() {
    let Some((broker, addr)) = start().await else { return };
    let form = ["content-type: application/x-www-form-urlencoded".to_owned()];
    let refused = request(addr, "POST /login", &form, "username=admin&password=x").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let login = request(addr, "POST /login", &form, "username=admin&password=open+sesame").await;
    assert_eq!(login.status, 303, "{login:?}");
    assert!(login.head.contains("HttpOnly; SameSite=Strict"), "{login:?}");
    let cookie = format!("cookie: {}", login.cookie());
    let page = request(addr, "GET /", std::slice::from_ref(&cookie), "").await;
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{page:?}");
    // The console alone speaks to another origin: a listener for WebSocket.
    let console = request(addr, "GET /console", std::slice::from_ref(&cookie), "").await;
    for (page, connects) in [(&page, "connect-src 'self';"), (&console, "connect-src 'self' ws: wss:;")] {
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.head.contains(connects) && page.head.matches("content-security-policy").count() == 1, "{page:?}");
    }
    let (_, rest) = page.body.split_once("name=csrf content=\"").expect("a token");
    let token = format!("x-csrf-token: {}", rest.split('"').next().unwrap());
    let unload = "PUT /api/v4/modules/presence/unload";
    for other in [vec![], vec!["x-csrf-token: x".to_owned()]] {
        let headers = [vec![cookie.clone()], other].concat();
        assert_eq!(request(addr, unload, &headers, "").await.status, 403);
    }
    assert!(broker.server().registry().status("presence").unwrap().running);
    assert_eq!(request(addr, unload, &[cookie.clone(), token.clone()], "").await.json(), json!({"code": 0}));
    assert!(!broker.server().registry().status("presence").unwrap().running);
    let out = request(addr, "POST /logout", &[cookie.clone(), token], "").await;
    assert_eq!(out.status, 303, "{out:?}");
    assert_eq!(request(addr, "GET /api/v4/modules", &[cookie], "").await.status, 401);
}

#[tokio::test]
async fn modules_are_started_and_stopped_as_in_emqx() {
    let Some((broker, addr)) = start().await else { return };
    let listed = ask(addr, "GET /api/v4/modules").await.json();
    assert_eq!(listed["code"], 0);
    assert_eq!(listed["data"][0]["node"], "rollcall@127.0.0.1");
    let presence = &listed["data"][0]["modules"][0];
    assert_eq!((&presence["name"], &presence["active"]), (&json!("emqx_mod_presence"), &json!(true)));
    let mut watcher = Watcher::start(broker.addr).await;
    for (name, change, answer) in [
        ("presence", "load", json!({"message": "already_started"})),
        ("emqx_mod_presence", "unload", json!({"code": 0})),
        ("emqx_mod_presence", "unload", json!({"message": "not_started"})),
        ("nothing", "load", json!({"message": "not_found"})),
    ] {
        assert_eq!(ask(addr, &format!("PUT /api/v4/modules/{name}/{change}")).await.json(), answer, "{name} {change}");
    }
    Client::connect(broker.addr, Version::V5, "unseen").await.leave().await;
    let node = "PUT /api/v4/nodes/rollcall@127.0.0.1/modules/presence/load";
    assert_eq!(ask(addr, node).await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, "PUT /api/v4/nodes/other/modules/presence/load").await.status, 404);
    Client::connect(broker.addr, Version::V5, "seen").await.leave().await;
    watcher.connected("seen").await;
    watcher.disconnected("seen", "normal").await;
}

#[tokio::test]
async fn a_kick_ends_connection_and_session() {
    let Some((broker, addr)) = start().await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let _client = Client::connect(broker.addr, Version::V5, "it").await;
    watcher.connected("it").await;
    let listed = ask(addr, "GET /api/v4/clients/it").await.json();
    assert_eq!(listed["data"][0]["clientid"], "it");
    assert_eq!(listed["data"][0]["connected"], true);
    assert_eq!(ask(addr, "DELETE /api/v4/clients/it").await.json(), json!({"code": 0}));
    watcher.disconnected("it", "kicked").await;
    let gone = ask(addr, "DELETE /api/v4/clients/it").await.json();
    assert_eq!(gone, json!({"code": 112, "message": "not_found"}));
    assert_eq!(ask(addr, "GET /api/v4/clients/it").await.json(), json!({"code": 0, "data": []}));
}

#[tokio::test]
async fn a_module_is_added_set_tested_and_removed() {
    let Some((broker, addr)) = start().await else { return };
    let types = ask(addr, "GET /api/v4/module_types").await.json();
    assert_eq!(types["data"]["module"][0]["type"], "presence");
    assert_eq!(types["data"]["module"][0]["settings"][0]["name"], "qos");
    let module = ask(addr, "GET /api/v4/modules/presence").await.json();
    assert_eq!((&module["data"]["added"], &module["data"]["enabled"]), (&json!(true), &json!(true)));
    assert_eq!(module["data"]["counters"]["events.connected"], 0);
    let tested = ask(addr, "POST /api/v4/modules/presence/test").await.json();
    let (data, events) = (&tested["data"], &tested["data"]["events"]);
    assert_eq!((&data["ok"], &data["error"]), (&json!(true), &json!(null)), "{tested}");
    assert!(events[0]["topic"].as_str().unwrap().ends_with("/connected"), "{tested}");
    assert_eq!(events[1]["payload"]["reason"], "normal", "{tested}");
    assert!(events[1]["ms"].as_f64().unwrap() > 0.0, "{tested}");

    let json_body = [BASIC.to_owned(), "content-type: application/json".to_owned()];
    let config = "PUT /api/v4/modules/presence/config";
    assert_eq!(request(addr, config, &json_body, r#"{"qos":0,"extended":true}"#).await.json(), json!({"code": 0}));
    let wrong = request(addr, config, &json_body, r#"{"qos":7}"#).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert!(wrong.body.contains("qos: 7"), "{wrong:?}");
    assert_eq!(request(addr, config, &json_body, "{").await.status, 400);
    let settings = ask(addr, "GET /api/v4/modules/presence/config").await.json();
    assert_eq!(settings["data"], json!({"qos": 0, "extended": true}));

    assert_eq!(ask(addr, "POST /api/v4/modules/presence/remove").await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, "DELETE /api/v4/modules/presence").await.status, 409);
    let tested = ask(addr, "POST /api/v4/modules/presence/test").await.json();
    assert_eq!(tested["data"]["ok"], false);
    assert!(tested["data"]["error"].as_str().unwrap().contains("does not run"), "{tested}");
    let added = request(addr, "POST /api/v4/modules", &json_body, r#"{"type":"presence"}"#).await.json();
    assert_eq!(added["data"]["enabled"], true);
    assert_eq!(added["data"]["config"]["qos"], 1, "as configured");
    let stopped = request(addr, "PUT /api/v4/modules/presence", &json_body, r#"{"enabled":false}"#).await.json();
    assert_eq!((&stopped["data"]["enabled"], &stopped["data"]["added"]), (&json!(false), &json!(true)));
    assert!(!broker.server().registry().status("presence").unwrap().running);
    assert_eq!(ask(addr, "GET /api/v4/modules/nothing").await.status, 404);
}

#[tokio::test]
async fn who_is_online_and_who_was_is_told() {
    let Some((broker, addr)) = start().await else { return };
    let mut kept = Vec::new();
    for id in ["b/2", "a", "c"] {
        kept.push(Client::connect(broker.addr, Version::V5, id).await);
    }
    let ids = |answer: &Value| {
        let rows = answer["data"].as_array().unwrap().iter();
        rows.map(|row| row["clientid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let page = ask(addr, "GET /api/v4/presence/clients?_limit=2").await.json();
    assert_eq!((ids(&page), &page["meta"]["next"]), (vec!["a".to_owned(), "b/2".to_owned()], &json!("b/2")));
    let page = ask(addr, "GET /api/v4/presence/clients?_limit=2&_after=b%2F2").await.json();
    assert_eq!((ids(&page), &page["meta"]["hasnext"]), (vec!["c".to_owned()], &json!(false)));
    assert_eq!(ids(&ask(addr, "GET /api/v4/presence/clients?prefix=b/").await.json()), ["b/2"]);
    let at = page["data"][0]["connected_at"].as_u64().unwrap();
    let later = ask(addr, &format!("GET /api/v4/presence/clients?since={}", at + 1000)).await.json();
    assert!(ids(&later).is_empty());

    kept.remove(1).leave().await;
    let mut watcher = Watcher::start(broker.addr).await;
    let all = ask(addr, "GET /api/v4/presence/events?_limit=4").await.json();
    assert_eq!(ids(&all), ["b/2", "a", "c", "a"]);
    assert_eq!((&all["data"][3]["event"], &all["data"][3]["reason"]), (&json!("disconnected"), &json!("normal")));
    let since = format!("GET /api/v4/presence/events?clientid=a&since={}", all["data"][1]["id"]);
    assert_eq!(ask(addr, &since).await.json()["data"].as_array().unwrap().len(), 1);
    let newest = ask(addr, "GET /api/v4/presence/events?order=desc&_limit=1&prefix=a").await.json();
    assert_eq!(newest["data"][0]["event"], "disconnected");
    assert_eq!(ask(addr, "GET /api/v4/presence/events?order=up").await.status, 400);

    // Who is away, by what is known of it.
    let away = ask(addr, "GET /api/v4/presence/clients?conn_state=disconnected").await.json();
    assert_eq!(ids(&away), ["a"]);
    let row = &away["data"][0];
    for (key, value) in [
        ("username", Value::Null),
        ("reason", json!("normal")),
        ("disconnected_at", all["data"][3]["at"].clone()),
        ("event", all["data"][3]["id"].clone()),
        ("ipaddress", json!("127.0.0.1")),
        ("proto_ver", json!(5)),
        ("keepalive", json!(60)),
        ("flaps", json!(1)),
        ("seq", json!(2)),
    ] {
        assert_eq!(row[key], value, "{key}");
    }
    assert!(row["last_heard"].as_u64() <= row["disconnected_at"].as_u64() && row["first_seen"] == row["connected_at"]);
    for (query, found) in [
        ("clientid=a", vec!["a"]),
        ("clientid=a&conn_state=connected", vec![]),
        ("clientid=c", vec!["c"]),
        ("clientid=d", vec![]),
        ("conn_state=disconnected&prefix=b", vec![]),
        ("conn_state=disconnected&username=x", vec![]),
        ("conn_state=connected&username=x", vec![]),
    ] {
        assert_eq!(ids(&ask(addr, &format!("GET /api/v4/presence/clients?{query}")).await.json()), found, "{query}");
    }
    assert_eq!(ask(addr, "GET /api/v4/presence/clients?conn_state=gone").await.status, 400);

    // The stream begins with what was, and goes on with what happens.
    let mut stream = Stream::open(addr, "GET /api/v4/presence/stream?since=0&prefix=a", &[BASIC.to_owned()]).await;
    for event in ["connected", "disconnected"] {
        assert_eq!(stream.event("presence").await["event"], event);
    }
    let back = Client::connect(broker.addr, Version::V5, "a").await;
    assert_eq!(stream.event("presence").await["event"], "connected");
    back.leave().await;
    assert_eq!(stream.event("presence").await["event"], "disconnected");
    watcher.connected("a").await;
    // It does not keep the broker from ending.
    broker.shutdown().await;
    stream.read_to_end().await;
}

#[tokio::test]
async fn nobody_is_listed_as_away_who_came_while_presence_was_stopped() {
    let Some((broker, addr)) = start().await else { return };
    let away = async || {
        let answer = ask(addr, "GET /api/v4/presence/clients?conn_state=disconnected").await.json();
        let rows = answer["data"].as_array().unwrap().iter();
        rows.map(|row| row["clientid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for id in ["a", "b"] {
        Client::connect(broker.addr, Version::V5, id).await.leave().await;
    }
    while away().await != ["a", "b"] {}
    broker.server().registry().stop("presence").await.unwrap();
    let _back = Client::connect(broker.addr, Version::V5, "a").await;
    assert_eq!(away().await, ["b"]);
}

#[tokio::test]
async fn a_stream_ends_with_the_login_it_was_opened_by() {
    let Some((_broker, addr)) = start().await else { return };
    let form = ["content-type: application/x-www-form-urlencoded".to_owned()];
    let login = request(addr, "POST /login", &form, "username=admin&password=open+sesame").await;
    let cookie = format!("cookie: {}", login.cookie());
    let page = request(addr, "GET /", std::slice::from_ref(&cookie), "").await;
    let (_, rest) = page.body.split_once("name=csrf content=\"").expect("a token");
    let token = format!("x-csrf-token: {}", rest.split('"').next().unwrap());
    let stream = Stream::open(addr, "GET /api/v4/presence/stream", std::slice::from_ref(&cookie)).await;
    assert_eq!(request(addr, "POST /logout", &[cookie, token], "").await.status, 303);
    stream.read_to_end().await;
}

#[tokio::test]
async fn the_overview_counts_what_presence_told_and_nothing_while_it_is_stopped() {
    let Some((broker, addr)) = start().await else { return };
    ask(addr, "PUT /api/v4/modules/presence/unload").await;
    let _client = Client::connect(broker.addr, Version::V5, "unseen").await;
    let mut stream = Stream::open(addr, "GET /api/v4/overview/stream", &[BASIC.to_owned()]).await;
    stream.event("history").await;
    loop {
        let sample = stream.event("sample").await;
        assert_eq!(sample["modules"]["presence.events.connected"], 0);
        if sample["connections"] == 1 {
            break;
        }
    }
}
