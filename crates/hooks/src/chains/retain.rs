//! Who decides about messages that are to be retained.

use std::sync::atomic::Ordering;

use mqtt_codec::Message;

use super::Hooks;
use super::chain::Owned;
use crate::panics::caught;
use crate::{Retain, Retention};

impl Hooks {
    /// From now on nothing is retained while no module says so; for who runs modules, if one of them
    /// [decides about it](crate::Module::decides_retaining).
    pub fn leave_retaining_to_modules(&self) {
        self.retaining_is_decided.store(true, Ordering::Release);
    }

    /// False: no message is retained, none removed and none sent to who subscribes.
    pub fn retains(&self) -> bool {
        self.retain.any() || !self.retaining_is_decided.load(Ordering::Acquire)
    }

    /// What becomes of a message that is to be retained, of which `others` are; the shortest time that somebody says. One that panics is
    /// logged, and the message is kept.
    pub fn retain(&self, message: &Message, others: usize) -> Retention {
        let mut retention = Retention::Keep;
        if !self.retain.any() {
            return retention;
        }
        for owned in self.retain.list.load().iter() {
            let said = ask(owned, "retain", Retention::Keep, |hook| hook.retain(message, others));
            retention = match (retention, said) {
                (_, Retention::Refuse(_)) => return said,
                (Retention::KeepFor(one), Retention::KeepFor(other)) => Retention::KeepFor(one.min(other)),
                (before, Retention::Keep) => before,
                (_, said) => said,
            };
        }
        retention
    }

    /// Whether a message that removes what is retained goes to who subscribes. One that panics is logged and passed over.
    pub fn publishes_removal(&self, message: &Message) -> bool {
        let mut is_published = true;
        for owned in self.retain.list.load().iter() {
            // All are shown it.
            is_published &= ask(owned, "publishes_removal", true, |hook| hook.publishes_removal(message));
        }
        is_published
    }
}

fn ask<T>(owned: &Owned<dyn Retain>, name: &'static str, otherwise: T, ask: impl FnOnce(&dyn Retain) -> T) -> T {
    caught(|| ask(&*owned.hook)).unwrap_or_else(|why| {
        owned.start.complain(name, &why);
        otherwise
    })
}
