use std::task::Waker;

use mqtt_codec::SubAck;
use serde_json::{Value, json};

use super::*;
use crate::plan::tests::plans;
use crate::side::tests::{Fake, publish};

use Version::V5;

/// A relay between two brokers that are only memory.
struct Rig {
    relay: Relay,
    remote: Fake,
    local: Fake,
    version: Version,
    beat: Interval,
}

impl Rig {
    /// `plan` is what a bridge has beside its name and the remote broker.
    fn new(plan: Value) -> Self {
        let mut bridge = json!({"name": "a", "remote": "mqtt://h"});
        bridge.as_object_mut().unwrap().extend(plan.as_object().unwrap().clone());
        let plan = plans(&json!([bridge])).unwrap().remove(0);
        let (remote, local, version) = (Fake::default(), Fake::default(), plan.version);
        let relay = Relay {
            remote: Side::new(Box::new(remote.clone()), version, 10_000),
            local: Side::new(Box::new(local.clone()), V5, u32::MAX),
            plan: Arc::new(plan),
            here: "me".into(),
            counts: Arc::default(),
            max_qos: Qos::ExactlyOnce,
            retains: true,
            keep_alive: Duration::from_secs(60),
            subscribing: None,
            sweep: None,
            probe: None,
            pinged: None,
            told: HashSet::new(),
        };
        let mut rig = Self { relay, remote, local, version, beat: tokio::time::interval(Duration::from_secs(60)) };
        (rig.relay.remote.max_outgoing, rig.relay.local.max_outgoing) = (1_000, 100_000);
        rig
    }

    fn turn(&mut self) -> Result<(), Trouble> {
        let mut context = Context::from_waker(Waker::noop());
        self.relay.poll(&mut self.beat, &mut None, &mut context)
    }

    /// One broker sends this, and these come to it and to the other.
    #[track_caller]
    fn check(&mut self, from: End, sent: &Packet, back: &[Packet], on: &[Packet]) {
        match from {
            End::Remote => self.remote.feed(sent, self.version),
            End::Local => self.local.feed(sent, V5),
        }
        self.turn().unwrap();
        let (there, here) = (self.remote.taken(self.version), self.local.taken(V5));
        let (to_sender, to_other) = if from == End::Remote { (there, here) } else { (here, there) };
        assert_eq!((to_sender.as_slice(), to_other.as_slice()), (back, on));
    }
}

fn ack(id: u16, reason: ReasonCode) -> Ack {
    Ack::new(PacketId::new(id).unwrap(), reason)
}

fn ok(id: u16) -> Ack {
    ack(id, ReasonCode::Success)
}

fn hop(packet: Packet, broker: &str) -> Packet {
    let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
    let properties = passed(&publish.properties, &broker.into());
    Packet::Publish(Publish { properties, ..publish })
}

fn both() -> Value {
    json!({"out": [{"topic": "a/#", "remote_prefix": "x/"}], "in": [{"topic": "b/#", "local_prefix": "y/"}]})
}

fn older(mut plan: Value) -> Value {
    plan["protocol"] = json!(4);
    plan
}

#[tokio::test]
async fn packet_ids_pass_through_in_both_directions() {
    use End::{Local, Remote};
    for plan in [both(), older(both())] {
        let mut rig = Rig::new(plan);
        let version = rig.version;
        let stamp = |packet| if version == V5 { hop(packet, "me") } else { packet };
        for (qos, id) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 7), (Qos::ExactlyOnce, 8)] {
            let (out, r#in) = (stamp(publish("x/a/1", qos, id, 3)), publish("y/b/1", qos, id, 3));
            rig.check(Local, &publish("a/1", qos, id, 3), &[], &[out]);
            rig.check(Remote, &publish("b/1", qos, id, 3), &[], &[r#in]);
        }
        // The other direction has the same ids, and they have nothing to do with each other.
        for end in [Remote, Local] {
            rig.check(end, &Packet::PubAck(ok(7)), &[], &[Packet::PubAck(ok(7))]);
            rig.check(end, &Packet::PubRec(ok(8)), &[], &[Packet::PubRec(ok(8))]);
            rig.check(end, &Packet::PubRel(ok(8)), &[], &[Packet::PubRel(ok(8))]);
            rig.check(end, &Packet::PubComp(ok(8)), &[], &[Packet::PubComp(ok(8))]);
        }
        assert_eq!((rig.relay.counts.sent.value(), rig.relay.counts.received.value()), (3, 3));
    }
}

#[tokio::test]
async fn a_remote_broker_that_sends_back_what_it_is_sent_is_found_out_before_anything_is() {
    let round = json!({"out": [{"topic": "a/#"}], "in": [{"topic": "a/+"}]});
    assert!(Probe::new(&Rig::new(round.clone()).relay.plan, "me").is_none(), "MQTT 5 has a word for it");
    assert!(Probe::new(&Rig::new(older(both())).relay.plan, "me").is_none(), "nothing would go round");
    let mut rig = Rig::new(older(round));
    let mut probe = Probe::new(&rig.relay.plan, "no/me.a").unwrap();
    let sent = publish("$rollcall/bridge/nome.a", Qos::AtMostOnce, 0, 0);
    let filter = probe.filter();
    assert_eq!(filter.as_ref().unwrap().as_str(), "$rollcall/bridge/nome.a");
    assert_eq!((probe.take_packet(), probe.take_packet()), (Some(sent.clone()), None));
    rig.relay.probe = Probe::new(&rig.relay.plan, "no/me.a");
    rig.relay.subscribing = Subscribing::new(&rig.relay.plan.r#in, Vec::new(), filter, rig.version);
    rig.local.feed(&publish("a/1", Qos::AtMostOnce, 0, 1), V5);
    rig.turn().unwrap();
    assert!(matches!(rig.remote.taken(rig.version)[..], [Packet::Subscribe(_)]));
    let reasons = vec![ReasonCode::Success; 2];
    let packet_id = PacketId::new(65_535).unwrap();
    let answer = Packet::SubAck(SubAck { packet_id, reasons, properties: Properties::EMPTY });
    rig.remote.feed(&answer, rig.version);
    rig.turn().unwrap();
    assert_eq!(rig.remote.taken(rig.version), [sent.clone(), publish("a/1", Qos::AtMostOnce, 0, 1)]);
    rig.remote.feed(&sent, rig.version);
    let why = rig.turn().unwrap_err().to_string();
    assert!(why.contains("out has \"a/#\" and in has \"a/+\""), "{why}");
    assert!(rig.local.taken(V5).is_empty());
}

#[tokio::test]
async fn what_cannot_be_carried_is_answered_and_counted() {
    use End::{Local, Remote};
    let mut rig = Rig::new(both());
    for (id, packet, reason) in [
        (1, publish("a/1", Qos::AtLeastOnce, 1, 2_000), UNFIT),
        (2, publish("elsewhere", Qos::AtLeastOnce, 2, 2), ReasonCode::TopicNameInvalid),
    ] {
        rig.check(Local, &packet, &[Packet::PubAck(ack(id, reason))], &[]);
    }
    let long = format!("a/{}", "b/".repeat(32_766));
    let too_long = publish(&long, Qos::ExactlyOnce, 3, 2);
    rig.check(Local, &too_long, &[Packet::PubRec(ack(3, ReasonCode::TopicNameInvalid))], &[]);
    rig.check(Local, &publish("a/1", Qos::AtMostOnce, 0, 2_000), &[], &[]);
    rig.check(
        Remote,
        &publish("c", Qos::ExactlyOnce, 4, 2),
        &[Packet::PubRec(ack(4, ReasonCode::TopicNameInvalid))],
        &[],
    );
    assert_eq!(rig.relay.counts.dropped.value(), 5);
    // Before MQTT 5 what is too large comes nevertheless, and has to have an answer.
    let mut rig = Rig::new(older(both()));
    rig.check(Remote, &publish("b/1", Qos::ExactlyOnce, 5, 20_000), &[Packet::PubRec(ok(5))], &[]);
    rig.check(Remote, &Packet::PubRel(ok(5)), &[], &[Packet::PubRel(ok(5))]);
    let unknown = ack(5, ReasonCode::PacketIdNotFound);
    rig.check(Local, &Packet::PubComp(unknown), &[], &[Packet::PubComp(ok(5))]);
}

#[tokio::test]
async fn what_was_here_before_goes_no_further() {
    use End::{Local, Remote};
    let mut rig = Rig::new(both());
    rig.check(Remote, &hop(publish("b/1", Qos::AtLeastOnce, 1, 1), "me"), &[Packet::PubAck(ok(1))], &[]);
    rig.check(Local, &hop(publish("a/1", Qos::ExactlyOnce, 2, 1), "me"), &[Packet::PubRec(ok(2))], &[]);
    let (came, goes) = (hop(publish("a/1", Qos::AtMostOnce, 0, 1), "you"), publish("x/a/1", Qos::AtMostOnce, 0, 1));
    rig.check(Local, &came, &[], &[hop(hop(goes, "you"), "me")]);
    assert_eq!(rig.relay.counts.looped.value(), 2);
}

#[tokio::test]
async fn a_broker_without_room_is_asked_again_and_one_that_refuses_is_not() {
    let mut rig = Rig::new(both());
    let refused = Packet::PubRec(ack(1, ReasonCode::NotAuthorized));
    rig.check(End::Remote, &refused, &[], std::slice::from_ref(&refused));
    assert_eq!(rig.relay.counts.refused.value(), 1);
    for end in [End::Remote, End::Local] {
        let unwanted = Packet::PubAck(ack(3, ReasonCode::NoMatchingSubscribers));
        rig.check(end, &unwanted, &[], &[Packet::PubAck(ok(3))]);
    }
    assert_eq!(rig.relay.counts.refused.value(), 1);
    rig.remote.feed(&Packet::PubAck(ack(2, ReasonCode::QuotaExceeded)), V5);
    assert!(matches!(rig.turn(), Err(Trouble::Full(ReasonCode::QuotaExceeded))));
    rig.local.feed(&Packet::PubAck(ack(2, ReasonCode::QuotaExceeded)), V5);
    assert!(matches!(rig.turn(), Err(Trouble::Here(_))));
    assert!(rig.local.taken(V5).is_empty() && rig.remote.taken(V5).is_empty());
}

#[tokio::test]
async fn nothing_is_read_for_a_broker_that_takes_nothing() {
    let mut rig = Rig::new(both());
    rig.remote.shut(true);
    for id in 1..=500 {
        rig.local.feed(&publish("a/1", Qos::AtLeastOnce, id, 500), V5);
    }
    rig.turn().unwrap();
    assert!(rig.local.left() > 100_000, "{}", rig.local.left());
    // Its answers are still taken.
    rig.check(End::Remote, &Packet::PubAck(ok(1)), &[], &[Packet::PubAck(ok(1))]);
    // One turn is all there is: nothing else would wake it up for what has been there for long.
    rig.remote.shut(false);
    rig.turn().unwrap();
    assert_eq!((rig.remote.taken(V5).len(), rig.local.left()), (500, 0));
}

#[tokio::test]
async fn nothing_goes_out_before_the_subscription_is_confirmed() {
    let mut rig = Rig::new(both());
    rig.relay.subscribing = Subscribing::new(&rig.relay.plan.r#in, Vec::new(), None, V5);
    rig.local.feed(&publish("a/1", Qos::AtLeastOnce, 65_535, 1), V5);
    rig.turn().unwrap();
    let asked = rig.remote.taken(V5);
    assert!(matches!(&asked[..], [Packet::Subscribe(asked)] if asked.packet_id.as_u16() == 65_535), "{asked:?}");
    let confirmed = SubAck {
        packet_id: PacketId::new(65_535).unwrap(),
        reasons: vec![ReasonCode::GrantedQos2],
        properties: Properties::EMPTY,
    };
    // What comes meanwhile is taken.
    rig.check(End::Remote, &publish("b/1", Qos::AtMostOnce, 0, 1), &[], &[publish("y/b/1", Qos::AtMostOnce, 0, 1)]);
    let goes = hop(publish("x/a/1", Qos::AtLeastOnce, 65_535, 1), "me");
    rig.check(End::Remote, &Packet::SubAck(confirmed), &[goes], &[]);
}

#[tokio::test]
async fn every_id_is_released_where_only_one_session_is_new() {
    for swept in [End::Remote, End::Local] {
        let mut rig = Rig::new(both());
        rig.relay.sweep = Some((swept, Sweep::default()));
        rig.relay.subscribing = Subscribing::new(&rig.relay.plan.r#in, Vec::new(), None, V5);
        rig.local.feed(&publish("a/1", Qos::AtLeastOnce, 1, 1), V5);
        let mut released = 0;
        let of_swept = |rig: &Rig| if swept == End::Remote { rig.remote.clone() } else { rig.local.clone() };
        let (mut out, mut asked) = (0, 0);
        while released < 65_535 {
            rig.turn().unwrap();
            for packet in rig.remote.taken(V5).into_iter().chain(rig.local.taken(V5)) {
                match packet {
                    Packet::PubRel(ack) => {
                        released += 1;
                        assert_eq!(ack.packet_id.as_u16(), released);
                        of_swept(&rig)
                            .feed(&Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::PacketIdNotFound)), V5);
                    }
                    Packet::Publish(_) => out += 1,
                    Packet::Subscribe(_) => asked += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(asked, 0, "{released}");
            if swept == End::Remote {
                assert_eq!(out, 0, "{released}");
            }
        }
        rig.turn().unwrap();
        assert!(rig.relay.sweep.is_none() && rig.relay.subscribing.is_some());
        assert!(rig.remote.taken(V5).iter().any(|packet| matches!(packet, Packet::Subscribe(_))));
        assert!(rig.local.taken(V5).is_empty(), "no answer of a sweep is handed on");
    }
}

#[tokio::test]
async fn a_remote_broker_that_is_silent_or_stuck_is_given_up() {
    let mut rig = Rig::new(both());
    let begun = Instant::now();
    let after = |seconds| begun + Duration::from_secs(seconds);
    rig.relay.look_at_the_time(after(50)).unwrap();
    assert!(!rig.relay.remote.has_output());
    rig.relay.look_at_the_time(after(60)).unwrap();
    assert_eq!(rig.relay.pinged, Some(after(60)));
    assert!(matches!(rig.relay.look_at_the_time(after(92)), Err(Trouble::Stuck | Trouble::Silent)));
    rig.turn().unwrap();
    assert_eq!(rig.remote.taken(V5), [Packet::PingReq]);
    assert!(matches!(rig.relay.look_at_the_time(after(92)), Err(Trouble::Silent)));
    // An answer that was read before the ping would have been due anyway.
    rig.relay.remote.last_read = after(61);
    rig.relay.look_at_the_time(after(92)).unwrap();
}

/// Nothing else happens that would wake it up.
#[tokio::test]
async fn an_idle_remote_broker_is_asked_whether_it_is_there() {
    let mut rig = Rig::new(both());
    rig.relay.keep_alive = Duration::from_secs(2);
    let trouble = tokio::time::timeout(Duration::from_secs(20), rig.relay.run(&mut || ())).await;
    assert!(matches!(trouble, Ok(Trouble::Silent)), "{trouble:?}");
    assert_eq!(rig.remote.taken(V5), [Packet::PingReq]);
}
