//! Coming, going, and the will.

use mqtt_codec::{
    Auth, ConnAck, Disconnect, Filter, SubAck, Subscribe, SubscribeFilter, SubscribeOptions, UnsubAck, Unsubscribe,
};

use super::*;

fn disconnect(reason: ReasonCode, properties: impl Into<Properties>) -> Packet {
    Packet::Disconnect(Disconnect { reason, properties: properties.into() })
}

fn subscribe(filter: &'static str, no_local: bool) -> Packet {
    let options = SubscribeOptions { no_local, ..SubscribeOptions::default() };
    let filters = vec![SubscribeFilter { filter: Filter::new(filter).unwrap(), options }];
    Packet::Subscribe(Subscribe { packet_id: id(1), properties: Properties::EMPTY, filters })
}

#[test]
fn what_is_the_drivers_is_handed_to_it() {
    let mut driver = Driver::connected(&Terms::v5([]));
    assert!(matches!(driver.receive(subscribe("a/#", true)), Ok(Event::Subscribe(_))));
    let filters = vec![Filter::new("a/#").unwrap()];
    let unsubscribe = Unsubscribe { packet_id: id(2), filters, properties: Properties::EMPTY };
    assert!(matches!(driver.receive(Packet::Unsubscribe(unsubscribe)), Ok(Event::Unsubscribe(_))));
    let auth = Auth { reason: ReasonCode::Reauthenticate, properties: Properties::EMPTY };
    assert!(matches!(driver.receive(Packet::Auth(auth)), Ok(Event::Auth(_))));
    assert!(driver.sent().is_empty());
    assert!(matches!(driver.receive(Packet::PingReq), Ok(Event::Nothing)));
    assert_eq!(driver.sent_text(), ["pingresp"]);
}

#[test]
fn what_no_client_may_send() {
    let mut driver = Driver::connected(&Terms::v5([]));
    let properties = Properties::EMPTY;
    let connect = Connect {
        version: Version::V5,
        client_id: "c".into(),
        is_bridge: false,
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties: Properties::EMPTY,
    };
    let connack = ConnAck { session_present: false, reason: ReasonCode::Success, properties: properties.clone() };
    let suback = SubAck { packet_id: id(1), reasons: vec![ReasonCode::Success], properties: properties.clone() };
    let unsuback = UnsubAck { packet_id: id(1), reasons: vec![ReasonCode::Success], properties };
    for (packet, violation) in [
        (Packet::Connect(Box::new(connect)), Violation::SecondConnect),
        (Packet::ConnAck(connack), Violation::ServerPacket),
        (Packet::SubAck(suback), Violation::ServerPacket),
        (Packet::UnsubAck(unsuback), Violation::ServerPacket),
        (Packet::PingResp, Violation::ServerPacket),
        (subscribe("$share/g/a", true), Violation::NoLocalShared),
    ] {
        let refused = driver.receive(packet).unwrap_err();
        assert_eq!((refused.reason_code(), refused), (ReasonCode::ProtocolError, violation));
    }
    assert!(driver.sent().is_empty());
}

#[test]
fn silence_is_allowed_for_one_and_a_half_keep_alives() {
    for (keep_alive, expected) in [(0, None), (1, Some(1500)), (60, Some(90_000)), (u16::MAX, Some(98_302_500))] {
        let driver = Driver::connected(&Terms { keep_alive, ..Terms::new(Version::V3_1_1) });
        assert_eq!(driver.session.silence_limit(), expected);
    }
}

#[test]
fn the_session_ends_when_connect_or_disconnect_say() {
    let expiry = |seconds| Properties::from([Property::SessionExpiry(seconds)]);
    for (at_connect, at_disconnect, expected) in [
        (0, None, Some(0)),
        (60, None, Some(60)),
        (60, Some(0), Some(0)),
        (60, Some(90), Some(90)),
        (60, Some(u32::MAX), None),
        (u32::MAX, None, None),
        (0, Some(0), Some(0)),
    ] {
        let mut driver = Driver::connected(&Terms::v5([Property::SessionExpiry(at_connect)]));
        let properties = at_disconnect.map(expiry).unwrap_or_default();
        let event = driver.receive(disconnect(ReasonCode::Success, properties)).unwrap();
        assert!(matches!(event, Event::Disconnect(disconnect) if disconnect.reason == ReasonCode::Success));
        assert_eq!(driver.session.session_expiry(), at_disconnect.unwrap_or(at_connect));
        assert_eq!(driver.cut().expires_at, expected.map(|seconds| driver.now.plus_seconds(seconds)));
    }

    let mut driver = Driver::connected(&Terms::v5([Property::SessionExpiry(0)]).with_will(0, Properties::EMPTY));
    let refused = driver.receive(disconnect(ReasonCode::Success, expiry(1))).unwrap_err();
    assert_eq!((refused.reason_code(), refused), (ReasonCode::ProtocolError, Violation::SessionExpiry));
    assert!(driver.cut().will.is_some(), "the DISCONNECT does not count");
}

#[test]
fn a_second_detach_tells_nothing() {
    let mut driver = Driver::connected(&Terms::v5([]).with_will(0, Properties::EMPTY));
    assert!(driver.cut().will.is_some());
    let again = driver.cut();
    assert!(again.will.is_none() && again.will_at.is_none() && again.expires_at.is_none());
    assert!(!driver.session.is_attached());
    assert!(matches!(driver.receive(Packet::PingReq), Ok(Event::Nothing)));
    assert!(driver.out.is_empty());
}

#[test]
fn only_a_normal_disconnect_drops_the_will() {
    for (reason, stays) in [
        (Some(ReasonCode::Success), false),
        (Some(ReasonCode::DisconnectWithWill), true),
        (Some(ReasonCode::UnspecifiedError), true),
        (Some(ReasonCode::ProtocolError), true),
        (None, true),
    ] {
        let mut driver = Driver::connected(&Terms::v5([]).with_will(0, Properties::EMPTY));
        if let Some(reason) = reason {
            driver.receive(disconnect(reason, Properties::EMPTY)).unwrap();
        }
        let detached = driver.cut();
        assert_eq!((detached.will.is_some(), detached.will_at), (stays, None));
        assert!(driver.session.take_will(driver.now, true).is_none());
    }
}

#[test]
fn a_delayed_will_waits_for_the_delay_or_the_end_of_the_session() {
    for (delay, expiry, due) in [(0, 60, 0), (10, 60, 10), (60, 10, 10), (10, 0, 0), (10, u32::MAX, 10)] {
        let terms = Terms::v5([Property::SessionExpiry(expiry)]).with_will(delay, Properties::EMPTY);
        let mut driver = Driver::connected(&terms);
        assert!(driver.session.take_will(driver.now, true).is_none(), "the connection lives");
        let detached = driver.cut();
        assert_eq!(detached.will.is_some(), due == 0);
        assert_eq!(detached.will_at, (due > 0).then(|| driver.now.plus_seconds(due)));
        if due > 0 {
            driver.pass(u64::from(due) * 1000 - 1);
            assert!(driver.session.take_will(driver.now, false).is_none());
            driver.pass(1);
            let will = driver.session.take_will(driver.now, false).unwrap();
            assert_eq!(will.message, terms.will.unwrap().message);
            assert!(driver.session.take_will(driver.now, true).is_none());
        }
    }
}

#[test]
fn coming_back_cancels_a_delayed_will_and_ending_the_session_does_not() {
    let terms = Terms::v5([]).with_will(10, Properties::EMPTY);
    let mut driver = Driver::connected(&terms);
    driver.cut();
    driver.connect(&Terms::v5([]));
    driver.pass(20_000);
    assert!(driver.session.take_will(driver.now, true).is_none());
    assert!(driver.cut().will.is_none());

    let mut driver = Driver::connected(&terms);
    driver.cut();
    assert!(driver.session.take_will(driver.now, true).is_some());
}

#[test]
fn the_expiry_of_a_will_starts_when_it_is_published() {
    let properties = Properties::from([Property::MessageExpiry(5), Property::ContentType("x".into())]);
    let mut driver = Driver::connected(&Terms::v5([]).with_will(10, properties));
    driver.cut();
    driver.pass(10_000);
    let will = driver.session.take_will(driver.now, false).unwrap();
    assert_eq!(will.expires_at, Some(driver.now.plus_seconds(5)));
    assert_eq!(will.message.properties, Properties::from([Property::ContentType("x".into())]));
}

#[test]
fn subscriptions_outlive_the_connection() {
    let mut driver = Driver::connected(&Terms::v5([]));
    let filter = Filter::new("a/+").unwrap();
    assert!(!driver.session.subscribe(&filter, SubscribeOptions::default(), None));
    assert!(driver.session.subscribe(&filter, SubscribeOptions::default(), Some(3)));
    driver.cut();
    driver.connect(&Terms::v5([]));
    let subscriptions: Vec<_> = driver.session.subscriptions().collect();
    assert_eq!(subscriptions, [(&filter, SubscribeOptions::default(), Some(3))]);
    assert!(driver.session.is_subscribed(&filter));
    assert!(driver.session.unsubscribe(&filter) && !driver.session.unsubscribe(&filter));
    assert_eq!(driver.session.subscriptions_len(), 0);
}
