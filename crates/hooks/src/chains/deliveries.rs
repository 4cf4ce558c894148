//! Who sees messages and what becomes of deliveries.

use mqtt_codec::Message;

use super::Hooks;
use crate::panics::caught;
use crate::{Delivery, DropReason, ObserveMessages};

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

    /// True if [`Self::published`], [`Self::taken`] and [`Self::unwanted`] reach anyone.
    pub fn has_message_observers(&self) -> bool {
        self.observe_messages.any()
    }

    /// Tells that a message of a client's, or of nobody's, is about to be routed.
    pub fn published(&self, message: &Message, client_id: Option<&str>) {
        if self.observe_messages.any() {
            self.show_message("published", |hook| hook.published(message, client_id));
        }
    }

    /// Tells that a session has taken a message.
    pub fn taken(&self, delivery: &Delivery<'_>) {
        if self.observe_messages.any() {
            self.show_message("taken", |hook| hook.taken(delivery));
        }
    }

    /// Tells that nobody wants a message.
    pub fn unwanted(&self, message: &Message) {
        if self.observe_messages.any() {
            self.show_message("unwanted", |hook| hook.unwanted(message));
        }
    }

    /// One that panics is logged and passed over.
    #[cold]
    fn show_message(&self, name: &'static str, show: impl Fn(&dyn ObserveMessages)) {
        for owned in self.observe_messages.list.load().iter() {
            if let Err(why) = caught(|| show(&*owned.hook)) {
                owned.start.complain(name, &why);
            }
        }
    }
}
