//! What outlives a connection.

use mqtt_codec::{
    Ack, Connect, Disconnect, Message, Packet, Properties, Property, Publish, Qos, ReasonCode, Version, Will,
};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, id, keeping, message, topic, will},
};

#[tokio::test]
async fn a_kept_session_is_present_with_its_subscriptions() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        let (mut client, connack) = Client::connect_with(broker.addr, keeping(version, "kept")).await;
        assert!(!connack.session_present);
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.leave().await;
        let (mut client, connack) = Client::connect_with(broker.addr, keeping(version, "kept")).await;
        // 3.1 has no such flag.
        assert!(connack.session_present || version == Version::V3_1);
        publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
        assert_eq!(client.take_text().await, "x");
        client.leave().await;
        // [MQTT-3.1.2-4]
        let (mut client, connack) = Client::connect_with(broker.addr, connect(version, "kept")).await;
        assert!(!connack.session_present);
        publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
        client.ping().await;
        client.leave().await;
        // [MQTT-3.1.2-5]
        let (client, connack) = Client::connect_with(broker.addr, keeping(version, "kept")).await;
        assert!(!connack.session_present, "the clean one left nothing");
        client.leave().await;
        Client::connect(broker.addr, version, "kept").await.leave().await;
    }
}

#[tokio::test]
async fn messages_wait_in_order_while_the_client_is_away() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, "away")).await;
        client.subscribe("a/#", Qos::ExactlyOnce).await;
        client.cut().await;
        for number in 0..60 {
            let qos = if number % 3 == 0 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
            publisher.publish(message(&format!("a/{number}"), number.to_string(), qos)).await;
        }
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, "away")).await;
        for number in 0..60 {
            let got = client.take().await;
            assert_eq!(got.payload, number.to_string());
            assert!(!got.dup, "sent for the first time");
        }
        client.ping().await;
        client.leave().await;
        Client::connect(broker.addr, version, "away").await.leave().await;
    }
}

/// Who publishes at QoS 0 passes over those who are away; nobody else does, nor anyone once they are back.
#[tokio::test]
async fn who_is_back_is_sent_what_it_was_passed_over_for_while_it_was_away() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, "away")).await;
        for (filter, qos) in [("a/#", Qos::AtMostOnce), ("a/+", Qos::AtMostOnce), ("+/b", Qos::AtLeastOnce)] {
            client.subscribe(filter, qos).await;
        }
        for round in 0..3 {
            client.cut().await;
            let text = |topic: &str, qos: Qos| format!("{round} {topic} {}", qos as u8);
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::AtMostOnce] {
                for topic in ["a/a", "a/b"] {
                    publisher.publish(message(topic, text(topic, qos), qos)).await;
                }
            }
            // Behind all of them.
            publisher.ping().await;
            client = Client::connect_with(broker.addr, keeping(version, "away")).await.0;
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
                for topic in ["a/a", "a/b"] {
                    publisher.publish(message(topic, text(topic, qos), qos)).await;
                }
            }
            assert_eq!(client.take_text().await, text("a/b", Qos::AtLeastOnce), "the one that waited");
            for (topic, qos) in [
                ("a/a", Qos::AtMostOnce),
                ("a/b", Qos::AtMostOnce),
                ("a/a", Qos::AtLeastOnce),
                ("a/b", Qos::AtLeastOnce),
            ] {
                assert_eq!(client.take_text().await, text(topic, qos));
            }
        }
        client.leave().await;
        Client::connect(broker.addr, version, "away").await.leave().await;
    }
}

/// [MQTT-4.4.0-1] [MQTT-4.6.0-1]
#[tokio::test]
async fn unacknowledged_messages_come_again_with_their_ids_in_order_and_dup() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let (mut client, _) = Client::connect_with(broker.addr, keeping(version, "cut")).await;
            client.subscribe("a", qos).await;
            for number in 0..5 {
                publisher.publish(message("a", number.to_string(), qos)).await;
            }
            let mut first = Vec::new();
            for _ in 0..5 {
                first.push(client.receive_publish().await);
            }
            client.cut().await;
            let mut client = Client::connect_with(broker.addr, keeping(version, "cut")).await.0;
            for sent in &first {
                let again = client.take().await;
                assert_eq!(again, Publish { dup: true, ..sent.clone() });
            }
            client.ping().await;
            client.leave().await;
            Client::connect(broker.addr, version, "cut").await.leave().await;
        }
    }
}

#[tokio::test]
async fn the_qos_2_exchange_goes_on_where_it_was() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, "steps")).await;
        client.subscribe("a", Qos::ExactlyOnce).await;
        for payload in ["received", "released", "complete", "untouched"] {
            publisher.publish(message("a", payload, Qos::ExactlyOnce)).await;
        }
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(client.receive_publish().await.packet_id.unwrap());
        }
        // The first: PUBREC sent, PUBREL received. The second: both, too. The third: done.
        for &packet_id in &ids[..3] {
            client.send(Packet::PubRec(Ack::new(packet_id, ReasonCode::Success))).await;
            client.expect_pubrel(packet_id).await;
        }
        client.send(Packet::PubComp(Ack::new(ids[2], ReasonCode::Success))).await;
        client.ping().await;
        client.cut().await;

        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, "steps")).await;
        let mut released = Vec::new();
        let mut published = Vec::new();
        for _ in 0..3 {
            match client.receive().await {
                Packet::PubRel(ack) => released.push(ack.packet_id),
                Packet::Publish(publish) => {
                    assert!(publish.dup);
                    assert_eq!(publish.payload, "untouched");
                    published.push(publish.packet_id.unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((released, published), (ids[..2].to_vec(), ids[3..].to_vec()));
        for packet_id in ids {
            client.send(Packet::PubComp(Ack::new(packet_id, ReasonCode::Success))).await;
        }
        client.leave().await;
        Client::connect(broker.addr, version, "steps").await.leave().await;
    }
}

/// [MQTT-4.3.3-9]: the ids received at QoS 2 belong to the session.
#[tokio::test]
async fn a_qos_2_publish_repeated_after_a_reconnect_is_routed_once() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut subscriber = Client::connect(broker.addr, version, "subscriber").await;
        subscriber.subscribe("a", Qos::ExactlyOnce).await;
        let (mut publisher, _) = Client::connect_with(broker.addr, keeping(version, "publisher")).await;
        let publish = |dup, number| {
            Packet::Publish(Publish {
                dup,
                qos: Qos::ExactlyOnce,
                retain: false,
                topic: Some(topic("a")),
                packet_id: Some(id(number)),
                properties: Properties::EMPTY,
                payload: number.to_string().into(),
            })
        };
        publisher.send(publish(false, 5)).await;
        publisher.expect_pubrec(id(5)).await;
        publisher.cut().await;
        let (mut publisher, _) = Client::connect_with(broker.addr, keeping(version, "publisher")).await;
        publisher.send(publish(true, 5)).await;
        publisher.expect_pubrec(id(5)).await;
        publisher.send(Packet::PubRel(Ack::new(id(5), ReasonCode::Success))).await;
        assert_eq!(publisher.expect_pubcomp(id(5)).await, ReasonCode::Success);
        publisher.send(publish(false, 6)).await;
        publisher.expect_pubrec(id(6)).await;
        publisher.send(Packet::PubRel(Ack::new(id(6), ReasonCode::Success))).await;
        publisher.expect_pubcomp(id(6)).await;
        assert_eq!(subscriber.take_text().await, "5");
        assert_eq!(subscriber.take_text().await, "6");
        subscriber.ping().await;
        publisher.leave().await;
        Client::connect(broker.addr, version, "publisher").await.leave().await;
    }
}

#[tokio::test]
async fn without_an_expiry_a_version_5_session_ends_with_its_connection() {
    let broker = Broker::start().await;
    for properties in [Properties::EMPTY, [Property::SessionExpiry(0)].into()] {
        let asked = Connect { clean_start: false, properties, ..connect(Version::V5, "short") };
        let (mut client, _) = Client::connect_with(broker.addr, asked.clone()).await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.cut().await;
        let (client, connack) = Client::connect_with(broker.addr, asked).await;
        assert!(!connack.session_present);
        client.leave().await;
    }
}

/// [MQTT-3.14.2-2] and 3.14.2.2.2
#[tokio::test]
async fn disconnect_may_change_the_expiry() {
    let broker = Broker::start().await;
    let expiring = |seconds| Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(seconds)].into(),
        ..connect(Version::V5, "changing")
    };
    // To the end at once.
    let (client, _) = Client::connect_with(broker.addr, expiring(1000)).await;
    client.leave_with(ReasonCode::Success, [Property::SessionExpiry(0)].into()).await;
    let (client, connack) = Client::connect_with(broker.addr, expiring(1)).await;
    assert!(!connack.session_present);
    // Longer: after the second it had first it is still there.
    client.leave_with(ReasonCode::Success, [Property::SessionExpiry(1000)].into()).await;
    crate::clock::wait(broker.addr, 3).await;
    let (client, connack) = Client::connect_with(broker.addr, expiring(1000)).await;
    assert!(connack.session_present);
    client.leave_with(ReasonCode::Success, [Property::SessionExpiry(0)].into()).await;
}

/// `max_session_expiry` is about what clients ask for, and before MQTT 5 none does.
#[tokio::test]
async fn the_longest_expiry_of_mqtt_5_ends_no_older_session() {
    let Some(broker) = Broker::with(|config| config.mqtt.max_session_expiry = 0).await else { return };
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(version, "kept")).await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.leave().await;
        let reason = publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
        let is_kept = version != Version::V5;
        assert_eq!(reason == ReasonCode::Success, is_kept, "{version:?}: {reason:?}");
        let (client, connack) = Client::connect_with(broker.addr, keeping(version, "kept")).await;
        assert_eq!(connack.session_present, version == Version::V3_1_1, "{version:?}");
        client.leave().await;
        Client::connect(broker.addr, version, "kept").await.leave().await;
    }
}

#[tokio::test]
async fn disconnect_may_not_bring_an_expiry_where_there_was_none() {
    let broker = Broker::start().await;
    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    client.send_bytes(&[0xe0, 7, 0, 5, 17, 0, 0, 0, 9]).await;
    client.expect_disconnect(ReasonCode::ProtocolError).await;
}

/// The will tells when the session ends. [MQTT-3.1.2-8]
#[tokio::test]
async fn a_session_is_gone_when_its_time_is_up() {
    let broker = Broker::start().await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("gone", Qos::AtMostOnce).await;
    let asked = Connect {
        clean_start: false,
        will: Some(Will { delay: 1000, ..will("gone", "gone") }),
        properties: [Property::SessionExpiry(1)].into(),
        ..connect(Version::V5, "expiring")
    };
    let (mut client, _) = Client::connect_with(broker.addr, asked.clone()).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    client.cut().await;
    assert_eq!(watcher.take_text().await, "gone");
    let (client, connack) = Client::connect_with(broker.addr, Connect { will: None, ..asked }).await;
    assert!(!connack.session_present);
    client.leave().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let reason = publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
    assert_eq!(reason, ReasonCode::NoMatchingSubscribers, "subscriptions end with the session");
}

/// What the first connection said last comes before what the second says first, however fast it follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disconnect_right_before_a_reconnect_counts() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for round in 0..300 {
        let (mut first, _) = Client::connect_with(broker.addr, keeping(Version::V5, "quick")).await;
        let bye = Disconnect { reason: ReasonCode::Success, properties: [Property::SessionExpiry(0)].into() };
        first.send(Packet::Disconnect(bye)).await;
        drop(first);
        let (second, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "quick")).await;
        assert!(!connack.session_present, "in round {round}");
        second.leave_with(ReasonCode::Success, [Property::SessionExpiry(0)].into()).await;
    }
}

/// So does a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_publish_right_before_a_reconnect_is_routed() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("last", Qos::AtLeastOnce).await;
    for round in 0..300 {
        let mut first = Client::connect(broker.addr, Version::V3_1_1, "quick").await;
        first.send_publish(message("last", round.to_string(), Qos::AtMostOnce)).await;
        let second = Client::connect(broker.addr, Version::V3_1_1, "quick").await;
        assert_eq!(watcher.take_text().await, round.to_string());
        second.leave().await;
    }
}

#[tokio::test]
async fn a_session_may_go_on_in_another_version() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, "moves")).await;
    client.subscribe_with(vec![crate::client::ask("a", Qos::ExactlyOnce)], [Property::SubscriptionId(4)].into()).await;
    let with_properties = Message {
        properties: [Property::ContentType("x".into())].into(),
        ..message("a", "unacknowledged", Qos::AtLeastOnce)
    };
    publisher.publish(with_properties).await;
    let first = client.receive_publish().await;
    client.cut().await;
    publisher.publish(message("a", "waiting", Qos::AtLeastOnce)).await;

    let (mut client, connack) = Client::connect_with(broker.addr, keeping(Version::V3_1_1, "moves")).await;
    assert!(connack.session_present);
    let again = client.take().await;
    assert_eq!((again.packet_id, &again.payload[..]), (first.packet_id, &b"unacknowledged"[..]));
    assert!(again.dup);
    assert_eq!(client.take_text().await, "waiting");
    client.leave().await;
}

#[tokio::test]
async fn sessions_of_other_clients_are_left_alone() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for name in ["a", "b"] {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, name)).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.leave().await;
    }
    Client::connect(broker.addr, Version::V5, "a").await.leave().await;
    publisher.publish(message("t", "x", Qos::AtLeastOnce)).await;
    let (mut client, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "b")).await;
    assert!(connack.session_present);
    assert_eq!(client.take_text().await, "x");
}
