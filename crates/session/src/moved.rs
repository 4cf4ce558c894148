//! A session that goes on in another process.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::{PacketId, Version};

use crate::inflight::{Inflight, Released};
use crate::queue::{Delivery, Queue};
use crate::{Change, Config, Session};

/// What a session has, apart from its subscriptions.
#[derive(Debug, Default)]
pub struct Moved {
    /// What the client has not said that it has. Those with a packet id were sent, in this order; the others wait.
    pub deliveries: Vec<Delivery>,
    /// Packet ids of what the client has and has not forgotten, in the order of its PUBREC.
    pub released: Vec<PacketId>,
    /// QoS 2 packet ids received and not released by the client.
    pub received: Vec<PacketId>,
}

impl Session {
    /// A session without a connection, which waits for what it had [elsewhere](Self::take_over). What is delivered to it meanwhile is
    /// behind all that.
    pub fn moving(config: Arc<Config>, version: Version, session_expiry: u32) -> Self {
        let is_stored = config.is_stored && session_expiry > 0;
        let mut session = Self::new(config);
        session.connection.version = version;
        session.connection.session_expiry = session_expiry;
        session.log = is_stored.then(Box::default);
        session
    }

    /// A copy of what it has. It goes on as before, and so does what was sent of it.
    pub fn to_moved(&self) -> Moved {
        let released = self.inflight.iter().flat_map(|inflight| inflight.released());
        let received = self.incoming.iter().flat_map(|incoming| incoming.ids());
        Moved { deliveries: self.owed().cloned().collect(), released: released.collect(), received: received.collect() }
    }

    /// Takes over what it had elsewhere, while it has no connection. What has come meanwhile is behind that, but what `came_with` it.
    /// What a store has to do is told as ever.
    pub fn take_over(&mut self, moved: Moved, mut came_with: impl FnMut(&Delivery) -> bool) {
        let mut behind = self.queue.take().map(|queue| *queue).unwrap_or_default();
        let Moved { deliveries, released, received } = moved;
        let (mut sent, mut queue, mut last) = (VecDeque::new(), Queue::default(), released.last().copied());
        for mut delivery in deliveries {
            self.keep_again(&mut delivery);
            match delivery.packet_id {
                Some(packet_id) => {
                    last = Some(packet_id);
                    sent.push_back(delivery);
                }
                None => queue.push(delivery),
            }
        }
        // A store gives back by their numbers what it has, so these get later ones. The new record is there before the old one goes, or a
        // message of which it is the only one would be gone between them.
        while let Some(mut delivery) = behind.pop() {
            if came_with(&delivery) {
                self.note_finished(delivery);
                continue;
            }
            let before = delivery.clone();
            self.keep_again(&mut delivery);
            self.note_finished(before);
            queue.push(delivery);
        }
        let released = released.into_iter().map(|packet_id| {
            let mut next = || self.log.as_mut().map_or(0, |log| log.next_number());
            Released { number: next(), order: next(), packet_id }
        });
        let released: VecDeque<_> = released.collect();
        released.iter().for_each(|released| self.note(Change::Reserved(*released)));
        if let Some(last) = last {
            // An id that the client has just finished is not to come again at once.
            self.ids.continue_after(last);
        }
        if !sent.is_empty() || !released.is_empty() {
            self.inflight = Some(Box::new(Inflight::restored(sent, released)));
        }
        if !queue.is_empty() {
            self.queue = Some(Box::new(queue));
        }
        for packet_id in received {
            self.incoming.get_or_insert_default().restore(packet_id);
            self.note(Change::Received(packet_id));
        }
    }

    fn keep_again(&mut self, delivery: &mut Delivery) {
        delivery.number = 0;
        // Its id is in its own record.
        delivery.was_queued = false;
        self.note_kept(delivery);
    }
}
