//! Messages from node to node.

use std::time::Duration;

use mqtt_cluster::memory::Faults;
use mqtt_codec::{Connect, Qos, ReasonCode, Version};

use crate::{
    client::{Client, QOS, VERSIONS, connect, keeping, message, retained},
    cluster::{Cluster, Node, nodes, short},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_its_suback_misses_nothing_wherever_it_is_published() {
    let Some(nodes) = nodes().await else { return };
    let mut publishers = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        publishers.push(node.connect(&format!("publisher {at}")).await);
    }
    for round in 0..60 {
        let mut subscriber = nodes[round % 3].connect(&format!("subscriber {round}")).await;
        let filter = if round % 2 == 0 { format!("to/{round}/+") } else { format!("to/{round}/it") };
        let asked = QOS[round / 3 % 3];
        subscriber.subscribe(&filter, asked).await;
        // It is one subscriber.
        subscriber.subscribe(&format!("to/{round}/#"), asked).await;
        for (at, publisher) in publishers.iter_mut().enumerate() {
            for qos in QOS {
                let text = format!("{round} {at} {qos:?}");
                publisher.publish(message(&format!("to/{round}/it"), text.clone(), qos)).await;
                let came = subscriber.take().await;
                assert_eq!((came.payload.as_ref(), came.qos), (text.as_bytes(), qos.min(asked)));
            }
        }
        subscriber.ping().await;
        subscriber.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_client_publishes_comes_in_its_order_and_once_though_frames_are_lost() {
    let Some(nodes) = nodes().await else { return };
    let mut subscribers = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let mut subscriber = node.connect(&format!("subscriber {at}")).await;
        subscriber.subscribe("to/#", Qos::ExactlyOnce).await;
        subscribers.push(subscriber);
    }
    let mut publisher = nodes[0].connect("publisher").await;
    for round in 0..10 {
        for node in &nodes {
            node.line.set(Faults { lost_frames: 2, ..Faults::default() });
        }
        let mut ids = Vec::new();
        for number in 0..50 {
            let number = round * 50 + number;
            // One of them does not fit a frame.
            let text = format!("{number} {}", "x".repeat(if number % 100 == 33 { 700_000 } else { number }));
            ids.push(publisher.send_publish(message(&format!("to/{number}"), text, Qos::AtLeastOnce)).await);
        }
        // [MQTT-4.6.0-2]
        for id in ids.into_iter().flatten() {
            assert_eq!(publisher.expect_puback(id).await, ReasonCode::Success);
        }
    }
    for subscriber in &mut subscribers {
        for number in 0..500 {
            let text = subscriber.take_text().await;
            assert_eq!(text.split(' ').next(), Some(&*number.to_string()));
        }
        subscriber.ping().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_acknowledged_when_other_nodes_have_it() {
    let Some(nodes) = nodes().await else { return };
    let mut subscriber = nodes[1].connect("subscriber").await;
    subscriber.subscribe("to/#", Qos::ExactlyOnce).await;
    let mut own = nodes[0].connect("own").await;
    own.subscribe("#", Qos::ExactlyOnce).await;
    nodes[1].line.set(Faults { is_mute: true, ..Faults::default() });
    let mut clients = Vec::new();
    for version in VERSIONS {
        let mut publisher = Client::connect(nodes[0].broker.addr, version, &format!("p {version:?}")).await;
        let one = publisher.send_publish(message("to/it", "1", Qos::AtLeastOnce)).await.unwrap();
        let two = publisher.send_publish(message("to/it", "2", Qos::ExactlyOnce)).await.unwrap();
        // Nobody else wants this; but it is answered in turn.
        let three = publisher.send_publish(message("here", "3", Qos::AtLeastOnce)).await.unwrap();
        for text in ["1", "2", "3"] {
            assert_eq!(own.take_text().await, text);
        }
        clients.push((publisher, one, two, three));
    }
    // Who does not publish is not held up.
    own.ping().await;
    nodes[1].line.set(Faults::default());
    for (mut publisher, one, two, three) in clients {
        assert!(!publisher.expect_puback(one).await.is_error());
        assert!(!publisher.expect_pubrec(two).await.is_error());
        assert!(!publisher.expect_puback(three).await.is_error());
        assert_eq!(subscriber.take_text().await, "1");
        assert_eq!(subscriber.take_text().await, "2");
    }
    subscriber.ping().await;
}

/// What can't be known to have arrived is lost with it, and its publishers go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_node_that_is_dead() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut subscriber = cluster.nodes[2].connect("subscriber").await;
    subscriber.subscribe("to/#", Qos::AtLeastOnce).await;
    let mut publisher = cluster.nodes[0].connect("publisher").await;
    cluster.hears(2).await;
    cluster.nodes[2].line.set(Faults { is_cut: true, ..Faults::default() });
    let mut own = cluster.watchers.pop().unwrap();
    let id = publisher.send_publish(message("to/it", "lost", Qos::AtLeastOnce)).await.unwrap();
    let heard = cluster.hears(2).await;
    assert!(heard.iter().map(short).all(|told| told.ends_with("node_down")), "{heard:?}");
    publisher.expect_puback(id).await;
    assert_eq!(publisher.publish(message("to/it", "2", Qos::AtLeastOnce)).await, ReasonCode::NoMatchingSubscribers);
    // When it is back, it is as any other.
    cluster.nodes[2].line.set(Faults::default());
    subscriber.expect_disconnect(ReasonCode::ServerBusy).await;
    own.read_to_end().await;
    let mut again = loop {
        let asked = connect(Version::V5, "subscriber");
        let (client, connack) = Client::try_connect(cluster.nodes[2].broker.addr, asked).await;
        if connack.reason == ReasonCode::Success {
            break client;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    again.subscribe("to/#", Qos::AtLeastOnce).await;
    assert_eq!(publisher.publish(message("to/it", "3", Qos::AtLeastOnce)).await, ReasonCode::Success);
    assert_eq!(again.take_text().await, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_session_gets_what_was_published_at_other_nodes() {
    let Some([a, b, c]) = nodes().await else { return };
    let (mut keeper, _) = Client::connect_with(b.broker.addr, keeping(Version::V5, "keeper")).await;
    keeper.subscribe("to/#", Qos::ExactlyOnce).await;
    keeper.leave().await;
    let mut publishers = [a.connect("at a").await, c.connect("at c").await];
    for number in 0..20 {
        publishers[number % 2].publish(message("to/it", number.to_string(), QOS[1 + number / 2 % 2])).await;
    }
    let (mut keeper, connack) = Client::connect_with(b.broker.addr, keeping(Version::V5, "keeper")).await;
    assert!(connack.session_present);
    for number in 0..20 {
        assert_eq!(keeper.take_text().await, number.to_string());
    }
    // A node that was away tells the others again what is wanted there.
    keeper.leave().await;
    let Node { broker, folder, line } = b;
    broker.shutdown().await;
    let b = Node { broker: crate::broker::Broker::node("b@2", folder.path(), line.clone()).await, line, folder };
    publishers[0].publish(message("to/it", "last", Qos::AtLeastOnce)).await;
    let (mut keeper, _) = Client::connect_with(b.broker.addr, keeping(Version::V5, "keeper")).await;
    assert_eq!(keeper.take_text().await, "last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_of_a_group_gets_it_of_all_nodes() {
    let Some([a, b, c]) = nodes().await else { return };
    let (mut at_b, mut at_c) = (b.connect("at b").await, c.connect("at c").await);
    for member in [&mut at_b, &mut at_c] {
        member.subscribe("$share/g/to/#", Qos::AtLeastOnce).await;
    }
    let mut plain = c.connect("plain").await;
    plain.subscribe("to/+", Qos::AtLeastOnce).await;
    let mut publisher = a.connect("publisher").await;
    for number in 0..40 {
        publisher.publish(message("to/it", number.to_string(), Qos::AtLeastOnce)).await;
        assert_eq!(plain.take_text().await, number.to_string());
    }
    let end = |to: &str| message(to, "end", Qos::AtLeastOnce);
    at_b.subscribe("end", Qos::AtLeastOnce).await;
    at_c.subscribe("end", Qos::AtLeastOnce).await;
    publisher.publish(end("end")).await;
    let mut came = Vec::new();
    for member in [&mut at_b, &mut at_c] {
        let before = came.len();
        loop {
            match member.take_text().await.as_str() {
                "end" => break,
                number => came.push(number.parse::<usize>().unwrap()),
            }
        }
        assert_eq!(came.len() - before, 20, "they take turns");
    }
    came.sort_unstable();
    assert_eq!(came, (0..40).collect::<Vec<_>>());
    // Who is where it is published is the first to get it, and an absent member the last.
    let (mut here, _) = Client::connect_with(a.broker.addr, keeping(Version::V5, "here")).await;
    here.subscribe("$share/g/to/#", Qos::AtLeastOnce).await;
    for number in 0..10 {
        publisher.publish(message("to/it", format!("here {number}"), Qos::AtLeastOnce)).await;
        assert_eq!(here.take_text().await, format!("here {number}"));
    }
    here.leave().await;
    at_c.leave().await;
    publisher.publish(message("to/it", "there", Qos::AtLeastOnce)).await;
    assert_eq!(at_b.take_text().await, "there");
    at_b.leave().await;
    publisher.publish(message("to/it", "kept", Qos::AtLeastOnce)).await;
    let (mut here, _) = Client::connect_with(a.broker.addr, keeping(Version::V5, "here")).await;
    assert_eq!(here.take_text().await, "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_subscribes_at_is_sent_nothing() {
    let Some([a, b, _c]) = nodes().await else { return };
    let mut publisher = a.connect("publisher").await;
    let mut subscriber = b.connect("subscriber").await;
    let (none, some) = (ReasonCode::NoMatchingSubscribers, ReasonCode::Success);
    let mut publish = async |expected: ReasonCode| {
        // What is no longer wanted is told, and not waited for.
        loop {
            let reason = publisher.publish(message("to/it", "x", Qos::AtLeastOnce)).await;
            if reason == expected {
                return;
            }
            assert_eq!((reason, expected), (some, none));
        }
    };
    publish(none).await;
    for filter in ["to/it", "to/+", "$share/g/to/#"] {
        subscriber.subscribe(filter, Qos::AtMostOnce).await;
        publish(some).await;
        subscriber.forget_early();
        subscriber.unsubscribe(&[filter]).await;
        publish(none).await;
    }
    // With its session its subscriptions end, too.
    subscriber.subscribe("to/it", Qos::AtMostOnce).await;
    publish(some).await;
    subscriber.leave().await;
    publish(none).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_client_came_is_told_before_what_it_says() {
    let Some([a, b, _c]) = nodes().await else { return };
    let mut watcher = b.connect("watcher").await;
    watcher.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
    watcher.subscribe("said/#", Qos::AtLeastOnce).await;
    for round in 0..50 {
        let mut client = a.connect(&format!("it {round}")).await;
        client.publish(message("said/it", round.to_string(), Qos::AtMostOnce)).await;
        let came = watcher.take().await;
        assert!(came.topic.unwrap().as_str().ends_with(&format!("it {round}/connected")));
        assert_eq!(watcher.take_text().await, round.to_string());
        client.leave().await;
        let went = watcher.take().await;
        assert!(went.topic.unwrap().as_str().ends_with(&format!("it {round}/disconnected")));
    }
}

/// One that is too long for the log is its node's to publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_will_comes_at_all_nodes_too() {
    let Some(nodes) = nodes().await else { return };
    let mut subscribers = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let mut subscriber = node.connect(&format!("subscriber {at}")).await;
        subscriber.subscribe("will/#", Qos::AtLeastOnce).await;
        subscribers.push(subscriber);
    }
    for len in [1, 60_000] {
        let payload = "x".repeat(len);
        let will = mqtt_codec::Will { message: message("will/it", payload.clone(), Qos::AtLeastOnce), delay: 0 };
        let asked = Connect { will: Some(will), ..connect(Version::V5, "it") };
        let (client, _) = Client::connect_with(nodes[1].broker.addr, asked).await;
        client.cut().await;
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.take_text().await, payload);
            subscriber.ping().await;
        }
    }
}

/// What is retained on these topics at a node, as text.
async fn retained_at(node: &Node, name: &str) -> Vec<String> {
    let mut client = node.connect(name).await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    client.subscribe("end", Qos::AtLeastOnce).await;
    // Behind what is retained.
    client.send_publish(message("end", "end", Qos::AtMostOnce)).await;
    let mut found = Vec::new();
    loop {
        let publish = client.take().await;
        let topic = publish.topic.unwrap().as_str().to_owned();
        if topic == "end" {
            break;
        }
        found.push(format!("{topic} {}", String::from_utf8(publish.payload.to_vec()).unwrap()));
    }
    client.leave().await;
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_retained_is_retained_at_all_nodes() {
    let Some([a, b, c]) = nodes().await else { return };
    let mut clients = [a.connect("at a").await, b.connect("at b").await, c.connect("at c").await];
    for (at, client) in clients.iter_mut().enumerate() {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            client.publish(retained(&format!("kept/{at}/{qos:?}"), format!("{at}"), qos)).await;
        }
        client.publish(retained("kept/all", format!("{at}"), Qos::AtLeastOnce)).await;
        client.publish(retained("kept/gone", format!("{at}"), Qos::AtLeastOnce)).await;
    }
    clients[0].publish(retained("kept/gone", "", Qos::AtLeastOnce)).await;
    let mut wanted: Vec<_> =
        (0..3).flat_map(|at| ["AtLeastOnce", "ExactlyOnce"].map(|qos| format!("kept/{at}/{qos} {at}"))).collect();
    wanted.push("kept/all 2".to_owned());
    for (at, node) in [&a, &b, &c].into_iter().enumerate() {
        assert_eq!(retained_at(node, &format!("reader {at}")).await, wanted);
    }
    // A node that was away learns what has changed and what is gone.
    clients[1].ping().await;
    let Node { broker, folder, line } = b;
    broker.shutdown().await;
    clients[0].publish(retained("kept/all", "new", Qos::AtLeastOnce)).await;
    clients[2].publish(retained("kept/1/AtLeastOnce", "", Qos::AtLeastOnce)).await;
    clients[2].publish(retained("kept/new", "new", Qos::AtMostOnce)).await;
    clients[2].ping().await;
    let b = Node { broker: crate::broker::Broker::node("b@2", folder.path(), line.clone()).await, line, folder };
    wanted.retain(|kept| kept != "kept/all 2" && kept != "kept/1/AtLeastOnce 1");
    wanted.extend(["kept/all new".to_owned(), "kept/new new".to_owned()]);
    for (at, node) in [&a, &b, &c].into_iter().enumerate() {
        assert_eq!(retained_at(node, &format!("reader {at}")).await, wanted);
    }
}

/// What it retains while it is cut off is nobody else's, and what others retain meanwhile is its own when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_retains_what_the_others_do() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut own = cluster.watchers.pop().unwrap();
    let mut there = cluster.nodes[2].connect("there").await;
    let mut here = cluster.nodes[0].connect("here").await;
    for topic in ["kept/changed", "kept/gone", "kept/same"] {
        here.publish(retained(topic, "old", Qos::AtLeastOnce)).await;
    }
    cluster.hears(2).await;
    cluster.nodes[2].line.set(Faults { is_cut: true, ..Faults::default() });
    there.publish(retained("kept/alone", "there", Qos::AtMostOnce)).await;
    there.ping().await;
    let heard = cluster.hears(2).await;
    assert!(heard.iter().map(short).all(|told| told.ends_with("node_down")), "{heard:?}");
    here.publish(retained("kept/changed", "new", Qos::AtLeastOnce)).await;
    here.publish(retained("kept/gone", "", Qos::AtLeastOnce)).await;
    cluster.nodes[2].line.set(Faults::default());
    there.expect_disconnect(ReasonCode::ServerBusy).await;
    own.read_to_end().await;
    let wanted = ["kept/changed new", "kept/same old"];
    for round in 0.. {
        let (client, connack) =
            Client::try_connect(cluster.nodes[2].broker.addr, connect(Version::V5, &format!("try {round}"))).await;
        if connack.reason == ReasonCode::Success {
            client.leave().await;
            // It asks the others as soon as it is back, while clients come in already.
            if retained_at(&cluster.nodes[2], &format!("reader {round}")).await == wanted {
                break;
            }
        }
        assert!(round < 500, "it goes on retaining something else");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(retained_at(&cluster.nodes[0], "reader").await, wanted);
}

/// However they are faster or slower: all nodes have the same in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_retains_at_once_at_several_nodes_leaves_the_same_at_all() {
    let Some(nodes) = nodes().await else { return };
    let mut writers = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        node.line.set(Faults { lost_frames: 3, ..Faults::default() });
        let mut client = node.connect(&format!("writer {at}")).await;
        writers.push(tokio::spawn(async move {
            for number in 0..200 {
                let text = if number % 7 == at { String::new() } else { format!("{at} {number}") };
                client.publish(retained(&format!("kept/{}", number % 10), text, Qos::AtLeastOnce)).await;
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut found = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        found.push(retained_at(node, &format!("reader {at}")).await);
    }
    assert!(!found[0].is_empty());
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_message_expiry_goes_along() {
    let Some([a, b, _c]) = nodes().await else { return };
    let mut subscriber = b.connect("subscriber").await;
    subscriber.subscribe("kept/#", Qos::AtLeastOnce).await;
    let properties = mqtt_codec::Properties::from([
        mqtt_codec::Property::MessageExpiry(100),
        mqtt_codec::Property::ContentType("text".into()),
    ]);
    let sent = mqtt_codec::Message { properties: properties.clone(), ..retained("kept/it", "x", Qos::AtLeastOnce) };
    a.connect("publisher").await.publish(sent).await;
    let left = |publish: &mqtt_codec::Publish| publish.properties.message_expiry();
    let came = subscriber.take().await;
    assert!(matches!(left(&came), Some(98..=100)), "{came:?}");
    let mut late = b.connect("late").await;
    late.subscribe("kept/#", Qos::AtLeastOnce).await;
    let came = late.take().await;
    assert!(matches!(left(&came), Some(90..=100)), "{came:?}");
    assert!(came.properties.iter().any(|one| one == mqtt_codec::Property::ContentType("text".into())));
}
