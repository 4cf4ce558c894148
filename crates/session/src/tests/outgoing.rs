//! Messages towards the client.

use super::*;
use crate::DropReason;

#[track_caller]
fn check(driver: &mut Driver, expected: &[&str]) {
    assert_eq!(driver.sent_text(), expected);
}

#[test]
fn packet_ids_count_from_1() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let mut driver = Driver::connected(&Terms::new(version));
        for qos in [Qos::AtLeastOnce, Qos::AtMostOnce, Qos::ExactlyOnce, Qos::AtLeastOnce] {
            assert_eq!(driver.deliver_text("a", qos), Delivered::Sent);
        }
        check(&mut driver, &["publish 1 q1 a", "publish q0 a", "publish 2 q2 a", "publish 3 q1 a"]);
    }
}

#[test]
fn the_lower_qos_wins() {
    let mut driver = Driver::connected(&Terms::new(Version::V3_1_1));
    for published in QOS {
        for granted in QOS {
            let publication = Publication::new(message("t", "a", published), driver.now);
            driver.deliver(&publication, DeliveryOptions { qos: granted, retain: true, ..Default::default() });
            let Some(Packet::Publish(sent)) = driver.sent().pop() else { panic!("nothing sent") };
            assert_eq!((sent.qos, sent.retain), (published.min(granted), true));
        }
    }
}

#[test]
fn flows_of_qos_1_and_2_end_with_puback_and_pubcomp() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut driver = Driver::connected(&Terms::new(version));
        driver.deliver_text("a", Qos::AtLeastOnce);
        driver.deliver_text("b", Qos::ExactlyOnce);
        assert_eq!(driver.session.inflight_len(), 2);
        driver.sent();
        driver.receive(Packet::PubAck(ack(1))).unwrap();
        driver.receive(Packet::PubRec(ack(2))).unwrap();
        check(&mut driver, &["pubrel 2"]);
        assert_eq!(driver.session.inflight_len(), 1);
        driver.receive(Packet::PubComp(ack(2))).unwrap();
        check(&mut driver, &[]);
        assert_eq!(driver.session.inflight_len(), 0);
    }
}

#[test]
fn the_window_holds_the_rest_back_in_order() {
    let mut driver = Driver::connected(&Terms::v5([Property::ReceiveMaximum(2)]));
    for payload in ["a", "b", "c", "d", "e"] {
        driver.deliver_text(payload, Qos::ExactlyOnce);
    }
    check(&mut driver, &["publish 1 q2 a", "publish 2 q2 b"]);
    assert_eq!(
        (driver.session.queue_len(), driver.session.has_backlog(), driver.session.is_ready()),
        (3, false, false)
    );
    driver.receive(Packet::PubRec(ack(1))).unwrap();
    check(&mut driver, &["pubrel 1"]);
    driver.receive(Packet::PubComp(ack(1))).unwrap();
    check(&mut driver, &["publish 3 q2 c"]);
    // A refusal ends a message as well as PUBCOMP does.
    driver.receive(Packet::PubRec(refusal(2))).unwrap();
    check(&mut driver, &["publish 4 q2 d"]);
    // QoS 0 is not in the window.
    assert_eq!(driver.deliver_text("z", Qos::AtMostOnce), Delivered::Sent);
    check(&mut driver, &["publish q0 z"]);
}

#[test]
fn the_brokers_window_bounds_the_clients() {
    let mut driver = Driver::new(Config { max_inflight: 3, ..Config::default() });
    for terms in [Terms::new(Version::V3_1_1), Terms::v5([Property::ReceiveMaximum(1000)])] {
        driver.connect(&terms);
        for _ in 0..5 {
            driver.deliver_text("a", Qos::AtLeastOnce);
        }
        assert_eq!(driver.sent().len(), 3);
        driver.cut();
    }
}

#[test]
fn what_was_not_acknowledged_is_sent_again_on_reconnect_only() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut driver = Driver::connected(&Terms::new(version));
        for (payload, qos) in [("a", 1), ("b", 2), ("c", 2), ("d", 1), ("e", 2)] {
            driver.deliver_text(payload, QOS[qos]);
        }
        driver.receive(Packet::PubRec(ack(3))).unwrap();
        driver.receive(Packet::PubRec(ack(2))).unwrap();
        driver.receive(Packet::PubAck(ack(4))).unwrap();
        driver.sent();
        driver.pass(3_600_000);
        driver.session.pump(driver.now, &mut driver.out);
        check(&mut driver, &[]);

        driver.cut();
        driver.deliver_text("f", Qos::AtLeastOnce);
        driver.connect(&Terms::new(version));
        // PUBRELs in the order of the PUBRECs, messages in the order in which they were sent first.
        check(&mut driver, &["pubrel 3", "pubrel 2", "publish 1 q1 dup a", "publish 5 q2 dup e", "publish 6 q1 f"]);
    }
}

#[test]
fn a_narrower_window_also_bounds_what_is_sent_again() {
    let mut driver = Driver::connected(&Terms::v5([]));
    for payload in ["a", "b", "c"] {
        driver.deliver_text(payload, Qos::AtLeastOnce);
    }
    driver.cut();
    driver.deliver_text("d", Qos::AtLeastOnce);
    driver.connect(&Terms::v5([Property::ReceiveMaximum(2)]));
    check(&mut driver, &["publish 1 q1 dup a", "publish 2 q1 dup b"]);
    assert_eq!(driver.deliver_text("e", Qos::AtLeastOnce), Delivered::Queued);
    driver.receive(Packet::PubAck(ack(2))).unwrap();
    check(&mut driver, &["publish 3 q1 dup c"]);
    driver.receive(Packet::PubAck(ack(1))).unwrap();
    check(&mut driver, &["publish 4 q1 d"]);
    driver.receive(Packet::PubAck(ack(3))).unwrap();
    check(&mut driver, &["publish 5 q1 e"]);
}

#[test]
fn a_client_that_is_away_gets_qos_1_and_2_in_order_later() {
    let mut driver = Driver::connected(&Terms::v5([]));
    driver.cut();
    assert_eq!(driver.deliver_text("a", Qos::AtLeastOnce), Delivered::Queued);
    assert_eq!(driver.deliver_text("b", Qos::AtMostOnce), Delivered::Dropped(DropReason::Offline));
    assert_eq!(driver.deliver_text("c", Qos::ExactlyOnce), Delivered::Queued);
    assert!(driver.out.is_empty() && !driver.session.has_backlog());
    driver.connect(&Terms::v5([]));
    check(&mut driver, &["publish 1 q1 a", "publish 2 q2 c"]);
    assert_eq!((driver.session.dropped(), driver.session.drops().offline), (1, 1));
}

#[test]
fn nothing_overtakes_connack() {
    let mut driver = Driver::connected(&Terms::v5([]));
    driver.cut();
    driver.attach(&Terms::v5([]));
    assert_eq!(driver.deliver_text("a", Qos::AtLeastOnce), Delivered::Queued);
    assert_eq!(driver.deliver_text("b", Qos::AtMostOnce), Delivered::Dropped(DropReason::Offline));
    driver.session.pump(driver.now, &mut driver.out);
    assert!(driver.out.is_empty());
    driver.session.resume(driver.now, &mut driver.out);
    check(&mut driver, &["publish 1 q1 a"]);
    driver.session.resume(driver.now, &mut driver.out);
    check(&mut driver, &[]);
}

#[test]
fn acknowledgements_that_fit_nothing() {
    let unknown = |version, packet, expected: &[&str]| {
        let mut driver = Driver::connected(&Terms::new(version));
        driver.receive(packet).unwrap();
        check(&mut driver, expected);
        // Also with another message on its way.
        driver.deliver_text("a", Qos::AtLeastOnce);
        driver.sent();
    };
    unknown(Version::V5, Packet::PubAck(ack(9)), &[]);
    unknown(Version::V5, Packet::PubComp(ack(9)), &[]);
    unknown(Version::V5, Packet::PubRec(ack(9)), &["pubrel 9 PacketIdNotFound"]);
    unknown(Version::V5, Packet::PubRec(refusal(9)), &[]);
    unknown(Version::V3_1_1, Packet::PubRec(ack(9)), &["pubrel 9"]);

    for (qos, packet) in [
        (Qos::AtLeastOnce, Packet::PubRec(ack(1))),
        (Qos::AtLeastOnce, Packet::PubComp(ack(1))),
        (Qos::ExactlyOnce, Packet::PubAck(ack(1))),
        (Qos::ExactlyOnce, Packet::PubComp(ack(1))),
    ] {
        let mut driver = Driver::connected(&Terms::v5([]));
        driver.deliver_text("a", qos);
        let violation = driver.receive(packet).unwrap_err();
        assert_eq!(violation, Violation::Acknowledgement(id(1)));
        assert_eq!(violation.reason_code(), ReasonCode::ProtocolError);
    }
}

#[test]
fn aliases_are_introduced_then_used_alone() {
    let mut driver = Driver::connected(&Terms::v5([Property::TopicAliasMaximum(2)]));
    let told = |driver: &mut Driver, topic: &'static str, qos| {
        let publication = Publication::new(message(topic, "x", qos), driver.now);
        assert_eq!(driver.deliver(&publication, DeliveryOptions { qos, ..Default::default() }), Delivered::Sent);
        match driver.sent().pop() {
            Some(Packet::Publish(publish)) => {
                (publish.topic.map(|topic| topic.to_string()).unwrap_or_default(), publish.properties.topic_alias())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(&mut driver, "a", Qos::AtMostOnce), ("a".into(), Some(1)));
    assert_eq!(told(&mut driver, "b", Qos::AtLeastOnce), ("b".into(), Some(2)));
    assert_eq!(told(&mut driver, "a", Qos::ExactlyOnce), ("".into(), Some(1)));
    assert_eq!(told(&mut driver, "c", Qos::AtMostOnce), ("c".into(), None));
    assert_eq!(told(&mut driver, "b", Qos::AtMostOnce), ("".into(), Some(2)));

    // They end with the connection, also for what is sent again.
    driver.cut();
    driver.connect(&Terms::v5([Property::TopicAliasMaximum(1)]));
    let again: Vec<_> = driver
        .sent()
        .iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => (publish.topic.is_some(), publish.properties.topic_alias()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(again, [(true, Some(1)), (true, None)]);
}

#[test]
fn a_packet_too_large_introduces_no_alias() {
    let limit = 20;
    let terms = Terms::v5([Property::TopicAliasMaximum(5), Property::MaximumPacketSize(limit)]);
    let mut driver = Driver::connected(&terms);
    let large = Publication::new(message("t", "0123456789abcdef", Qos::AtMostOnce), driver.now);
    assert_eq!(driver.deliver(&large, DeliveryOptions::default()), Delivered::Dropped(DropReason::TooLarge));
    // 2 + 3 + 1 and a payload of 13: there is room for the alias no more, but without it it fits.
    let fits = Publication::new(message("t", "0123456789abc", Qos::AtMostOnce), driver.now);
    assert_eq!(driver.deliver(&fits, DeliveryOptions::default()), Delivered::Sent);
    let small = Publication::new(message("t", "0", Qos::AtMostOnce), driver.now);
    assert_eq!(driver.deliver(&small, DeliveryOptions::default()), Delivered::Sent);
    let aliases: Vec<_> = driver
        .sent()
        .into_iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => (publish.topic.is_some(), publish.properties.topic_alias()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(aliases, [(true, None), (true, Some(1))]);
}

#[test]
fn the_maximum_packet_size_counts_the_whole_packet() {
    for qos in QOS {
        for payload in ["", "12345678"] {
            let mut driver = Driver::connected(&Terms::v5([]));
            driver.deliver_text(payload, qos);
            let size = driver.out.len() as u32;
            for (limit, expected) in [(size, Delivered::Sent), (size - 1, Delivered::Dropped(DropReason::TooLarge))] {
                let mut driver = Driver::connected(&Terms::v5([Property::MaximumPacketSize(limit)]));
                assert_eq!(driver.deliver_text(payload, qos), expected);
                assert_eq!(driver.session.inflight_len(), usize::from(qos > Qos::AtMostOnce && limit == size));
                // What is too large takes no packet id.
                driver.cut();
                driver.sent();
                driver.connect(&Terms::v5([Property::MaximumPacketSize(limit - 1)]));
                assert_eq!((driver.sent().len(), driver.session.inflight_len()), (0, 0));
            }
        }
    }
}

#[test]
fn a_message_too_large_among_those_that_wait_is_passed_over() {
    let mut driver = Driver::connected(&Terms::v5([]));
    driver.cut();
    for payload in ["a", "long, long, long", "b"] {
        driver.deliver_text(payload, Qos::AtLeastOnce);
    }
    driver.connect(&Terms::v5([Property::MaximumPacketSize(12)]));
    check(&mut driver, &["publish 1 q1 a", "publish 2 q1 b"]);
    assert_eq!(driver.session.drops().too_large, 1);
}

#[test]
fn what_is_left_of_the_expiry_is_told() {
    let with_expiry = |driver: &Driver, qos, seconds| {
        let properties = Properties::from([
            Property::PayloadFormat(false),
            Property::UserProperty("a".into(), "1".into()),
            Property::MessageExpiry(seconds),
            Property::UserProperty("a".into(), "1".into()),
            Property::ContentType("text".into()),
        ]);
        Publication::new(Message { properties, ..message("t", "x", qos) }, driver.now)
    };
    for (waited, left) in [(0, 10), (1, 10), (999, 10), (1000, 9), (9_000, 1), (9_999, 1)] {
        let mut driver = Driver::connected(&Terms::v5([]));
        let publication = with_expiry(&driver, Qos::AtMostOnce, 10);
        driver.pass(waited);
        assert_eq!(driver.deliver(&publication, DeliveryOptions::default()), Delivered::Sent);
        let Some(Packet::Publish(sent)) = driver.sent().pop() else { panic!("nothing sent") };
        assert_eq!(sent.properties.message_expiry(), Some(left), "after {waited} ms");
        let others = sent.properties.retain(|property| !matches!(property, Property::MessageExpiry(_)));
        assert_eq!(others, publication.message.properties);
        assert_eq!(others.iter().count(), 4);
    }

    let qos = Qos::AtLeastOnce;
    let mut driver = Driver::connected(&Terms::v5([]));
    let publication = with_expiry(&driver, qos, 10);
    driver.deliver(&publication, DeliveryOptions { qos, ..Default::default() });
    driver.cut();
    driver.deliver(&publication, DeliveryOptions { qos, ..Default::default() });
    driver.pass(10_000);
    assert_eq!(driver.deliver(&publication, Default::default()), Delivered::Dropped(DropReason::Expired));
    // Waiting, it expires; sent once, it does not.
    driver.connect(&Terms::v5([]));
    check(&mut driver, &["publish 1 q1 dup x"]);
    assert_eq!(driver.session.drops().expired, 2);
}

#[test]
fn none_is_told_where_none_was_given() {
    let mut driver = Driver::connected(&Terms::v5([]));
    driver.deliver_text("x", Qos::AtMostOnce);
    driver.pass(5000);
    driver.deliver_text("x", Qos::AtMostOnce);
    for packet in driver.sent() {
        assert!(matches!(packet, Packet::Publish(publish) if publish.properties.is_empty()));
    }
}

#[test]
fn older_clients_get_nothing_of_mqtt_5() {
    let properties = Properties::from([Property::MessageExpiry(5), Property::ContentType("text".into())]);
    for version in [Version::V3_1, Version::V3_1_1] {
        for qos in QOS {
            let mut driver = Driver::connected(&Terms::new(version));
            let publication =
                Publication::new(Message { properties: properties.clone(), ..message("t", "x", qos) }, driver.now);
            let options = DeliveryOptions { qos, subscription_ids: &[1, 2], ..Default::default() };
            driver.deliver(&publication, options);
            let size = driver.out.len();
            assert_eq!(size, 2 + 3 + 1 + if qos > Qos::AtMostOnce { 2 } else { 0 });
            driver.cut();
            driver.connect(&Terms::new(version));
            assert_eq!(driver.sent().len(), usize::from(qos > Qos::AtMostOnce));
        }
    }
}

#[test]
fn subscription_ids_are_told_each_time() {
    for ids in [&[][..], &[5], &[5, 300, 70_000]] {
        for qos in QOS {
            let mut driver = Driver::connected(&Terms::v5([]));
            let publication = Publication::new(message("t", "x", qos), driver.now);
            let options = DeliveryOptions { qos, subscription_ids: ids, ..Default::default() };
            driver.deliver(&publication, options);
            let mut sent = driver.sent();
            driver.cut();
            driver.deliver(&publication, options);
            driver.connect(&Terms::v5([]));
            sent.extend(driver.sent());
            assert_eq!(sent.len(), if qos > Qos::AtMostOnce { 3 } else { 1 });
            for packet in sent {
                let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
                let told: Vec<_> = publish
                    .properties
                    .iter()
                    .filter_map(|property| match property {
                        Property::SubscriptionId(id) => Some(id),
                        _ => None,
                    })
                    .collect();
                assert_eq!(told, ids);
            }
        }
    }
}

#[test]
fn one_fanout_serves_every_kind_of_receiver() {
    let publication = Publication::new(message("t", "x", Qos::ExactlyOnce), Timestamp(1_000_000));
    let mut fanout = Fanout::new(&publication);
    for _ in 0..3 {
        for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
            for (qos, expected) in [(0, "publish q0 retain x"), (1, "publish 1 q1 x"), (2, "publish 1 q2 x")] {
                let mut driver = Driver::connected(&Terms::new(version));
                let options = DeliveryOptions { qos: QOS[qos], retain: qos == 0, ..Default::default() };
                let delivered = driver.session.deliver(&mut fanout, options, driver.now, &mut driver.out);
                assert_eq!(delivered, Delivered::Sent);
                check(&mut driver, &[expected]);
            }
        }
    }
}
