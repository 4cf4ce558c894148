//! Availability without a will: a topic for each client, as if what it says were retained there.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use mqtt_codec::{Connect, Properties, Property, Publish, Qos, ReasonCode, RetainHandling, SubscribeOptions, Version};
use mqtt_config::{Config, DenyAction};
use mqtt_modules::Modules;
use serde_json::{Value, json};

use crate::broker::{Broker, outside};
use crate::client::{Client, ask, connect, keeping, message, retained, will};
use crate::crash::Home;

fn with_rules(config: &mut Config, rules: Value) {
    config.modules.entry("presence".to_owned()).or_default().settings["availability"] = rules;
}

/// For `dev-*`, as Home Assistant is set up to read it.
async fn broker() -> Option<Broker> {
    let rules = json!([{"topic": "devices/${clientid}/availability", "match": "dev-*"}]);
    Broker::with(|config| with_rules(config, rules)).await
}

/// What is told, of whom, and whether as retained.
fn told(publish: &Publish) -> (String, &str, bool) {
    let topic = publish.topic.as_ref().expect("no alias").as_str();
    let device = topic.strip_prefix("devices/").and_then(|rest| rest.strip_suffix("/availability"));
    (device.expect("availability").to_owned(), std::str::from_utf8(&publish.payload).unwrap(), publish.retain)
}

#[track_caller]
fn is(publish: &Publish, device: &str, text: &str, retain: bool) {
    assert_eq!((told(publish), publish.qos), ((device.to_owned(), text, retain), Qos::AtLeastOnce));
}

async fn watcher(addr: SocketAddr, filter: &str) -> Client {
    let mut watcher = Client::connect(addr, Version::V5, "watcher").await;
    watcher.subscribe(filter, Qos::AtLeastOnce).await;
    watcher
}

#[tokio::test]
async fn who_subscribes_is_told_how_it_is_then_what_changes() {
    let Some(broker) = broker().await else { return };
    let stays = Client::connect(broker.addr, Version::V3_1_1, "dev-1").await;
    Client::connect(broker.addr, Version::V5, "dev-2").await.leave().await;
    let _other = Client::connect(broker.addr, Version::V5, "other").await;
    // Whose session is gone is known all the same, and each filter that a retained message would match brings it.
    for filter in ["devices/+/availability", "devices/#", "#", "+/+/+"] {
        let mut watcher = watcher(broker.addr, filter).await;
        let mut first = [watcher.take().await, watcher.take().await];
        first.sort_by_key(|publish| told(publish).0);
        is(&first[0], "dev-1", "online", true);
        is(&first[1], "dev-2", "offline", true);
        watcher.ping().await;
        watcher.leave().await;
    }
    let mut watcher = watcher(broker.addr, "devices/dev-1/#").await;
    is(&watcher.take().await, "dev-1", "online", true);
    stays.cut().await;
    is(&watcher.take().await, "dev-1", "offline", false);
    let back = Client::connect(broker.addr, Version::V5, "dev-1").await;
    is(&watcher.take().await, "dev-1", "online", false);
    back.leave().await;
    is(&watcher.take().await, "dev-1", "offline", false);
    watcher.ping().await;
}

#[tokio::test]
async fn what_a_subscriber_asks_for_is_obeyed() {
    let Some(broker) = broker().await else { return };
    let device = Client::connect(broker.addr, Version::V5, "dev-1").await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    let filter = "devices/+/availability";
    let options = ask(filter, Qos::AtLeastOnce).options;
    for (filter, retain_handling, count) in [
        (filter, RetainHandling::DoNotSend, 0),
        (filter, RetainHandling::SendIfNew, 0),
        (filter, RetainHandling::Send, 1),
        ("$share/g/devices/+/availability", RetainHandling::Send, 0),
        ("devices/dev-1/+", RetainHandling::SendIfNew, 1),
        ("devices/dev-1/+", RetainHandling::SendIfNew, 0),
        ("devices/dev-9/+", RetainHandling::Send, 0),
    ] {
        let mut wish = ask(filter, Qos::AtLeastOnce);
        wish.options = SubscribeOptions { retain_handling, ..options };
        watcher.subscribe_with(vec![wish], Properties::EMPTY).await;
        for _ in 0..count {
            is(&watcher.take().await, "dev-1", "online", true);
        }
        watcher.ping().await;
    }
    // A bridge keeps what is retained, and is told so of what changes, too.
    let mut bridge = Client::connect(broker.addr, Version::V5, "bridge").await;
    let mut wish = ask(filter, Qos::AtLeastOnce);
    wish.options = SubscribeOptions { retain_as_published: true, ..options };
    bridge.subscribe_with(vec![wish], Properties::EMPTY).await;
    is(&bridge.take().await, "dev-1", "online", true);
    device.leave().await;
    is(&bridge.take().await, "dev-1", "offline", true);
}

#[tokio::test]
async fn a_takeover_is_no_offline() {
    let Some(broker) = broker().await else { return };
    let mut watcher = watcher(broker.addr, "devices/#").await;
    let mut device = Client::connect(broker.addr, Version::V5, "dev-1").await;
    is(&watcher.take().await, "dev-1", "online", false);
    for again in [keeping(Version::V5, "dev-1"), connect(Version::V3_1_1, "dev-1"), keeping(Version::V5, "dev-1")] {
        let (next, _) = Client::connect_with(broker.addr, again).await;
        device = next;
        watcher.ping().await;
    }
    device.cut().await;
    is(&watcher.take().await, "dev-1", "offline", false);
    watcher.ping().await;
}

/// Its own birth message and its will do no harm, as most firmware has them: it need not be changed.
#[tokio::test]
async fn nobody_but_the_broker_speaks_on_such_a_topic() {
    let change = |config: &mut Config| {
        config.auth.deny_action = DenyAction::Disconnect;
        with_rules(config, json!([{"topic": "devices/${clientid}/availability", "match": "dev-*"}]));
    };
    let Some(broker) = Broker::with(change).await else { return };
    let mut watcher = watcher(broker.addr, "devices/#").await;
    let own = "devices/dev-1/availability";
    let asked = Connect { will: Some(will(own, "lost")), ..connect(Version::V5, "dev-1") };
    let (mut device, _) = Client::connect_with(broker.addr, asked).await;
    is(&watcher.take().await, "dev-1", "online", false);
    let mut liar = Client::connect(broker.addr, Version::V5, "liar").await;
    for client in [&mut device, &mut liar] {
        for name in [own, "devices/dev-2/availability"] {
            assert_eq!(client.publish(retained(name, "offline", Qos::AtLeastOnce)).await, ReasonCode::NotAuthorized);
        }
        assert_eq!(
            client.publish(message("devices/x/availability", "offline", Qos::AtLeastOnce)).await,
            ReasonCode::Success
        );
    }
    is(&watcher.take().await, "x", "offline", false);
    is(&watcher.take().await, "x", "offline", false);
    device.cut().await;
    // Not what the will says.
    is(&watcher.take().await, "dev-1", "offline", false);
    watcher.ping().await;
}

#[tokio::test]
async fn rules_may_come_and_go() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let own = "devices/dev-1/availability";
    let mut device = Client::connect(broker.addr, Version::V5, "dev-1").await;
    device.publish(retained(own, "I am", Qos::AtLeastOnce)).await;
    let mut watcher = watcher(broker.addr, own).await;
    is(&watcher.take().await, "dev-1", "I am", true);
    let modules = broker.server().registry();
    let rule = json!({"availability": [{"topic": "devices/${clientid}/availability"}]});
    modules.configure("presence", rule).await.unwrap();
    // To who has subscribed before, of who has been there before; and then to who subscribes, instead of what is retained.
    is(&watcher.take().await, "dev-1", "online", true);
    watcher.ping().await;
    watcher.subscribe(own, Qos::AtLeastOnce).await;
    is(&watcher.take().await, "dev-1", "online", true);
    watcher.ping().await;
    assert_eq!(device.publish(message(own, "I am", Qos::AtLeastOnce)).await, ReasonCode::NotAuthorized);
    let wrong = json!({"availability": [{"topic": "devices/${clientid}/availability"}, {"topic": "a/#"}]});
    let why = modules.configure("presence", wrong).await.unwrap_err().to_string();
    assert!(why.contains("availability, entry 2: topic: "), "{why}");
    modules.configure("presence", json!({})).await.unwrap();
    watcher.subscribe(own, Qos::AtLeastOnce).await;
    is(&watcher.take().await, "dev-1", "I am", true);
    device.cut().await;
    watcher.ping().await;
}

/// In slices, through a window of two: in the end each is told right.
#[tokio::test]
async fn many_are_told_as_they_are_taken() {
    const DEVICES: u32 = 500;
    let Some(broker) = broker().await else { return };
    let mut online = Vec::new();
    for n in 0..DEVICES {
        let device = Client::connect(broker.addr, Version::V3_1_1, &format!("dev-{n}")).await;
        if n.is_multiple_of(2) { online.push(device) } else { device.leave().await }
    }
    let slow =
        Connect { properties: Properties::from([Property::ReceiveMaximum(2)]), ..connect(Version::V5, "watcher") };
    let (mut watcher, _) = Client::connect_with(broker.addr, slow).await;
    watcher.subscribe("devices/+/availability", Qos::AtLeastOnce).await;
    let mut seen = BTreeSet::new();
    while seen.len() < DEVICES as usize {
        let publish = watcher.take().await;
        let (device, text, retain) = told(&publish);
        let n: u32 = device.strip_prefix("dev-").unwrap().parse().unwrap();
        assert_eq!((text, retain), (if n.is_multiple_of(2) { "online" } else { "offline" }, true));
        assert!(seen.insert(device), "each once");
    }
    watcher.ping().await;
}

#[tokio::test]
async fn who_was_online_when_the_broker_died_is_offline_then() {
    if outside() {
        return;
    }
    let rule = "modules.presence.availability=[{topic = \"devices/${clientid}/availability\", match = \"dev-*\"}]";
    let home = Home::new(&["--set", rule, "--set", "modules.presence.recovery_grace=0s"]).await;
    let mut devices = Vec::new();
    for name in ["dev-1", "dev-2"] {
        devices.push(Client::connect_with(home.addr(), keeping(Version::V5, name)).await.0);
    }
    let mut first = watcher(home.addr(), "devices/#").await;
    assert_eq!(
        (told(&first.take().await).1.to_owned(), told(&first.take().await).1.to_owned()),
        ("online".to_owned(), "online".to_owned())
    );
    let home = home.crash().await;
    let back = Client::connect(home.addr(), Version::V5, "dev-1").await;
    let mut watcher = watcher(home.addr(), "devices/+/availability").await;
    let mut all = std::collections::BTreeMap::new();
    // Whoever was not told of yet when it subscribed is told of after that.
    while all.get("dev-1").is_none_or(|text| text != "online") || all.get("dev-2").is_none_or(|text| text != "offline")
    {
        let publish = watcher.take().await;
        let (device, text, _) = told(&publish);
        all.insert(device, text.to_owned());
    }
    back.leave().await;
    is(&watcher.take().await, "dev-1", "offline", false);
}

/// Who has subscribed before is told of a rule that is new, and of who came and went while the module was stopped.
#[tokio::test]
async fn what_happened_while_it_was_stopped_is_told_when_it_is_back() {
    let Some(broker) = broker().await else { return };
    let mut watcher = watcher(broker.addr, "devices/#").await;
    let stays = Client::connect(broker.addr, Version::V5, "dev-1").await;
    Client::connect(broker.addr, Version::V5, "dev-2").await.leave().await;
    for (device, text) in [("dev-1", "online"), ("dev-2", "online"), ("dev-2", "offline")] {
        is(&watcher.take().await, device, text, false);
    }
    let modules = broker.server().registry();
    modules.stop("presence").await.unwrap();
    stays.leave().await;
    let _back = Client::connect(broker.addr, Version::V5, "dev-2").await;
    watcher.ping().await;
    modules.start("presence").await.unwrap();
    let mut both = [watcher.take().await, watcher.take().await];
    both.sort_by_key(|publish| told(publish).0);
    is(&both[0], "dev-1", "offline", true);
    is(&both[1], "dev-2", "online", true);
    // From then on by events alone.
    let again = Client::connect(broker.addr, Version::V5, "dev-1").await;
    is(&watcher.take().await, "dev-1", "online", false);
    watcher.ping().await;
    let words = json!({"topic": "devices/${clientid}/availability", "online": "yes", "offline": "no"});
    modules.configure("presence", json!({"availability": [words]})).await.unwrap();
    // Those who are no `dev-` are among them now.
    let mut all = std::collections::BTreeMap::new();
    while all.len() < 3 {
        let publish = watcher.take().await;
        let (device, text, retain) = told(&publish);
        all.insert(device, (text.to_owned(), retain));
    }
    for (device, (text, retain)) in &all {
        assert_eq!((text.as_str(), retain), ("yes", &true), "{device}");
    }
    again.leave().await;
    is(&watcher.take().await, "dev-1", "no", false);
}
