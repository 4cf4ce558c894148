//! What version 5 adds to publishing: properties, expiry, aliases, flow control, packet sizes.

use std::collections::HashMap;

use mqtt_codec::{Ack, Connect, Message, Packet, Properties, Property, Publish, Qos, ReasonCode, Topic, Version};

use crate::{
    broker::{Broker, outside},
    client::{Client, QOS, connect, id, keeping, message, topic},
    clock,
};

fn asking(client_id: &str, properties: impl Into<Properties>) -> Connect {
    Connect { properties: properties.into(), ..connect(Version::V5, client_id) }
}

fn with(properties: impl Into<Properties>, message: Message) -> Message {
    Message { properties: properties.into(), ..message }
}

fn aliased(alias: u16, name: Option<&str>, payload: &'static str) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: name.map(topic),
        packet_id: None,
        properties: [Property::TopicAlias(alias)].into(),
        payload: payload.into(),
    })
}

/// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[tokio::test]
async fn properties_are_forwarded_unaltered_and_in_order() {
    let broker = Broker::start().await;
    let user = |name: &str, value: &str| Property::UserProperty(name.into(), value.into());
    let sent: Properties = [
        user("b", "1"),
        Property::PayloadFormat(false),
        user("a", "2"),
        Property::ContentType("text/plain".into()),
        Property::CorrelationData(b"\0\xff"[..].into()),
        user("b", "1"),
        Property::ResponseTopic("answers/here".into()),
        user("", ""),
    ]
    .into();
    for qos in QOS {
        let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
        subscriber.subscribe("a", qos).await;
        let mut old = Client::connect(broker.addr, Version::V3_1_1, "old").await;
        old.subscribe("a", qos).await;
        let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
        publisher.publish(with(sent.clone(), message("a", "x", qos))).await;
        let got = subscriber.take().await;
        if outside() {
            let users = |list: &Properties| list.retain(|property| matches!(property, Property::UserProperty(..)));
            assert_eq!(users(&got.properties), users(&sent));
        } else {
            assert_eq!(got.properties, sent);
        }
        assert!(old.take().await.properties.is_empty());
    }
}

#[tokio::test]
async fn payload_formats_are_forwarded() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    subscriber.subscribe("a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(with([Property::PayloadFormat(true)], message("a", "x", Qos::AtLeastOnce))).await;
    assert_eq!(subscriber.take().await.properties, [Property::PayloadFormat(true)].into());
}

/// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[tokio::test]
async fn message_expiry_is_decremented_and_obeyed() {
    let broker = Broker::start().await;
    let (mut subscriber, _) = Client::connect_with(broker.addr, keeping(Version::V5, "subscriber")).await;
    subscriber.subscribe("a", Qos::ExactlyOnce).await;
    subscriber.leave().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let expiring =
        |seconds: u32, payload: &'static str, qos| with([Property::MessageExpiry(seconds)], message("a", payload, qos));
    publisher.publish(expiring(1, "gone", Qos::AtLeastOnce)).await;
    publisher.publish(expiring(100, "stays", Qos::AtLeastOnce)).await;
    publisher.publish(expiring(1, "gone too", Qos::ExactlyOnce)).await;
    publisher.publish(message("a", "never", Qos::ExactlyOnce)).await;
    clock::wait(broker.addr, 3).await;

    let (mut subscriber, _) = Client::connect_with(broker.addr, keeping(Version::V5, "subscriber")).await;
    let stays = subscriber.take().await;
    assert_eq!(stays.payload, "stays");
    let left = stays.properties.message_expiry().expect("an expiry");
    assert!((50..=98).contains(&left), "{left} s left of 100 after 3");
    let never = subscriber.take().await;
    assert_eq!(never.payload, "never");
    assert_eq!(never.properties, Properties::EMPTY, "no expiry is invented");
    subscriber.ping().await;
}

#[tokio::test]
async fn a_message_that_did_not_wait_keeps_its_expiry() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    subscriber.subscribe("a", Qos::AtMostOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(with([Property::MessageExpiry(1000)], message("a", "x", Qos::AtMostOnce))).await;
    let left = subscriber.take().await.properties.message_expiry().unwrap();
    assert!((999..=1000).contains(&left), "{left}");
}

/// [MQTT-3.3.2-12]
#[tokio::test]
async fn a_topic_alias_stands_for_the_topic_it_was_last_sent_with() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    subscriber.subscribe("+", Qos::AtMostOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let sent = [
        (1, Some("a"), "a"),
        (2, Some("b"), "b"),
        (1, None, "a"),
        (2, None, "b"),
        (1, Some("c"), "c"),
        (1, None, "c"),
        (2, None, "b"),
    ];
    for (alias, name, payload) in sent {
        publisher.send(aliased(alias, name, payload)).await;
    }
    for (_, _, payload) in sent {
        let got = subscriber.take().await;
        assert_eq!(got.topic, Some(topic(payload)));
        assert_eq!(got.payload, payload);
        assert!(got.properties.is_empty(), "the alias is the publisher's own: {got:?}");
    }
}

#[tokio::test]
async fn topic_aliases_work_at_every_quality() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    subscriber.subscribe("a", Qos::ExactlyOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.send(aliased(3, Some("a"), "0")).await;
    subscriber.take().await;
    for (number, qos) in [(1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce)] {
        let Packet::Publish(publish) = aliased(3, None, "x") else { unreachable!() };
        publisher.send(Packet::Publish(Publish { qos, packet_id: Some(id(number)), ..publish })).await;
        publisher.send(Packet::PubRel(Ack::new(id(number), ReasonCode::Success))).await;
        let got = subscriber.take().await;
        assert_eq!((got.topic, got.qos), (Some(topic("a")), qos));
    }
}

/// [MQTT-3.3.2-7]
#[tokio::test]
async fn topic_aliases_end_with_the_connection() {
    let broker = Broker::start().await;
    let (mut publisher, _) = Client::connect_with(broker.addr, keeping(Version::V5, "publisher")).await;
    publisher.send(aliased(1, Some("a"), "x")).await;
    publisher.leave().await;
    let (mut publisher, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "publisher")).await;
    assert!(connack.session_present);
    publisher.send(aliased(1, None, "x")).await;
    match publisher.receive().await {
        Packet::Disconnect(disconnect) => assert!(
            [ReasonCode::ProtocolError, ReasonCode::TopicAliasInvalid].contains(&disconnect.reason),
            "{disconnect:?}"
        ),
        other => panic!("{other:?}"),
    }
    publisher.expect_end().await;
}

/// [MQTT-3.3.2-8] [MQTT-3.3.2-9]
#[tokio::test]
async fn an_alias_of_zero_or_above_the_maximum_is_told_so() {
    let broker = Broker::start().await;
    let (mut client, connack) = Client::connect_with(broker.addr, connect(Version::V5, "a")).await;
    let maximum = connack.properties.topic_alias_maximum().expect("a topic alias maximum");
    client.send(aliased(maximum, Some("a"), "fine")).await;
    client.ping().await;
    client.send(aliased(maximum + 1, Some("a"), "too much")).await;
    client.expect_disconnect(ReasonCode::TopicAliasInvalid).await;

    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    client.send_bytes(&[0x30, 8, 0, 1, b'a', 3, 35, 0, 0, b'x']).await;
    client.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
}

#[tokio::test]
async fn the_broker_uses_the_aliases_a_client_allows() {
    let broker = Broker::start().await;
    let (mut subscriber, _) =
        Client::connect_with(broker.addr, asking("subscriber", [Property::TopicAliasMaximum(2)])).await;
    subscriber.subscribe("+", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let mut aliases: HashMap<u16, Topic> = HashMap::new();
    let mut shortened = 0;
    for name in ["a", "a", "b", "c", "b", "a", "c", "c", "d", "d"] {
        publisher.publish(message(name, name, Qos::AtLeastOnce)).await;
        let got = subscriber.take().await;
        let alias = got.properties.topic_alias();
        let named = match (alias, got.topic) {
            (None, named) => named.expect("a topic or an alias"),
            (Some(alias), Some(named)) => {
                aliases.insert(alias, named.clone());
                named
            }
            (Some(alias), None) => {
                shortened += 1;
                aliases[&alias].clone()
            }
        };
        assert!(alias.is_none_or(|alias| (1..=2).contains(&alias)), "[MQTT-3.1.2-26] {alias:?}");
        assert_eq!(named, topic(name));
        assert_eq!(got.payload, name);
    }
    assert!(outside() || shortened >= 3, "aliases from the first message on, {shortened} used");
}

/// [MQTT-3.1.2-27]
#[tokio::test]
async fn the_broker_uses_no_alias_unless_allowed() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    subscriber.subscribe("a", Qos::AtMostOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for _ in 0..3 {
        publisher.publish(message("a", "x", Qos::AtMostOnce)).await;
        let got = subscriber.take().await;
        assert_eq!((got.topic, got.properties), (Some(topic("a")), Properties::EMPTY));
    }
}

/// [MQTT-3.3.4-9]
#[tokio::test]
async fn a_clients_receive_maximum_is_kept() {
    let broker = Broker::start().await;
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let (mut subscriber, _) =
            Client::connect_with(broker.addr, asking("subscriber", [Property::ReceiveMaximum(2)])).await;
        subscriber.subscribe("a", qos).await;
        let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
        for number in 1..=5 {
            publisher.publish(message("a", number.to_string(), qos)).await;
        }
        let mut open = Vec::new();
        for number in 1..=2 {
            let got = subscriber.receive_publish().await;
            assert_eq!(got.payload, number.to_string());
            open.push(got.packet_id.unwrap());
        }
        subscriber.ping().await;
        // QoS 0 does not count. [MQTT-3.3.4-10 is about the PUBLISH packets above QoS 0 only]
        if !outside() {
            publisher.publish(message("a", "unlimited", Qos::AtMostOnce)).await;
            assert_eq!(subscriber.take_text().await, "unlimited");
        }
        for number in 3..=5 {
            let ack = Ack::new(open.remove(0), ReasonCode::Success);
            let packet_id = ack.packet_id;
            if qos == Qos::AtLeastOnce {
                subscriber.send(Packet::PubAck(ack)).await;
            } else {
                subscriber.send(Packet::PubRec(ack.clone())).await;
                subscriber.expect_pubrel(packet_id).await;
                if !outside() {
                    subscriber.ping().await;
                }
                subscriber.send(Packet::PubComp(ack)).await;
            }
            let got = subscriber.receive_publish().await;
            assert_eq!(got.payload, number.to_string());
            open.push(got.packet_id.unwrap());
            if !outside() {
                subscriber.ping().await;
            }
        }
    }
}

/// [MQTT-3.3.4-7]
#[tokio::test]
async fn the_brokers_receive_maximum_is_enforced_exactly() {
    let Some(broker) = Broker::with(|config| config.limits.receive_maximum = 3).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    for _ in 0..3 {
        let packet_id = client.send_publish(message("a", "x", Qos::ExactlyOnce)).await.unwrap();
        client.expect_pubrec(packet_id).await;
    }
    // A released one makes room for one more, and an id sent again is not one more.
    client.send(Packet::PubRel(Ack::new(id(1), ReasonCode::Success))).await;
    client.expect_pubcomp(id(1)).await;
    let packet_id = client.send_publish(message("a", "x", Qos::ExactlyOnce)).await.unwrap();
    client.expect_pubrec(packet_id).await;
    client.send_publish(message("a", "one too many", Qos::ExactlyOnce)).await;
    client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded).await;
}

/// QoS 1 is acknowledged at once, so that a client may go on as fast as it reads.
#[tokio::test]
async fn acknowledged_publishes_do_not_count_towards_the_receive_maximum() {
    let Some(broker) = Broker::with(|config| config.limits.receive_maximum = 3).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    for _ in 0..50 {
        client.publish(message("a", "x", Qos::AtLeastOnce)).await;
        client.publish(message("a", "x", Qos::ExactlyOnce)).await;
    }
    client.ping().await;
}

/// [MQTT-3.1.2-24] [MQTT-3.1.2-25]: the size counts the whole packet.
#[tokio::test]
async fn a_packet_over_the_clients_maximum_is_dropped_as_if_sent() {
    let broker = Broker::start().await;
    for qos in QOS {
        let (mut subscriber, _) = Client::connect_with(
            broker.addr,
            asking("subscriber", [Property::MaximumPacketSize(100), Property::ReceiveMaximum(1)]),
        )
        .await;
        subscriber.subscribe("a", qos).await;
        let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
        // Fixed header 2, topic 3, packet id 0 or 2, property length 1.
        let room = if qos == Qos::AtMostOnce { 94 } else { 92 };
        for (size, fits) in [(room + 1, false), (room, true), (5000, false), (room, true)] {
            publisher.publish(message("a", vec![b'x'; size], qos)).await;
            if fits {
                assert_eq!(subscriber.take().await.payload.len(), size);
            }
            subscriber.ping().await;
        }
    }
}

/// [MQTT-3.2.2-15]
#[tokio::test]
async fn a_packet_over_the_brokers_maximum_ends_the_connection() {
    let Some(broker) = Broker::with(|config| config.limits.max_packet_size = 1000).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    // Fixed header 3, topic 3, property length 1.
    client.publish(message("a", vec![b'x'; 993], Qos::AtMostOnce)).await;
    client.send_publish(message("a", vec![b'x'; 994], Qos::AtMostOnce)).await;
    client.expect_disconnect(ReasonCode::PacketTooLarge).await;

    let mut client = Client::connect(broker.addr, Version::V3_1_1, "a").await;
    client.publish(message("a", vec![b'x'; 994], Qos::AtMostOnce)).await;
    client.send_publish(message("a", vec![b'x'; 995], Qos::AtMostOnce)).await;
    client.expect_end().await;
}

/// The fixed header alone tells; the rest is not waited for.
#[tokio::test]
async fn an_oversized_packet_is_refused_by_its_header() {
    let broker = Broker::start().await;
    let (mut client, connack) = Client::connect_with(broker.addr, connect(Version::V5, "a")).await;
    if let Some(maximum) = connack.properties.maximum_packet_size() {
        assert!(maximum < 268_435_455);
        client.send_bytes(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
        client.expect_disconnect(ReasonCode::PacketTooLarge).await;
        broker.lives().await;
    } else {
        assert!(outside());
    }
}

/// [MQTT-3.8.4-8] and 3.3.4: every identifier of the subscriptions that matched.
#[tokio::test]
async fn subscription_identifiers_come_with_the_message() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    let numbered = |number| Properties::from([Property::SubscriptionId(number)]);
    for (text, number) in [("a/+", 1), ("b", 268_435_455), ("c", 300)] {
        subscriber.subscribe_with(vec![crate::client::ask(text, Qos::AtLeastOnce)], numbered(number)).await;
    }
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let own = Property::ContentType("x".into());
    for (name, number) in [("a/b", 1), ("b", 268_435_455), ("c", 300)] {
        publisher.publish(with([own.clone()], message(name, "x", Qos::AtLeastOnce))).await;
        let got = subscriber.take().await.properties;
        assert_eq!(got.iter().count(), 2);
        assert!(got.iter().any(|property| property == own));
        assert_eq!(got.subscription_id(), Some(number));
    }
}
