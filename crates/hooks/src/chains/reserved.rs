//! Whose topics are whose.

use mqtt_codec::{Filter, Topic};

use super::Hooks;
use super::chain::Owned;
use crate::panics::caught;
use crate::{Reserve, is_sys};

impl Hooks {
    /// True if [`Self::is_reserved`] or [`Self::is_closed`] asks anyone.
    pub fn has_reserved(&self) -> bool {
        self.reserve.any()
    }

    /// Why no client publishes to this topic, if none does: by which rule.
    pub fn why_reserved(&self, topic: &Topic) -> Option<&'static str> {
        if is_sys(topic.as_str()) {
            return Some("$SYS is the broker's own");
        }
        self.is_reserved(topic).then_some("the topic is a module's own")
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
