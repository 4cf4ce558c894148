//! What a store has to do so that a session outlives the process.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::{PacketId, Qos, Version, Will};

use crate::inflight::{Inflight, Released};
use crate::queue::{Delivery, Queue};
use crate::will::SessionWill;
use crate::{Config, Session, Timestamp};

/// A step of a session that outlives its connection, told in order by [`Session::take_changes`].
///
/// A client must not see what a step has brought about before that step is in the store.
#[derive(Debug)]
pub enum Change {
    /// A message is owed to the client.
    Kept(Delivery),
    /// One that had waited is sent with this packet id.
    Sent {
        /// Of the delivery.
        number: u64,
        /// Its packet id from now on.
        packet_id: PacketId,
    },
    /// The client has it (QoS 2): the message is not needed any more, its packet id is.
    Released {
        /// What the client has.
        delivery: Delivery,
        /// Of [`Released`].
        order: u64,
    },
    /// Nothing is owed any more: acknowledged, refused, expired or given up.
    Finished(Delivery),
    /// One whose message the client has got elsewhere: its packet id is in use.
    Reserved(Released),
    /// A released one is finished.
    Completed(Released),
    /// A QoS 2 message came from the client with this packet id.
    Received(PacketId),
    /// The packet id of a QoS 2 message from the client is free.
    Freed(PacketId),
}

/// The steps not yet taken by the driver.
#[derive(Debug, Default)]
pub(crate) struct Log {
    last_number: u64,
    changes: Vec<Change>,
}

/// What a store has kept of a session, apart from its subscriptions.
#[derive(Debug)]
pub struct Kept {
    /// Of the last connection.
    pub version: Version,
    /// Seconds the session outlives its connection.
    pub session_expiry: u32,
    /// Of the last connection, if it is still to be published.
    pub will: Option<Will>,
    /// In order of their numbers.
    pub deliveries: Vec<Delivery>,
    /// In any order.
    pub released: Vec<Released>,
    /// QoS 2 packet ids received and not released by the client.
    pub received: Vec<PacketId>,
}

impl Log {
    pub(crate) const fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl Session {
    /// A session without a connection, as a store has kept it. With it come the moment at which a will is due, if one
    /// waits: see [`Self::attach`] and [`Self::take_will`].
    pub fn restore(config: Arc<Config>, kept: Kept, will_due: Option<Timestamp>) -> Self {
        let mut session = Self::new(config);
        let Kept { version, session_expiry, will, deliveries, mut released, received } = kept;
        let last_released = released.iter().copied().max_by_key(|released| released.number);
        let last_order = released.iter().map(|released| released.order).max();
        // [MQTT-4.6.0-4]
        released.sort_by_key(|released| released.order);
        session.connection.version = version;
        session.connection.session_expiry = session_expiry;
        session.will = will.map(|will| Box::new(SessionWill::restored(&will, will_due)));
        let last_number = deliveries.last().map(|delivery| delivery.number);
        let last_number = last_number.max(last_released.map(|released| released.number)).max(last_order).unwrap_or(0);
        session.log = Some(Box::new(Log { last_number, changes: Vec::new() }));

        // What has an id was sent: it is sent again before anything that waited.
        let (sent, waiting): (VecDeque<_>, VecDeque<_>) =
            deliveries.into_iter().partition(|delivery| delivery.packet_id.is_some());
        let last_sent = sent.back().and_then(|delivery| Some((delivery.number, delivery.packet_id?)));
        let last_released = last_released.map(|released| (released.number, released.packet_id));
        if let Some((_, packet_id)) = last_sent.into_iter().chain(last_released).max() {
            // From the last that was given: an id that the client has just finished is not to come again at once.
            session.ids.continue_after(packet_id);
        }
        if !sent.is_empty() || !released.is_empty() {
            session.inflight = Some(Box::new(Inflight::restored(sent, released.into())));
        }
        if !waiting.is_empty() {
            let mut queue = Queue::default();
            for delivery in waiting {
                queue.push(delivery);
            }
            session.queue = Some(Box::new(queue));
        }
        for packet_id in received {
            session.incoming.get_or_insert_default().restore(packet_id);
        }
        session
    }

    /// True if the session tells what a store has to do: it outlives its connection, and
    /// [`Config::is_stored`] says that there is one.
    pub const fn is_stored(&self) -> bool {
        self.log.is_some()
    }

    /// The steps since this was last asked.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.log.as_mut().map_or_else(Vec::new, |log| std::mem::take(&mut log.changes))
    }

    /// Gives up everything that is owed, for the session ends; what that means for a store is told as ever.
    pub fn give_up(&mut self) {
        self.give_up_some(usize::MAX, |_| {});
    }

    /// The same with so many of the messages that wait, for there may be a million of them; first what is bounded by the
    /// client's window. `see` is shown each message. Returns how many there were.
    pub fn give_up_some(&mut self, most: usize, mut see: impl FnMut(&Delivery)) -> usize {
        let mut given_up = 0;
        if let Some(inflight) = self.inflight.take() {
            let (publishes, released) = inflight.into_parts();
            for delivery in publishes {
                see(&delivery);
                self.note_finished(delivery);
                given_up += 1;
            }
            for released in released {
                self.note(Change::Completed(released));
            }
        }
        if let Some(incoming) = self.incoming.take() {
            for packet_id in incoming.ids() {
                self.note(Change::Freed(packet_id));
            }
        }
        let Some(mut queue) = self.queue.take() else { return given_up };
        for _ in 0..most {
            let Some(delivery) = queue.pop() else { return given_up };
            see(&delivery);
            self.note_finished(delivery);
            given_up += 1;
        }
        self.queue = Some(queue);
        given_up
    }

    pub(crate) fn note(&mut self, change: Change) {
        if let Some(log) = &mut self.log {
            log.changes.push(change);
        }
    }

    /// One that no store knows of is just dropped.
    pub(crate) fn note_finished(&mut self, delivery: Delivery) {
        if delivery.number > 0 {
            self.note(Change::Finished(delivery));
        }
    }

    /// Gives the delivery a number and tells the store, if one is to know of it.
    pub(crate) fn note_kept(&mut self, delivery: &mut Delivery) {
        if let Some(log) = &mut self.log
            && delivery.qos > Qos::AtMostOnce
        {
            // They grow, so a store gives the deliveries back in the order in which they were kept.
            delivery.number = log.next_number();
            log.changes.push(Change::Kept(delivery.clone()));
        }
    }
}
