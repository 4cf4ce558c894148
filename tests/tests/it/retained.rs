//! Messages that are kept for later subscribers.

use mqtt_codec::{Message, Property, Qos, ReasonCode, SubscribeFilter, Version};

use crate::{
    broker::Broker,
    client::{Client, QOS, VERSIONS, ask, filter, message, retained, topic},
    clock,
};

/// [MQTT-3.3.1-5] [MQTT-3.3.1-8]
#[tokio::test]
async fn a_retained_message_waits_for_subscribers_of_every_version() {
    let broker = Broker::start().await;
    for from in VERSIONS {
        for sent in QOS {
            let mut live = Client::connect(broker.addr, from, "live").await;
            let name = format!("{from:?}-{sent:?}/a");
            live.subscribe(&name, Qos::ExactlyOnce).await;
            let mut publisher = Client::connect(broker.addr, from, "publisher").await;
            publisher.publish(retained(&name, "kept", sent)).await;
            assert!(!live.take().await.retain, "the subscription was there before");
            for to in VERSIONS {
                let mut late = Client::connect(broker.addr, to, "late").await;
                late.subscribe(&name.replace("/a", "/+"), Qos::AtLeastOnce).await;
                let got = late.take().await;
                assert!(got.retain);
                assert_eq!((got.topic, got.qos), (Some(topic(&name)), sent.min(Qos::AtLeastOnce)));
                assert_eq!(got.payload, "kept");
                late.ping().await;
            }
        }
    }
}

#[tokio::test]
async fn the_last_one_counts_and_an_unretained_one_changes_nothing() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    publisher.publish(retained("a", "1", Qos::AtLeastOnce)).await;
    publisher.publish(retained("a", "2", Qos::AtMostOnce)).await;
    publisher.publish(message("a", "3", Qos::AtLeastOnce)).await;
    let mut late = Client::connect(broker.addr, Version::V3_1_1, "late").await;
    late.subscribe("a", Qos::AtLeastOnce).await;
    assert_eq!(late.take_text().await, "2");
    late.ping().await;
}

/// [MQTT-3.3.1-6] [MQTT-3.3.1-7]
#[tokio::test]
async fn an_empty_one_removes_and_is_not_kept() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        let mut live = Client::connect(broker.addr, version, "live").await;
        publisher.publish(retained("a", "kept", Qos::AtLeastOnce)).await;
        live.subscribe("a", Qos::AtLeastOnce).await;
        live.take().await;
        publisher.publish(retained("a", "", Qos::AtLeastOnce)).await;
        let got = live.take().await;
        assert!(!got.retain && got.payload.is_empty(), "live subscribers see it as any message");
        let mut late = Client::connect(broker.addr, version, "late").await;
        late.subscribe("a", Qos::AtLeastOnce).await;
        late.ping().await;
    }
}

#[tokio::test]
async fn wildcards_find_them_all_and_dollar_topics_only_by_name() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for name in ["a", "a/b", "a/b/c", "b/b", "/b", "$x/b"] {
        publisher.publish(retained(name, name, Qos::AtLeastOnce)).await;
    }
    let cases: [(&str, &[&str]); 8] = [
        ("#", &["/b", "a", "a/b", "a/b/c", "b/b"]),
        ("+", &["a"]),
        ("+/b", &["/b", "a/b", "b/b"]),
        ("a/#", &["a", "a/b", "a/b/c"]),
        ("a/+/#", &["a/b", "a/b/c"]),
        ("$x/#", &["$x/b"]),
        ("$x/+", &["$x/b"]),
        ("nothing/#", &[]),
    ];
    for (text, expected) in cases {
        let mut late = Client::connect(broker.addr, Version::V5, "late").await;
        late.subscribe(text, Qos::AtMostOnce).await;
        let mut got = Vec::new();
        for _ in expected {
            got.push(late.take_text().await);
        }
        late.ping().await;
        got.sort();
        assert_eq!(got, expected, "{text}");
        late.leave().await;
    }
}

#[tokio::test]
async fn properties_are_kept_and_identifiers_added() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let own = [Property::UserProperty("k".into(), "v".into()), Property::UserProperty("k".into(), "w".into())];
    publisher.publish(Message { properties: own.clone().into(), ..retained("a", "x", Qos::AtLeastOnce) }).await;
    let mut late = Client::connect(broker.addr, Version::V5, "late").await;
    late.subscribe_with(vec![ask("a", Qos::AtLeastOnce)], [Property::SubscriptionId(7)].into()).await;
    let got = late.take().await.properties;
    assert_eq!(got.subscription_id(), Some(7));
    assert_eq!(got.retain(|property| !matches!(property, Property::SubscriptionId(_))), own.into());
}

#[tokio::test]
async fn an_expired_one_is_gone_and_the_rest_of_the_time_is_told() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let expiring = |name: &str, seconds| Message {
        properties: [Property::MessageExpiry(seconds)].into(),
        ..retained(name, name.to_owned(), Qos::AtLeastOnce)
    };
    publisher.publish(expiring("e/short", 1)).await;
    publisher.publish(expiring("e/long", 100)).await;
    clock::wait(broker.addr, 3).await;
    let mut late = Client::connect(broker.addr, Version::V5, "late").await;
    late.subscribe("e/+", Qos::AtLeastOnce).await;
    let got = late.take().await;
    assert_eq!(got.payload, "e/long");
    let left = got.properties.message_expiry().unwrap();
    assert!((50..=98).contains(&left), "{left}");
    late.ping().await;
}

#[tokio::test]
async fn many_are_all_sent() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..500 {
        publisher.send_publish(retained(&format!("m/{number}"), "x", Qos::AtMostOnce)).await;
    }
    publisher.ping().await;
    let mut late = Client::connect(broker.addr, Version::V3_1_1, "late").await;
    late.subscribe("m/#", Qos::AtLeastOnce).await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..500 {
        let got = late.take().await;
        assert!(got.retain);
        names.insert(got.topic.unwrap());
    }
    assert_eq!(names.len(), 500);
    late.ping().await;
}

/// Each filter of a SUBSCRIBE counts by itself.
#[tokio::test]
async fn several_filters_bring_each_its_own() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(retained("a", "a", Qos::AtLeastOnce)).await;
    publisher.publish(retained("b", "b", Qos::AtLeastOnce)).await;
    let mut late = Client::connect(broker.addr, Version::V5, "late").await;
    let filters: Vec<SubscribeFilter> = vec![ask("a", Qos::AtMostOnce), ask("b", Qos::AtLeastOnce)];
    assert_eq!(filters[0].filter, filter("a"));
    let reasons = late.subscribe_with(filters, [].into()).await;
    assert_eq!(reasons, [ReasonCode::Success, ReasonCode::GrantedQos1]);
    let mut got = [late.take().await, late.take().await].map(|publish| (publish.topic.unwrap(), publish.qos));
    got.sort();
    assert_eq!(got, [(topic("a"), Qos::AtMostOnce), (topic("b"), Qos::AtLeastOnce)]);
    late.ping().await;
}

/// Whoever was first: it comes as retained, or it comes because it is published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_subscribes_while_a_message_is_retained_gets_it_once() {
    const TIMES: usize = 2000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    let mut subscriber = Client::connect(broker.addr, Version::V3_1_1, "subscriber").await;
    for number in 0..TIMES {
        let name = format!("r/{number}");
        tokio::join!(
            publisher.publish(retained(&name, "kept", Qos::AtLeastOnce)),
            subscriber.subscribe(&name, Qos::AtLeastOnce)
        );
        assert_eq!(subscriber.take_text().await, "kept");
        publisher.publish(message(&name, "end", Qos::AtLeastOnce)).await;
        assert_eq!(subscriber.take_text().await, "end", "{number}");
        publisher.publish(retained(&name, "", Qos::AtLeastOnce)).await;
        assert_eq!(subscriber.take_text().await, "");
        subscriber.unsubscribe(&[&name]).await;
    }
}
