//! Before a restart: nobody comes in any more, and those who are there are told to go elsewhere.

use std::net::SocketAddr;

use mqtt_cluster::memory::Memory;
use mqtt_codec::{Connect, Disconnect, Packet, Properties, Property, Qos, ReasonCode, Version};
use serde_json::{Value, json};

use crate::admin::{self, ask, send};
use crate::broker::{alone, outside};
use crate::client::{Client, VERSIONS, connect, keeping, message, will};
use crate::cluster::Node;
use crate::commands::Site;
use crate::events::Watcher;
use crate::http::request;

async fn drain(admin: SocketAddr, wish: &Value) -> Value {
    let answer = send(admin, "POST /api/v4/drain", &wish.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].clone()
}

async fn state(admin: SocketAddr) -> Value {
    ask(admin, "GET /api/v4/drain").await.json()["data"].clone()
}

/// Nobody is there any more; what follows the end of a connection is done a moment after it.
async fn nobody_is_left(admin: SocketAddr) {
    while state(admin).await["left"] != 0 {
        tokio::task::yield_now().await;
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    request(admin, "GET /ready", &[], "").await.status == 200
}

/// What DISCONNECT says of where to go, and that the connection ends behind it.
async fn sent_to(client: &mut Client) -> Option<String> {
    let Packet::Disconnect(Disconnect { reason, properties }) = client.receive().await else { panic!("no DISCONNECT") };
    assert_eq!(reason, ReasonCode::UseAnotherServer);
    client.expect_end().await;
    reference(&properties)
}

fn reference(properties: &Properties) -> Option<String> {
    properties.iter().find_map(|property| match property {
        Property::ServerReference(text) => Some(text.to_string()),
        _ => None,
    })
}

#[tokio::test]
async fn who_is_there_is_told_where_to_go_and_who_comes_too_until_that_is_over() {
    let Some((broker, admin)) = admin::start().await else { return };
    assert!(is_ready(admin).await);
    assert_eq!(state(admin).await["draining"], json!(false));
    let mut kept = Vec::new();
    for (at, version) in VERSIONS.into_iter().enumerate() {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, &format!("it {at}"))).await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        kept.push(client);
    }
    let begun = drain(admin, &json!({"over": "0s", "to": "other.example:1883"})).await;
    assert_eq!((&begun["draining"], &begun["clients"]), (&json!(true), &json!(3)));
    for (client, version) in kept.iter_mut().zip(VERSIONS) {
        match version {
            Version::V5 => assert_eq!(sent_to(client).await.as_deref(), Some("other.example:1883")),
            _ => client.expect_end().await,
        }
    }
    nobody_is_left(admin).await;
    assert!(!is_ready(admin).await);
    assert_eq!(request(admin, "GET /status", &[], "").await.status, 200);
    for version in VERSIONS {
        let (mut client, connack) = Client::try_connect(broker.addr, connect(version, "late")).await;
        match version {
            Version::V5 => {
                assert_eq!(connack.reason, ReasonCode::UseAnotherServer);
                assert_eq!(reference(&connack.properties).as_deref(), Some("other.example:1883"));
            }
            _ => assert_eq!(connack.reason, ReasonCode::ServerUnavailable),
        }
        client.expect_end().await;
    }
    assert_eq!(send(admin, "DELETE /api/v4/drain", "").await.status, 200);
    assert_eq!(send(admin, "DELETE /api/v4/drain", "").await.status, 404);
    assert!(is_ready(admin).await);
    // What is kept of them is there.
    Client::connect(broker.addr, Version::V5, "publisher").await.publish(message("a", "x", Qos::AtLeastOnce)).await;
    for (at, version) in VERSIONS.into_iter().enumerate() {
        let (mut client, connack) = Client::connect_with(broker.addr, keeping(version, &format!("it {at}"))).await;
        assert_eq!(connack.session_present, version != Version::V3_1);
        assert_eq!(client.take_text().await, "x");
    }
}

#[tokio::test]
async fn who_watches_sees_the_others_go_with_their_wills() {
    let Some((broker, admin)) = admin::start().await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let asked = Connect { will: Some(will("will/it", "gone")), ..connect(Version::V5, "it") };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    watcher.connected("it").await;
    drain(admin, &json!({"over": "1s"})).await;
    assert_eq!(sent_to(&mut client).await, None);
    // As with any end but the client's own DISCONNECT: [MQTT-3.1.2-8].
    assert_eq!(watcher.client.take_text().await, "gone");
    watcher.disconnected("it", "server_shutting_down").await;
    assert_eq!(sent_to(&mut watcher.client).await, None);
}

#[tokio::test]
async fn they_go_one_after_the_other_and_who_is_left_stays_if_it_is_called_off() {
    let Some((broker, admin)) = admin::start().await else { return };
    let mut clients = Vec::new();
    for n in 0..5 {
        clients.push(Client::connect(broker.addr, Version::V5, &format!("it {n}")).await);
    }
    assert_eq!(drain(admin, &json!({"over": "24h"})).await["clients"], json!(5));
    // The first of them goes at once, the next in five hours.
    while state(admin).await["left"] != 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(send(admin, "DELETE /api/v4/drain", "").await.status, 200);
    let mut stay = 0;
    for client in &mut clients {
        client.send(Packet::PingReq).await;
        match client.receive().await {
            Packet::PingResp => stay += 1,
            Packet::Disconnect(disconnect) => assert_eq!(disconnect.reason, ReasonCode::UseAnotherServer),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stay, 4);
    broker.lives().await;
    for wrong in [json!({}), json!({"over": "soon"}), json!({"over": "25h"}), json!({"over": "1s", "to": "a\nb"})] {
        assert_eq!(send(admin, "POST /api/v4/drain", &wrong.to_string()).await.status, 400, "{wrong}");
    }
    broker.lives().await;
}

/// [MQTT-3.1.2-24]
#[tokio::test]
async fn who_takes_no_packet_as_long_is_not_told_where_to_go() {
    let Some((broker, admin)) = admin::start().await else { return };
    let asked =
        || Connect { properties: Properties::from([Property::MaximumPacketSize(100)]), ..connect(Version::V5, "it") };
    let (mut client, _) = Client::connect_with(broker.addr, asked()).await;
    drain(admin, &json!({"over": "0s", "to": "x".repeat(200)})).await;
    assert_eq!(sent_to(&mut client).await, None);
    let (_, connack) = Client::try_connect(broker.addr, asked()).await;
    assert_eq!((connack.reason, reference(&connack.properties)), (ReasonCode::UseAnotherServer, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_sends_its_clients_to_those_that_take_them() {
    if outside() || alone() {
        return;
    }
    let log = Memory::default();
    let a = Node::start("a@1", &log).await;
    let b = Node::start("b@2", &log).await;
    let c = Node::start("c@3", &log).await;
    let [at_a, at_b] = [&a, &b].map(|node| node.broker.server().addresses().admin.expect("it is on"));
    let asked = Connect { will: Some(will("will/it", "gone")), ..keeping(Version::V5, "it") };
    let (mut client, _) = Client::connect_with(a.broker.addr, asked).await;
    let mut watcher = c.connect("watcher").await;
    watcher.subscribe("will/#", Qos::AtLeastOnce).await;
    watcher.subscribe("$SYS/brokers/+/clients/it/disconnected", Qos::AtLeastOnce).await;
    drain(at_a, &json!({"over": "0s"})).await;
    let told = sent_to(&mut client).await.expect("others are there");
    let mut told: Vec<_> = told.split(' ').collect();
    told.sort_unstable();
    assert_eq!(told, ["b@2:1883", "c@3:1883"]);
    assert_eq!(watcher.take_text().await, "gone");
    assert!(watcher.take_text().await.contains("server_shutting_down"));
    // All know of it.
    loop {
        let cluster = ask(at_b, "GET /api/v4/cluster").await.json();
        let nodes = cluster["data"]["nodes"].as_array().unwrap();
        let draining: Vec<_> = nodes.iter().filter(|node| node["draining"] == true).map(|node| &node["node"]).collect();
        if !draining.is_empty() {
            assert_eq!(draining, ["a@1"]);
            break;
        }
        tokio::task::yield_now().await;
    }
    // It goes where it was told to, and its session goes along; from there it is not sent back.
    let (mut client, connack) = Client::connect_with(b.broker.addr, keeping(Version::V5, "it")).await;
    assert!(connack.session_present);
    drain(at_b, &json!({"over": "0s"})).await;
    assert_eq!(sent_to(&mut client).await.as_deref(), Some("c@3:1883"));
    let (client, connack) = Client::connect_with(c.broker.addr, keeping(Version::V5, "it")).await;
    assert!(connack.session_present);
    drop(client);
}

#[tokio::test]
async fn the_command_waits_until_nobody_is_left() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let addr = site.running.addr();
    let mut client = Client::connect(addr, Version::V5, "it").await;
    assert!(site.ask(&["status"]).await.done().lines().any(|line| line.split_whitespace().eq(["draining", "no"])));
    let told = site.ask(&["drain", "--over", "0s", "--to", "other.example:1883", "--wait"]).await.done();
    assert_eq!(told, "nobody is left\n");
    assert_eq!(sent_to(&mut client).await.as_deref(), Some("other.example:1883"));
    let status = site.ask(&["status"]).await.done();
    assert!(status.contains("0 of 1 clients are left") && status.contains("to other.example:1883"), "{status}");
    site.ask(&["drain", "--over", "soon"]).await.failed(1, &["soon"]);
    assert_eq!(site.ask(&["drain", "--cancel"]).await.done(), "clients come in again\n");
    site.ask(&["drain", "--cancel"]).await.failed(1, &["not sent elsewhere"]);
    Client::connect(addr, Version::V5, "it").await.leave().await;
}
