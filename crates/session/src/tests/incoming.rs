//! Messages from the client.

use super::*;
use crate::Share;

#[track_caller]
fn accept(driver: &mut Driver, publish: Publish) -> Publication {
    let (publication, receipt) = driver.receive_publish(publish).unwrap().expect("it is new");
    driver.acknowledge(receipt, ReasonCode::Success);
    publication
}

#[test]
fn each_qos_has_its_answer() {
    for version in [Version::V3_1_1, Version::V5] {
        for (qos, expected) in [(0, &[][..]), (1, &["puback 7"]), (2, &["pubrec 7"])] {
            let mut driver = Driver::connected(&Terms::new(version));
            let sent = publish(QOS[qos], if qos > 0 { 7 } else { 0 });
            let publication = accept(&mut driver, sent);
            assert_eq!((publication.message.qos, publication.message.topic.as_str()), (QOS[qos], "t"));
            assert_eq!(driver.sent_text(), expected);
        }
    }
}

#[test]
fn the_answer_carries_the_reason_in_mqtt_5_only() {
    for (version, expected) in [
        (Version::V5, ["puback 1 NotAuthorized", "pubrec 2 NotAuthorized"]),
        (Version::V3_1_1, ["puback 1", "pubrec 2"]),
    ] {
        let mut driver = Driver::connected(&Terms::new(version));
        for (qos, n) in [(Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 2)] {
            let (_, receipt) = driver.receive_publish(publish(qos, n)).unwrap().unwrap();
            driver.acknowledge(receipt, ReasonCode::NotAuthorized);
        }
        assert_eq!(driver.sent_text(), expected);
    }
}

#[test]
fn a_repeated_qos_2_id_is_routed_once_until_it_is_released() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut driver = Driver::connected(&Terms::new(version));
        accept(&mut driver, publish(Qos::ExactlyOnce, 7));
        assert!(driver.receive_publish(publish(Qos::ExactlyOnce, 7)).unwrap().is_none());
        // The session remembers it over reconnects.
        driver.out.clear();
        driver.cut();
        driver.connect(&Terms::new(version));
        assert!(driver.receive_publish(publish(Qos::ExactlyOnce, 7)).unwrap().is_none());
        assert_eq!(driver.sent_text(), ["pubrec 7"]);
        driver.cut();
        driver.connect(&Terms::new(version));
        driver.receive(Packet::PubRel(ack(7))).unwrap();
        assert_eq!((driver.sent_text(), driver.session.unreleased_len()), (vec!["pubcomp 7".into()], 0));
        accept(&mut driver, publish(Qos::ExactlyOnce, 7));
    }
}

#[test]
fn pubrel_of_an_unknown_id_is_answered() {
    for (version, expected) in [(Version::V5, "pubcomp 3 PacketIdNotFound"), (Version::V3_1_1, "pubcomp 3")] {
        let mut driver = Driver::connected(&Terms::new(version));
        driver.receive(Packet::PubRel(ack(3))).unwrap();
        assert_eq!(driver.sent_text(), [expected]);
    }
}

#[test]
fn a_refused_qos_2_message_frees_its_id() {
    let mut driver = Driver::connected(&Terms::v5([]));
    let (_, receipt) = driver.receive_publish(publish(Qos::ExactlyOnce, 7)).unwrap().unwrap();
    driver.acknowledge(receipt, ReasonCode::QuotaExceeded);
    assert_eq!(driver.sent_text(), ["pubrec 7 QuotaExceeded"]);
    accept(&mut driver, publish(Qos::ExactlyOnce, 7));
}

#[test]
fn receive_maximum_is_exact() {
    let config = Config { receive_maximum: 3, ..Config::default() };
    let connected = || {
        let mut driver = Driver::new(config.clone());
        driver.connect(&Terms::v5([]));
        driver
    };

    let mut driver = connected();
    for n in 1..=3 {
        accept(&mut driver, publish(Qos::ExactlyOnce, n));
    }
    // Neither QoS 0 nor a repeated one is one more.
    accept(&mut driver, publish(Qos::AtMostOnce, 0));
    assert!(driver.receive_publish(publish(Qos::ExactlyOnce, 2)).unwrap().is_none());
    let violation = driver.receive_publish(publish(Qos::ExactlyOnce, 4)).unwrap_err();
    assert_eq!(violation, Violation::ReceiveMaximum(3));
    assert_eq!(violation.reason_code(), ReasonCode::ReceiveMaximumExceeded);

    let mut driver = connected();
    for n in 1..=3 {
        accept(&mut driver, publish(Qos::ExactlyOnce, n));
    }
    // PUBREC does not give room, PUBCOMP does.
    assert!(driver.receive_publish(publish(Qos::AtLeastOnce, 4)).is_err());
    driver.receive(Packet::PubRel(ack(1))).unwrap();
    for n in 4..20 {
        accept(&mut driver, publish(Qos::AtLeastOnce, n));
    }

    // Not answered yet.
    let mut driver = connected();
    let owed: Vec<_> =
        (1..=3).map(|n| driver.receive_publish(publish(Qos::AtLeastOnce, n)).unwrap().unwrap()).collect();
    assert!(driver.receive_publish(publish(Qos::AtLeastOnce, 4)).is_err());
    for (_, receipt) in owed {
        driver.acknowledge(receipt, ReasonCode::Success);
    }
    accept(&mut driver, publish(Qos::AtLeastOnce, 4));
}

#[test]
fn each_connection_has_the_whole_receive_maximum() {
    let mut driver = Driver::new(Config { receive_maximum: 2, ..Config::default() });
    driver.connect(&Terms::v5([]));
    accept(&mut driver, publish(Qos::ExactlyOnce, 1));
    accept(&mut driver, publish(Qos::ExactlyOnce, 2));
    driver.cut();
    driver.connect(&Terms::v5([]));
    // One repeated and one new; the other old one comes back as PUBREL only.
    assert!(driver.receive_publish(publish(Qos::ExactlyOnce, 1)).unwrap().is_none());
    accept(&mut driver, publish(Qos::ExactlyOnce, 3));
    driver.receive(Packet::PubRel(ack(2))).unwrap();
    assert_eq!(driver.receive_publish(publish(Qos::ExactlyOnce, 4)).unwrap_err(), Violation::ReceiveMaximum(2));
}

/// Nobody told them, so they may have more of them; but who never releases is told by an end.
#[test]
fn clients_before_mqtt_5_may_leave_some_thousands_unreleased() {
    let mut driver = Driver::new(Config { receive_maximum: 2, ..Config::default() });
    driver.connect(&Terms::new(Version::V3_1_1));
    for n in 1..=10_000 {
        accept(&mut driver, publish(Qos::ExactlyOnce, n));
    }
    let violation = driver.receive_publish(publish(Qos::ExactlyOnce, 10_001)).unwrap_err();
    assert_eq!(violation, Violation::Unreleased(10_000));
    assert_eq!(driver.session.unreleased_len(), 10_000);
    // None of them is forgotten, so none is routed again, by a later connection either.
    driver.cut();
    driver.connect(&Terms::new(Version::V3_1_1));
    for n in [1, 5000, 10_000] {
        assert!(driver.receive_publish(publish(Qos::ExactlyOnce, n)).unwrap().is_none());
    }
    assert!(driver.receive_publish(publish(Qos::ExactlyOnce, 10_001)).is_err());
    driver.receive(Packet::PubRel(ack(1))).unwrap();
    accept(&mut driver, publish(Qos::ExactlyOnce, 10_001));
}

/// Each connection has the whole receive maximum, and all of them together a limit.
#[test]
fn ids_that_are_never_released_do_not_add_up_over_connections() {
    let mut driver = Driver::new(Config { receive_maximum: 100, ..Config::default() });
    for first in (1..=10_000).step_by(100) {
        driver.connect(&Terms::v5([]));
        for n in first..first + 100 {
            accept(&mut driver, publish(Qos::ExactlyOnce, n));
        }
        driver.cut();
    }
    driver.connect(&Terms::v5([]));
    let violation = driver.receive_publish(publish(Qos::ExactlyOnce, 20_000)).unwrap_err();
    assert_eq!(violation, Violation::Unreleased(10_000));
    assert_eq!(violation.reason_code(), ReasonCode::ReceiveMaximumExceeded);
    // One that it did not get an answer for is not one more.
    assert!(driver.receive_publish(publish(Qos::ExactlyOnce, 1)).unwrap().is_none());
}

#[test]
fn ids_that_are_not_released_count_to_their_client() {
    for is_stored in [false, true] {
        let share = Arc::new(Share::default());
        let mut driver = Driver::new(Config { is_stored, share: Arc::clone(&share), ..Config::default() });
        driver.connect(&Terms { session_expiry: 100, ..Terms::new(Version::V3_1_1) });
        let before = driver.session.held();
        for n in 1..=1000 {
            accept(&mut driver, publish(Qos::ExactlyOnce, n));
        }
        let held = driver.session.held() - before;
        assert_eq!(held >= 1000 * 128, is_stored, "{held}");
        assert!((8 << 10..200 << 10).contains(&held), "{held}");
        // No more than its share.
        share.set(before + held);
        let refused = (1001..2000).find_map(|n| driver.receive_publish(publish(Qos::ExactlyOnce, n)).err());
        assert_eq!(refused, Some(Violation::Share));
        for n in 1..2000 {
            driver.receive(Packet::PubRel(ack(n))).unwrap();
        }
        assert_eq!(driver.session.held(), before);
    }
}

#[test]
fn a_receipt_is_void_once_another_connection_took_over() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut driver = Driver::connected(&Terms::v5([]));
        let (_, receipt) = driver.receive_publish(publish(qos, 7)).unwrap().unwrap();
        driver.cut();
        driver.connect(&Terms::v5([]));
        driver.acknowledge(receipt, ReasonCode::Success);
        assert!(driver.sent().is_empty());
    }
}

#[test]
fn an_alias_stands_for_its_topic() {
    let with = |topic: Option<&'static str>, alias| Publish {
        topic: topic.map(|topic| Topic::new(topic).unwrap()),
        properties: Properties::from([Property::TopicAlias(alias), Property::ContentType("x".into())]),
        ..publish(Qos::AtMostOnce, 0)
    };
    let mut driver = Driver::connected(&Terms::v5([]));
    for (topic, alias, expected) in
        [(Some("a"), 1, "a"), (None, 1, "a"), (Some("b"), 1, "b"), (None, 1, "b"), (Some("a"), 10, "a"), (None, 1, "b")]
    {
        let publication = accept(&mut driver, with(topic, alias));
        assert_eq!(publication.message.topic.as_str(), expected);
        assert_eq!(publication.message.properties, Properties::from([Property::ContentType("x".into())]));
    }
    for (topic, alias, violation, reason) in [
        (Some("a"), 0, Violation::TopicAlias(0, 10), ReasonCode::TopicAliasInvalid),
        (Some("a"), 11, Violation::TopicAlias(11, 10), ReasonCode::TopicAliasInvalid),
        (None, 11, Violation::TopicAlias(11, 10), ReasonCode::TopicAliasInvalid),
        (None, 2, Violation::UnknownTopicAlias(2), ReasonCode::ProtocolError),
    ] {
        let refused = driver.receive_publish(with(topic, alias)).unwrap_err();
        assert_eq!((refused.reason_code(), refused), (reason, violation));
    }
    // The next connection starts without.
    driver.cut();
    driver.connect(&Terms::v5([]));
    assert_eq!(driver.receive_publish(with(None, 1)).unwrap_err(), Violation::UnknownTopicAlias(1));
}

#[test]
fn an_alias_holds_even_if_its_message_was_a_repeated_one() {
    let mut driver = Driver::connected(&Terms::v5([]));
    accept(&mut driver, publish(Qos::ExactlyOnce, 7));
    let properties = Properties::from([Property::TopicAlias(3)]);
    let repeated = Publish { dup: true, properties: properties.clone(), ..publish(Qos::ExactlyOnce, 7) };
    assert!(driver.receive_publish(repeated).unwrap().is_none());
    let publication = accept(&mut driver, Publish { topic: None, properties, ..publish(Qos::AtMostOnce, 0) });
    assert_eq!(publication.message.topic.as_str(), "t");
}

#[test]
fn properties_are_forwarded_unaltered_and_in_order() {
    let kept = [
        Property::UserProperty("k".into(), "1".into()),
        Property::PayloadFormat(false),
        Property::CorrelationData(Bytes::from_static(b"\0\xff")),
        Property::UserProperty("k".into(), "1".into()),
        Property::ResponseTopic("r".into()),
        Property::ContentType("".into()),
    ];
    let mut sent = kept.to_vec();
    sent.insert(1, Property::MessageExpiry(30));
    let mut driver = Driver::connected(&Terms::v5([]));
    let properties = sent.into_iter().collect();
    let publication = accept(&mut driver, Publish { properties, ..publish(Qos::AtMostOnce, 0) });
    assert_eq!(publication.message.properties.iter().collect::<Vec<_>>(), kept);
    assert_eq!(publication.expires_at, Some(driver.now.plus_seconds(30)));
    assert_eq!(publication.kept(&crate::Gauge::default()), publication);
}

#[test]
fn what_a_client_may_not_publish() {
    let mut driver = Driver::connected(&Terms::v5([]));
    let no_topic = Publish { topic: None, ..publish(Qos::AtMostOnce, 0) };
    let properties = Properties::from([Property::SubscriptionId(1)]);
    for (sent, violation) in [
        (no_topic, Violation::NoTopic),
        (publish(Qos::AtLeastOnce, 0), Violation::NoPacketId),
        (Publish { properties, ..publish(Qos::AtMostOnce, 0) }, Violation::SubscriptionId),
    ] {
        let refused = driver.receive_publish(sent).unwrap_err();
        assert_eq!((refused.reason_code(), refused), (ReasonCode::ProtocolError, violation));
    }
}
