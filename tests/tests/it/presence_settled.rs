//! Who is away for good, as a topic; what is told when there is more than a watcher takes.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt_codec::{Connect, Property, Qos, Version};
use mqtt_config::Config;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::broker::{Broker, outside};
use crate::client::{Client, connect, keeping};
use crate::clock;
use crate::crash::Home;

const SETTLED: &str = "$SYS/brokers/+/clients/+/settled";
const GAP: &str = "$SYS/brokers/+/presence/gap";
const DIGEST: &str = "$SYS/brokers/+/presence/digest";
const EVENTS: &str = "$SYS/brokers/+/clients/#";

fn set(config: &mut Config, key: &str, value: Value) {
    config.modules.entry("presence".to_owned()).or_default().settings[key] = value;
}

/// The last level of the next message's topic, and what it says.
async fn next(client: &mut Client) -> (String, Value) {
    let publish = client.take().await;
    let topic = publish.topic.as_ref().expect("no alias").as_str();
    let level = topic.rsplit('/').next().expect("there is one").to_owned();
    (level, serde_json::from_slice(&publish.payload).expect("JSON"))
}

/// Who is what, by the next message.
async fn told(watcher: &mut Client) -> (String, String) {
    let (level, value) = next(watcher).await;
    assert_eq!(level, "settled");
    assert!(value["flaps"].is_u64() && value["event"].is_u64(), "{value}");
    (value["clientid"].as_str().unwrap().to_owned(), value["state"].as_str().unwrap().to_owned())
}

fn is(client_id: &str, state: &str) -> (String, String) {
    (client_id.to_owned(), state.to_owned())
}

async fn watcher(addr: SocketAddr) -> Client {
    let mut watcher = Client::connect(addr, Version::V5, "watcher").await;
    watcher.subscribe(SETTLED, Qos::AtLeastOnce).await;
    watcher
}

#[tokio::test]
async fn only_who_stays_away_is_told_offline_and_only_then_online() {
    let Some(broker) = Broker::with(|config| set(config, "settle", json!("400ms"))).await else { return };
    let mut watcher = watcher(broker.addr).await;
    let _old = Client::connect(broker.addr, Version::V5, "a").await;
    // Taken over, gone and back.
    let one = Client::connect(broker.addr, Version::V5, "a").await;
    one.cut().await;
    let one = Client::connect(broker.addr, Version::V3_1_1, "a").await;
    let other = Client::connect(broker.addr, Version::V5, "b").await;
    watcher.ping().await;
    one.leave().await;
    assert_eq!(told(&mut watcher).await, is("a", "offline"));
    // Whoever subscribes now is told of those that are away.
    let mut late = Client::connect(broker.addr, Version::V5, "late").await;
    late.subscribe(SETTLED, Qos::AtLeastOnce).await;
    let publish = late.take().await;
    assert!(publish.retain);
    late.ping().await;
    let _back = Client::connect(broker.addr, Version::V5, "a").await;
    for client in [&mut watcher, &mut late] {
        assert_eq!(told(client).await, is("a", "online"));
        client.ping().await;
    }
    other.cut().await;
    assert_eq!(told(&mut late).await, is("b", "offline"));
}

#[tokio::test]
async fn who_stays_away_is_told_over_a_crash_once() {
    if outside() {
        return;
    }
    let home = Home::new(&["--set", "modules.presence.settle=3s", "--set", "modules.presence.recovery_grace=0s"]).await;
    let (mut watcher, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    watcher.subscribe(SETTLED, Qos::AtLeastOnce).await;
    let _online = Client::connect(home.addr(), Version::V5, "online").await;
    let _returns = Client::connect(home.addr(), Version::V5, "returns").await;
    Client::connect(home.addr(), Version::V5, "went").await.leave().await;
    watcher.cut().await;
    let home = home.crash().await;
    let _returned = Client::connect(home.addr(), Version::V5, "returns").await;
    let (mut watcher, answer) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    assert!(answer.session_present);
    let mut first = [told(&mut watcher).await, told(&mut watcher).await];
    first.sort();
    assert_eq!(first, [is("online", "offline"), is("went", "offline")]);
    watcher.ping().await;
    let home = home.crash().await;
    let (mut watcher, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    let _back = Client::connect(home.addr(), Version::V5, "went").await;
    assert_eq!(told(&mut watcher).await, is("went", "online"));
    // Killed again, and not back since.
    assert_eq!(told(&mut watcher).await, is("returns", "offline"));
    watcher.ping().await;
}

#[tokio::test]
async fn a_watcher_that_has_missed_events_is_told_which_as_soon_as_it_has_room() {
    let few = |config: &mut Config| {
        config.session.max_queued = 5;
        set(config, "extended", json!(true));
    };
    let Some(broker) = Broker::with(few).await else { return };
    let asked = Connect { properties: [Property::ReceiveMaximum(1)].into(), ..connect(Version::V5, "watcher") };
    let (mut watcher, _) = Client::connect_with(broker.addr, asked).await;
    watcher.subscribe(EVENTS, Qos::AtLeastOnce).await;
    watcher.subscribe(GAP, Qos::AtLeastOnce).await;
    for n in 0..20 {
        Client::connect(broker.addr, Version::V5, &format!("c{n}")).await.leave().await;
    }
    // All of it is told by now, or missed.
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    other.ping().await;
    let (mut heard, mut last) = (0, 0);
    let gap = loop {
        let (level, value) = next(&mut watcher).await;
        if level == "gap" {
            break value;
        }
        (heard, last) = (heard + 1, value["event"].as_u64().unwrap());
    };
    let number = |key: &str| gap[key].as_u64().unwrap();
    // With its own coming before it subscribed, and that of the other.
    assert_eq!((heard + number("dropped"), number("from")), (41, last + 1), "{gap}");
    assert_eq!(number("to") - number("from") + 1, number("dropped"), "{gap}");
    watcher.ping().await;
    // It goes on where that ended.
    other.leave().await;
    let (_, value) = next(&mut watcher).await;
    assert_eq!(value["event"], number("to") + 1);
    watcher.ping().await;
}

/// Whoever comes by a long name, or says much of itself where events tell that, is not unseen by who takes only small packets.
#[tokio::test]
async fn a_watcher_is_told_of_events_that_are_larger_than_it_takes() {
    let Some(broker) = Broker::with(|config| set(config, "extended", json!(true))).await else { return };
    let asked = Connect { properties: [Property::MaximumPacketSize(2000)].into(), ..connect(Version::V5, "watcher") };
    let (mut watcher, _) = Client::connect_with(broker.addr, asked).await;
    watcher.subscribe(EVENTS, Qos::AtLeastOnce).await;
    watcher.subscribe(GAP, Qos::AtLeastOnce).await;
    let asked = Connect { username: Some("u".repeat(2000).into()), ..connect(Version::V3_1_1, "long") };
    let (long, _) = Client::connect_with(broker.addr, asked).await;
    let (level, gap) = next(&mut watcher).await;
    assert_eq!((&*level, &gap["dropped"], &gap["from"]), ("gap", &json!(1), &gap["to"]), "{gap}");
    long.leave().await;
    let (level, next) = next(&mut watcher).await;
    assert_eq!((&*level, &next["dropped"]), ("gap", &json!(1)));
    assert_eq!(next["from"].as_u64(), gap["to"].as_u64().map(|to| to + 1));
    watcher.ping().await;
}

#[tokio::test]
async fn a_storm_is_told_in_short_beside_its_events() {
    const CLIENTS: usize = 40;
    let Some(broker) = Broker::with(|config| set(config, "announce_max", json!(20))).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "digests").await;
    watcher.subscribe(DIGEST, Qos::AtLeastOnce).await;
    let mut events = crate::events::Watcher::start(broker.addr).await;
    let mut clients = Vec::new();
    // Until most of those who go do so in one second of the broker's.
    let digest = 'storm: loop {
        while clients.len() < CLIENTS {
            let client_id = format!("c{}", clients.len());
            clients.push(Client::connect(broker.addr, Version::V5, &client_id).await);
            events.connected(&client_id).await;
        }
        // By then the broker has noticed that somebody subscribes, and that they came is past.
        clock::wait(broker.addr, 2).await;
        for _ in 0..4 {
            assert!(events.event().await.client_id.starts_with("clock"));
        }
        for client in clients.drain(..) {
            client.cut().await;
        }
        for _ in 0..CLIENTS {
            assert!(!events.event().await.is_connected);
        }
        while let Ok((level, value)) = timeout(Duration::from_secs(3), next(&mut watcher)).await {
            assert_eq!(level, "digest");
            if value["disconnected"].as_u64().unwrap() > 20 {
                break 'storm value;
            }
        }
    };
    let number = |key: &str| digest[key].as_u64().unwrap();
    assert_eq!(number("events"), number("connected") + number("disconnected"));
    assert!(digest["reasons"]["tcp_closed"].as_u64().unwrap() > 19, "{digest}");
    assert_eq!(digest["listeners"]["mqtt"]["disconnected"], number("disconnected"));
    assert_eq!(digest["clients"].as_array().unwrap().len(), 10);
    assert!(number("last_event") - number("first_event") + 1 >= number("events"));
    assert_eq!(digest["suspect"], json!(["listener:mqtt", "subnet:127.0.0.0/16"]), "{digest}");
}
