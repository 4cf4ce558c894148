//! Who sees what becomes of deliveries.

use super::Hooks;
use crate::panics::caught;
use crate::{Delivery, DropReason};

impl Hooks {
    /// True if [`Self::dropped`] reaches anyone.
    pub fn has_drop_observers(&self) -> bool {
        self.observe_drops.any()
    }

    /// Tells that a delivery was dropped. One that panics is logged and passed over.
    pub fn dropped(&self, delivery: &Delivery<'_>, reason: DropReason) {
        if !self.observe_drops.any() {
            return;
        }
        for owned in self.observe_drops.list.load().iter() {
            if let Err(why) = caught(|| owned.hook.dropped(delivery, reason)) {
                owned.start.complain("dropped", &why);
            }
        }
    }

    /// True if [`Self::acknowledged`] reaches anyone.
    pub fn has_ack_observers(&self) -> bool {
        self.observe_acks.any()
    }

    /// Tells that a delivery was acknowledged. One that panics is logged and passed over.
    pub fn acknowledged(&self, delivery: &Delivery<'_>) {
        if !self.observe_acks.any() {
            return;
        }
        for owned in self.observe_acks.list.load().iter() {
            if let Err(why) = caught(|| owned.hook.acknowledged(delivery)) {
                owned.start.complain("acknowledged", &why);
            }
        }
    }
}
