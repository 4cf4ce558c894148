//! The state of each client as a topic: all of them for who subscribes, then what changes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mqtt_codec::{Connect, Packet, Property, Publish, Qos, RetainHandling, Subscribe, SubscribeFilter, Version};
use mqtt_modules::Modules as _;
use serde_json::{Value, json};

use crate::broker::{Broker, outside};
use crate::client::{Client, ask, connect, id, keeping};
use crate::crash::Home;
use crate::events::Watcher;

const STATES: &str = "$SYS/brokers/+/clients/+/state";
const DONE: &str = "$SYS/brokers/+/presence/snapshot/done";

/// A message of either filter.
#[derive(Debug)]
struct Told {
    /// `None`: all are told.
    client_id: Option<String>,
    retain: bool,
    value: Value,
}

impl Told {
    #[track_caller]
    fn read(publish: &Publish) -> Self {
        let topic = publish.topic.as_ref().expect("no alias").as_str();
        let value: Value = serde_json::from_slice(&publish.payload).expect("JSON");
        assert_eq!(publish.qos, Qos::AtLeastOnce);
        let client_id = topic.split_once("/clients/").map(|(_, rest)| {
            let client_id = rest.strip_suffix("/state").expect("a state");
            assert_eq!(value["clientid"], client_id);
            client_id.to_owned()
        });
        Self { client_id, retain: publish.retain, value }
    }

    fn short(&self) -> (Option<&str>, &Value) {
        (self.client_id.as_deref(), &self.value["state"])
    }
}

async fn next(client: &mut Client) -> Told {
    Told::read(&client.take().await)
}

/// Up to the end of a snapshot: the last that was told of each client, and the end.
async fn snapshot(client: &mut Client) -> (BTreeMap<String, Told>, Value) {
    let mut all = BTreeMap::new();
    loop {
        let told = next(client).await;
        match told.client_id.clone() {
            Some(client_id) => all.insert(client_id, told),
            None => return (all, told.value),
        };
    }
}

async fn watcher(addr: SocketAddr) -> Client {
    let mut watcher = Client::connect(addr, Version::V5, "watches").await;
    watcher.subscribe(DONE, Qos::AtLeastOnce).await;
    watcher.subscribe(STATES, Qos::AtLeastOnce).await;
    watcher
}

#[tokio::test]
async fn one_subscription_brings_the_state_of_all_and_what_changes() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut events = Watcher::start(broker.addr).await;
    let stays = Client::connect(broker.addr, Version::V5, "stays").await;
    let went = Client::connect(broker.addr, Version::V3_1_1, "went").await;
    went.leave().await;
    for (client_id, reason) in [("stays", None), ("went", None), ("went", Some("normal"))] {
        match reason {
            None => drop(events.connected(client_id).await),
            Some(reason) => drop(events.disconnected(client_id, reason).await),
        }
    }
    let mut watcher = watcher(broker.addr).await;
    events.event().await;
    let (all, done) = snapshot(&mut watcher).await;
    assert!(all.values().all(|told| told.retain));
    // With those who watch.
    let states: Vec<_> = all.values().map(Told::short).collect();
    let online = json!("online");
    let expected = [("stays", &online), ("watcher", &online), ("watches", &online), ("went", &json!("offline"))];
    let expected: Vec<_> = expected.into_iter().map(|(id, state)| (Some(id), state)).collect();
    assert_eq!(states, expected);
    assert_eq!(done["count"], 4);
    let went = &all["went"].value;
    assert_eq!((&went["v"], &went["reason"], &went["seq"]), (&json!(1), &json!("normal"), &json!(2)));
    assert!(all.values().all(|told| told.value["event"].as_u64() <= done["event"].as_u64()));
    assert_eq!((&all["stays"].value["reason"], &all["stays"].value["last_heard"]), (&Value::Null, &Value::Null));
    // What changes is no retained message, and comes once.
    stays.cut().await;
    let told = next(&mut watcher).await;
    assert_eq!((told.short(), told.retain), ((Some("stays"), &json!("offline")), false));
    assert_eq!((&told.value["reason"], &told.value["seq"]), (&json!("tcp_closed"), &json!(2)));
    assert!(told.value["event"].as_u64() > done["event"].as_u64());
    let _back = Client::connect(broker.addr, Version::V5, "stays").await;
    let told = next(&mut watcher).await;
    assert_eq!((told.short(), &told.value["seq"]), ((Some("stays"), &online), &json!(3)));
    watcher.ping().await;
    // Who watches all events is told of these alone.
    events.disconnected("stays", "tcp_closed").await;
    events.connected("stays").await;
    events.silence().await;
}

#[tokio::test]
async fn what_a_subscriber_does_not_ask_for_is_not_sent() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let _client = Client::connect(broker.addr, Version::V5, "a/b").await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    let asked = |text: &str, retain_handling: RetainHandling| {
        let SubscribeFilter { filter, options } = ask(text, Qos::AtLeastOnce);
        SubscribeFilter { filter, options: mqtt_codec::SubscribeOptions { retain_handling, ..options } }
    };
    let own = "$SYS/brokers/rollcall@127.0.0.1/clients/a/b/state";
    for (filter, count) in [
        (asked(own, RetainHandling::DoNotSend), 0),
        (asked(own, RetainHandling::SendIfNew), 0),
        (asked(own, RetainHandling::Send), 1),
        (asked("$SYS/brokers/+/clients/+/+/state", RetainHandling::SendIfNew), 1),
        (asked("$SYS/brokers/+/clients/+/+/state", RetainHandling::SendIfNew), 0),
        (asked("$SYS/brokers/other/clients/a/b/state", RetainHandling::Send), 0),
        (asked("$share/g/$SYS/brokers/+/clients/a/b/state", RetainHandling::Send), 0),
        (asked("$SYS/brokers/+/clients/#", RetainHandling::Send), 0),
        (asked("$SYS/brokers/+/clients/+/b/+", RetainHandling::Send), 0),
    ] {
        let (text, filters) = (filter.filter.as_str().to_owned(), vec![filter]);
        let subscribe = Subscribe { packet_id: id(7), properties: mqtt_codec::Properties::EMPTY, filters };
        watcher.send(Packet::Subscribe(subscribe)).await;
        assert!(matches!(watcher.receive().await, Packet::SubAck(_)));
        for _ in 0..count {
            assert_eq!(next(&mut watcher).await.short(), (Some("a/b"), &json!("online")), "{text}");
        }
        watcher.ping().await;
    }
}

/// In slices, through a window of two, over a reconnect, and while others come and go: in the end each is told right.
#[tokio::test]
async fn many_are_told_as_they_are_taken() {
    const CLIENTS: usize = 600;
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut online = Vec::new();
    for n in 0..CLIENTS {
        online.push(Client::connect(broker.addr, Version::V3_1_1, &format!("c{n}")).await);
    }
    let asked = Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(1000), Property::ReceiveMaximum(2)].into(),
        ..connect(Version::V5, "watcher")
    };
    let (mut watcher, _) = Client::connect_with(broker.addr, asked.clone()).await;
    watcher.subscribe(DONE, Qos::AtLeastOnce).await;
    watcher.subscribe(STATES, Qos::AtLeastOnce).await;
    let mut all = BTreeMap::new();
    for _ in 0..200 {
        let told = next(&mut watcher).await;
        all.insert(told.client_id.clone().expect("there are more"), told);
    }
    for client in online.drain(..CLIENTS / 2) {
        client.leave().await;
    }
    watcher.cut().await;
    let (mut watcher, _) = Client::connect_with(broker.addr, asked).await;
    loop {
        let told = next(&mut watcher).await;
        let Some(client_id) = told.client_id.clone() else { break };
        // Of one client, never an earlier one after a later one.
        let seq = |told: &Told| told.value["seq"].as_u64();
        if let Some(before) = all.insert(client_id, told) {
            let now = &all[before.client_id.as_deref().unwrap()];
            assert!(seq(&before) <= seq(now), "{before:?} {now:?}");
        }
    }
    let states = |state: &str| all.values().filter(|told| told.value["state"] == state).count();
    assert_eq!((all.len(), states("offline"), states("online")), (CLIENTS + 1, CLIENTS / 2, CLIENTS / 2 + 1));
}

#[tokio::test]
async fn who_takes_them_too_slowly_has_the_last_state_of_each_in_the_end() {
    const CLIENTS: usize = 40;
    let Some(broker) = Broker::with(|config| config.session.max_queued = 5).await else { return };
    for is_away in [false, true] {
        let client_id = format!("watcher {is_away}");
        let asked = Connect {
            properties: [Property::SessionExpiry(1000), Property::ReceiveMaximum(1)].into(),
            ..keeping(Version::V5, &client_id)
        };
        let (mut watcher, _) = Client::connect_with(broker.addr, asked.clone()).await;
        watcher.subscribe(DONE, Qos::AtLeastOnce).await;
        watcher.subscribe(STATES, Qos::AtLeastOnce).await;
        snapshot(&mut watcher).await;
        if is_away {
            watcher.cut().await;
            watcher = Client::connect(broker.addr, Version::V5, "other").await;
        }
        // It takes none of these, and there is room for few.
        for round in 0..3 {
            for n in 0..CLIENTS {
                let client = Client::connect(broker.addr, Version::V5, &format!("c{n}")).await;
                if round == 2 && n % 2 == 0 {
                    client.cut().await;
                } else {
                    client.leave().await;
                }
            }
        }
        if is_away {
            watcher = Client::connect_with(broker.addr, asked).await.0;
        }
        // What was missed comes before what is asked for later.
        let last = ask("$SYS/brokers/rollcall@127.0.0.1/clients/c0/state", Qos::AtLeastOnce);
        watcher.subscribe_with(vec![last], [Property::SubscriptionId(77)].into()).await;
        let mut all = BTreeMap::new();
        loop {
            let publish = watcher.take().await;
            let told = Told::read(&publish);
            if let Some(client_id) = told.client_id.clone() {
                all.insert(client_id, told);
            }
            if publish.properties.iter().any(|property| property == Property::SubscriptionId(77)) {
                break;
            }
        }
        assert_eq!(next(&mut watcher).await.value["count"], 1);
        watcher.ping().await;
        for n in 0..CLIENTS {
            let told = &all[&format!("c{n}")].value;
            let reason = if n % 2 == 0 { "tcp_closed" } else { "normal" };
            assert_eq!((&told["state"], &told["reason"]), (&json!("offline"), &json!(reason)), "{is_away} {told}");
        }
        watcher.leave().await;
    }
}

#[tokio::test]
async fn who_fell_is_told_to_be_away_after_a_crash() {
    if outside() {
        return;
    }
    let home = Home::new(&["--set", "modules.presence.recovery_grace=0s"]).await;
    let _stays = Client::connect(home.addr(), Version::V5, "it").await;
    Client::connect(home.addr(), Version::V5, "visitor").await.leave().await;
    let home = home.crash().await;
    let mut watcher = watcher(home.addr()).await;
    let (mut all, _) = snapshot(&mut watcher).await;
    if all["it"].value["state"] == "online" {
        // It is about to be.
        let told = next(&mut watcher).await;
        all.insert("it".to_owned(), told);
    }
    let it = &all["it"].value;
    assert_eq!((&it["state"], &it["reason"], &it["seq"]), (&json!("offline"), &json!("node_down"), &json!(2)));
    assert_eq!(
        (&all["visitor"].value["state"], &all["visitor"].value["reason"]),
        (&json!("offline"), &json!("normal"))
    );
}

/// No event is made up for it. But who asks how things are is told how they are.
#[tokio::test]
async fn what_happened_while_it_was_stopped_is_told_as_states_when_it_is_back() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let goes = Client::connect(broker.addr, Version::V5, "goes").await;
    Client::connect(broker.addr, Version::V5, "back").await.leave().await;
    let mut early = watcher(broker.addr).await;
    let (before, _) = snapshot(&mut early).await;
    let modules = broker.server().registry();
    modules.stop("presence").await.unwrap();
    goes.leave().await;
    let _back = Client::connect(broker.addr, Version::V5, "back").await;
    let _new = Client::connect(broker.addr, Version::V3_1_1, "new").await;
    early.ping().await;
    modules.start("presence").await.unwrap();

    let is_so = |all: &BTreeMap<String, Told>| {
        let states = [("back", "online"), ("goes", "offline"), ("new", "online"), ("watches", "online")];
        states.iter().all(|(id, state)| all.get(*id).is_some_and(|told| told.value["state"] == *state))
    };
    // Who had subscribed before is sent all of them.
    let mut all = BTreeMap::new();
    while !is_so(&all) {
        let told = next(&mut early).await;
        all.extend(told.client_id.clone().map(|client_id| (client_id, told)));
    }
    let goes = &all["goes"].value;
    assert_eq!((&goes["reason"], &goes["last_heard"]), (&Value::Null, &Value::Null), "nobody saw");
    assert!(goes["since"].as_u64() >= before["goes"].value["since"].as_u64());
    assert_ne!(all["back"].value["conn_id"], before["back"].value["conn_id"]);
    // And who subscribes now.
    let mut late = Client::connect(broker.addr, Version::V5, "late").await;
    late.subscribe(DONE, Qos::AtLeastOnce).await;
    late.subscribe(STATES, Qos::AtLeastOnce).await;
    let (all, _) = snapshot(&mut late).await;
    assert!(is_so(&all), "{all:?}");
    // From then on by events.
    let _goes = Client::connect(broker.addr, Version::V5, "goes").await;
    loop {
        let told = next(&mut late).await;
        if told.client_id.as_deref() == Some("goes") {
            assert_eq!((told.short().1, told.retain), (&json!("online"), false));
            break;
        }
    }
}

/// Also by processes that come later: its last event goes on saying that it came.
#[tokio::test]
async fn who_went_while_it_was_stopped_is_offline_after_restarts() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let start = || async {
        loop {
            let mut config = mqtt_config::Config { data_dir: Some(folder.path().to_owned()), ..Default::default() };
            config.use_free_ports();
            config.admin.bind = None;
            match rollcall::start(config).await {
                Ok(server) => break server,
                // The last of the tasks of the one before has to let go of the folder.
                Err(rollcall::StartError::Store { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let addr_of = |server: &rollcall::Server| server.addresses().listener("mqtt").expect("it is on");
    let is_offline = async |server: &rollcall::Server| {
        let mut watcher = watcher(addr_of(server)).await;
        loop {
            let told = next(&mut watcher).await;
            if told.short() == (Some("it"), &json!("offline")) {
                assert_eq!(told.value["reason"], Value::Null);
                break;
            }
        }
    };
    let server = start().await;
    let it = Client::connect(addr_of(&server), Version::V5, "it").await;
    server.registry().stop("presence").await.unwrap();
    it.leave().await;
    Client::connect(addr_of(&server), Version::V5, "it").await.leave().await;
    server.shutdown().await;
    let server = start().await;
    server.registry().start("presence").await.unwrap();
    is_offline(&server).await;
    server.shutdown().await;
    let server = start().await;
    is_offline(&server).await;
    server.shutdown().await;
}
