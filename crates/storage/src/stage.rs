//! What happens in a broker, as changes of records.

use mqtt_codec::{Filter, Message, PacketId, SubscribeOptions, Topic};
use mqtt_session::{Change, Delivery, Publication, Released};

use crate::record::{self, OnlineRecord, SessionRecord};
use crate::{Alive, Bounds, Stage, Table};

/// Bytes of the longest key; of a filter this leaves room for all but the last few a packet can carry.
pub(crate) const MAX_KEY: usize = 65_535;

/// The names in [`Table::Meta`].
pub(crate) const SCHEMA_KEY: &[u8] = b"schema";
pub(crate) const BOUNDS_KEY: &[u8] = b"bounds";
pub(crate) const ALIVE_KEY: &[u8] = b"alive";

impl Stage<'_> {
    /// A session is there, or its record has changed.
    pub fn put_session(&mut self, number: u64, session: &SessionRecord<'_>) {
        self.steps.put_with(Table::Sessions, &number.to_be_bytes(), |out| record::write_session(session, out));
    }

    /// A session has ended. What it had (subscriptions, deliveries, packet ids) is removed by steps of their own.
    pub fn remove_session(&mut self, number: u64) {
        self.steps.remove(Table::Sessions, &number.to_be_bytes());
    }

    /// True if a subscription with this filter can be kept.
    pub fn can_keep(filter: &Filter) -> bool {
        filter.as_str().len() <= MAX_KEY - 8
    }

    /// A session subscribes, or changes a subscription.
    pub fn subscribe(&mut self, session: u64, filter: &Filter, options: SubscribeOptions, id: Option<u32>) {
        self.put_subscription(session, filter, options, id, false);
    }

    /// The same, and the session has not been sent all that is retained for it. [`Self::subscribe`] says that it has.
    pub fn subscribe_owing(&mut self, session: u64, filter: &Filter, options: SubscribeOptions, id: Option<u32>) {
        self.put_subscription(session, filter, options, id, true);
    }

    fn put_subscription(
        &mut self,
        session: u64,
        filter: &Filter,
        options: SubscribeOptions,
        id: Option<u32>,
        owes_retained: bool,
    ) {
        let key = filter_key(session, filter);
        self.steps.put_with(Table::Subscriptions, &key, |out| {
            record::write_subscription(options, id, owes_retained, out);
        });
    }

    /// A session gives a subscription up.
    pub fn unsubscribe(&mut self, session: u64, filter: &Filter) {
        self.steps.remove(Table::Subscriptions, &filter_key(session, filter));
    }

    /// What a session says that it did.
    pub fn change(&mut self, session: u64, change: &Change) {
        match change {
            Change::Kept(delivery) => self.keep(session, delivery),
            Change::Sent { number, packet_id } => {
                self.steps.put(Table::Sent, &record::pair(session, *number), &packet_id.as_u16().to_le_bytes());
            }
            Change::Released { delivery, order } => {
                let Some(packet_id) = delivery.packet_id else { return };
                let key = record::pair(session, delivery.number);
                self.steps.put_with(Table::Deliveries, &key, |out| record::write_released(packet_id, *order, out));
                // [MQTT-4.3.3-6]: it is never sent again, so only the packet id is kept.
                self.let_go(session, delivery);
            }
            Change::Reserved(Released { number, order, packet_id }) => {
                let key = record::pair(session, *number);
                self.steps.put_with(Table::Deliveries, &key, |out| record::write_released(*packet_id, *order, out));
            }
            Change::Finished(delivery) => {
                self.steps.remove(Table::Deliveries, &record::pair(session, delivery.number));
                self.let_go(session, delivery);
            }
            Change::Completed(released) => {
                self.steps.remove(Table::Deliveries, &record::pair(session, released.number));
            }
            Change::Received(packet_id) => self.steps.put(Table::Received, &received_key(session, *packet_id), &[]),
            Change::Freed(packet_id) => self.steps.remove(Table::Received, &received_key(session, *packet_id)),
        }
    }

    /// True if a message can be kept. Almost all can: only a few bytes less than what the largest packet can carry are too
    /// much. Who owes an answer for one that can't be had better refuse it; if it is staged all the same, it is left out.
    pub fn can_keep_message(message: &Message) -> bool {
        /// So much smaller, it fits whatever else the packet says.
        const SMALL: usize = 1 << 20;
        message.payload.len() <= SMALL && message.properties.is_empty() || record::fits(message)
    }

    /// A message is retained. Call it in the order in which messages of this topic are retained.
    pub fn retain(&mut self, publication: &Publication) {
        if !Self::can_keep_message(&publication.message) {
            return;
        }
        let key = publication.message.topic.as_str().as_bytes();
        self.steps.put_with(Table::Retained, key, |out| record::write_publication(publication, out));
    }

    /// The retained message of a topic is gone.
    pub fn forget_retained(&mut self, topic: &Topic) {
        self.steps.remove(Table::Retained, topic.as_str().as_bytes());
    }

    /// A client has come.
    pub fn come(&mut self, connection: u64, online: &OnlineRecord<'_>) {
        self.steps.put_with(Table::Online, &connection.to_be_bytes(), |out| record::write(online, out));
    }

    /// A client has gone.
    pub fn go(&mut self, connection: u64) {
        self.steps.remove(Table::Online, &connection.to_be_bytes());
    }

    /// Numbers below these may have been given.
    pub fn bounds(&mut self, bounds: &Bounds) {
        self.steps.put_with(Table::Meta, BOUNDS_KEY, |out| record::write(bounds, out));
    }

    /// The broker lives.
    pub fn alive(&mut self, alive: Alive) {
        self.steps.put(Table::Meta, ALIVE_KEY, &alive.to_bytes());
    }

    /// What is kept of a module, as its keeper likes to write it.
    pub fn module(&mut self, name: &str, state: &[u8]) {
        self.steps.put(Table::Modules, name.as_bytes(), state);
    }

    /// A module keeps a record of its own, instead of what has this key.
    ///
    /// One whose key is too long for the store is not kept; see [`Self::can_keep_record`].
    pub fn keep_record(&mut self, module: &str, key: &[u8], record: &[u8]) {
        if Self::can_keep_record(module, key) {
            self.steps.put_by_pieces(Table::Records, &record_pieces(&[module.len() as u8], module, key), record);
        }
    }

    /// A module's record is not kept any more.
    pub fn forget_record(&mut self, module: &str, key: &[u8]) {
        if Self::can_keep_record(module, key) {
            self.steps.remove_by_pieces(Table::Records, &record_pieces(&[module.len() as u8], module, key));
        }
    }

    /// True if a module's record with this key can be kept.
    pub const fn can_keep_record(module: &str, key: &[u8]) -> bool {
        module.len() <= u8::MAX as usize && 1 + module.len() + key.len() <= MAX_KEY
    }

    /// What another part of the broker keeps.
    pub fn note(&mut self, name: &str, record: &[u8]) {
        self.steps.put(Table::Notes, name.as_bytes(), record);
    }

    fn keep(&mut self, session: u64, delivery: &Delivery) {
        if !Self::can_keep_message(&delivery.publication.message) {
            return;
        }
        // A message that several sessions keep has a record of its own, put with the first of them; the others have its
        // number.
        let place = &delivery.publication.place;
        let message = (!place.is_single()).then(|| {
            let mut number = place.number();
            if number == 0 {
                number = self.next_message();
                let publication = &delivery.publication;
                self.steps.put_with(Table::Messages, &number.to_be_bytes(), |out| {
                    record::write_publication(publication, out);
                });
            }
            place.keep(number);
            number
        });
        let key = record::pair(session, delivery.number);
        self.steps.put_with(Table::Deliveries, &key, |out| record::write_delivery(delivery, message, out));
    }

    /// A delivery's message is not needed for it any more.
    fn let_go(&mut self, session: u64, delivery: &Delivery) {
        // Only who waited had its id noted apart. Else it is in the delivery's own record, which goes anyway.
        if delivery.was_queued && delivery.packet_id.is_some() {
            self.steps.remove(Table::Sent, &record::pair(session, delivery.number));
        }
        let place = &delivery.publication.place;
        let number = place.number();
        // The last one that keeps it takes it out; in the same write as it was put or a later one.
        if !place.is_single() && number > 0 && place.give_up() {
            self.steps.remove(Table::Messages, &number.to_be_bytes());
        }
    }
}

fn filter_key(session: u64, filter: &Filter) -> Vec<u8> {
    // The number first and big-endian, so all of a session stand together and sessions in their order.
    [&session.to_be_bytes(), filter.as_str().as_bytes()].concat()
}

/// Names of modules have at most 255 bytes, so a module's keys stand together and no other's among them.
pub(crate) fn record_key(module: &str, key: &[u8]) -> Vec<u8> {
    record_pieces(&[module.len() as u8], module, key).concat()
}

const fn record_pieces<'a>(len: &'a [u8; 1], module: &'a str, key: &'a [u8]) -> [&'a [u8]; 3] {
    [len, module.as_bytes(), key]
}

fn received_key(session: u64, packet_id: PacketId) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&session.to_be_bytes());
    key[8..].copy_from_slice(&packet_id.as_u16().to_be_bytes());
    key
}
