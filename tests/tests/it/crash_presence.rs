//! Presence that survives the broker's death.

use mqtt_codec::{Qos, ReasonCode, Version};
use mqtt_modules::Modules;

use crate::broker::outside;
use crate::client::{Client, keeping};
use crate::crash::Home;
use crate::events::{Event, Object, Watcher};

const EVENTS: &str = "$SYS/brokers/+/clients/#";
const EXTENDED: [&str; 2] = ["--set", "modules.presence.extended=true"];
/// Nobody waits: who is gone is told of at once, who comes back is not waited for.
const AT_ONCE: [&str; 2] = ["--set", "modules.presence.recovery_grace=0s"];
/// Longer than any test: only coming back tells of who was online.
const NEVER: [&str; 2] = ["--set", "modules.presence.recovery_grace=1h"];

/// A watcher with a session that is kept, subscribed to all events.
async fn kept_watcher(home: &Home) -> Watcher {
    let (mut client, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    assert_eq!(client.subscribe(EVENTS, Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
    Watcher { client }
}

/// The watcher is back; of its own going and coming it is told first.
async fn watcher_again(home: &Home) -> (Watcher, Object, Object) {
    let (client, answer) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    assert!(answer.session_present);
    let mut watcher = Watcher { client };
    let gone = watcher.disconnected("watcher", "node_down").await;
    let back = watcher.connected("watcher").await;
    (watcher, gone, back)
}

#[tokio::test]
async fn who_was_online_is_reported_gone_before_it_comes_back() {
    if outside() {
        return;
    }
    let home = Home::new(&[EXTENDED, NEVER].concat()).await;
    let mut watcher = kept_watcher(&home).await;
    let mut clients = Vec::new();
    let mut seen = Vec::new();
    for asked in [keeping(Version::V3_1_1, "a"), crate::client::connect(Version::V5, "b")] {
        clients.push(Client::connect_with(home.addr(), asked.clone()).await.0);
        seen.push(watcher.connected(&asked.client_id).await);
    }
    // Its acknowledgements have arrived.
    watcher.silence().await;
    let home = home.crash().await;
    let (mut watcher, _, back) = watcher_again(&home).await;
    assert!(back.number("epoch") > seen[0].number("epoch"));
    let mut returned = Vec::new();
    for (asked, before) in
        [keeping(Version::V3_1_1, "a"), crate::client::connect(Version::V5, "b")].into_iter().zip(seen)
    {
        returned.push(Client::connect_with(home.addr(), asked.clone()).await);
        let gone = watcher.disconnected(&asked.client_id, "node_down").await;
        let back = watcher.connected(&asked.client_id).await;
        for key in ["epoch", "conn_id", "peerport", "connected_at"] {
            assert_eq!(gone.value(key), before.value(key), "{key}");
        }
        assert_eq!(gone.value("estimated"), true);
        assert!(gone.number("disconnected_at") >= before.number("connected_at"));
        assert!(gone.number("disconnected_at") <= back.number("connected_at"));
        let [came, went, again] = [&before, &gone, &back].map(|event| event.number("event"));
        assert!(came < went && went < again, "{came} {went} {again}");
        assert_eq!((gone.number("seq"), back.number("seq")), (before.number("seq") + 1, before.number("seq") + 2));
        assert!(back.number("conn_id") > gone.number("conn_id"));
    }
}

#[tokio::test]
async fn who_does_not_come_back_is_reported_once() {
    if outside() {
        return;
    }
    let mut home = Home::new(&AT_ONCE).await;
    let mut watcher = kept_watcher(&home).await;
    let mut clients = Vec::new();
    for n in 0..20 {
        let name = format!("c{n}");
        clients.push(Client::connect(home.addr(), Version::V5, &name).await);
        watcher.connected(&name).await;
    }
    watcher.silence().await;
    for round in 0..2 {
        home = home.crash().await;
        let (client, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
        watcher = Watcher { client };
        let mut gone = Vec::new();
        // Its own going and coming are among them.
        for _ in 0..if round == 0 { 22 } else { 2 } {
            let event = watcher.event().await;
            if event.client_id == "watcher" {
                continue;
            }
            assert!(!event.is_connected && event.object.text("reason") == "node_down", "{event:?}");
            gone.push(event.client_id);
        }
        gone.sort();
        gone.dedup();
        assert_eq!(gone.len(), if round == 0 { 20 } else { 0 });
        watcher.silence().await;
    }
}

#[tokio::test]
async fn a_subscriber_that_comes_in_time_sees_who_is_gone() {
    if outside() {
        return;
    }
    let home = Home::new(&["--set", "modules.presence.recovery_grace=1s"]).await;
    let _online = Client::connect(home.addr(), Version::V5, "online").await;
    let home = home.crash().await;
    let mut watcher = Watcher::start(home.addr()).await;
    watcher.disconnected("online", "node_down").await;
}

#[tokio::test]
async fn who_left_in_order_is_not_reported_again() {
    if outside() {
        return;
    }
    let home = Home::new(&AT_ONCE).await;
    let mut watcher = kept_watcher(&home).await;
    Client::connect(home.addr(), Version::V5, "a").await.leave().await;
    watcher.connected("a").await;
    watcher.disconnected("a", "normal").await;
    let _b = Client::connect(home.addr(), Version::V5, "b").await;
    watcher.connected("b").await;
    watcher.silence().await;
    let home = home.restart().await;
    let (client, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    let mut watcher = Watcher { client };
    // It saw itself go last, or was gone by then.
    let mut events: Vec<Event> = Vec::new();
    while events.last().is_none_or(|event| !(event.client_id == "watcher" && event.is_connected)) {
        events.push(watcher.event().await);
    }
    for event in &events {
        assert!(event.is_connected || event.object.text("reason") == "server_shutting_down", "{event:?}");
    }
    assert_eq!(events.iter().filter(|event| event.client_id == "b").count(), 1);
}

#[tokio::test]
async fn a_stopped_presence_stays_stopped() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut config = mqtt_config::Config { data_dir: Some(folder.path().to_owned()), ..Default::default() };
        config.use_free_ports();
        config.admin.bind = None;
        rollcall::start(config)
    };
    let server = start().await.unwrap();
    server.registry().stop("presence").await.unwrap();
    server.shutdown().await;
    // The last of its tasks has to let go of the folder.
    let server = loop {
        match start().await {
            Ok(server) => break server,
            Err(rollcall::StartError::Store { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(!server.registry().status("presence").unwrap().running);
    server.shutdown().await;
}
