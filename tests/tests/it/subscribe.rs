//! Asking for messages and asking for no more.

use mqtt_codec::{
    Packet, Properties, Property, Qos, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, SubscribeOptions,
    Version,
};

use crate::{
    broker::{Broker, outside},
    client::{Client, QOS, VERSIONS, ask, filter, id, message, retained, topic},
};

fn numbered(number: u32) -> Properties {
    [Property::SubscriptionId(number)].into()
}

fn with(text: &str, options: SubscribeOptions) -> Vec<SubscribeFilter> {
    vec![SubscribeFilter { filter: filter(text), options }]
}

const AT_LEAST_ONCE: SubscribeOptions = SubscribeOptions {
    qos: Qos::AtLeastOnce,
    no_local: false,
    retain_as_published: false,
    retain_handling: RetainHandling::Send,
};

/// [MQTT-3.9.3-1]
#[tokio::test]
async fn each_filter_gets_its_code_in_order() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "a").await;
        let filters = vec![
            ask("a", Qos::ExactlyOnce),
            ask("b/#", Qos::AtMostOnce),
            ask("+/c", Qos::AtLeastOnce),
            ask("/", Qos::ExactlyOnce),
        ];
        let reasons = client.subscribe_with(filters, Properties::EMPTY).await;
        let granted = [ReasonCode::GrantedQos2, ReasonCode::Success, ReasonCode::GrantedQos1, ReasonCode::GrantedQos2];
        assert_eq!(reasons, granted);
    }
}

#[tokio::test]
async fn thousands_of_filters_in_one_packet_are_answered() {
    let broker = Broker::start().await;
    let mut client = Client::connect(broker.addr, Version::V5, "a").await;
    let filters: Vec<_> = (0..5000).map(|number| ask(&format!("many/{number}"), Qos::AtLeastOnce)).collect();
    let reasons = client.subscribe_with(filters, Properties::EMPTY).await;
    assert!(reasons.iter().all(|&reason| reason == ReasonCode::GrantedQos1));
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("many/4999", "x", Qos::AtLeastOnce)).await;
    assert_eq!(client.take().await.topic, Some(topic("many/4999")));
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.1-3]
#[tokio::test]
async fn filters_match_what_the_specification_says() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    let cases: [(&str, &[&str], &[&str]); 10] = [
        ("a/b", &["a/b"], &["a", "a/b/c", "a/B", "a/b/"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c"], &["ab", "b/a"]),
        ("#", &["a", "/", "a/b"], &["$a"]),
        ("+", &["a"], &["a/b", "/a", "$a"]),
        ("+/+", &["a/b", "/a", "a/"], &["a", "a/b/c", "$a/b"]),
        ("/+", &["/a", "/"], &["a", "/a/b"]),
        ("+/b/#", &["a/b", "a/b/c", "/b"], &["a/c/b", "$a/b"]),
        ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c"]),
        ("$a/#", &["$a", "$a/b"], &["a"]),
        ("$a/+", &["$a/b"], &["$a", "b/c"]),
    ];
    for (text, matching, other) in cases {
        let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
        subscriber.subscribe(text, Qos::AtMostOnce).await;
        for name in other.iter().chain(matching) {
            publisher.publish(message(name, *name, Qos::AtLeastOnce)).await;
        }
        for name in matching {
            assert_eq!(subscriber.take_text().await, *name, "to {text}");
        }
        subscriber.ping().await;
        subscriber.leave().await;
    }
}

/// [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4]
#[tokio::test]
async fn overlapping_filters_bring_one_copy_with_the_highest_quality_and_all_identifiers() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    for (text, qos, number) in [("a/#", Qos::AtMostOnce, 1), ("a/b", Qos::ExactlyOnce, 2), ("+/b", Qos::AtLeastOnce, 3)]
    {
        subscriber.subscribe_with(vec![ask(text, qos)], numbered(number)).await;
    }
    let mut old = Client::connect(broker.addr, Version::V3_1_1, "old").await;
    old.subscribe_with(vec![ask("a/#", Qos::AtMostOnce), ask("a/b", Qos::AtLeastOnce)], Properties::EMPTY).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("a/b", "once", Qos::ExactlyOnce)).await;

    let got = subscriber.take().await;
    assert_eq!(got.qos, Qos::ExactlyOnce);
    let mut numbers: Vec<_> = got.properties.iter().collect();
    numbers.sort_by_key(|property| format!("{property:?}"));
    assert_eq!(numbers, [Property::SubscriptionId(1), Property::SubscriptionId(2), Property::SubscriptionId(3)]);
    subscriber.ping().await;
    assert_eq!(old.take().await.qos, Qos::AtLeastOnce);
    old.ping().await;
}

/// [MQTT-3.8.4-3]
#[tokio::test]
async fn subscribing_again_replaces_the_subscription() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut subscriber = Client::connect(broker.addr, version, "subscriber").await;
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        for qos in [Qos::ExactlyOnce, Qos::AtMostOnce, Qos::AtLeastOnce] {
            subscriber.subscribe("a", qos).await;
            publisher.publish(message("a", "x", Qos::ExactlyOnce)).await;
            assert_eq!(subscriber.take().await.qos, qos);
            subscriber.ping().await;
        }
    }
}

#[tokio::test]
async fn subscribing_again_replaces_the_identifier() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for properties in [numbered(1), numbered(2), Properties::EMPTY] {
        subscriber.subscribe_with(vec![ask("a", Qos::AtMostOnce)], properties.clone()).await;
        publisher.publish(message("a", "x", Qos::AtMostOnce)).await;
        assert_eq!(subscriber.take().await.properties, properties);
    }
}

/// [MQTT-3.8.3-3]
#[tokio::test]
async fn no_local_keeps_a_clients_own_messages_from_it() {
    let broker = Broker::start().await;
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    client.subscribe_with(with("a", SubscribeOptions { no_local: true, ..AT_LEAST_ONCE }), Properties::EMPTY).await;
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    client.publish(message("a", "mine", Qos::AtLeastOnce)).await;
    client.ping().await;
    other.publish(message("a", "another's", Qos::AtLeastOnce)).await;
    assert_eq!(client.take_text().await, "another's");

    // Another subscription of the same client, without it, still brings them.
    client.subscribe("+", Qos::AtMostOnce).await;
    client.send_publish(message("a", "mine", Qos::AtMostOnce)).await;
    assert_eq!(client.take_text().await, "mine");
    client.ping().await;
}

/// [MQTT-3.3.1-12] [MQTT-3.3.1-13]
#[tokio::test]
async fn retain_as_published_keeps_the_flag() {
    let broker = Broker::start().await;
    let mut keeps = Client::connect(broker.addr, Version::V5, "keeps").await;
    keeps
        .subscribe_with(with("a", SubscribeOptions { retain_as_published: true, ..AT_LEAST_ONCE }), Properties::EMPTY)
        .await;
    let mut clears = Client::connect(broker.addr, Version::V5, "clears").await;
    clears.subscribe("a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("a", "1", Qos::AtLeastOnce)).await;
    publisher.publish(retained("a", "2", Qos::AtLeastOnce)).await;
    assert!(!keeps.take().await.retain);
    assert!(keeps.take().await.retain);
    assert!(!clears.take().await.retain);
    assert!(!clears.take().await.retain);
}

/// [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
#[tokio::test]
async fn retain_handling_says_when_retained_messages_come() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(retained("a", "kept", Qos::AtLeastOnce)).await;
    for (retain_handling, first, again) in [
        (RetainHandling::Send, true, true),
        (RetainHandling::SendIfNew, true, false),
        (RetainHandling::DoNotSend, false, false),
    ] {
        let mut client = Client::connect(broker.addr, Version::V5, "client").await;
        for comes in [first, again] {
            client
                .subscribe_with(with("a", SubscribeOptions { retain_handling, ..AT_LEAST_ONCE }), Properties::EMPTY)
                .await;
            if comes {
                let got = client.take().await;
                assert!(got.retain && got.payload == "kept");
            }
            client.ping().await;
        }
        client.unsubscribe(&["a"]).await;
        client
            .subscribe_with(with("a", SubscribeOptions { retain_handling, ..AT_LEAST_ONCE }), Properties::EMPTY)
            .await;
        if first {
            client.take().await;
        }
        client.ping().await;
        client.leave().await;
    }
}

/// [MQTT-3.10.4-1] [MQTT-3.11.3-1]
#[tokio::test]
async fn unsubscribing_ends_messages_and_tells_what_was_not_there() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut subscriber = Client::connect(broker.addr, version, "subscriber").await;
        subscriber.subscribe("a/+", Qos::AtLeastOnce).await;
        subscriber.subscribe("b", Qos::AtLeastOnce).await;
        let reasons = subscriber.unsubscribe(&["a/b", "a/+", "c"]).await;
        if version == Version::V5 {
            let expected = [ReasonCode::NoSubscriptionExisted, ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
            assert_eq!(reasons, expected);
        }
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        publisher.publish(message("a/b", "not wanted", Qos::AtLeastOnce)).await;
        publisher.publish(message("b", "wanted", Qos::AtLeastOnce)).await;
        assert_eq!(subscriber.take_text().await, "wanted");
        subscriber.ping().await;
    }
}

/// [MQTT-3.10.4-3]: what was on its way is still completed.
#[tokio::test]
async fn unsubscribing_does_not_break_off_deliveries() {
    let broker = Broker::start().await;
    let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
    subscriber.subscribe("a", Qos::ExactlyOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("a", "x", Qos::ExactlyOnce)).await;
    let got = subscriber.receive_publish().await;
    subscriber.unsubscribe(&["a"]).await;
    let ack = mqtt_codec::Ack::new(got.packet_id.unwrap(), ReasonCode::Success);
    subscriber.send(Packet::PubRec(ack.clone())).await;
    assert_eq!(subscriber.expect_pubrel(ack.packet_id).await, ReasonCode::Success);
    subscriber.send(Packet::PubComp(ack)).await;
    subscriber.ping().await;
}

#[tokio::test]
async fn one_subscribe_may_name_a_filter_twice() {
    let broker = Broker::start().await;
    let mut client = Client::connect(broker.addr, Version::V3_1_1, "client").await;
    let filters = vec![ask("a", Qos::AtMostOnce), ask("a", Qos::AtLeastOnce)];
    let reasons = client.subscribe_with(filters, Properties::EMPTY).await;
    assert_eq!(reasons, [ReasonCode::Success, ReasonCode::GrantedQos1]);
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    publisher.publish(message("a", "once", Qos::AtLeastOnce)).await;
    assert_eq!(client.take().await.qos, Qos::AtLeastOnce, "the later one counts");
    client.ping().await;
}

#[tokio::test]
async fn a_limit_of_subscriptions_is_told_in_suback() {
    let Some(broker) = Broker::with(|config| config.limits.subscriptions_per_client = 2).await else { return };
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "client").await;
        client.subscribe("a", Qos::AtMostOnce).await;
        client.subscribe("b", Qos::AtMostOnce).await;
        let refusal = client.subscribe("c", Qos::AtMostOnce).await;
        let told = if version == Version::V5 { ReasonCode::QuotaExceeded } else { ReasonCode::UnspecifiedError };
        assert_eq!(refusal, told);
        assert_eq!(client.subscribe("b", Qos::AtLeastOnce).await, ReasonCode::GrantedQos1, "not one more");
    }
}

#[tokio::test]
async fn quality_of_deliveries_is_the_lower_of_two() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for granted in QOS {
        for sent in QOS {
            let mut subscriber = Client::connect(broker.addr, Version::V5, "subscriber").await;
            publisher.publish(retained("a", "x", sent)).await;
            subscriber.subscribe("a", granted).await;
            let got = subscriber.take().await;
            assert_eq!((got.qos, got.retain), (granted.min(sent), true));
        }
    }
}

/// A packet id the client uses for two things at once is its own affair; each is answered.
#[tokio::test]
async fn subscribe_and_publish_ids_of_client_and_broker_do_not_meet() {
    let broker = Broker::start().await;
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let sent = client.send_publish(message("a", "x", Qos::AtLeastOnce)).await.unwrap();
    let mut got = Vec::new();
    for _ in 0..2 {
        match client.receive().await {
            Packet::Publish(publish) => got.push(publish.packet_id.unwrap()),
            Packet::PubAck(ack) => assert_eq!(ack.packet_id, sent),
            other => panic!("{other:?}"),
        }
    }
    let filters = vec![ask("b", Qos::AtLeastOnce)];
    client.send(Packet::Subscribe(Subscribe { packet_id: got[0], properties: Properties::EMPTY, filters })).await;
    assert!(matches!(client.receive().await, Packet::SubAck(suback) if suback.packet_id == got[0]));
    client.send(Packet::PubAck(mqtt_codec::Ack::new(got[0], ReasonCode::Success))).await;
    client.ping().await;
    assert!(outside() || got == [id(1)]);
}
