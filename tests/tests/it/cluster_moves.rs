//! Sessions that go where their clients come.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use mqtt_cluster::memory::{Faults, Memory};
use mqtt_codec::{Ack, Connect, Packet, Properties, Property, Qos, ReasonCode, Version};
use mqtt_config::HomeDown;

use crate::{
    admin::ask,
    broker::{Broker, outside},
    client::{Client, VERSIONS, connect, keeping, message, retained},
    cluster::{Cluster, Node, nodes, short},
};

/// Comes back for its session; whether that is there, which MQTT 3.1 has no way to say.
async fn back(node: &Node, version: Version, client_id: &str) -> (Client, Option<bool>) {
    let (client, connack) = Client::connect_with(node.broker.addr, keeping(version, client_id)).await;
    (client, (version > Version::V3_1).then_some(connack.session_present))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_where_its_client_comes_with_all_that_waits() {
    let Some(nodes) = nodes().await else { return };
    let mut publisher = nodes[2].connect("publisher").await;
    for version in VERSIONS {
        let name = format!("it {version:?}");
        let (mut client, is_present) = back(&nodes[0], version, &name).await;
        assert_ne!(is_present, Some(true));
        client.subscribe("to/#", Qos::ExactlyOnce).await;
        client.subscribe("other", Qos::AtLeastOnce).await;
        client.leave().await;
        // Round and round, and each time something waits.
        for round in 1..7 {
            for number in 0..300 {
                let qos = if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
                publisher.publish(message("to/it", number.to_string(), qos)).await;
            }
            let (mut client, is_present) = back(&nodes[round % 3], version, &name).await;
            assert_ne!(is_present, Some(false), "{version:?} {round}");
            for number in 0..300 {
                assert_eq!(client.take_text().await, number.to_string());
            }
            publisher.publish(message("other", "live", Qos::AtLeastOnce)).await;
            assert_eq!(client.take_text().await, "live");
            client.ping().await;
            client.leave().await;
        }
        // Nobody has any of it any more.
        let (client, _) = Client::connect_with(nodes[1].broker.addr, connect(version, &name)).await;
        client.leave().await;
        for node in &nodes {
            let (client, is_present) = back(node, version, &name).await;
            assert_ne!(is_present, Some(true));
            client.leave().await;
            let (client, _) = Client::connect_with(nodes[0].broker.addr, connect(version, &name)).await;
            client.leave().await;
        }
    }
    let none = publisher.publish(message("to/it", "x", Qos::AtLeastOnce)).await;
    assert_eq!(none, ReasonCode::NoMatchingSubscribers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_and_not_acknowledged_moves_with_its_packet_ids() {
    let Some([a, b, _c]) = nodes().await else { return };
    for version in VERSIONS {
        let (mut client, _) = back(&a, version, "it").await;
        client.subscribe("to/#", Qos::ExactlyOnce).await;
        let mut publisher = b.connect("publisher").await;
        for (text, qos) in [("1", Qos::AtLeastOnce), ("2", Qos::ExactlyOnce), ("3", Qos::ExactlyOnce)] {
            publisher.publish(message("to/it", text, qos)).await;
        }
        let (one, two, three) =
            (client.receive_publish().await, client.receive_publish().await, client.receive_publish().await);
        client.send(Packet::PubRec(Ack::new(three.packet_id.unwrap(), ReasonCode::Success))).await;
        client.expect_pubrel(three.packet_id.unwrap()).await;
        // What it says itself, and has not released.
        let mut said = b.connect("listener").await;
        said.subscribe("said", Qos::ExactlyOnce).await;
        let sent = client.send_publish(message("said", "once", Qos::ExactlyOnce)).await.unwrap();
        client.expect_pubrec(sent).await;
        assert_eq!(said.take_text().await, "once");
        client.cut().await;
        publisher.publish(message("to/it", "4", Qos::AtLeastOnce)).await;

        let (mut client, is_present) = back(&b, version, "it").await;
        assert_ne!(is_present, Some(false));
        client.expect_pubrel(three.packet_id.unwrap()).await;
        client.send(Packet::PubComp(Ack::new(three.packet_id.unwrap(), ReasonCode::Success))).await;
        for before in [&one, &two] {
            let again = client.take().await;
            assert_eq!((again.packet_id, &again.payload, again.dup), (before.packet_id, &before.payload, true));
        }
        let four = client.take().await;
        assert_eq!((four.payload.as_ref(), four.dup), (&b"4"[..], false));
        assert!(![one.packet_id, two.packet_id, three.packet_id].contains(&four.packet_id));
        let again = mqtt_codec::Publish {
            dup: true,
            qos: Qos::ExactlyOnce,
            retain: false,
            topic: Some(crate::client::topic("said")),
            packet_id: Some(sent),
            properties: Properties::EMPTY,
            payload: "once".into(),
        };
        client.send(Packet::Publish(again)).await;
        client.expect_pubrec(sent).await;
        client.send(Packet::PubRel(Ack::new(sent, ReasonCode::Success))).await;
        client.expect_pubcomp(sent).await;
        said.ping().await;
        client.leave_with(ReasonCode::Success, Properties::EMPTY).await;
        let (client, _) = Client::connect_with(a.broker.addr, connect(version, "it")).await;
        client.leave().await;
    }
}

const MESSAGES: usize = 400;

/// What a client publishes: with a number each, or the same again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Series {
    Numbered(Qos),
    Same,
}

/// At QoS 1 it may come twice, and at QoS 2 not; in any case in the order in which its publisher has sent it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_a_session_moves() {
    let series = [Series::Numbered(Qos::AtLeastOnce), Series::Numbered(Qos::ExactlyOnce), Series::Same];
    let Some(nodes) = nodes().await else { return };
    let (mut client, _) = back(&nodes[0], Version::V5, "it").await;
    client.subscribe("to/#", Qos::ExactlyOnce).await;
    let mut publishers = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        node.line.set(Faults { lost_frames: 1, ..Faults::default() });
        for series in series {
            let mut publisher = node.connect(&format!("publisher {at} {series:?}")).await;
            publishers.push(tokio::spawn(async move {
                for number in 0..MESSAGES {
                    let (text, qos) = match series {
                        Series::Numbered(qos) => (number.to_string(), qos),
                        Series::Same => ("again".to_owned(), Qos::ExactlyOnce),
                    };
                    publisher.publish(message(&format!("to/{at}/{series:?}"), text, qos)).await;
                    if number % 20 == 0 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }));
        }
    }
    let mut came: HashMap<String, Vec<String>> = HashMap::new();
    // What has a number is counted once, however often it comes.
    let (mut numbered, mut again) = (HashSet::new(), 0);
    let all = nodes.len() * series.len() * MESSAGES;
    let mut round = 0;
    while numbered.len() + again < all {
        // It stays for some messages, and goes in the midst of others, with or without a word.
        for _ in 0..1 + round % 40 {
            match client.receive().await {
                Packet::Publish(publish) => {
                    client.acknowledge(&publish).await;
                    let topic = publish.topic.unwrap().as_str().to_owned();
                    let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                    match text.as_str() {
                        "again" => again += 1,
                        _ => drop(numbered.insert((topic.clone(), text.clone()))),
                    }
                    came.entry(topic).or_default().push(text);
                }
                // Its PUBCOMP was cut off.
                Packet::PubRel(ack) => client.send(Packet::PubComp(ack)).await,
                other => panic!("{other:?}"),
            }
            if numbered.len() + again == all {
                break;
            }
        }
        round += 1;
        match round % 3 {
            0 => client.leave().await,
            1 => client.cut().await,
            _ => drop(client),
        }
        let is_present;
        (client, is_present) = back(&nodes[round % 3], Version::V5, "it").await;
        assert_ne!(is_present, Some(false));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    client.ping().await;
    for (at, series) in (0..nodes.len()).flat_map(|at| series.map(|series| (at, series))) {
        let came = &came[&format!("to/{at}/{series:?}")];
        let mut first: Vec<&String> = Vec::new();
        for text in came {
            // PUBREL was there before it was cut off.
            if series != Series::Numbered(Qos::AtLeastOnce) || !first.contains(&text) {
                first.push(text);
            }
        }
        let is_right = |(number, text): (usize, &&String)| **text == number.to_string() || series == Series::Same;
        let wrong = first.iter().enumerate().position(|one| !is_right(one));
        let near = wrong.map(|at| &first[at.saturating_sub(2)..first.len().min(at + 5)]);
        assert!(near.is_none() && first.len() == MESSAGES, "{at} {series:?}: {} came, and {near:?}", first.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_over_by_itself_at_another_node_goes_on_there() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let (mut old, _) = back(&cluster.nodes[0], Version::V5, "it").await;
    old.subscribe("to/#", Qos::AtLeastOnce).await;
    let mut publisher = cluster.nodes[2].connect("publisher").await;
    cluster.hears(2).await;
    publisher.publish(message("to/it", "1", Qos::AtLeastOnce)).await;
    let unanswered = old.receive_publish().await;
    let (mut new, is_present) = back(&cluster.nodes[1], Version::V5, "it").await;
    assert_ne!(is_present, Some(false));
    old.expect_disconnect(ReasonCode::SessionTakenOver).await;
    let again = new.take().await;
    assert_eq!((again.packet_id, again.dup), (unanswered.packet_id, true));
    publisher.publish(message("to/it", "2", Qos::AtLeastOnce)).await;
    assert_eq!(new.take_text().await, "2");
    let heard: Vec<_> = cluster.hears(2).await.iter().map(short).collect();
    assert_eq!(heard, ["a@1 it/disconnected takeovered", "b@2 it/connected -"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_move_as_they_are() {
    let Some([a, b, c]) = nodes().await else { return };
    let mut publisher = c.connect("publisher").await;
    publisher.publish(retained("kept/1", "retained", Qos::AtLeastOnce)).await;
    let (mut client, _) = back(&a, Version::V5, "it").await;
    let mut ask = crate::client::ask("to/+", Qos::AtLeastOnce);
    (ask.options.no_local, ask.options.retain_as_published) = (true, true);
    client.subscribe_with(vec![ask], Properties::from([Property::SubscriptionId(77)])).await;
    client.subscribe("$share/g/shared", Qos::AtLeastOnce).await;
    client.leave().await;
    publisher.publish(message("shared", "waits", Qos::AtLeastOnce)).await;
    let (mut client, _) = back(&b, Version::V5, "it").await;
    assert_eq!(client.take_text().await, "waits");
    client.publish(message("to/it", "own", Qos::AtLeastOnce)).await;
    publisher.publish(retained("to/it", "1", Qos::AtLeastOnce)).await;
    let came = client.take().await;
    assert_eq!((came.payload.as_ref(), came.retain), (&b"1"[..], true));
    assert_eq!(came.properties.subscription_id(), Some(77));
    // It is one member, and at one node.
    for number in 0..10 {
        publisher.publish(message("shared", number.to_string(), Qos::AtLeastOnce)).await;
        assert_eq!(client.take_text().await, number.to_string());
    }
    client.ping().await;
}

/// Node c is cut off: it is dead to the others, and comes back with what it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_the_node_of_its_session_is_down_has_a_new_one() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let (mut client, _) = back(&cluster.nodes[2], Version::V5, "it").await;
    client.subscribe("to/#", Qos::AtLeastOnce).await;
    client.leave().await;
    cluster.hears(2).await;
    cluster.nodes[2].line.set(Faults { is_cut: true, ..Faults::default() });
    let mut own = cluster.watchers.pop().unwrap();
    let heard = cluster.hears(1).await;
    assert!(short(&heard[0]).ends_with("node_down"), "{heard:?}");
    let (mut client, is_present) = back(&cluster.nodes[0], Version::V5, "it").await;
    assert_ne!(is_present, Some(true));
    client.subscribe("new/#", Qos::AtLeastOnce).await;
    client.leave().await;
    cluster.nodes[2].line.set(Faults::default());
    own.read_to_end().await;
    // What it had is not what its client has, and that moves there.
    let mut client = loop {
        let (client, connack) = Client::try_connect(cluster.nodes[2].broker.addr, keeping(Version::V5, "it")).await;
        if connack.reason == ReasonCode::Success {
            assert!(connack.session_present);
            break client;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let mut publisher = cluster.nodes[1].connect("publisher").await;
    publisher.publish(message("to/it", "old", Qos::AtLeastOnce)).await;
    publisher.publish(message("new/it", "new", Qos::AtLeastOnce)).await;
    assert_eq!(client.take_text().await, "new");
    client.ping().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_to_wait_for_the_node_of_its_session_is_refused_until_that_is_back() {
    if outside() {
        return;
    }
    let log = Memory::default();
    let (line, folder) = (log.line(), tempfile::tempdir().unwrap());
    let a = Node { broker: Broker::node_that("a@1", folder.path(), line.clone(), HomeDown::Wait).await, line, folder };
    let b = Node::start("b@2", &log).await;
    let (mut client, _) = back(&b, Version::V5, "it").await;
    client.subscribe("to/#", Qos::AtLeastOnce).await;
    client.leave().await;
    let mut publisher = a.connect("publisher").await;
    publisher.publish(message("to/it", "waits", Qos::AtLeastOnce)).await;
    let Node { broker, folder, line } = b;
    broker.shutdown().await;
    for version in VERSIONS {
        let (mut client, connack) = Client::try_connect(a.broker.addr, keeping(version, "it")).await;
        assert_eq!(connack.reason, ReasonCode::ServerUnavailable);
        client.expect_end().await;
    }
    let _b = Node { broker: Broker::node("b@2", folder.path(), line.clone()).await, line, folder };
    let (mut client, is_present) = back(&a, Version::V5, "it").await;
    assert_ne!(is_present, Some(false));
    assert_eq!(client.take_text().await, "waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_node_that_will_not_come_back() {
    if outside() {
        return;
    }
    let log = Memory::default();
    let (line, folder) = (log.line(), tempfile::tempdir().unwrap());
    let a = Node { broker: Broker::node_that("a@1", folder.path(), line.clone(), HomeDown::Wait).await, line, folder };
    let b = Node::start("b@2", &log).await;
    for client in ["it", "other"] {
        back(&b, Version::V5, client).await.0.leave().await;
    }
    let admin = a.broker.server().addresses().admin.expect("it is on");
    for (node, status) in [("b@2", 409), ("a@1", 409), ("c@3", 404)] {
        assert_eq!(ask(admin, &format!("DELETE /api/v4/cluster/{node}")).await.status, status);
    }
    let Node { broker, folder, line } = b;
    broker.shutdown().await;
    let (_, connack) = Client::try_connect(a.broker.addr, keeping(Version::V5, "it")).await;
    assert_eq!(connack.reason, ReasonCode::ServerUnavailable);
    let forgotten = ask(admin, "DELETE /api/v4/cluster/b%402").await;
    assert_eq!(forgotten.json(), serde_json::json!({"code": 0}));
    let (client, connack) = Client::connect_with(a.broker.addr, keeping(Version::V5, "it")).await;
    assert!(!connack.session_present);
    client.leave().await;
    // It comes back all the same: one session is at another node by now, and the other is here.
    let _b = Node { broker: Broker::node("b@2", folder.path(), line.clone()).await, line, folder };
    let (_, is_present) = back(&a, Version::V5, "other").await;
    assert_ne!(is_present, Some(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_moved_is_there_after_its_node_was_started_again() {
    let Some([a, b, c]) = nodes().await else { return };
    let (mut client, _) = back(&a, Version::V5, "it").await;
    client.subscribe("to/#", Qos::ExactlyOnce).await;
    client.leave().await;
    let mut publisher = c.connect("publisher").await;
    for number in 0..50 {
        let qos = if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        publisher.publish(message("to/it", number.to_string(), qos)).await;
    }
    let (mut client, _) = back(&b, Version::V5, "it").await;
    // One is acknowledged, and another is not.
    assert_eq!(client.take_text().await, "0");
    let unanswered = client.receive_publish().await;
    client.cut().await;
    publisher.publish(message("to/it", "50", Qos::AtLeastOnce)).await;
    let Node { broker, folder, line } = b;
    broker.shutdown().await;
    let b = Node { broker: Broker::node("b@2", folder.path(), line.clone()).await, line, folder };
    let (mut client, is_present) = back(&b, Version::V5, "it").await;
    assert_ne!(is_present, Some(false));
    let again = client.take().await;
    assert_eq!((again.packet_id, again.dup), (unanswered.packet_id, true));
    for number in 2..51 {
        assert_eq!(client.take_text().await, number.to_string());
    }
    client.leave().await;
    // And the node that it went from has nothing of it, whatever happens to that.
    let Node { broker, folder, line } = a;
    broker.shutdown().await;
    let a = Node { broker: Broker::node("a@1", folder.path(), line.clone()).await, line, folder };
    publisher.publish(message("to/it", "51", Qos::AtLeastOnce)).await;
    let (mut client, is_present) = back(&a, Version::V5, "it").await;
    assert_ne!(is_present, Some(false));
    assert_eq!(client.take_text().await, "51");
    client.ping().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_a_session_elsewhere_its_client_is_let_in() {
    let Some([a, b, _c]) = nodes().await else { return };
    // It ends by its time there, or with its connection, or by an operator.
    for way in 0..3 {
        let name = format!("it {way}");
        let expiry = Properties::from([Property::SessionExpiry(if way == 0 { 1 } else { 100 })]);
        let asked = Connect { properties: expiry, clean_start: false, ..connect(Version::V5, &name) };
        let (client, _) = Client::connect_with(a.broker.addr, asked).await;
        match way {
            0 => {
                client.leave().await;
                tokio::time::sleep(Duration::from_millis(1100)).await;
            }
            1 => {
                client.leave_with(ReasonCode::Success, Properties::from([Property::SessionExpiry(0)])).await;
            }
            _ => {
                client.leave().await;
                assert!(a.broker.server().kick(&name));
            }
        }
        let (client, is_present) = back(&b, Version::V5, &name).await;
        assert_ne!(is_present, Some(true), "{name}");
        client.leave().await;
        let (client, is_present) = back(&a, Version::V5, &name).await;
        assert_ne!(is_present, Some(false), "{name}");
        client.leave().await;
    }
}
