//! A session and a client back to back, over a wire that is cut again and again and loses what is on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::store::Store;
use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The broker has a message for the client.
    Deliver(usize, Qos),
    /// The client has one for the broker.
    Publish(usize, Qos),
    /// The outbox is put on the wire.
    Flush,
    /// The client's answers and messages are put on the wire.
    ClientFlush,
    ClientRead(usize),
    BrokerRead(usize),
    /// The broker answers what it has accepted.
    Acknowledge,
    /// The wire is lost with all that is on it, and there is a new one.
    Cut,
    /// The broker dies with the wire; another process goes on with what the store has.
    Crash,
    /// Another broker goes on with the session, and has had a message for the client before it had that.
    Move(usize, Qos),
}

const TOPICS: [&str; 2] = ["a", "b"];
const BROKER_TAKES: u16 = 5;

/// Messages by topic and QoS, in order.
type Log = BTreeMap<(String, Qos), Vec<u32>>;

/// What a client does with one message it has sent.
struct Pending {
    publish: Publish,
    released: bool,
}

/// A client that keeps its state over reconnects.
#[derive(Default)]
struct Client {
    receive_maximum: usize,
    log: Log,
    unreleased: BTreeSet<u16>,
    /// On this connection, without a final answer from here.
    open: BTreeSet<u16>,
    /// Not on the wire yet.
    leaving: VecDeque<Packet>,
    waiting: VecDeque<Publish>,
    pending: Vec<Pending>,
    next_id: u16,
}

impl Client {
    fn read(&mut self, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.read_publish(publish),
            Packet::PubRel(pubrel) => {
                self.unreleased.remove(&pubrel.packet_id.as_u16());
                self.leaving.push_back(Packet::PubComp(pubrel));
            }
            Packet::PubRec(pubrec) => {
                let place = self.pending.iter().position(|pending| pending.publish.packet_id == Some(pubrec.packet_id));
                self.pending[place.expect("the broker answers what was sent")].released = true;
                self.leaving.push_back(Packet::PubRel(pubrec));
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                // A PUBREL may come after the PUBCOMP to the first was lost.
                assert!([ReasonCode::Success, ReasonCode::PacketIdNotFound].contains(&ack.reason));
                self.pending.retain(|pending| pending.publish.packet_id != Some(ack.packet_id));
                self.send_waiting();
            }
            other => panic!("{other:?}"),
        }
    }

    fn read_publish(&mut self, publish: Publish) {
        let topic = publish.topic.expect("no aliases here").to_string();
        let number = u32::from_be_bytes(publish.payload[..].try_into().unwrap());
        let log = self.log.entry((topic, publish.qos)).or_default();
        assert!(publish.dup || !log.contains(&number), "sent before, and not marked so");
        let Some(packet_id) = publish.packet_id else {
            log.push(number);
            return;
        };
        assert!(self.open.insert(packet_id.as_u16()), "an id is in use twice");
        assert!(self.open.len() <= self.receive_maximum, "over the client's receive maximum");
        let ack = Ack::new(packet_id, ReasonCode::Success);
        if publish.qos == Qos::ExactlyOnce {
            if self.unreleased.insert(packet_id.as_u16()) {
                log.push(number);
            }
            self.leaving.push_back(Packet::PubRec(ack));
        } else {
            log.push(number);
            self.leaving.push_back(Packet::PubAck(ack));
        }
    }

    fn publish(&mut self, topic: &'static str, qos: Qos, number: u32) {
        let topic = Some(Topic::new(topic).unwrap());
        let publish = Publish { topic, payload: Bytes::copy_from_slice(&number.to_be_bytes()), ..publish(qos, 0) };
        self.waiting.push_back(publish);
        self.send_waiting();
    }

    fn send_waiting(&mut self) {
        while self.pending.len() < usize::from(BROKER_TAKES)
            && let Some(mut publish) = self.waiting.pop_front()
        {
            if publish.qos > Qos::AtMostOnce {
                self.next_id += 1;
                publish.packet_id = PacketId::new(self.next_id);
                self.pending.push(Pending { publish: publish.clone(), released: false });
            }
            self.leaving.push_back(Packet::Publish(publish));
        }
    }

    fn reconnect(&mut self) {
        self.open.clear();
        self.leaving.clear();
        for Pending { publish, released } in &self.pending {
            self.leaving.push_back(match publish.packet_id {
                Some(packet_id) if *released => Packet::PubRel(Ack::new(packet_id, ReasonCode::Success)),
                _ => Packet::Publish(Publish { dup: true, ..publish.clone() }),
            });
        }
    }
}

struct Pair {
    driver: Driver,
    store: Store,
    config: Config,
    client: Client,
    terms: Terms,
    to_client: VecDeque<Packet>,
    to_broker: VecDeque<Packet>,
    /// What the broker accepted from the client.
    log: Log,
    owed: Vec<Receipt>,
    delivered: Log,
    published: Log,
    number: u32,
}

impl Pair {
    fn new(version: Version, receive_maximum: u16, max_outbox: usize) -> Self {
        let mut terms = Terms::new(version);
        let mut allowed = 4;
        if version == Version::V5 {
            terms = Terms::v5([Property::ReceiveMaximum(receive_maximum)]);
            allowed = usize::from(receive_maximum).min(4);
        }
        let config =
            Config { receive_maximum: BROKER_TAKES, max_inflight: 4, max_outbox, is_stored: true, ..Config::default() };
        let mut driver = Driver::new(config.clone());
        driver.connect(&terms);
        Self {
            driver,
            store: Store::default(),
            config,
            client: Client { receive_maximum: allowed, ..Client::default() },
            terms,
            to_client: VecDeque::new(),
            to_broker: VecDeque::new(),
            log: Log::new(),
            owed: Vec::new(),
            delivered: Log::new(),
            published: Log::new(),
            number: 0,
        }
    }

    fn step(&mut self, step: Step) {
        self.take(step);
        self.store.take_changes(&mut self.driver.session);
        self.store.check(&self.driver.session);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Deliver(topic, qos) => self.deliver(TOPICS[topic], qos),
            Step::Publish(topic, qos) => {
                self.number += 1;
                self.published.entry((TOPICS[topic].into(), qos)).or_default().push(self.number);
                self.client.publish(TOPICS[topic], qos, self.number);
            }
            Step::Flush => {
                let sent = self.driver.sent();
                self.to_client.extend(sent);
                let Driver { session, out, now } = &mut self.driver;
                session.pump(*now, out);
                assert!(!session.has_backlog() || !out.is_empty());
            }
            Step::ClientFlush => {
                for packet in self.client.leaving.drain(..) {
                    if let Packet::PubAck(ack) | Packet::PubComp(ack) = &packet {
                        self.client.open.remove(&ack.packet_id.as_u16());
                    }
                    self.to_broker.push_back(packet);
                }
            }
            Step::ClientRead(n) => {
                for packet in self.to_client.drain(..n.min(self.to_client.len())) {
                    self.client.read(packet);
                }
            }
            Step::BrokerRead(n) => {
                for _ in 0..n {
                    if let Some(packet) = self.to_broker.pop_front() {
                        self.broker_read(packet);
                    }
                }
            }
            Step::Acknowledge => {
                for receipt in self.owed.drain(..) {
                    self.driver.acknowledge(receipt, ReasonCode::Success);
                }
            }
            Step::Crash => {
                self.owed.clear();
                self.driver.session = self.store.restore(&self.driver.session, self.config.clone());
                self.take(Step::Cut);
            }
            Step::Move(topic, qos) => {
                self.owed.clear();
                let (version, expiry) = (self.driver.session.version(), self.driver.session.session_expiry());
                let moving = Session::moving(Arc::new(self.config.clone()), version, expiry);
                let moved = std::mem::replace(&mut self.driver.session, moving).to_moved();
                self.store = Store::default();
                self.deliver(TOPICS[topic], qos);
                self.store.take_changes(&mut self.driver.session);
                self.driver.session.take_over(moved, |_| false);
                self.store.take_changes(&mut self.driver.session);
                self.store.check(&self.driver.session);
                self.take(Step::Cut);
            }
            Step::Cut => {
                self.to_client.clear();
                self.to_broker.clear();
                self.driver.cut();
                self.driver.connect(&self.terms);
                self.client.reconnect();
            }
        }
    }

    fn deliver(&mut self, topic: &'static str, qos: Qos) {
        self.number += 1;
        let payload = Bytes::copy_from_slice(&self.number.to_be_bytes());
        let publication = Publication::new(Message { payload, ..message(topic, "", qos) }, self.driver.now);
        let delivered = self.driver.deliver(&publication, DeliveryOptions { qos, ..Default::default() });
        assert!(qos == Qos::AtMostOnce || !matches!(delivered, Delivered::Dropped(_)));
        self.delivered.entry((topic.into(), qos)).or_default().push(self.number);
    }

    fn broker_read(&mut self, packet: Packet) {
        if let Event::Publish(publication, receipt) = self.driver.receive(packet).unwrap() {
            let Message { topic, payload, qos, .. } = publication.message;
            let number = u32::from_be_bytes(payload[..].try_into().unwrap());
            self.log.entry((topic.to_string(), qos)).or_default().push(number);
            self.owed.push(receipt);
        }
    }

    /// Until nothing moves any more.
    fn settle(&mut self) {
        self.step(Step::Cut);
        for _ in 0..10_000 {
            for step in [Step::Flush, Step::ClientRead(9), Step::ClientFlush, Step::BrokerRead(9), Step::Acknowledge] {
                self.step(step);
            }
            let is_still = self.driver.session.inflight_len() == 0 && self.client.pending.is_empty();
            if is_still && self.driver.session.queue_len() == 0 && self.client.waiting.is_empty() {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

/// `log` is what came of `sent`.
fn check(log: &Log, sent: &Log) {
    for (key, numbers) in sent {
        let came = log.get(key).cloned().unwrap_or_default();
        match key.1 {
            Qos::AtMostOnce => assert!(came.is_sorted_by(|a, b| a < b) && came.iter().all(|n| numbers.contains(n))),
            Qos::AtLeastOnce => {
                let mut first = Vec::new();
                for number in came {
                    if !first.contains(&number) {
                        first.push(number);
                    }
                }
                assert_eq!(&first, numbers, "{key:?}");
            }
            Qos::ExactlyOnce => assert_eq!(&came, numbers, "{key:?}"),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let qos = prop::sample::select(&QOS[..]);
    prop_oneof![
        4 => (0..2usize, qos.clone()).prop_map(|(topic, qos)| Step::Deliver(topic, qos)),
        3 => (0..2usize, qos.clone()).prop_map(|(topic, qos)| Step::Publish(topic, qos)),
        3 => Just(Step::Flush),
        3 => Just(Step::ClientFlush),
        4 => (1..5usize).prop_map(Step::ClientRead),
        4 => (1..5usize).prop_map(Step::BrokerRead),
        3 => Just(Step::Acknowledge),
        1 => Just(Step::Cut),
        1 => Just(Step::Crash),
        1 => (0..2usize, qos).prop_map(|(topic, qos)| Step::Move(topic, qos)),
    ]
}

proptest! {
    #[test]
    fn qos_holds_over_a_wire_that_is_cut(
        version in prop::sample::select(&[Version::V3_1, Version::V3_1_1, Version::V5][..]),
        receive_maximum in 1..6u16,
        max_outbox in prop::sample::select(&[1, 30, 1 << 20][..]),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut pair = Pair::new(version, receive_maximum, max_outbox);
        for step in steps {
            pair.step(step);
        }
        pair.settle();
        check(&pair.client.log, &pair.delivered);
        check(&pair.log, &pair.published);
        prop_assert_eq!(pair.driver.session.unreleased_len(), 0);
    }
}
