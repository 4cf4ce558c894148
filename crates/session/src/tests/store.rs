//! What a store would have of a session, kept by its changes alone.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{Change, Delivery, Kept, Released};

#[derive(Default)]
pub(super) struct Store {
    deliveries: BTreeMap<u64, Delivery>,
    released: BTreeMap<u64, Released>,
    received: BTreeSet<PacketId>,
}

impl Store {
    pub(super) fn take_changes(&mut self, session: &mut Session) {
        for change in session.take_changes() {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Kept(delivery) => {
                let last = self.deliveries.last_key_value().map_or(0, |(number, _)| *number);
                assert!(delivery.number > last, "numbers grow");
                self.deliveries.insert(delivery.number, delivery);
            }
            Change::Sent { number, packet_id } => {
                let delivery = self.deliveries.get_mut(&number).expect("was kept before");
                assert!(delivery.packet_id.replace(packet_id).is_none(), "is sent once");
            }
            Change::Released { delivery, order } => {
                let packet_id = delivery.packet_id.expect("was sent");
                self.deliveries.remove(&delivery.number).expect("was kept before");
                self.released.insert(delivery.number, Released { number: delivery.number, order, packet_id });
            }
            Change::Finished(delivery) => {
                self.deliveries.remove(&delivery.number).expect("was kept before");
            }
            Change::Reserved(released) => assert!(self.released.insert(released.number, released).is_none()),
            Change::Completed(released) => {
                self.released.remove(&released.number).expect("was released before");
            }
            Change::Received(id) => assert!(self.received.insert(id)),
            Change::Freed(id) => assert!(self.received.remove(&id)),
        }
    }

    /// Asserts that nothing is missing and nothing is left over.
    pub(super) fn check(&self, session: &Session) {
        let inflight = session.inflight.iter().flat_map(|inflight| inflight.ids()).collect::<BTreeSet<_>>();
        let sent = self.deliveries.values().filter_map(|delivery| delivery.packet_id);
        let released = self.released.values().map(|released| released.packet_id);
        assert_eq!(inflight, sent.chain(released).collect());
        let waiting = self.deliveries.values().filter(|delivery| delivery.packet_id.is_none()).count();
        assert!(waiting <= session.queue_len());
        assert_eq!(self.received.len(), session.unreleased_len());
    }

    /// The session of the next process.
    pub(super) fn restore(&self, session: &Session, config: Config) -> Session {
        let kept = Kept {
            version: session.version(),
            session_expiry: session.session_expiry(),
            will: None,
            deliveries: self.deliveries.values().cloned().collect(),
            released: self.released.values().copied().collect(),
            received: self.received.iter().copied().collect(),
        };
        Session::restore(Arc::new(config), kept, None)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.released.is_empty() && self.received.is_empty()
    }
}

#[test]
fn only_what_outlives_its_connection_is_stored() {
    let config = Config { is_stored: true, ..Config::default() };
    for (session_expiry, is_stored) in [(0, false), (1, true)] {
        let mut driver = Driver::new(config.clone());
        driver.connect(&Terms { session_expiry, ..Terms::new(Version::V3_1_1) });
        driver.deliver(&Publication::new(message("t", "m", Qos::AtLeastOnce), driver.now), at_least_once());
        assert_eq!(driver.session.is_stored(), is_stored);
        assert_eq!(driver.session.take_changes().len(), usize::from(is_stored));
    }
    let mut driver = Driver::new(Config::default());
    driver.connect(&Terms::new(Version::V5));
    assert!(!driver.session.is_stored());
}

#[test]
fn a_session_that_ends_leaves_nothing_in_the_store() {
    let mut driver = Driver::new(Config { is_stored: true, max_inflight: 2, ..Config::default() });
    driver.connect(&Terms::new(Version::V3_1_1));
    let mut store = Store::default();
    for _ in 0..4 {
        let publication = Publication::new(message("t", "m", Qos::ExactlyOnce), driver.now);
        driver.deliver(&publication, DeliveryOptions { qos: Qos::ExactlyOnce, ..Default::default() });
    }
    let pubrec = Packet::PubRec(Ack::new(PacketId::new(1).unwrap(), ReasonCode::Success));
    driver.receive(pubrec).unwrap();
    let owed = driver.receive_publish(publish(Qos::ExactlyOnce, 7)).unwrap();
    store.take_changes(&mut driver.session);
    store.check(&driver.session);
    assert!(!store.is_empty() && owed.is_some());
    // Two are sent or released, two wait.
    assert_eq!(driver.session.owed_len(), 3);
    let mut seen = 0;
    let given_up: Vec<_> = (0..4).map(|_| driver.session.give_up_some(1, |_| seen += 1)).collect();
    assert_eq!((given_up, seen, driver.session.owed_len()), (vec![2, 1, 0, 0], 3, 0));
    store.take_changes(&mut driver.session);
    assert!(store.is_empty());
}

#[test]
fn what_expires_while_it_waits_leaves_the_store() {
    let mut driver = Driver::new(Config { is_stored: true, ..Config::default() });
    driver.connect(&Terms::new(Version::V3_1_1));
    driver.cut();
    let mut store = Store::default();
    for expiry in [Some(5), None, Some(9)] {
        let properties = expiry.map(Property::MessageExpiry).into_iter().collect();
        let publication = Publication::new(Message { properties, ..message("t", "m", Qos::AtLeastOnce) }, driver.now);
        driver.deliver(&publication, at_least_once());
    }
    for (left, dropped) in [(3, 0), (2, 1), (1, 1)] {
        driver.session.drop_expired(driver.now);
        assert_eq!(driver.session.take_lost().len(), dropped);
        store.take_changes(&mut driver.session);
        store.check(&driver.session);
        assert_eq!((driver.session.queue_len(), driver.session.has_expiring()), (left, left > 1));
        driver.pass(5_000);
    }
}

#[test]
fn packet_ids_go_on_after_those_in_use() {
    let config = Config { is_stored: true, ..Config::default() };
    let mut driver = Driver::new(config.clone());
    driver.connect(&Terms::new(Version::V3_1_1));
    let mut store = Store::default();
    for _ in 0..3 {
        driver.deliver(&Publication::new(message("t", "m", Qos::AtLeastOnce), driver.now), at_least_once());
    }
    store.take_changes(&mut driver.session);
    driver.out.clear();
    driver.session = store.restore(&driver.session, config);
    driver.connect(&Terms::new(Version::V3_1_1));
    driver.deliver(&Publication::new(message("t", "m", Qos::AtLeastOnce), driver.now), at_least_once());
    let sent: Vec<_> = driver
        .sent()
        .into_iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => (publish.packet_id.unwrap().as_u16(), publish.dup),
            other => panic!("{other:?}"),
        })
        .collect();
    // [MQTT-4.4.0-1]
    assert_eq!(sent, [(1, true), (2, true), (3, true), (4, false)]);
}

fn at_least_once() -> DeliveryOptions<'static> {
    DeliveryOptions { qos: Qos::AtLeastOnce, ..Default::default() }
}

#[test]
fn releases_are_sent_again_in_the_order_in_which_pubrecs_came() {
    let config = Config { is_stored: true, ..Config::default() };
    let mut driver = Driver::new(config.clone());
    driver.connect(&Terms::new(Version::V3_1_1));
    let mut store = Store::default();
    let deliver = |driver: &mut Driver| {
        let publication = Publication::new(message("t", "m", Qos::ExactlyOnce), driver.now);
        driver.deliver(&publication, DeliveryOptions { qos: Qos::ExactlyOnce, ..Default::default() });
    };
    (0..4).for_each(|_| deliver(&mut driver));
    let pubrec = |id| Packet::PubRec(Ack::new(PacketId::new(id).unwrap(), ReasonCode::Success));
    for id in [3, 1] {
        driver.receive(pubrec(id)).unwrap();
    }
    // Twice over another process: those that come later are behind those from before.
    for (next, expected) in [(4, &[3, 1][..]), (2, &[3, 1, 4]), (5, &[3, 1, 4, 2])] {
        store.take_changes(&mut driver.session);
        driver.out.clear();
        driver.session = store.restore(&driver.session, config.clone());
        driver.connect(&Terms::new(Version::V3_1_1));
        let released = |packet| match packet {
            Packet::PubRel(ack) => Some(ack.packet_id.as_u16()),
            _ => None,
        };
        // [MQTT-4.6.0-4]
        assert_eq!(driver.sent().into_iter().filter_map(released).collect::<Vec<_>>(), expected);
        deliver(&mut driver);
        driver.receive(pubrec(next)).unwrap();
    }
}
