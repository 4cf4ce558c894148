//! What a session holds, and how much of it may be.

use mqtt_codec::{Filter, SubscribeOptions};

use super::*;
use crate::{DropReason, Gauge, Share};

fn config() -> (Config, Arc<Share>, Gauge) {
    let config = Config::default();
    let (share, gauge) = (Arc::clone(&config.share), config.kept.clone());
    (config, share, gauge)
}

fn at_least_once() -> DeliveryOptions<'static> {
    DeliveryOptions { qos: Qos::AtLeastOnce, ..DeliveryOptions::default() }
}

#[test]
fn a_message_is_counted_once_and_as_long_as_it_is_kept() {
    let (config, _, gauge) = config();
    let mut first = Driver::new(config.clone());
    let mut second = Driver::new(config);
    first.connect(&Terms::v5([]));
    first.cut();
    second.connect(&Terms::v5([]));
    let message = Message { payload: vec![b'x'; 1000].into(), ..message("t", "", Qos::AtLeastOnce) };
    let publication = Publication::new(message, first.now);
    let mut fanout = Fanout::new(&publication);
    for driver in [&mut first, &mut second] {
        driver.session.deliver(&mut fanout, at_least_once(), driver.now, &mut driver.out);
    }
    drop(fanout);
    let held = gauge.bytes();
    assert!((1000..1500).contains(&held), "{held}");
    assert!(first.session.held() > 1000 && second.session.held() > 1000);
    assert!(first.session.held_alone() < 1000 && second.session.held_alone() < 1000);

    let sent = second.sent();
    let id = sent.iter().find_map(|packet| match packet {
        Packet::Publish(publish) => publish.packet_id,
        _ => None,
    });
    let id = id.expect("it was sent above QoS 0");
    second.receive(Packet::PubAck(Ack::new(id, ReasonCode::Success))).unwrap();
    assert_eq!((second.session.held(), gauge.bytes()), (0, held));
    first.session.give_up();
    assert_eq!((first.session.held(), gauge.bytes()), (0, 0));
}

#[test]
fn a_small_message_is_counted_to_each_who_keeps_it() {
    let (config, _, gauge) = config();
    let mut driver = Driver::new(config);
    driver.connect(&Terms::v5([]));
    driver.cut();
    driver.deliver_text("small", Qos::AtLeastOnce);
    assert_eq!((driver.session.held_alone(), gauge.bytes()), (driver.session.held(), 0));
}

#[test]
fn what_is_over_the_share_is_not_kept() {
    let (config, share, _) = config();
    let mut driver = Driver::new(config);
    driver.connect(&Terms::v5([]));
    driver.cut();
    assert_eq!(driver.deliver_text("a", Qos::AtLeastOnce), Delivered::Queued);
    share.set(driver.session.held());
    assert_eq!(driver.deliver_text("b", Qos::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
    share.set(usize::MAX);
    assert_eq!(driver.deliver_text("c", Qos::AtLeastOnce), Delivered::Queued);
    driver.connect(&Terms::v5([]));
    assert_eq!(driver.sent_text(), ["publish 1 q1 a", "publish 2 q1 c"]);
}

#[test]
fn qos_0_goes_to_whoever_takes_it_whatever_the_share() {
    let (config, share, _) = config();
    share.set(0);
    let mut driver = Driver::new(config);
    driver.connect(&Terms::v5([]));
    assert_eq!(driver.deliver_text("a", Qos::AtMostOnce), Delivered::Sent);
    assert_eq!(driver.deliver_text("b", Qos::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
}

#[test]
fn an_alias_over_the_share_ends_the_connection() {
    let (config, share, _) = config();
    let mut driver = Driver::new(Config { topic_alias_maximum: 10, ..config });
    driver.connect(&Terms::v5([]));
    let aliased = |alias| {
        let properties = Properties::from([Property::TopicAlias(alias)]);
        Packet::Publish(Publish { properties, ..publish(Qos::AtMostOnce, 1) })
    };
    driver.receive(aliased(1)).unwrap();
    share.set(driver.session.held());
    // It is known, and takes nothing more.
    driver.receive(aliased(1)).unwrap();
    let violation = driver.receive(aliased(2)).unwrap_err();
    assert_eq!(violation.reason_code(), ReasonCode::QuotaExceeded);
    driver.cut();
    assert_eq!(driver.session.held(), 0);
}

#[test]
fn subscriptions_and_the_will_are_held_while_they_are_there() {
    let mut driver = Driver::connected(&Terms::v5([]).with_will(0, Properties::EMPTY));
    let with_will = driver.session.held();
    assert!(with_will > 0);
    let filters: Vec<_> = (0..20).map(|n| Filter::new(format!("a/{n}/+")).unwrap()).collect();
    for (n, filter) in filters.iter().enumerate() {
        for _ in 0..2 {
            driver.session.subscribe(filter, SubscribeOptions::default(), None);
        }
        let expected: usize = filters[..=n].iter().map(Session::cost_of).sum();
        assert_eq!(driver.session.held(), with_will + expected);
    }
    for filter in &filters {
        assert!(driver.session.unsubscribe(filter) && !driver.session.unsubscribe(filter));
    }
    assert_eq!(driver.session.held(), with_will);
    assert!(driver.cut().will.is_some());
    assert_eq!(driver.session.held(), 0);
}
