//! The table of listeners.

use std::net::TcpListener;

use mqtt_codec::{ReasonCode, Version};
use mqtt_config::Listener;
use serde_json::json;

use crate::{
    admin::{ask, start_with},
    broker::{Broker, outside},
    cli::{Running, check_error, command, output},
    client::Client,
    events::Watcher,
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
