//! A client that sends anything at any time: nothing panics and every bound holds.

use mqtt_codec::Disconnect;
use proptest::prelude::*;

use super::store::Store;
use super::*;
use crate::Gauge;

#[derive(Clone, Debug)]
enum Step {
    Receive(Packet),
    Deliver { qos: Qos, stored: bool, ids: Vec<u32> },
    Acknowledge(ReasonCode),
    Flush,
    Pump,
    Cut,
    Connect { version: Version, receive_maximum: u16, packet_size: u32, aliases: u16 },
    Resume,
    Wait(u64),
}

fn packet() -> impl Strategy<Value = Packet> {
    let reason = prop::sample::select(&[ReasonCode::Success, ReasonCode::QuotaExceeded][..]);
    let ack = (1..6u16, reason).prop_map(|(n, reason)| Ack::new(id(n), reason));
    let alias = prop::option::of(0..4u16);
    let published = (prop::sample::select(&QOS[..]), 0..6u16, any::<bool>(), alias, prop::option::of(0..3u32));
    prop_oneof![
        ack.clone().prop_map(Packet::PubAck),
        ack.clone().prop_map(Packet::PubRec),
        ack.clone().prop_map(Packet::PubRel),
        ack.prop_map(Packet::PubComp),
        published.prop_map(|(qos, n, has_topic, alias, expiry)| {
            let alias = alias.map(Property::TopicAlias);
            let properties = alias.into_iter().chain(expiry.map(Property::MessageExpiry)).collect();
            let publish = publish(qos, n);
            Packet::Publish(Publish { topic: publish.topic.filter(|_| has_topic), properties, ..publish })
        }),
        (0..3u32).prop_map(|seconds| {
            let properties = Properties::from([Property::SessionExpiry(seconds)]);
            Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties })
        }),
        Just(Packet::PingReq),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let versions = prop::sample::select(&[Version::V3_1_1, Version::V5][..]);
    prop_oneof![
        6 => packet().prop_map(Step::Receive),
        6 => (prop::sample::select(&QOS[..]), any::<bool>(), prop::collection::vec(1..300u32, 0..3))
            .prop_map(|(qos, stored, ids)| Step::Deliver { qos, stored, ids }),
        2 => prop::sample::select(&[ReasonCode::Success, ReasonCode::NotAuthorized][..]).prop_map(Step::Acknowledge),
        2 => Just(Step::Flush),
        1 => Just(Step::Pump),
        1 => Just(Step::Cut),
        1 => (versions, 1..4u16, 5..40u32, 0..3u16).prop_map(|(version, receive_maximum, packet_size, aliases)| {
            Step::Connect { version, receive_maximum, packet_size, aliases }
        }),
        2 => Just(Step::Resume),
        1 => (0..3000u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn every_bound_holds_whatever_a_client_does(steps in prop::collection::vec(step(), 0..300)) {
        let gauge = Gauge::default();
        let config = Config {
            receive_maximum: 3,
            topic_alias_maximum: 2,
            outgoing_aliases: 1,
            max_inflight: 3,
            max_queued: 4,
            max_queued_bytes: 50,
            max_stored: 5,
            share: Arc::default(),
            kept: gauge.clone(),
            max_outbox: 40,
            is_stored: true,
        };
        let mut driver = Driver::new(config);
        // A session has been somebody's before anything is delivered to it.
        driver.attach(&Terms::new(Version::V3_1_1));
        driver.cut();
        let mut store = Store::default();
        let mut owed = Vec::new();
        let mut packet_size = u32::MAX;
        for step in steps {
            match step {
                Step::Receive(packet) => match driver.receive(packet) {
                    Ok(Event::Publish(_, receipt)) => owed.push(receipt),
                    Ok(_) => {}
                    Err(violation) => {
                        prop_assert!(violation.reason_code().is_error());
                        driver.cut();
                    }
                },
                Step::Deliver { qos, stored, ids } => {
                    let properties = Properties::from([Property::MessageExpiry(2)]);
                    let message = Message { properties, ..message("t", "payload", qos) };
                    let publication = Publication::new(message, driver.now);
                    driver.deliver(&publication, DeliveryOptions { qos, retain: stored, stored, subscription_ids: &ids, by_group: false });
                }
                Step::Acknowledge(reason) => {
                    for receipt in owed.drain(..) {
                        driver.acknowledge(receipt, reason);
                    }
                }
                Step::Flush => {
                    for packet in driver.sent() {
                        let size = packet.encoded_len(driver.session.version()) as u32;
                        prop_assert!(!matches!(packet, Packet::Publish(_)) || size <= packet_size);
                    }
                }
                Step::Pump => driver.session.pump(driver.now, &mut driver.out),
                Step::Cut => drop(driver.cut()),
                Step::Connect { version, receive_maximum, packet_size: size, aliases } => {
                    driver.cut();
                    let mut terms = Terms::new(version);
                    packet_size = u32::MAX;
                    if version == Version::V5 {
                        packet_size = size;
                        terms = Terms::v5([
                            Property::ReceiveMaximum(receive_maximum),
                            Property::MaximumPacketSize(size),
                            Property::TopicAliasMaximum(aliases),
                        ]);
                    }
                    driver.attach(&terms);
                }
                Step::Resume => driver.session.resume(driver.now, &mut driver.out),
                Step::Wait(milliseconds) => driver.pass(milliseconds),
            }
            store.take_changes(&mut driver.session);
            store.check(&driver.session);
            let session = &driver.session;
            prop_assert!(session.inflight_len() <= 3 && session.queue_len() <= 4 + 5);
            prop_assert!(!session.has_backlog() || session.is_attached());
            let ids: Vec<_> = session.inflight.iter().flat_map(|inflight| inflight.ids()).collect();
            prop_assert!(ids.iter().collect::<std::collections::BTreeSet<_>>().len() == ids.len());
        }
        // Whatever it held has been given back.
        driver.cut();
        driver.session.give_up();
        store.take_changes(&mut driver.session);
        prop_assert_eq!(driver.session.held(), 0);
        drop((driver, store));
        prop_assert_eq!(gauge.bytes(), 0);
    }
}
