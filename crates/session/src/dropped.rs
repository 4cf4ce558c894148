//! What a session gives up, and why.

use std::sync::Arc;

use mqtt_codec::Qos;

use crate::delivery::Delivered;
use crate::queue::Delivery;
use crate::{Publication, Session, Timestamp};

/// Messages given up at once of those that wait, of which there may be a million: each is a step for the store.
pub(crate) const LOST_AT_ONCE: usize = 4096;

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The session has as many messages waiting as it may.
    QueueFull,
    /// QoS 0 and the client is away.
    Offline,
    /// QoS 0 and the outbox is full.
    OutboxFull,
    /// Over the client's maximum packet size. [MQTT-3.1.2-24]
    TooLarge,
    /// Past its message expiry.
    Expired,
}

/// A delivery that had waited, and was given up.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Shared by all sessions that keep it.
    pub publication: Arc<Publication>,
    /// As it would have been on the wire.
    pub qos: Qos,
    /// Past its expiry, or too large for who is there now.
    pub reason: DropReason,
}

/// What one session has dropped.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) so_far: Drops,
    /// Since it was last asked for.
    lost: Vec<Lost>,
}

/// Deliveries dropped by one session so far. One that waited first counts when it is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// [`DropReason::QueueFull`]
    pub queue_full: u64,
    /// [`DropReason::Offline`]
    pub offline: u64,
    /// [`DropReason::OutboxFull`]
    pub outbox_full: u64,
    /// [`DropReason::TooLarge`]
    pub too_large: u64,
    /// [`DropReason::Expired`]
    pub expired: u64,
}

impl Drops {
    /// None so far.
    pub const NONE: Self = Self { queue_full: 0, offline: 0, outbox_full: 0, too_large: 0, expired: 0 };

    /// For any reason.
    pub const fn total(&self) -> u64 {
        self.queue_full + self.offline + self.outbox_full + self.too_large + self.expired
    }

    const fn add(&mut self, reason: DropReason) {
        match reason {
            DropReason::QueueFull => self.queue_full += 1,
            DropReason::Offline => self.offline += 1,
            DropReason::OutboxFull => self.outbox_full += 1,
            DropReason::TooLarge => self.too_large += 1,
            DropReason::Expired => self.expired += 1,
        }
    }
}

impl Session {
    /// Drops what waits past its message expiry, so much at a time. Nobody would be sent it; this is for the memory, and the
    /// store. True if more of it is left.
    pub fn drop_expired(&mut self, now: Timestamp) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        let expired = queue.remove_expired(now, LOST_AT_ONCE);
        let is_more = expired.len() == LOST_AT_ONCE;
        // An empty queue is no queue: most clients never have one, and it would be memory for each.
        self.queue.take_if(|queue| queue.is_empty());
        for delivery in expired {
            self.lose(delivery, DropReason::Expired);
        }
        is_more
    }

    /// Whether [`Self::take_lost`] has anything.
    pub fn has_lost(&self) -> bool {
        self.dropped.as_ref().is_some_and(|dropped| !dropped.lost.is_empty())
    }

    /// What had waited and was given up since this was last asked. To be asked after each call that is handed `now`.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        self.dropped.as_mut().map_or_else(Vec::new, |dropped| std::mem::take(&mut dropped.lost))
    }

    /// Drops what would wait, for it finds no room elsewhere: what many sessions hold together is for the driver to bound.
    pub fn refuse(&mut self) -> Delivered {
        self.drop_one(DropReason::QueueFull)
    }

    pub(crate) fn drop_one(&mut self, reason: DropReason) -> Delivered {
        self.dropped.get_or_insert_default().so_far.add(reason);
        Delivered::Dropped(reason)
    }

    /// Gives up what had waited.
    pub(crate) fn lose(&mut self, delivery: Delivery, reason: DropReason) {
        let lost = Lost { publication: Arc::clone(&delivery.publication), qos: delivery.qos, reason };
        let dropped = self.dropped.get_or_insert_default();
        dropped.so_far.add(reason);
        dropped.lost.push(lost);
        self.note_finished(delivery);
    }
}
