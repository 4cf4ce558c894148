//! What watchers of events have missed: told to each as soon as it has room, by the numbers of the first and the last event
//! and how many there were. Those events can be looked up by these.
//!
//! It is told to who subscribes to `$SYS/brokers/${node}/presence/gap`, alone. It is in memory only: what a session that is kept
//! had missed when the broker stopped is counted and told to operators, not to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mqtt_codec::{Message, Topic};
use mqtt_hooks::{Actor, Reached};
use parking_lot::Mutex;
use serde::Serialize;

use super::states::message;

/// Watchers that miss something at a time; more are not told.
const WATCHERS: usize = 1024;

/// Between two looks whether one has room.
const LOOK_MS: u64 = 100;

/// Between two looks whether there is any.
const IDLE_MS: u64 = 1000;

/// What one watcher has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Gap {
    v: u8,
    from: u64,
    to: u64,
    dropped: u64,
}

/// See the [module](self).
pub(super) struct Gaps {
    topic: Topic,
    open: Mutex<HashMap<Box<str>, Gap>>,
    is_any: AtomicBool,
}

impl Gaps {
    pub(super) fn new(topic: Topic) -> Self {
        Self { topic, open: Mutex::default(), is_any: AtomicBool::new(false) }
    }

    /// A client has not got this event.
    pub(super) fn note(&self, client_id: &str, number: u64) {
        let mut open = self.open.lock();
        if let Some(gap) = open.get_mut(client_id) {
            // Events of different clients may be told in another order than that of their numbers.
            (gap.from, gap.to, gap.dropped) = (gap.from.min(number), gap.to.max(number), gap.dropped + 1);
        } else if open.len() < WATCHERS {
            open.insert(client_id.into(), Gap { v: 1, from: number, to: number, dropped: 1 });
            self.is_any.store(true, Relaxed);
        }
    }

    /// For ever: tells who has room.
    pub(super) async fn run(self: Arc<Self>, actor: Actor) {
        loop {
            let is_any = self.is_any.load(Relaxed);
            if is_any {
                self.tell(&actor);
            }
            let host = actor.host();
            host.sleep_until(host.clock_ms() + if is_any { LOOK_MS } else { IDLE_MS }).await;
        }
    }

    fn tell(&self, actor: &Actor) {
        let watchers: Vec<_> = self.open.lock().keys().cloned().collect();
        for client_id in watchers {
            // Taken out, so that what is missed while it is told makes another one.
            let Some(gap) = self.open.lock().remove(&client_id) else { continue };
            let mut reached = Reached::NotYet;
            actor.act(|moment| reached = moment.publish_to(&client_id, self.message(gap)));
            if reached == Reached::NotYet {
                self.put_back(client_id, gap);
            }
        }
        let open = self.open.lock();
        self.is_any.store(!open.is_empty(), Relaxed);
    }

    fn put_back(&self, client_id: Box<str>, gap: Gap) {
        let mut open = self.open.lock();
        let more = open.remove(&client_id).unwrap_or(Gap { dropped: 0, ..gap });
        let (from, to) = (gap.from.min(more.from), gap.to.max(more.to));
        open.insert(client_id, Gap { from, to, dropped: gap.dropped + more.dropped, ..gap });
    }

    fn message(&self, gap: Gap) -> Message {
        message(self.topic.clone(), &gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps() -> Gaps {
        Gaps::new(Topic::new("gap").unwrap())
    }

    #[test]
    fn what_is_missed_in_a_row_is_one_gap() {
        let gaps = gaps();
        for number in [7, 9, 8, 12] {
            gaps.note("a", number);
        }
        gaps.note("b", 10);
        let open = gaps.open.lock().clone();
        assert_eq!(open["a"], Gap { v: 1, from: 7, to: 12, dropped: 4 });
        assert_eq!(open["b"], Gap { v: 1, from: 10, to: 10, dropped: 1 });
    }

    #[test]
    fn what_is_missed_while_it_is_told_is_not_lost() {
        let gaps = gaps();
        let gap = Gap { v: 1, from: 7, to: 9, dropped: 2 };
        gaps.put_back("a".into(), gap);
        assert_eq!(gaps.open.lock()["a"], gap);
        gaps.open.lock().clear();
        gaps.note("a", 11);
        gaps.put_back("a".into(), gap);
        assert_eq!(gaps.open.lock()["a"], Gap { to: 11, dropped: 3, ..gap });
    }

    #[test]
    fn those_who_miss_something_are_bounded() {
        let gaps = gaps();
        (0..2 * WATCHERS).for_each(|n| gaps.note(&n.to_string(), 1));
        assert_eq!(gaps.open.lock().len(), WATCHERS);
    }
}
