//! Whose topics are whose.

use mqtt_codec::{Filter, Topic};

use super::{Hooks, Owned};
use crate::Reserve;
use crate::panics::caught;

impl Hooks {
    /// True if [`Self::is_reserved`] or [`Self::is_closed`] asks anyone.
    pub fn has_reserved(&self) -> bool {
        self.reserve.any()
    }

    /// Whether only modules publish to this topic. One that panics is logged, and says so.
    pub fn is_reserved(&self, topic: &Topic) -> bool {
        self.reserve.any() && self.reserve.list.load().iter().any(|owned| owned.says("owns", |hook| hook.owns(topic)))
    }

    /// Whether a filter may match what is as closed as `$SYS`. One that panics is logged, and says so.
    pub fn is_closed(&self, filter: &Filter) -> bool {
        self.reserve.any()
            && self.reserve.list.load().iter().any(|owned| owned.says("closes", |hook| hook.closes(filter)))
    }
}

impl Owned<dyn Reserve> {
    fn says(&self, what: &'static str, ask: impl FnOnce(&dyn Reserve) -> bool) -> bool {
        caught(|| ask(&*self.hook)).unwrap_or_else(|why| {
            self.start.complain(what, &why);
            true
        })
    }
}
