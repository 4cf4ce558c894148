//! Who is banned at one node of a cluster is at all.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt_cluster::memory::Memory;
use mqtt_codec::{ReasonCode, Version};
use serde_json::json;

use crate::admin::{ask, send};
use crate::broker::outside;
use crate::client::{Client, connect};
use crate::cluster::{Node, nodes};

fn admin_of(node: &Node) -> SocketAddr {
    node.broker.server().addresses().admin.expect("it is on")
}

async fn ban(node: &Node, kind: &str, who: &str) {
    let body = json!({"who": who, "as": kind, "reason": "test", "by": "test"}).to_string();
    assert_eq!(send(admin_of(node), "POST /api/v4/banned", &body).await.status, 200);
}

async fn lift(node: &Node, kind: &str, who: &str) {
    assert_eq!(ask(admin_of(node), &format!("DELETE /api/v4/banned/{kind}/{who}")).await.json(), json!({"code": 0}));
}

/// Comes until it is answered so.
async fn come_until(node: &Node, client_id: &str, reason: ReasonCode) {
    while Client::try_connect(node.broker.addr, connect(Version::V5, client_id)).await.1.reason != reason {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_banned_at_one_node_is_ended_and_refused_at_all() {
    let Some([a, b, c]) = nodes().await else { return };
    let (mut one, mut other) = (b.connect("one").await, c.connect("other").await);
    ban(&a, "clientid", "one").await;
    one.expect_disconnect(ReasonCode::AdministrativeAction).await;
    for node in [&a, &b, &c] {
        come_until(node, "one", ReasonCode::Banned).await;
        let listed = ask(admin_of(node), "GET /api/v4/banned").await.json();
        assert_eq!((&listed["data"][0]["who"], &listed["data"][0]["reason"]), (&json!("one"), &json!("test")));
    }
    other.ping().await;
    lift(&c, "clientid", "one").await;
    for node in [&a, &b, &c] {
        come_until(node, "one", ReasonCode::Success).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_down_or_is_new_has_the_bans_of_all_and_brings_its_own() {
    if outside() {
        return;
    }
    let log = Memory::default();
    let (a, b) = (Node::start("a@1", &log).await, Node::start("b@2", &log).await);
    for who in ["stays", "lifted"] {
        ban(&a, "clientid", who).await;
        come_until(&b, who, ReasonCode::Banned).await;
    }
    b.broker.shutdown().await;
    ban(&a, "username", "new").await;
    lift(&a, "clientid", "lifted").await;
    let b = Node::start_in("b@2", &log, b.folder).await;
    // It was somewhere of its own before.
    let alone = Node::start("c@3", &Memory::default()).await;
    ban(&alone, "clientid", "brought").await;
    alone.broker.shutdown().await;
    let c = Node::start_in("c@3", &log, alone.folder).await;
    for node in [&a, &b, &c] {
        for who in ["stays", "brought"] {
            come_until(node, who, ReasonCode::Banned).await;
        }
        come_until(node, "lifted", ReasonCode::Success).await;
        let named = mqtt_codec::Connect { username: Some("new".into()), ..connect(Version::V5, "it") };
        assert_eq!(Client::try_connect(node.broker.addr, named).await.1.reason, ReasonCode::Banned);
    }
}
