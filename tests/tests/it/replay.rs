//! Retained messages for who subscribes, when there are many.

use mqtt_codec::{Connect, Packet, Properties, Property, Qos, Subscribe, Version};

use crate::broker::{Broker, outside};
use crate::cli::{Running, command};
use crate::client::{Client, ask, connect, id, retained};

/// Retains numbers on topics in their order.
async fn retain(client: &mut Client, count: usize) {
    for number in 0..count {
        client.publish(retained(&format!("kept/{number:05}"), number.to_string(), Qos::AtLeastOnce)).await;
    }
}

/// A packet of some kB costs others no more than a slice of it, and its sender gets each message once.
#[tokio::test]
async fn many_filters_over_many_messages_leave_turns_to_others() {
    const KEPT: usize = 3000;
    let broker = Broker::start().await;
    let mut neighbour = Client::connect(broker.addr, Version::V5, "neighbour").await;
    retain(&mut neighbour, KEPT).await;
    let mut client = Client::connect(broker.addr, Version::V5, "greedy").await;
    let mut filters = vec![ask("kept/+", Qos::AtMostOnce), ask("kept/#", Qos::AtMostOnce), ask("+/+", Qos::AtMostOnce)];
    filters.extend((0..200).map(|n| ask(&format!("+/{n:05}"), Qos::AtMostOnce)));
    filters.push(ask("kept/00007", Qos::AtLeastOnce));
    let asked = filters.len();
    client.send(Packet::Subscribe(Subscribe { packet_id: id(1), properties: Properties::EMPTY, filters })).await;
    match client.receive().await {
        Packet::SubAck(suback) => assert_eq!(suback.reasons.len(), asked),
        other => panic!("the answer comes first, but {other:?} did"),
    }
    let mut pinged = false;
    for number in 0..KEPT {
        let publish = client.receive_publish().await;
        assert_eq!((publish.payload, publish.retain), (number.to_string().into(), true));
        if number == 0 {
            neighbour.ping().await;
            pinged = true;
        }
    }
    assert!(pinged);
    // Once more, for this one is asked for at a higher quality of service.
    let publish = client.take().await;
    assert_eq!((&publish.payload[..], publish.qos), (&b"7"[..], Qos::AtLeastOnce));
    client.ping().await;
}

/// As it takes them, and over a reconnect.
#[tokio::test]
async fn a_small_window_is_sent_all_in_the_end() {
    const KEPT: usize = 700;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    retain(&mut publisher, KEPT).await;
    let asked = Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(1000), Property::ReceiveMaximum(2)].into(),
        ..connect(Version::V5, "small")
    };
    let (mut client, _) = Client::connect_with(broker.addr, asked.clone()).await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    for number in 0..400 {
        assert_eq!(client.take_text().await, number.to_string());
    }
    client.cut().await;
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    // What was under way comes again.
    let first = client.take_text().await.parse::<usize>().unwrap();
    assert!((398..=400).contains(&first), "{first}");
    for number in first + 1..KEPT {
        assert_eq!(client.take_text().await, number.to_string());
    }
    client.ping().await;
}

/// The same, many at once.
async fn retain_at_once(client: &mut Client, count: usize) {
    for first in (0..count).step_by(100) {
        let mut sent = Vec::new();
        for number in first..count.min(first + 100) {
            let message = retained(&format!("kept/{number:05}"), number.to_string(), Qos::AtLeastOnce);
            sent.extend(client.send_publish(message).await);
        }
        for packet_id in sent {
            client.expect_puback(packet_id).await;
        }
    }
}

/// A session that stays, and is sent a few at a time.
fn small(client_id: &str) -> Connect {
    let properties = [Property::SessionExpiry(1000), Property::ReceiveMaximum(20)].into();
    Connect { clean_start: false, properties, ..connect(Version::V5, client_id) }
}

/// However much is left: it belongs to the session.
#[tokio::test]
async fn who_is_back_is_sent_all_that_is_left() {
    const KEPT: usize = 3000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    retain_at_once(&mut publisher, KEPT).await;
    let (mut client, _) = Client::connect_with(broker.addr, small("client")).await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    let mut next = 0;
    for until in [100, 1000] {
        while next < until {
            next = client.take_text().await.parse::<usize>().unwrap() + 1;
        }
        client.cut().await;
        (client, _) = Client::connect_with(broker.addr, small("client")).await;
        // What was under way comes again.
        let first = client.take_text().await.parse::<usize>().unwrap();
        assert!((until - 20..=until).contains(&first), "{first}");
        next = first + 1;
    }
    while next < KEPT {
        assert_eq!(client.take_text().await, next.to_string());
        next += 1;
    }
    client.ping().await;
}

/// Also of one who takes its own session over, in the middle of a slice or not.
#[tokio::test]
async fn who_takes_over_is_sent_all_that_is_left() {
    const KEPT: usize = 3000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    retain_at_once(&mut publisher, KEPT).await;
    let (mut client, _) = Client::connect_with(broker.addr, small("client")).await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    for number in 0..300 {
        assert_eq!(client.take_text().await, number.to_string());
    }
    let (mut client, _) = Client::connect_with(broker.addr, small("client")).await;
    let mut missing: std::collections::BTreeSet<_> = (300..KEPT).collect();
    while !missing.is_empty() {
        missing.remove(&client.take_text().await.parse().unwrap());
    }
    client.ping().await;
}

#[tokio::test]
async fn who_begins_anew_is_sent_nothing_that_was_left() {
    const KEPT: usize = 3000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    retain_at_once(&mut publisher, KEPT).await;
    let (mut client, _) = Client::connect_with(broker.addr, small("client")).await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    client.take().await;
    client.cut().await;
    let anew = Connect { clean_start: true, ..small("client") };
    let (mut client, _) = Client::connect_with(broker.addr, anew).await;
    client.subscribe("marker", Qos::AtLeastOnce).await;
    publisher.publish(retained("marker", "end", Qos::AtLeastOnce)).await;
    assert_eq!(client.take_text().await, "end");
}

/// How far it was is not known, so some come once more; none is left out.
#[tokio::test]
async fn a_killed_broker_sends_all_that_is_left() {
    if outside() {
        return;
    }
    const KEPT: usize = 1500;
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--bind", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()];
    let running = Running::start(&mut command(&flags)).await;
    let mut publisher = Client::connect(running.addr(), Version::V5, "publisher").await;
    retain_at_once(&mut publisher, KEPT).await;
    let (mut client, _) = Client::connect_with(running.addr(), small("client")).await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    let mut missing: std::collections::BTreeSet<usize> = (0..KEPT).collect();
    for _ in 0..50 {
        missing.remove(&client.take_text().await.parse().unwrap());
    }
    running.kill().await;
    drop(client);

    let running = Running::start(&mut command(&flags)).await;
    let (mut client, answer) = Client::connect_with(running.addr(), small("client")).await;
    assert!(answer.session_present);
    while !missing.is_empty() {
        missing.remove(&client.take_text().await.parse().unwrap());
    }
    // What is sent is not owed any more; what waits in the session may come.
    client.subscribe("marker", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(running.addr(), Version::V5, "publisher").await;
    publisher.publish(retained("marker", "end", Qos::AtLeastOnce)).await;
    while client.take_text().await != "end" {}
    running.kill().await;
    drop(client);

    let running = Running::start(&mut command(&flags)).await;
    let (mut client, _) = Client::connect_with(running.addr(), small("client")).await;
    let mut publisher = Client::connect(running.addr(), Version::V5, "publisher").await;
    publisher.publish(retained("marker", "again", Qos::AtLeastOnce)).await;
    let mut repeated = 0;
    while client.take_text().await != "again" {
        repeated += 1;
    }
    assert!(repeated < 100, "{repeated} came once more");
}

/// A live message is not followed by the value that it replaced.
#[tokio::test]
async fn the_last_value_seen_is_the_newest() {
    const KEPT: usize = 3000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    retain(&mut publisher, KEPT).await;
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    client.subscribe("kept/#", Qos::AtMostOnce).await;
    publisher.publish(retained("kept/02999", "new", Qos::AtLeastOnce)).await;
    publisher.publish(retained("kept/02998", "", Qos::AtLeastOnce)).await;
    publisher.publish(retained("kept/end", "end", Qos::AtLeastOnce)).await;
    let (mut last, mut gone) = (None, false);
    let mut ends = 0;
    // It comes live, and then as a retained one too if the search had not got there.
    while ends == 0 || last.is_none() {
        let publish = client.receive_publish().await;
        let text = String::from_utf8(publish.payload.to_vec()).unwrap();
        match publish.topic.as_ref().unwrap().as_str() {
            "kept/02999" => last = Some(text),
            "kept/02998" => gone = text.is_empty(),
            "kept/end" => ends += 1,
            _ => {}
        }
    }
    client.ping().await;
    assert_eq!(last.as_deref(), Some("new"));
    assert!(gone);
}

#[tokio::test]
async fn who_unsubscribes_is_sent_no_more() {
    const KEPT: usize = 3000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    retain(&mut publisher, KEPT).await;
    let asked = Connect { properties: [Property::ReceiveMaximum(1)].into(), ..connect(Version::V5, "client") };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    client.unsubscribe(&["kept/#"]).await;
    let mut got = 0;
    // What waited in the session by then may come; a slice is far from all.
    client.subscribe("marker", Qos::AtLeastOnce).await;
    publisher.publish(retained("marker", "end", Qos::AtLeastOnce)).await;
    while client.take_text().await != "end" {
        got += 1;
    }
    assert!(got < KEPT / 2, "{got}");
}
