//! Windows and queues of sessions.

use mqtt_codec::{Ack, Connect, Message, Packet, Property, Qos, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, connect, keeping, message},
};

#[tokio::test]
async fn a_full_queue_drops_and_keeps_its_order() {
    let Some(broker) = Broker::with(|config| config.session.max_queued = 5).await else { return };
    let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    client.leave().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..8 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    let (mut client, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    assert!(connack.session_present);
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(client.take_text().await.parse::<u32>().unwrap());
    }
    assert!(got.is_sorted(), "{got:?}");
    client.ping().await;
    publisher.publish(message("a", "more", Qos::AtLeastOnce)).await;
    assert_eq!(client.take_text().await, "more");
}

/// They are given up so many at a time, and whoever does that goes on by itself.
#[tokio::test]
async fn what_waits_behind_thousands_of_too_large_messages_is_sent() {
    let broker = Broker::start().await;
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    away.subscribe("a", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for _ in 0..10_000 {
        publisher.publish(message("a", "x".repeat(50), Qos::AtLeastOnce)).await;
    }
    publisher.publish(message("a", "small", Qos::AtLeastOnce)).await;
    let asked = keeping(Version::V5, "away");
    let properties = [Property::SessionExpiry(1000), Property::MaximumPacketSize(40)].into();
    let (mut away, connack) = Client::connect_with(broker.addr, Connect { properties, ..asked }).await;
    assert!(connack.session_present);
    assert_eq!(away.take_text().await, "small");
    away.ping().await;
}

/// What was sent and not acknowledged comes first, then what waited.
#[tokio::test]
async fn redelivery_comes_before_the_queue() {
    let broker = Broker::start().await;
    let asked = |client_id: &str| Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(1000), Property::ReceiveMaximum(3)].into(),
        ..connect(Version::V5, client_id)
    };
    let (mut client, _) = Client::connect_with(broker.addr, asked("a")).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..6 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.receive_publish().await.packet_id.unwrap());
    }
    client.ping().await;
    client.cut().await;
    publisher.publish(message("a", "6", Qos::AtLeastOnce)).await;
    let (mut client, _) = Client::connect_with(broker.addr, asked("a")).await;
    for number in 0..7_usize {
        let got = client.take().await;
        assert_eq!(got.payload, number.to_string());
        assert_eq!(got.dup, number < 3);
        if let Some(&first) = ids.get(number) {
            assert_eq!(got.packet_id, Some(first));
        }
    }
    client.ping().await;
}

/// A smaller window at the reconnect holds back part of the redelivery.
#[tokio::test]
async fn redelivery_keeps_to_a_smaller_receive_maximum() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, "a")).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..6 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
        client.receive_publish().await;
    }
    client.cut().await;
    let asked = Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(1000), Property::ReceiveMaximum(2)].into(),
        ..connect(Version::V5, "a")
    };
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    let mut open = Vec::new();
    for number in 0..2 {
        let got = client.receive_publish().await;
        assert_eq!(got.payload, number.to_string());
        open.push(got.packet_id.unwrap());
    }
    client.ping().await;
    for number in 2..6 {
        client.send(Packet::PubAck(Ack::new(open.remove(0), ReasonCode::Success))).await;
        let got = client.receive_publish().await;
        assert_eq!(got.payload, number.to_string());
        assert!(got.dup);
        open.push(got.packet_id.unwrap());
        client.ping().await;
    }
}

#[tokio::test]
async fn a_long_queue_is_sent_through_a_small_window() {
    let broker = Broker::start().await;
    let asked = Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(1000), Property::ReceiveMaximum(1)].into(),
        ..connect(Version::V5, "narrow")
    };
    let (mut client, _) = Client::connect_with(broker.addr, asked.clone()).await;
    client.subscribe("a", Qos::ExactlyOnce).await;
    client.leave().await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    for number in 0..200 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    publisher.publish(message("a", "200", Qos::ExactlyOnce)).await;
    let (mut client, _) = Client::connect_with(broker.addr, asked).await;
    for number in 0..=200 {
        assert_eq!(client.take_text().await, number.to_string());
    }
    client.ping().await;
}

/// Ids count on over a reconnect, go round at 65,535 and leave out what is still in use.
#[tokio::test]
async fn packet_ids_go_round_and_leave_out_those_in_use() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("a", "held", Qos::AtLeastOnce)).await;
    let held = client.receive_publish().await.packet_id.unwrap();
    let mut sent = 0;
    while sent < 65_600 {
        for _ in 0..50 {
            publisher.send_publish(message("a", "x", Qos::AtLeastOnce)).await;
        }
        for _ in 0..50 {
            let got = client.take().await.packet_id.unwrap();
            assert_ne!(got, held);
            assert!(matches!(publisher.receive().await, Packet::PubAck(_)));
        }
        sent += 50;
    }
    client.send(Packet::PubAck(Ack::new(held, ReasonCode::Success))).await;
    client.ping().await;
}

/// What has expired is given up while its client is away, not only when it comes back.
#[tokio::test]
async fn expired_messages_leave_the_queue_of_who_is_away() {
    let interval = |config: &mut mqtt_config::Config| config.sys.interval = std::time::Duration::from_millis(100);
    let Some(broker) = Broker::with(interval).await else { return };
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    away.subscribe("a", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let brief = Message { properties: [Property::MessageExpiry(1)].into(), ..message("a", "brief", Qos::AtLeastOnce) };
    publisher.publish(brief).await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/metrics/delivery/dropped/expired", Qos::AtMostOnce).await;
    while watcher.take_text().await == "0" {}
}
