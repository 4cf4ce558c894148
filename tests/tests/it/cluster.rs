//! Several brokers that are one: who comes and who goes is told alike at all of them.

use std::time::Duration;

use mqtt_cluster::memory::{Faults, Line, Memory};
use mqtt_codec::{Connect, Properties, Qos, ReasonCode, Version};
use tempfile::TempDir;

use crate::{
    broker::{Broker, outside},
    client::{Client, VERSIONS, connect, keeping, message, will},
    crash::Home,
    events::{Event, Watcher},
};

const NAMES: [&str; 3] = ["a@1", "b@2", "c@3"];

/// A node and its way to the log.
pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) line: Line,
    pub(crate) folder: TempDir,
}

impl Node {
    pub(crate) async fn start(name: &str, log: &Memory) -> Self {
        Self::start_in(name, log, tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(name: &str, log: &Memory, folder: TempDir) -> Self {
        let line = log.line();
        Self { broker: Broker::node(name, folder.path(), line.clone()).await, line, folder }
    }

    pub(crate) async fn connect(&self, client_id: &str) -> Client {
        Client::connect(self.broker.addr, Version::V5, client_id).await
    }

    /// Somebody of a name of its own, whose coming all others see.
    async fn watch(&self, name: &str) -> Watcher {
        let mut client = self.connect(name).await;
        client.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
        client.subscribe("will/#", Qos::AtLeastOnce).await;
        Watcher { client }
    }
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) watchers: Vec<Watcher>,
}

impl Cluster {
    /// Three nodes, each with somebody who watches.
    pub(crate) async fn start() -> Option<Self> {
        if outside() {
            return None;
        }
        let log = Memory::default();
        let (mut nodes, mut watchers) = (Vec::new(), Vec::<Watcher>::new());
        for name in NAMES {
            let node = Node::start(name, &log).await;
            watchers.push(node.watch(&format!("watcher {name}")).await);
            nodes.push(node);
            let (_, before) = watchers.split_last_mut().unwrap();
            for watcher in before {
                watcher.connected(&format!("watcher {name}")).await;
            }
        }
        Some(Self { nodes, watchers })
    }

    /// All watchers hear the same, in one order; of which node, and what.
    pub(crate) async fn hears(&mut self, events: usize) -> Vec<(String, String)> {
        let mut heard = Vec::new();
        for watcher in &mut self.watchers {
            let mut of_this = Vec::new();
            for _ in 0..events {
                of_this.push(watcher.event().await);
            }
            heard.push(of_this);
        }
        let shown = |event: &Event| {
            let topic = event.publish.topic.as_ref().unwrap().as_str().to_owned();
            (topic, String::from_utf8(event.publish.payload.to_vec()).unwrap())
        };
        let heard: Vec<Vec<_>> = heard.iter().map(|events| events.iter().map(shown).collect()).collect();
        assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:#?}");
        heard.into_iter().next().unwrap_or_default()
    }
}

/// Three nodes, without anybody who watches.
pub(crate) async fn nodes() -> Option<[Node; 3]> {
    if outside() {
        return None;
    }
    let log = Memory::default();
    let a = Node::start("a@1", &log).await;
    let b = Node::start("b@2", &log).await;
    Some([a, b, Node::start("c@3", &log).await])
}

/// What an event says, in short.
pub(crate) fn short((topic, payload): &(String, String)) -> String {
    let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
    let topic = topic.strip_prefix("$SYS/brokers/").unwrap().replace("/clients/", " ");
    format!("{topic} {}", payload["reason"].as_str().unwrap_or("-"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_coming_and_going_is_told_alike_at_every_node() {
    let Some(mut cluster) = Cluster::start().await else { return };
    for (at, version) in VERSIONS.into_iter().enumerate() {
        let client = Client::connect(cluster.nodes[at].broker.addr, version, "it").await;
        let heard = cluster.hears(1).await;
        assert_eq!(short(&heard[0]), format!("{} it/connected -", NAMES[at]));
        if at == 0 {
            client.leave().await
        } else {
            client.cut().await
        }
        let heard = cluster.hears(1).await;
        let reason = if at == 0 { "normal" } else { "tcp_closed" };
        assert_eq!(short(&heard[0]), format!("{} it/disconnected {reason}", NAMES[at]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_to_another_node_is_taken_over_there() {
    let Some(mut cluster) = Cluster::start().await else { return };
    for (clean_start, reason) in [(true, "discarded"), (false, "takeovered")] {
        let mut old = cluster.nodes[0].connect("it").await;
        let (new, _) =
            Client::connect_with(cluster.nodes[1].broker.addr, Connect { clean_start, ..keeping(Version::V5, "it") })
                .await;
        old.expect_disconnect(ReasonCode::SessionTakenOver).await;
        new.leave_with(ReasonCode::Success, Properties::from([mqtt_codec::Property::SessionExpiry(0)])).await;
        let heard: Vec<_> = cluster.hears(4).await.iter().map(short).collect();
        let wanted = [
            "a@1 it/connected -".to_owned(),
            format!("a@1 it/disconnected {reason}"),
            "b@2 it/connected -".to_owned(),
            "b@2 it/disconnected normal".to_owned(),
        ];
        assert_eq!(heard, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_at_another_node_is_not_said_to_be_away() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let client = cluster.nodes[1].connect("it").await;
    cluster.hears(1).await;
    let addr = cluster.nodes[0].broker.server().addresses().admin.expect("it is on");
    let rows = async |query: &str| {
        let answer = crate::admin::ask(addr, &format!("GET /api/v4/presence/clients?{query}")).await.json();
        answer["data"].as_array().unwrap().clone()
    };
    let found = rows("clientid=it").await;
    assert_eq!((&found[0]["conn_state"], &found[0]["node"]), (&"connected".into(), &"b@2".into()));
    assert!(rows("conn_state=disconnected&prefix=it").await.is_empty());
    client.leave().await;
    cluster.hears(1).await;
    let found = rows("conn_state=disconnected&prefix=it").await;
    assert_eq!((&found[0]["reason"], &found[0]["node"]), (&"normal".into(), &"b@2".into()));
}

/// However little later it comes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_goodbye_and_comes_to_another_node_has_said_goodbye() {
    let Some(mut cluster) = Cluster::start().await else { return };
    for round in 0..30 {
        let asked = Connect { will: Some(will("will/it", "gone")), ..connect(VERSIONS[round % 3], "it") };
        let (mut client, _) = Client::connect_with(cluster.nodes[round % 3].broker.addr, asked).await;
        // The other node knows where it is.
        let connected = cluster.hears(1).await;
        let bye = mqtt_codec::Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
        client.send(mqtt_codec::Packet::Disconnect(bye)).await;
        let client = cluster.nodes[(round + 1) % 3].connect("it").await;
        client.leave().await;
        let heard: Vec<_> = connected.iter().chain(&cluster.hears(3).await).map(short).collect();
        let (old, new) = (NAMES[round % 3], NAMES[(round + 1) % 3]);
        let wanted = [
            format!("{old} it/connected -"),
            format!("{old} it/disconnected normal"),
            format!("{new} it/connected -"),
            format!("{new} it/disconnected normal"),
        ];
        assert_eq!(heard, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_at_any_node_ends_a_client_wherever_it_is() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut client = cluster.nodes[1].connect("it").await;
    assert_eq!(short(&cluster.hears(1).await[0]), "b@2 it/connected -");
    assert!(cluster.nodes[0].broker.server().kick("it"));
    client.expect_disconnect(ReasonCode::AdministrativeAction).await;
    assert_eq!(short(&cluster.hears(1).await[0]), "b@2 it/disconnected kicked");
    assert!(!cluster.nodes[0].broker.server().kick("it"), "it is nowhere any more");
}

/// Whoever is faster: of one id there is one connection in the end, and what was told alternates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_at_all_nodes_at_once_is_one_client() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.broker.addr).collect();
    let tasks: Vec<_> = (0..30)
        .map(|n| {
            let address = addresses[n % 3];
            tokio::spawn(async move {
                let (mut client, connack) = Client::try_connect(address, connect(Version::V5, "it")).await;
                // Another may have come before this one was told that it is in.
                if connack.reason == ReasonCode::Success {
                    while client.receive_or_end().await.is_some() {}
                }
            })
        })
        .collect();
    // The last one stays until a client that is known to be the last comes.
    let mut told = Vec::new();
    let mut online = 0_i32;
    while told.len() < 59 {
        for event in cluster.hears(1).await {
            let is_connected = event.0.ends_with("/connected");
            online += if is_connected { 1 } else { -1 };
            assert!((0..=1).contains(&online), "{told:#?} {event:?}");
            told.push(event);
        }
    }
    assert_eq!(online, 1);
    let last = cluster.nodes[2].connect("it").await;
    assert_eq!(short(&cluster.hears(2).await[1]), "c@3 it/connected -");
    for task in tasks {
        task.await.unwrap();
    }
    last.leave().await;
    assert_eq!(short(&cluster.hears(1).await[0]), "c@3 it/disconnected normal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_is_published_at_every_node_before_the_event() {
    let Some(mut cluster) = Cluster::start().await else { return };
    for (ends_well, version) in [(false, Version::V3_1_1), (false, Version::V5), (true, Version::V5)] {
        let asked = Connect { will: Some(will("will/it", "gone")), ..connect(version, "it") };
        let (client, _) = Client::connect_with(cluster.nodes[1].broker.addr, asked).await;
        cluster.hears(1).await;
        if ends_well {
            client.leave().await
        } else {
            client.cut().await
        }
        for watcher in &mut cluster.watchers {
            if !ends_well {
                assert_eq!(watcher.client.take_text().await, "gone");
            }
        }
        let heard = cluster.hears(1).await;
        assert!(short(&heard[0]).starts_with("b@2 it/disconnected"), "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_will_waits_in_the_cluster_and_not_at_its_node() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let delayed = mqtt_codec::Will { delay: 1, ..will("will/it", "gone") };
    let asked = Connect { will: Some(delayed), ..keeping(Version::V5, "it") };
    let (client, _) = Client::connect_with(cluster.nodes[2].broker.addr, asked.clone()).await;
    client.cut().await;
    cluster.hears(2).await;
    for watcher in &mut cluster.watchers {
        assert_eq!(watcher.client.take_text().await, "gone");
    }
    // Who comes back in time, wherever that is, takes it back.
    let (client, _) = Client::connect_with(cluster.nodes[2].broker.addr, asked.clone()).await;
    client.cut().await;
    let (back, _) = Client::connect_with(cluster.nodes[0].broker.addr, asked).await;
    cluster.hears(3).await;
    back.leave().await;
    cluster.hears(1).await;
    // Had it not, its will would have been due before this one's.
    let marker = mqtt_codec::Will { delay: 1, ..will("will/marker", "marker") };
    let asked = Connect { will: Some(marker), ..keeping(Version::V5, "marker") };
    let (client, _) = Client::connect_with(cluster.nodes[1].broker.addr, asked).await;
    client.cut().await;
    cluster.hears(2).await;
    for watcher in &mut cluster.watchers {
        assert_eq!(watcher.client.take_text().await, "marker");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_shut_down_says_goodbye_for_its_clients() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut client = cluster.nodes[2].connect("it").await;
    cluster.hears(1).await;
    let Node { broker, .. } = cluster.nodes.pop().unwrap();
    let mut own = cluster.watchers.pop().unwrap();
    broker.shutdown().await;
    let heard = cluster.hears(2).await;
    let mut heard: Vec<_> = heard.iter().map(short).collect();
    heard.sort();
    let wanted = ["c@3 it/disconnected server_shutting_down", "c@3 watcher c@3/disconnected server_shutting_down"];
    assert_eq!(heard, wanted);
    client.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    // Who watched there has heard of it too, before it went.
    assert!(!own.read_to_end().await.is_empty());
}

/// Cut off from the log, it is found dead; what it says then is void, and it lets its clients go when it reads of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_is_told_down_once_and_comes_again() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut client = cluster.nodes[2].connect("it").await;
    let mut stays = cluster.nodes[2].connect("stays").await;
    cluster.hears(2).await;
    cluster.nodes[2].line.set(Faults { is_cut: true, ..Faults::default() });
    let mut own = cluster.watchers.pop().unwrap();
    let heard = cluster.hears(3).await;
    let mut heard: Vec<_> = heard.iter().map(short).collect();
    heard.sort();
    let wanted = ["it", "stays", "watcher c@3"].map(|name| format!("c@3 {name}/disconnected node_down"));
    assert_eq!(heard, wanted);
    // Who is connected there notices nothing of it, and nobody else comes in.
    client.ping().await;
    let (_, refused) = Client::try_connect(cluster.nodes[2].broker.addr, connect(Version::V5, "other")).await;
    assert_eq!(refused.reason, ReasonCode::ServerUnavailable);
    // It has come in elsewhere meanwhile.
    let elsewhere = cluster.nodes[0].connect("it").await;
    assert_eq!(short(&cluster.hears(1).await[0]), "a@1 it/connected -");
    cluster.nodes[2].line.set(Faults::default());
    stays.expect_disconnect(ReasonCode::ServerBusy).await;
    // It reads of its own end first, and soon after that the client is another node's: whichever its task finds.
    let Some(mqtt_codec::Packet::Disconnect(told)) = client.receive_or_end().await else { panic!("it is told") };
    assert!(matches!(told.reason, ReasonCode::ServerBusy | ReasonCode::SessionTakenOver), "{told:?}");
    own.read_to_end().await;
    let again = loop {
        let (client, connack) = Client::try_connect(cluster.nodes[2].broker.addr, connect(Version::V5, "again")).await;
        if connack.reason == ReasonCode::Success {
            break client;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(short(&cluster.hears(1).await[0]), "c@3 again/connected -");
    elsewhere.leave().await;
    again.leave().await;
    cluster.hears(2).await;
}

/// Its session would miss what is published elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_at_a_node_that_joined_again_before_others_know_what_is_wanted_there() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let (mut client, _) = Client::connect_with(cluster.nodes[2].broker.addr, keeping(Version::V5, "it")).await;
    client.subscribe("to/it", Qos::AtLeastOnce).await;
    cluster.hears(1).await;
    cluster.nodes[2].line.set(Faults { is_cut: true, ..Faults::default() });
    cluster.watchers.pop();
    cluster.hears(2).await;
    cluster.nodes[2].line.set(Faults { is_mute: true, ..Faults::default() });
    let mut back = loop {
        let mut coming = std::pin::pin!(Client::try_connect(cluster.nodes[2].broker.addr, keeping(Version::V5, "it")));
        let (client, connack) = match tokio::time::timeout(Duration::from_secs(1), &mut coming).await {
            Ok(came) => came,
            // It waits to be let in.
            Err(_) => {
                cluster.nodes[2].line.set(Faults::default());
                coming.await
            }
        };
        if connack.reason == ReasonCode::Success {
            assert!(connack.session_present);
            break client;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let mut publisher = cluster.nodes[0].connect("publisher").await;
    publisher.publish(message("to/it", "1", Qos::AtLeastOnce)).await;
    cluster.nodes[2].line.set(Faults::default());
    assert_eq!(back.take_text().await, "1");
}

/// The log is the queue: a node that was down tells what it missed to who keeps a session there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_missed_while_it_was_down_is_told_to_sessions_that_it_keeps() {
    if outside() {
        return;
    }
    let log = Memory::default();
    let (one, other) = (Node::start("a@1", &log).await, Node::start("b@2", &log).await);
    let (mut watcher, _) = Client::connect_with(other.broker.addr, keeping(Version::V5, "keeper")).await;
    watcher.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
    watcher.leave().await;
    let Node { broker, folder, .. } = other;
    broker.shutdown().await;
    for n in 0..5 {
        one.connect(&format!("client {n}")).await.leave().await;
    }
    let other = Node::start_in("b@2", &log, folder).await;
    let (mut watcher, connack) = Client::connect_with(other.broker.addr, keeping(Version::V5, "keeper")).await;
    assert!(connack.session_present);
    let mut heard = Vec::new();
    while heard.len() < 12 {
        let publish = watcher.take().await;
        heard.push(short(&(
            publish.topic.as_ref().unwrap().as_str().to_owned(),
            String::from_utf8(publish.payload.to_vec()).unwrap(),
        )));
    }
    assert_eq!(heard[0], "b@2 keeper/disconnected normal");
    let rest: Vec<_> = (0..5)
        .flat_map(|n| [format!("a@1 client {n}/connected -"), format!("a@1 client {n}/disconnected normal")])
        .collect();
    assert_eq!(heard[1..11], rest);
    assert_eq!(heard[11], "b@2 keeper/connected -");
}

/// Plain xorshift.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % sides) as usize
    }
}

/// Comes to any node as one of a few, which others are too, and goes in some way.
async fn live(addresses: [std::net::SocketAddr; 3], mut dice: Dice) {
    for _ in 0..40 {
        let version = VERSIONS[dice.throw(3)];
        let clean_start = dice.throw(2) == 0;
        let will = (dice.throw(3) == 0).then(|| will("will/it", "x"));
        let asked = Connect { clean_start, will, ..keeping(version, &format!("it{}", dice.throw(20))) };
        let mut client = Client::open(addresses[dice.throw(3)], version).await;
        client.send(mqtt_codec::Packet::Connect(Box::new(asked))).await;
        if dice.throw(8) == 0 {
            // Gone before the answer.
            client.reset();
            continue;
        }
        // Refused by a node that is no part of the cluster now, taken over before it was in, or in.
        let Some(mqtt_codec::Packet::ConnAck(connack)) = client.receive_or_end().await else { continue };
        if connack.reason != ReasonCode::Success {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        match dice.throw(4) {
            0 => client.cut().await,
            1 => client.reset(),
            2 => client.send(mqtt_codec::Packet::PingReq).await,
            _ => {
                let bye = mqtt_codec::Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
                client.send(mqtt_codec::Packet::Disconnect(bye)).await;
            }
        }
    }
}

/// Many clients with few ids at all nodes, while lines are bad and one node is cut off long enough to be dead, twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_nodes_tell_is_one_story_whatever_happens_to_their_lines() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut own = cluster.watchers.pop().unwrap();
    let addresses = [0, 1, 2].map(|at| cluster.nodes[at].broker.addr);
    let lives: Vec<_> = (1..=30_u64)
        .map(|number| tokio::spawn(live(addresses, Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))))
        .collect();
    let lines: Vec<_> = cluster.nodes.iter().map(|node| node.line.clone()).collect();
    let trouble = tokio::spawn(async move {
        for _ in 0..2 {
            for line in &lines[..2] {
                line.set(Faults { lost_replies: 3, doubled: 3, ..Faults::default() });
            }
            lines[2].set(Faults { is_cut: true, ..Faults::default() });
            tokio::time::sleep(Duration::from_secs(5)).await;
            lines[2].set(Faults::default());
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    // Who watched there was told to be gone with its node, and reads no more.
    let own = tokio::spawn(async move { own.read_to_end().await });
    let end = tokio::spawn(async move {
        trouble.await.unwrap();
        for life in lives {
            life.await.unwrap();
        }
        // The last one of all.
        Client::connect(addresses[0], Version::V5, "marker").await
    });
    let mut stories: Vec<Vec<(String, String)>> = Vec::new();
    for watcher in &mut cluster.watchers {
        let mut story = Vec::new();
        let (mut is_over, mut online) = (false, std::collections::HashSet::new());
        // Connections that a ping left open were dropped since, which a node may find later than who comes last.
        while !is_over || !online.is_empty() {
            let publish = watcher.client.take().await;
            let topic = publish.topic.as_ref().unwrap().as_str().to_owned();
            if topic.starts_with("will/") {
                continue;
            }
            is_over |= topic.ends_with("/marker/connected");
            match topic.rsplitn(3, '/').collect::<Vec<_>>()[..] {
                ["connected", id, _] if id.starts_with("it") => drop(online.insert(id.to_owned())),
                [_, id, _] => drop(online.remove(id)),
                _ => {}
            }
            story.push((topic, String::from_utf8(publish.payload.to_vec()).unwrap()));
        }
        stories.push(story);
    }
    let _marker = end.await.unwrap();
    own.await.unwrap();
    let [one, other] = &stories[..] else { unreachable!("two are left") };
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other);
    }
    let mut online = std::collections::HashMap::<String, bool>::new();
    for event in one {
        let event: Vec<_> = event.0.rsplitn(3, '/').collect();
        let is_connected = event[0] == "connected";
        let before = online.insert(event[1].to_owned(), is_connected).unwrap_or_default();
        // That watcher was there before who tells of it here.
        let is_first_of_watcher = event[1] == "watcher c@3" && !is_connected;
        assert!(before != is_connected || is_first_of_watcher, "{event:?} in {one:#?}");
    }
    assert!(one.iter().any(|(_, payload)| payload.contains("node_down")), "a node was dead");
}

/// Whoever was connected when it was alone is told to be gone by the node that it has become: no other knows of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_lost_before_the_broker_was_a_node_is_told_to_be_gone_all_the_same() {
    if outside() {
        return;
    }
    let alone = Home::new(&[]).await;
    let _lost = Client::connect(alone.addr(), Version::V5, "lost").await;
    let folder = alone.kill().await;
    let log = Memory::default();
    let node = Node::start_in("a@1", &log, folder).await;
    let mut watcher = node.watch("watcher a@1").await;
    watcher.disconnected("lost", "node_down").await;
}
