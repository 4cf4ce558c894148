//! Sockets of this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mqtt_codec::{Packet, Qos, ReasonCode, Version};
use mqtt_config::{Address, Anonymous, Config, Listener};
use serde_json::json;
use tokio::net::UnixStream;

use crate::{
    admin::{ask, start_with},
    client::{Client, connect, message},
    events::Watcher,
};

fn with_socket(config: &mut Config, path: &Path) {
    let bind = Address::Unix { path: path.to_owned(), mode: 0o600 };
    config.listeners.push(Listener { bind, ..Listener::new("local", ([127, 0, 0, 1], 0).into()) });
    config.auth.anonymous = Anonymous::Loopback;
    config.modules.entry("presence".to_owned()).or_default().settings["extended"] = json!(true);
}

async fn come_in(path: &Path, id: &str) -> Client {
    let mut client = Client::over(UnixStream::connect(path).await.unwrap(), Version::V5);
    client.send(Packet::Connect(Box::new(connect(Version::V5, id)))).await;
    let Packet::ConnAck(connack) = client.receive().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason, ReasonCode::Success);
    client
}

#[tokio::test]
async fn who_comes_by_one_is_a_client_like_any_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.sock");
    let Some((broker, admin)) = start_with(|config| with_socket(config, &path)).await else { return };
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut watcher = Watcher::start(broker.addr).await;
    let mut local = come_in(&path, "local").await;
    let connected = watcher.connected("local").await;
    let told = ["ipaddress", "sockport", "listener"].map(|key| connected.value(key).clone());
    assert_eq!(told, [json!("127.0.0.1"), json!(0), json!("local")]);
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    watcher.connected("other").await;
    local.subscribe("$there", Qos::AtLeastOnce).await;
    other.subscribe("$back", Qos::AtLeastOnce).await;
    // More than a socket holds at once; who reads takes nothing until all of it is there.
    let payload = vec![7; 40_000];
    for _ in 0..100 {
        other.publish(message("$there", payload.clone(), Qos::AtLeastOnce)).await;
    }
    for _ in 0..100 {
        assert!(local.take().await.payload == payload);
    }
    let large = vec![9; 300_000];
    local.publish(message("$back", large.clone(), Qos::AtLeastOnce)).await;
    assert!(other.take().await.payload == large);
    local.cut().await;
    watcher.disconnected("local", "tcp_closed").await;
    let rows = ask(admin, "GET /api/v4/listeners").await.json();
    let row = &rows["data"][0]["listeners"][2];
    assert_eq!(row["listen_on"], json!(format!("unix:{}", path.display())));
    // Stopped, it is gone; started, it is there again.
    let change = |what: &'static str| async move {
        let answer = crate::admin::send(admin, &format!("PUT /api/v4/listeners/local/{what}"), "").await;
        assert_eq!(answer.status, 200);
    };
    change("stop").await;
    assert!(!path.exists());
    change("start").await;
    come_in(&path, "again").await.leave().await;
}
