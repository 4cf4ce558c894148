//! The table of listeners.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use mqtt_codec::{Qos, ReasonCode, Version};
use mqtt_config::{Config, Listener, Verify};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    admin::{ask, send, start_with},
    broker::{Broker, outside},
    cli::{Running, check_error, command, output},
    client::{Client, message},
    doors::{Authority, add_doors, come_in},
    events::Watcher,
    http::{basic, request},
};

const SECOND: [&str; 4] = ["--set", "listeners.second.kind=mqtt", "--set", "listeners.second.bind=127.0.0.1:0"];

#[tokio::test]
async fn clients_come_in_by_each_and_events_tell_by_which() {
    let Some(broker) = Broker::with(|config| {
        config.listeners.push(Listener::new("second", ([127, 0, 0, 1], 0).into()));
        config.modules.entry("presence".to_owned()).or_default().settings["extended"] = json!(true);
    })
    .await
    else {
        return;
    };
    let second = broker.server().addresses().listener("second").unwrap();
    assert_ne!(second, broker.addr);
    let mut watcher = Watcher::start(broker.addr).await;
    for (name, addr) in [("mqtt", broker.addr), ("second", second), ("mqtt", broker.addr)] {
        let client = Client::connect(addr, Version::V3_1_1, "it").await;
        let connected = watcher.connected("it").await;
        client.leave().await;
        for event in [connected, watcher.disconnected("it", "normal").await] {
            assert_eq!(event.value("sockport"), &json!(addr.port()));
            assert_eq!(event.text("listener"), name);
        }
    }
    // One client, whichever way it comes.
    let mut old = Client::connect(broker.addr, Version::V5, "it").await;
    watcher.connected("it").await;
    let _new = Client::connect(second, Version::V5, "it").await;
    assert_eq!(watcher.disconnected("it", "discarded").await.value("sockport"), &json!(broker.addr.port()));
    assert_eq!(watcher.connected("it").await.value("sockport"), &json!(second.port()));
    old.expect_disconnect(ReasonCode::SessionTakenOver).await;
}

#[tokio::test]
async fn an_operator_sees_each_with_its_clients() {
    let Some((broker, addr)) =
        start_with(|config| config.listeners.push(Listener::new("second", ([127, 0, 0, 1], 0).into()))).await
    else {
        return;
    };
    let second = broker.server().addresses().listener("second").unwrap();
    let _client = Client::connect(second, Version::V5, "one").await;
    let answer = ask(addr, "GET /api/v4/listeners").await.json();
    let rows = answer["data"][0]["listeners"].as_array().unwrap();
    let found: Vec<_> = rows.iter().map(|row| [&row["name"], &row["identifier"], &row["listen_on"]]).collect();
    let ws = broker.server().addresses().listener("ws").unwrap();
    let [first, web, other] = [broker.addr, ws, second].map(|addr| json!(addr.to_string()));
    assert_eq!(
        found,
        [
            [&json!("mqtt"), &json!("mqtt:tcp:external"), &first],
            [&json!("ws"), &json!("mqtt:ws:external"), &web],
            [&json!("second"), &json!("mqtt:tcp:second"), &other]
        ]
    );
    assert_eq!((&rows[0]["current_conns"], &rows[2]["current_conns"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn the_ready_line_names_each() {
    if outside() {
        return;
    }
    let args = ["--bind", "127.0.0.1:0", "--set", "listeners.a.kind=mqtt", "--set", "listeners.a.bind=127.0.0.1:0"];
    let running = Running::start(&mut command(&[&args[..], &SECOND].concat())).await;
    assert_eq!(running.words(), ["mqtt", "ws", "a", "second", "admin", "node", "pid"]);
    for name in ["mqtt", "a", "second"] {
        Client::connect(running.word(name).parse().unwrap(), Version::V5, name).await.leave().await;
    }
    let running = Running::start(&mut command(&[&["--bind", "off"], &SECOND[..]].concat())).await;
    assert_eq!(running.word("mqtt"), "off");
    Client::connect(running.word("second").parse().unwrap(), Version::V5, "it").await.leave().await;
}

#[tokio::test]
async fn a_listener_that_can_t_be_is_one_line_and_code_2() {
    if outside() {
        return;
    }
    let set = |assignments: &'static [&'static str], needles: &'static [&'static str]| async move {
        let args: Vec<_> = assignments.iter().flat_map(|assignment| ["--set", assignment]).collect();
        for command in [&[] as &[&str], &["check-config"]] {
            check_error(&[command, &args[..]].concat(), needles).await;
        }
    };
    set(&["listeners.Second.kind=mqtt"], &["listeners.Second", "lower-case"]).await;
    set(&["listeners.pid.kind=mqtt"], &["listeners.pid", "another name"]).await;
    set(&["listeners.tls.kind=mqtts", "listeners.tls.bind=127.0.0.1:0"], &["listeners.tls.cert", "certificate"]).await;
    const NOWHERE: [&str; 4] = [
        "listeners.tls.kind=mqtts",
        "listeners.tls.bind=127.0.0.1:0",
        "listeners.tls.cert=/nowhere.pem",
        "listeners.tls.key=/nowhere.key",
    ];
    set(&NOWHERE, &["error: --set: listeners.tls.cert: \"/nowhere.pem\""]).await;
    set(&["listeners.second.kind=mqtt"], &["listeners.second.bind"]).await;
    set(&["listeners.mqtt.bnid=off"], &["listeners.mqtt.bnid", "nearest is listeners.mqtt.bind"]).await;
    set(
        &["listeners.second.kind=mqtt", "listeners.second.bind=127.0.0.1:1883"],
        &["--set", "listeners.second.bind", "listeners.mqtt.bind"],
    )
    .await;
    set(
        &["listeners.second.kind=mqtt", "listeners.second.bind=0.0.0.0:0"],
        &["--set", "listeners.second.bind", "auth.anonymous"],
    )
    .await;
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_listener() {
    if outside() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let bind = format!("listeners.second.bind={addr}");
    let args = ["--bind", "127.0.0.1:0", "--set", SECOND[1], "--set", &bind];
    check_error(&args, &[&addr, "give another with listeners.second.bind"]).await;
}

#[tokio::test]
async fn the_keys_of_the_time_when_there_was_one_listener_go_on_working() {
    if outside() {
        return;
    }
    for args in [["--set", "mqtt.bind=127.0.0.1:0"], ["--set", "listeners.mqtt.bind=127.0.0.1:0"]] {
        let running = Running::start(&mut command(&args)).await;
        Client::connect(running.addr(), Version::V5, "it").await.leave().await;
    }
    let mut by_env = command(&["--set", "mqtt.backlog=7"]);
    let running = Running::start(by_env.env("ROLLCALL_MQTT__BIND", "127.0.0.1:0")).await;
    Client::connect(running.addr(), Version::V5, "it").await.leave().await;
    let printed = output(by_env.arg("print-config")).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("\nbind = \"127.0.0.1:0\" # ROLLCALL_MQTT__BIND\n"), "{printed}");
    assert!(printed.contains("\nbacklog = 7 # --set\n"), "{printed}");
    check_error(&["--set", "mqtt.bind=0.0.0.0:0"], &["mqtt.bind: \"0.0.0.0:0\"", "auth.anonymous"]).await;
}

/// With `second`: where the admin port is, and `second`.
async fn with_second() -> Option<(Broker, SocketAddr, SocketAddr)> {
    let started = start_with(|config| config.listeners.push(Listener::new("second", ([127, 0, 0, 1], 0).into()))).await;
    let (broker, admin) = started?;
    let second = broker.server().addresses().listener("second").unwrap();
    Some((broker, admin, second))
}

/// What `GET /listeners` says of the listener of this name.
async fn listed(admin: SocketAddr, name: &str) -> Value {
    let answer = ask(admin, "GET /api/v4/listeners").await.json();
    let rows = answer["data"][0]["listeners"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap().clone()
}

#[track_caller]
fn is_done(answer: &crate::http::Answer) {
    assert_eq!((answer.status, answer.json()), (200, json!({"code": 0})));
}

/// Who connects there is refused, at once or [soon](start).
async fn expect_refusal(addr: SocketAddr) {
    while !TcpStream::connect(addr).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Has a listener opened again. Another test may just be starting a program, which has all sockets of this process until it runs: then
/// the address is in use for that moment.
async fn start(admin: SocketAddr, path: &str) {
    loop {
        let answer = ask(admin, &format!("PUT /api/v4/{path}")).await;
        match answer.json()["message"].as_str() {
            Some(why) if why.contains("in use") => tokio::time::sleep(Duration::from_millis(10)).await,
            _ => return is_done(&answer),
        }
    }
}

/// A message from one to the other.
async fn pass(from: &mut Client, to: &mut Client, text: &'static str) {
    from.publish(message("news", text, Qos::AtLeastOnce)).await;
    assert_eq!(to.take_text().await, text);
}

#[tokio::test]
async fn who_is_connected_stays_when_its_listener_is_stopped_and_nobody_else_comes_in() {
    let Some((broker, admin, second)) = with_second().await else { return };
    let mut inside = Client::connect(broker.addr, Version::V5, "inside").await;
    inside.subscribe("news", Qos::AtLeastOnce).await;
    is_done(&ask(admin, "PUT /api/v4/listeners/mqtt:tcp:external/stop").await);
    expect_refusal(broker.addr).await;
    let mut other = Client::connect(second, Version::V5, "other").await;
    pass(&mut other, &mut inside, "stopped").await;
    let row = listed(admin, "mqtt").await;
    assert_eq!((&row["running"], &row["current_conns"]), (&json!(false), &json!(1)));
    assert_eq!(row["listen_on"], broker.addr.to_string());
    assert_eq!(listed(admin, "second").await["running"], true);
    start(admin, "listeners/mqtt/start").await;
    let mut new = Client::connect(broker.addr, Version::V5, "new").await;
    pass(&mut new, &mut inside, "started").await;
    let row = listed(admin, "mqtt").await;
    assert_eq!((&row["running"], &row["current_conns"]), (&json!(true), &json!(2)));
}

#[tokio::test]
async fn a_listener_is_restarted_under_its_clients_as_in_emqx() {
    let Some((broker, admin, second)) = with_second().await else { return };
    let mut inside = Client::connect(broker.addr, Version::V5, "inside").await;
    inside.subscribe("news", Qos::AtLeastOnce).await;
    let node = "nodes/rollcall@127.0.0.1/listeners/mqtt:tcp:external/restart";
    for path in ["listeners/mqtt:tcp:external/restart", node, "listeners/mqtt%3Atcp%3Aexternal/restart"] {
        start(admin, path).await;
        let mut new = Client::connect(broker.addr, Version::V5, "new").await;
        pass(&mut new, &mut inside, "restarted").await;
        new.leave().await;
    }
    is_done(&ask(admin, "PUT /api/v4/listeners/mqtt:tcp:second/stop").await);
    start(admin, "listeners/mqtt:tcp:second/restart").await;
    Client::connect(second, Version::V5, "it").await.leave().await;
    let unknown = ask(admin, "PUT /api/v4/listeners/mqtt:ssl:external/restart").await;
    assert_eq!((unknown.status, unknown.json()), (200, json!({"message": "not_found"})));
    assert_eq!(ask(admin, "PUT /api/v4/nodes/other/listeners/mqtt/restart").await.status, 404);
}

#[tokio::test]
async fn a_listener_of_each_kind_is_the_same_after_a_restart() {
    let authority = Authority::new();
    let Some((broker, admin)) = start_with(|config| add_doors(config, &authority, Verify::None)).await else { return };
    for name in ["mqtt", "mqtts", "ws", "wss"] {
        let before = listed(admin, name).await;
        is_done(&ask(admin, &format!("PUT /api/v4/listeners/{name}/stop")).await);
        start(admin, &format!("listeners/{name}/start")).await;
        assert_eq!(listed(admin, name).await, before);
        come_in(&broker, &authority, name, Version::V5, name).await.ping().await;
    }
}

#[tokio::test]
async fn all_listeners_may_be_stopped_and_started_again() {
    let Some((broker, admin, second)) = with_second().await else { return };
    let mut inside = Client::connect(broker.addr, Version::V5, "inside").await;
    for name in ["mqtt", "ws", "second"] {
        is_done(&ask(admin, &format!("PUT /api/v4/listeners/{name}/stop")).await);
    }
    expect_refusal(broker.addr).await;
    expect_refusal(second).await;
    inside.ping().await;
    start(admin, "listeners/second/start").await;
    Client::connect(second, Version::V5, "it").await.leave().await;
    expect_refusal(broker.addr).await;
    // One that is stopped holds up no end.
    broker.shutdown().await;
    inside.expect_disconnect(ReasonCode::ServerShuttingDown).await;
}

#[tokio::test]
async fn a_change_of_a_listener_that_can_t_be_is_told() {
    let Some((broker, admin)) = start_with(|_| {}).await else { return };
    for change in ["start", "stop"] {
        assert_eq!(ask(admin, &format!("PUT /api/v4/listeners/nothing/{change}")).await.status, 404);
    }
    let check = async |change: &str, status, needle: &str| {
        let answer = ask(admin, &format!("PUT /api/v4/listeners/mqtt/{change}")).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(answer.status == status && message.contains(needle), "{change}: {answer:?}");
    };
    check("start", 409, "runs already").await;
    is_done(&ask(admin, "PUT /api/v4/listeners/mqtt/stop").await);
    check("stop", 409, "does not run").await;
    let taken = TcpListener::bind(broker.addr).unwrap();
    let address = format!("cannot listen on {}: ", broker.addr);
    check("start", 409, &address).await;
    check("restart", 200, &address).await;
    assert_eq!(listed(admin, "mqtt").await["running"], false);
    drop(taken);
    start(admin, "listeners/mqtt/start").await;
    broker.lives().await;
}

#[tokio::test]
async fn a_listener_whose_default_address_was_another_program_s_can_be_started_when_that_is_gone() {
    if outside() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut config = Config { data_dir: None, ..Config::default() };
    let third = Listener { may_be_taken: true, ..Listener::new("third", address) };
    config.listeners = vec![Listener::new("mqtt", ([127, 0, 0, 1], 0).into()), third];
    config.admin.bind = Some(([127, 0, 0, 1], 0).into());
    config.admin.password = Some("open sesame".to_owned());
    let server = rollcall::start(config).await.unwrap();
    let (addresses, admin) = (server.addresses(), server.addresses().admin.unwrap());
    assert!(addresses.listener("mqtt").is_some() && addresses.listener("third").is_none());
    let row = listed(admin, "third").await;
    assert_eq!((&row["running"], &row["listen_on"]), (&json!(false), &json!(address.to_string())));
    assert_eq!(ask(admin, "PUT /api/v4/listeners/third/start").await.status, 409);
    drop(taken);
    start(admin, "listeners/third/start").await;
    Client::connect(address, Version::V5, "it").await.leave().await;
    server.shutdown().await;
}

#[tokio::test]
async fn who_may_only_look_stops_no_listener() {
    let Some((broker, admin)) = start_with(|_| {}).await else { return };
    let made = send(admin, "POST /api/v4/admin/keys", r#"{"name": "looks", "role": "viewer"}"#).await.json();
    let viewer = [basic("looks", made["data"]["secret"].as_str().unwrap())];
    let paths = ["listeners/mqtt/stop", "listeners/mqtt/start", "listeners/mqtt/restart"];
    for path in paths.into_iter().chain(["nodes/rollcall@127.0.0.1/listeners/mqtt/restart"]) {
        for (who, status) in [(&viewer[..], 403), (&[], 401)] {
            assert_eq!(request(admin, &format!("PUT /api/v4/{path}"), who, "").await.status, status, "{path}");
        }
    }
    broker.lives().await;
}
