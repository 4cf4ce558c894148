//! Messages from one client to another, in every version and quality.

use mqtt_codec::{Ack, Connect, Message, Packet, Properties, Publish, Qos, ReasonCode, Version};

use crate::{
    broker::{Broker, outside},
    client::{Client, QOS, VERSIONS, connect, id, message, topic},
};

#[tokio::test]
async fn every_quality_goes_from_every_version_to_every_version() {
    let broker = Broker::start().await;
    for from in VERSIONS {
        for to in VERSIONS {
            for granted in QOS {
                let mut subscriber = Client::connect(broker.addr, to, "subscriber").await;
                assert_eq!(subscriber.subscribe("a/+", granted).await, ReasonCode::granted(granted));
                let mut publisher = Client::connect(broker.addr, from, "publisher").await;
                for sent in QOS {
                    publisher.publish(message("a/b", format!("{sent:?}"), sent)).await;
                    let got = subscriber.take().await;
                    assert_eq!(got.topic, Some(topic("a/b")));
                    assert_eq!(got.payload, format!("{sent:?}"));
                    assert_eq!(got.qos, sent.min(granted), "{from:?} to {to:?}");
                    assert!(!got.dup && !got.retain);
                    assert!(got.properties.is_empty(), "none were sent: {got:?}");
                }
                subscriber.ping().await;
                publisher.leave().await;
                subscriber.leave().await;
            }
        }
    }
}

#[tokio::test]
async fn packet_ids_towards_a_client_count_from_1() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V3_1_1, "subscriber").await;
    subscriber.subscribe("#", Qos::ExactlyOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    for (expected, qos) in [(1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce), (3, Qos::AtLeastOnce)] {
        publisher.publish(message("a", "x", qos)).await;
        assert_eq!(subscriber.take().await.packet_id, Some(id(expected)));
    }
}

#[tokio::test]
async fn messages_of_one_publisher_keep_their_order() {
    let broker = Broker::start().await;
    for qos in QOS {
        let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
        subscriber.subscribe("a", qos).await;
        let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
        for number in 0..15 {
            let packet_id = publisher.send_publish(message("a", number.to_string(), qos)).await;
            if qos == Qos::ExactlyOnce {
                publisher.send(Packet::PubRel(Ack::new(packet_id.unwrap(), ReasonCode::Success))).await;
            }
        }
        for number in 0..15 {
            assert_eq!(subscriber.receive_publish().await.payload, number.to_string());
        }
    }
}

/// [MQTT-4.3.3-10]
#[tokio::test]
async fn a_repeated_qos_2_publish_is_routed_once_until_released() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut subscriber = Client::connect(broker.addr, version, "subscriber").await;
        subscriber.subscribe("a", Qos::ExactlyOnce).await;
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        let publish = |dup| {
            Packet::Publish(Publish {
                dup,
                qos: Qos::ExactlyOnce,
                retain: false,
                topic: Some(topic("a")),
                packet_id: Some(id(1)),
                properties: Properties::EMPTY,
                payload: "once".into(),
            })
        };
        publisher.send(publish(false)).await;
        publisher.expect_pubrec(id(1)).await;
        publisher.send(publish(true)).await;
        publisher.expect_pubrec(id(1)).await;
        publisher.send(Packet::PubRel(Ack::new(id(1), ReasonCode::Success))).await;
        publisher.expect_pubcomp(id(1)).await;
        assert_eq!(subscriber.take_text().await, "once");
        subscriber.ping().await;

        publisher.send(publish(false)).await;
        publisher.expect_pubrec(id(1)).await;
        publisher.send(Packet::PubRel(Ack::new(id(1), ReasonCode::Success))).await;
        publisher.expect_pubcomp(id(1)).await;
        assert_eq!(subscriber.take_text().await, "once", "the id is free again after PUBREL");
    }
}

/// [MQTT-4.3.2-5]: QoS 1 is delivered again, and what the publisher's DUP said is not forwarded [MQTT-3.3.1-3].
#[tokio::test]
async fn dup_is_not_forwarded() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V3_1_1, "subscriber").await;
    subscriber.subscribe("a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    publisher.send_bytes(&[0x3a, 6, 0, 1, b'a', 0, 9, b'x']).await;
    publisher.expect_puback(id(9)).await;
    let got = subscriber.take().await;
    assert!(!got.dup);
    assert_eq!(got.packet_id, Some(id(1)), "ids towards each client are their own");
}

/// [MQTT-3.6.4]: in version 5 with 0x92, before it without a code.
#[tokio::test]
async fn an_unknown_pubrel_is_completed() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "client").await;
        client.send(Packet::PubRel(Ack::new(id(77), ReasonCode::Success))).await;
        let reason = client.expect_pubcomp(id(77)).await;
        if version == Version::V5 && !outside() {
            assert_eq!(reason, ReasonCode::PacketIdNotFound);
        }
    }
}

#[tokio::test]
async fn acknowledgements_of_nothing_are_ignored() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "client").await;
        client.send(Packet::PubAck(Ack::new(id(7), ReasonCode::Success))).await;
        client.send(Packet::PubComp(Ack::new(id(7), ReasonCode::Success))).await;
        client.ping().await;
    }
}

/// [MQTT-3.5.4]: 0x92 to version 5; before it, PUBREL is the answer to a PUBREC in any case.
#[tokio::test]
async fn an_unknown_pubrec_is_answered() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "client").await;
        client.send(Packet::PubRec(Ack::new(id(7), ReasonCode::Success))).await;
        let reason = client.expect_pubrel(id(7)).await;
        if version == Version::V5 && !outside() {
            assert_eq!(reason, ReasonCode::PacketIdNotFound);
        }
    }
}

/// [MQTT-4.3.3-4]: PUBREC with an error ends the exchange and frees the slot.
#[tokio::test]
async fn a_pubrec_with_an_error_ends_the_exchange() {
    let broker = Broker::start().await;
    let asked = mqtt_codec::Connect {
        properties: [mqtt_codec::Property::ReceiveMaximum(1)].into(),
        ..connect(Version::V5, "subscriber")
    };
    let (mut subscriber, _) = Client::connect_with(broker.addr, asked).await;
    subscriber.subscribe("a", Qos::ExactlyOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("a", "1", Qos::ExactlyOnce)).await;
    publisher.publish(message("a", "2", Qos::ExactlyOnce)).await;
    let first = subscriber.receive_publish().await;
    assert_eq!(first.payload, "1");
    subscriber.ping().await;
    let refusal = Ack::new(first.packet_id.unwrap(), ReasonCode::QuotaExceeded);
    subscriber.send(Packet::PubRec(refusal)).await;
    assert_eq!(subscriber.take_text().await, "2");
    subscriber.ping().await;
}

#[tokio::test]
async fn empty_and_large_payloads_arrive() {
    let broker = Broker::start().await;
    for (version, qos) in VERSIONS.into_iter().zip(QOS) {
        let mut subscriber = Client::connect(broker.addr, version, "subscriber").await;
        subscriber.subscribe("a", qos).await;
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        for size in [0, 1, 109, 110, 127, 128, 16_383, 16_384, 200_000, 1_000_000] {
            let payload = vec![(size % 251) as u8; size];
            publisher.publish(message("a", payload.clone(), qos)).await;
            assert!(subscriber.take().await.payload == payload, "{size} bytes");
        }
    }
}

#[tokio::test]
async fn topics_may_be_long_and_deep() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    subscriber.subscribe("a/#", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    let long = format!("a/{}", "b".repeat(65_533));
    publisher.publish(message(&long, "long", Qos::AtLeastOnce)).await;
    assert_eq!(subscriber.take().await.topic, Some(topic(&long)));
    publisher.publish(message("a/Ω/\u{10fffd} b//", "odd", Qos::AtLeastOnce)).await;
    assert_eq!(subscriber.take().await.topic, Some(topic("a/Ω/\u{10fffd} b//")));
}

/// Where they are allowed, thirty thousand levels neither recurse nor take the broker down.
#[tokio::test]
async fn topics_of_very_many_levels_are_survived() {
    let allow = |config: &mut mqtt_config::Config| {
        config.limits.max_topic_levels = 65_536;
        config.limits.shape_levels = 65_536;
    };
    let Some(broker) = Broker::with(allow).await else { return };
    let deep = "/".repeat(30_000);
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    let many = format!("{}#", "+/".repeat(30_000));
    if !subscriber.subscribe(&many, Qos::AtLeastOnce).await.is_error() {
        publisher.publish(message(&deep, "deep", Qos::AtLeastOnce)).await;
        assert_eq!(subscriber.take_text().await, "deep");
    }
    assert_eq!(subscriber.subscribe("#", Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
    let kept = Message { retain: true, ..message(&deep, "deep", Qos::AtLeastOnce) };
    publisher.publish(kept).await;
    assert_eq!(subscriber.take_text().await, "deep");
    let mut late = Client::connect(broker.addr, Version::V5, "late").await;
    late.subscribe("#", Qos::AtLeastOnce).await;
    assert_eq!(late.take_text().await, "deep");
}

#[tokio::test]
async fn a_client_receives_what_it_publishes_itself() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "self").await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.send_publish(message("a", "mine", Qos::AtMostOnce)).await;
        assert_eq!(client.take_text().await, "mine");
    }
}

/// 0x10 may be used; at QoS 2, where others decide only at PUBREL, it is not.
#[tokio::test]
async fn nobody_there_is_told_at_qos_1_in_version_5() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let reason = publisher.publish(message("nobody", "x", qos)).await;
            let is_told = version == Version::V5 && qos == Qos::AtLeastOnce;
            let expected = if is_told { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
            assert_eq!(reason, expected, "{version:?} {qos:?}");
        }
    }
}

/// PUBACK and PUBREC come before the copy the publisher itself gets.
#[tokio::test]
async fn a_publisher_is_answered_before_it_gets_its_own_message() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for version in VERSIONS {
        for (filter, clean_start) in [("a", true), ("a", false), ("+", true), ("$share/group/a", true)] {
            let connect = Connect { clean_start, ..connect(version, "self") };
            let (mut client, _) = Client::connect_with(broker.addr, connect).await;
            client.subscribe(filter, Qos::ExactlyOnce).await;
            let packet_id = client.send_publish(message("a", "1", Qos::AtLeastOnce)).await.unwrap();
            client.expect_puback(packet_id).await;
            assert_eq!(client.take_text().await, "1");
            let packet_id = client.send_publish(message("a", "2", Qos::ExactlyOnce)).await.unwrap();
            client.expect_pubrec(packet_id).await;
            assert_eq!(client.take_text().await, "2");
            client.unsubscribe(&[filter]).await;
            client.leave().await;
        }
    }
}

/// More receivers than one worker flushes alone: each gets all messages, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_long_fan_out_keeps_its_order() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut readers = Vec::new();
    for n in 0..600 {
        let mut reader = Client::connect(broker.addr, Version::V3_1_1, &format!("r{n}")).await;
        reader.subscribe("fan", Qos::AtMostOnce).await;
        readers.push(reader);
    }
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    for n in 0..50 {
        publisher.send_publish(message("fan", n.to_string(), Qos::AtMostOnce)).await;
    }
    for reader in &mut readers {
        for n in 0..50 {
            assert_eq!(reader.take_text().await, n.to_string());
        }
    }
}
