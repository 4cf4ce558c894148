//! Clients without a socket: nothing is different for them but how their bytes travel.

use mqtt_codec::{Packet, Qos, ReasonCode, Version};
use serde_json::json;

use crate::{
    broker::Broker,
    client::{Client, QOS, VERSIONS, connect, message},
    events::Watcher,
};

async fn in_memory(broker: &Broker, version: Version, client_id: &str) -> Client {
    let peer = "127.0.0.9:9".parse().unwrap();
    let mut client = Client::over(broker.server().connect_in_memory(peer), version);
    client.send(Packet::Connect(Box::new(connect(version, client_id)))).await;
    match client.receive().await {
        Packet::ConnAck(connack) => assert_eq!(connack.reason, ReasonCode::Success),
        other => panic!("no CONNACK but {other:?}"),
    }
    client
}

#[tokio::test]
async fn messages_pass_between_memory_and_sockets() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for version in VERSIONS {
        let mut memory = in_memory(&broker, version, "memory").await;
        let mut socket = Client::connect(broker.addr, version, "socket").await;
        memory.subscribe("to/memory", Qos::ExactlyOnce).await;
        socket.subscribe("to/socket", Qos::ExactlyOnce).await;
        for qos in QOS {
            // More than a pipe holds at once.
            let payload = vec![qos as u8; 200_000];
            socket.publish(message("to/memory", payload.clone(), qos)).await;
            assert_eq!(memory.take().await.payload, payload);
            memory.publish(message("to/socket", payload.clone(), qos)).await;
            assert_eq!(socket.take().await.payload, payload);
        }
    }
}

#[tokio::test]
async fn presence_tells_of_them() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let client = in_memory(&broker, Version::V5, "memory").await;
    let connected = watcher.event().await.object;
    for (key, value) in [("ipaddress", json!("127.0.0.9")), ("sockport", json!(0)), ("clientid", json!("memory"))] {
        assert_eq!(connected.value(key), &value, "{key}");
    }
    drop(client);
    watcher.disconnected("memory", "memory_closed").await;

    let mut client = in_memory(&broker, Version::V5, "memory").await;
    watcher.event().await;
    assert!(broker.server().kick("memory"));
    client.expect_disconnect(ReasonCode::AdministrativeAction).await;
    watcher.disconnected("memory", "kicked").await;
}
