//! Who is missed: absence rules, as a watcher hears of them.

use mqtt_codec::{Qos, Version};
use serde_json::{Value, json};

use crate::broker::{Broker, outside};
use crate::client::{Client, keeping, message};
use crate::clock;
use crate::crash::Home;

const ABSENT: &str = "$SYS/brokers/+/presence/absent/#";

/// The rule, the client and what is told of it, by the next message.
async fn told(watcher: &mut Client) -> (String, Value) {
    let publish = watcher.take().await;
    assert_eq!((publish.qos, publish.retain), (Qos::AtLeastOnce, false));
    let topic = publish.topic.as_ref().expect("no alias").as_str();
    let (_, rest) = topic.split_once("/presence/absent/").expect("it is about absence");
    let value: Value = serde_json::from_slice(&publish.payload).expect("JSON");
    assert_eq!(format!("{}/{}", value["name"].as_str().unwrap(), value["clientid"].as_str().unwrap()), rest);
    (format!("{rest} {}", value["state"].as_str().unwrap()), value)
}

async fn next(watcher: &mut Client) -> String {
    told(watcher).await.0
}

#[tokio::test]
async fn who_stays_away_is_absent_and_then_back() {
    let rules = json!([
        {"name": "meters", "match": "meter/*", "after": ["300ms", "900ms"]},
        {"name": "one", "match": "meter/1", "after": ["600ms"]},
    ]);
    let change = |config: &mut mqtt_config::Config| {
        config.modules.entry("presence".to_owned()).or_default().settings["absence"] = rules;
    };
    let Some(broker) = Broker::with(change).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe(ABSENT, Qos::AtLeastOnce).await;
    Client::connect(broker.addr, Version::V5, "other").await.leave().await;
    let one = Client::connect(broker.addr, Version::V5, "meter/1").await;
    one.cut().await;
    let (what, value) = told(&mut watcher).await;
    assert_eq!((what.as_str(), &value["reason"]), ("meters/meter/1 absent", &json!("tcp_closed")));
    assert_eq!(next(&mut watcher).await, "one/meter/1 absent");
    assert_eq!(next(&mut watcher).await, "meters/meter/1 absent");
    let one = Client::connect(broker.addr, Version::V3_1_1, "meter/1").await;
    let mut back = [next(&mut watcher).await, next(&mut watcher).await];
    back.sort();
    assert_eq!(back, ["meters/meter/1 back", "one/meter/1 back"]);
    // Gone and back in time: the next thing that is told is of another one.
    one.cut().await;
    let _one = Client::connect(broker.addr, Version::V3_1_1, "meter/1").await;
    Client::connect(broker.addr, Version::V5, "meter/2").await.leave().await;
    assert_eq!(next(&mut watcher).await, "meters/meter/2 absent");
}

#[tokio::test]
async fn who_says_nothing_but_pings_is_silent() {
    let change = |config: &mut mqtt_config::Config| {
        config.modules.entry("presence".to_owned()).or_default().settings["absence"] =
            json!([{"name": "talkers", "match": "talker", "silent_after": "2s"}]);
    };
    let Some(broker) = Broker::with(change).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe(ABSENT, Qos::AtLeastOnce).await;
    let mut talker = Client::connect(broker.addr, Version::V5, "talker").await;
    // It is heard of, and then pings.
    clock::wait(broker.addr, 1).await;
    talker.publish(message("a", "b", Qos::AtLeastOnce)).await;
    clock::wait(broker.addr, 1).await;
    talker.ping().await;
    watcher.ping().await;
    clock::wait(broker.addr, 1).await;
    talker.ping().await;
    let (what, value) = told(&mut watcher).await;
    assert_eq!((what.as_str(), &value["after"]), ("talkers/talker silent", &json!(2)));
    talker.ping().await;
    clock::wait(broker.addr, 2).await;
    watcher.ping().await;
    talker.publish(message("a", "b", Qos::AtMostOnce)).await;
    talker.ping().await;
    assert_eq!(next(&mut watcher).await, "talkers/talker heard");
}

#[tokio::test]
async fn who_is_absent_is_told_once_over_crashes() {
    if outside() {
        return;
    }
    let rule = "modules.presence.absence=[{name = \"m\", match = \"m*\", after = [\"2s\", \"5s\"]}]";
    let home = Home::new(&["--set", rule, "--set", "modules.presence.recovery_grace=0s"]).await;
    let (mut watcher, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    watcher.subscribe(ABSENT, Qos::AtLeastOnce).await;
    let _online = Client::connect(home.addr(), Version::V5, "m-online").await;
    Client::connect(home.addr(), Version::V5, "m-went").await.leave().await;
    // Killed before anything is due: what is due meanwhile, or comes due then, is told by the next process.
    let home = home.crash().await;
    let (mut watcher, answer) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    assert!(answer.session_present);
    let mut first = [next(&mut watcher).await, next(&mut watcher).await];
    first.sort();
    assert_eq!(first, ["m/m-online absent", "m/m-went absent"]);
    watcher.ping().await;
    // Killed when that was told: the longer time is told, and nothing again.
    let home = home.crash().await;
    let (mut watcher, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    for _ in 0..2 {
        let (what, value) = told(&mut watcher).await;
        assert!(what.ends_with("absent") && value["after"] == 5, "{value}");
    }
    // Its acknowledgements have arrived.
    watcher.ping().await;
    let home = home.crash().await;
    let (mut watcher, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    let _went = Client::connect(home.addr(), Version::V5, "m-went").await;
    assert_eq!(next(&mut watcher).await, "m/m-went back");
    watcher.ping().await;
}
