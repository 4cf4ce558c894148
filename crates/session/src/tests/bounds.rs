//! Limits, and what happens at them.

use super::*;
use crate::DropReason;

#[test]
fn a_full_queue_takes_nothing_more() {
    for (max_queued, max_queued_bytes) in [(3, usize::MAX), (100, 3 * 2)] {
        let mut driver = Driver::new(Config { max_queued, max_queued_bytes, ..Config::default() });
        driver.connect(&Terms::v5([]));
        driver.cut();
        for payload in ["a", "b", "c"] {
            assert_eq!(driver.deliver_text(payload, Qos::AtLeastOnce), Delivered::Queued);
        }
        assert_eq!(driver.deliver_text("d", Qos::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
        assert_eq!((driver.session.queue_len(), driver.session.drops().queue_full), (3, 1));
        driver.connect(&Terms::v5([]));
        assert_eq!(driver.sent_text(), ["publish 1 q1 a", "publish 2 q1 b", "publish 3 q1 c"]);
        assert_eq!(driver.session.queue_len(), 0);
    }
}

#[test]
fn stored_messages_have_a_limit_of_their_own() {
    let mut driver = Driver::new(Config { max_queued: 1, max_stored: 3, max_inflight: 1, ..Config::default() });
    driver.connect(&Terms::v5([]));
    let stored = DeliveryOptions { qos: Qos::AtLeastOnce, retain: true, stored: true, ..Default::default() };
    let publication = Publication::new(message("t", "kept", Qos::AtLeastOnce), driver.now);
    let expected = [Delivered::Sent, Delivered::Queued, Delivered::Queued, Delivered::Queued];
    for expected in expected {
        assert_eq!(driver.deliver(&publication, stored), expected);
    }
    assert_eq!(driver.deliver(&publication, stored), Delivered::Dropped(DropReason::QueueFull));
    assert_eq!(driver.deliver_text("live", Qos::AtLeastOnce), Delivered::Queued);
    assert_eq!(driver.deliver_text("more", Qos::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
}

#[test]
fn what_expired_makes_room_in_a_full_queue() {
    let mut driver = Driver::new(Config { max_queued: 2, ..Config::default() });
    driver.connect(&Terms::v5([]));
    driver.cut();
    let properties = Properties::from([Property::MessageExpiry(1)]);
    let brief = Publication::new(Message { properties, ..message("t", "a", Qos::AtLeastOnce) }, driver.now);
    driver.deliver(&brief, DeliveryOptions { qos: Qos::AtLeastOnce, ..Default::default() });
    driver.deliver_text("b", Qos::AtLeastOnce);
    assert_eq!(driver.deliver_text("c", Qos::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
    driver.pass(1000);
    assert_eq!(driver.deliver_text("d", Qos::AtLeastOnce), Delivered::Queued);
    driver.connect(&Terms::v5([]));
    assert_eq!(driver.sent_text(), ["publish 1 q1 b", "publish 2 q1 d"]);
    assert_eq!((driver.session.drops().expired, driver.session.drops().queue_full), (1, 1));
}

#[test]
fn what_had_waited_and_is_given_up_is_told_once() {
    let mut driver = Driver::new(Config { max_queued: 2, ..Config::default() });
    driver.connect(&Terms::v5([]));
    driver.cut();
    let wait = |driver: &mut Driver, payload: &'static str, expiry: Option<u32>| {
        let properties = expiry.map(Property::MessageExpiry).into_iter().collect();
        let message = Message { properties, ..message("t", payload, Qos::AtLeastOnce) };
        let options = DeliveryOptions { qos: Qos::AtLeastOnce, ..Default::default() };
        driver.deliver(&Publication::new(message, driver.now), options)
    };
    let lost = |driver: &mut Driver| -> Vec<_> {
        let lost = driver.session.take_lost();
        lost.iter().map(|lost| (lost.publication.message.payload.clone(), lost.reason)).collect()
    };
    wait(&mut driver, "a", Some(1));
    wait(&mut driver, "b", Some(2));
    // Dropped where it was made: whoever made it was told.
    assert_eq!(wait(&mut driver, "c", None), Delivered::Dropped(DropReason::QueueFull));
    assert!(lost(&mut driver).is_empty());
    driver.pass(1000);
    wait(&mut driver, "d", None);
    assert_eq!(lost(&mut driver), [("a".into(), DropReason::Expired)]);
    driver.pass(1000);
    driver.session.drop_expired(driver.now);
    assert_eq!(lost(&mut driver), [("b".into(), DropReason::Expired)]);
    wait(&mut driver, "e", Some(1));
    assert_eq!(driver.session.owed().count(), 2);
    driver.pass(1000);
    driver.connect(&Terms::v5([Property::MaximumPacketSize(9)]));
    assert_eq!(lost(&mut driver), [("e".into(), DropReason::Expired)]);
    assert_eq!(driver.sent_text(), ["publish 1 q1 d"]);
    driver.cut();
    assert_eq!(driver.session.owed().count(), 1);
    driver.connect(&Terms::v5([Property::MaximumPacketSize(5)]));
    assert_eq!(lost(&mut driver), [("d".into(), DropReason::TooLarge)]);
    assert_eq!((driver.session.owed().count(), driver.session.dropped()), (0, 5));
}

/// A million of them would be a million steps for a store, all at once.
#[test]
fn many_that_expire_are_dropped_a_few_thousand_at_a_time() {
    const MANY: usize = 10_000;
    let mut driver = Driver::new(Config { is_stored: true, max_queued: 2 * MANY, ..Config::default() });
    let away = |driver: &mut Driver| {
        driver.connect(&Terms::v5([]));
        driver.cut();
        // One that stays, in front of and among the others.
        for number in 0..MANY {
            let expiry = (number % 1000 > 0).then_some(Property::MessageExpiry(1));
            let message = Message { properties: expiry.into_iter().collect(), ..message("t", "m", Qos::AtLeastOnce) };
            let options = DeliveryOptions { qos: Qos::AtLeastOnce, ..Default::default() };
            driver.deliver(&Publication::new(message, driver.now), options);
        }
        driver.session.take_changes();
        driver.pass(1000);
    };
    away(&mut driver);
    let mut rounds = 1;
    while driver.session.drop_expired(driver.now) {
        assert!(driver.session.take_changes().len() < MANY / 2);
        rounds += 1;
    }
    assert_eq!((rounds, driver.session.take_lost().len(), driver.session.queue_len()), (3, MANY - 10, 10));
    driver.session.give_up();
    away(&mut driver);
    driver.connect(&Terms::v5([]));
    let mut rounds = 0;
    while driver.session.has_backlog() {
        assert!(driver.session.take_changes().len() < MANY / 2);
        driver.session.pump(driver.now, &mut driver.out);
        rounds += 1;
    }
    assert_eq!((rounds, driver.session.take_lost().len(), driver.session.queue_len()), (2, MANY - 10, 0));
}

#[test]
fn a_full_outbox_drops_qos_0_and_queues_the_rest() {
    let mut driver = Driver::new(Config { max_outbox: 10, ..Config::default() });
    driver.connect(&Terms::v5([]));
    assert_eq!(driver.deliver_text("a", Qos::AtLeastOnce), Delivered::Sent);
    assert_eq!(driver.deliver_text("b", Qos::AtMostOnce), Delivered::Sent);
    assert_eq!(driver.deliver_text("c", Qos::AtMostOnce), Delivered::Dropped(DropReason::OutboxFull));
    assert_eq!(driver.deliver_text("d", Qos::AtLeastOnce), Delivered::Queued);
    assert_eq!(driver.deliver_text("e", Qos::ExactlyOnce), Delivered::Queued);
    assert!(driver.session.has_backlog() && !driver.session.is_ready());
    assert_eq!(driver.sent_text(), ["publish 1 q1 a", "publish q0 b"]);
    driver.session.pump(driver.now, &mut driver.out);
    assert_eq!(driver.sent_text(), ["publish 2 q1 d", "publish 3 q2 e"]);
    assert!(!driver.session.has_backlog() && driver.session.is_ready());
}

#[test]
fn a_drained_outbox_is_used_without_waiting_for_the_pump() {
    let mut driver = Driver::new(Config { max_outbox: 10, ..Config::default() });
    driver.connect(&Terms::v5([]));
    for payload in ["a", "b", "c"] {
        driver.deliver_text(payload, Qos::AtLeastOnce);
    }
    driver.sent();
    assert_eq!(driver.deliver_text("d", Qos::AtLeastOnce), Delivered::Sent);
    assert_eq!(driver.sent_text(), ["publish 3 q1 c", "publish 4 q1 d"]);
}

#[test]
fn a_full_outbox_bounds_what_is_sent_again_too() {
    let mut driver = Driver::connected(&Terms::v5([]));
    for payload in ["a", "b", "c"] {
        driver.deliver_text(payload, Qos::AtLeastOnce);
    }
    driver.cut();
    driver.session.config = Arc::new(Config { max_outbox: 1, ..Config::default() });
    driver.connect(&Terms::v5([]));
    assert_eq!(driver.sent_text(), ["publish 1 q1 dup a"]);
    assert!(driver.session.has_backlog());
    driver.session.pump(driver.now, &mut driver.out);
    assert_eq!(driver.sent_text(), ["publish 2 q1 dup b"]);
    driver.session.pump(driver.now, &mut driver.out);
    assert_eq!(driver.sent_text(), ["publish 3 q1 dup c"]);
    assert!(!driver.session.has_backlog());
}

#[test]
fn stored_qos_0_messages_wait_for_the_outbox_and_live_ones_behind_them() {
    let mut driver = Driver::new(Config { max_outbox: 6, max_queued: 1, ..Config::default() });
    driver.connect(&Terms::v5([]));
    let stored = DeliveryOptions { retain: true, stored: true, ..Default::default() };
    for (payload, expected) in [("a", Delivered::Sent), ("b", Delivered::Queued), ("c", Delivered::Queued)] {
        let publication = Publication::new(message("t", payload, Qos::AtMostOnce), driver.now);
        assert_eq!(driver.deliver(&publication, stored), expected);
    }
    assert_eq!(driver.sent_text(), ["publish q0 retain a"]);
    assert_eq!(driver.deliver_text("d", Qos::AtMostOnce), Delivered::Queued);
    assert_eq!(driver.deliver_text("e", Qos::AtMostOnce), Delivered::Dropped(DropReason::QueueFull));
    for expected in ["publish q0 retain b", "publish q0 retain c", "publish q0 d"] {
        assert!(driver.session.has_backlog());
        driver.session.pump(driver.now, &mut driver.out);
        assert_eq!(driver.sent_text(), [expected]);
    }
    assert!(!driver.session.has_backlog());
}

#[test]
fn waiting_qos_0_messages_end_with_the_connection() {
    let mut driver = Driver::new(Config { max_outbox: 1, ..Config::default() });
    driver.connect(&Terms::v5([]));
    driver.deliver_text("a", Qos::AtLeastOnce);
    let publication = Publication::new(message("t", "b", Qos::AtMostOnce), driver.now);
    driver.deliver(&publication, DeliveryOptions { stored: true, ..Default::default() });
    driver.deliver_text("c", Qos::AtLeastOnce);
    assert_eq!(driver.session.queue_len(), 2);
    driver.cut();
    assert_eq!(driver.session.queue_len(), 1);
}

#[test]
fn large_payloads_pass_whole() {
    let payload: &'static str = "0123456789".repeat(10_000).leak();
    for qos in QOS {
        let mut driver = Driver::connected(&Terms::v5([Property::TopicAliasMaximum(1)]));
        driver.deliver_text(payload, qos);
        driver.deliver_text("small", qos);
        let sent = driver.sent();
        assert!(matches!(&sent[0], Packet::Publish(publish) if publish.payload == payload));
        assert!(matches!(&sent[1], Packet::Publish(publish) if &publish.payload[..] == b"small"));
    }
}

#[test]
fn what_is_kept_shares_no_memory_with_the_read_buffer() {
    let buffer = Bytes::from(vec![b'x'; 65_536]);
    let topic = bytestring::ByteString::try_from(buffer.slice(..5)).unwrap();
    let message = Message {
        topic: Topic::new(topic).unwrap(),
        payload: buffer.slice(5..25),
        properties: Properties::EMPTY,
        qos: Qos::AtLeastOnce,
        retain: false,
    };
    let publication = Publication::new(message, Timestamp(0));
    let detached = publication.kept(&crate::Gauge::default());
    assert_eq!(detached, publication);
    drop(publication);
    assert!(buffer.is_unique());
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 160, "{} bytes", size_of::<Session>());
    let mut driver = Driver::connected(&Terms::v5([]));
    driver.deliver_text("a", Qos::AtMostOnce);
    let session = &driver.session;
    assert!(session.inflight.is_none() && session.queue.is_none() && session.incoming.is_none());
}
