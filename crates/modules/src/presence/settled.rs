//! Who is away for good, as a topic of each client: told offline only when it has been away for `settle`, and online only where
//! offline was told. So a takeover never shows, nor does who is back in time.
//!
//! Whether a client is *settled offline* is read from the table of known clients: its last event is that it went, and that was
//! `settle` ago. Only those that are not away for so long yet are kept here, in the order in which they are due, and only while
//! someone subscribes to one of these topics. Who subscribes is sent those that are settled offline, as if that was retained; those
//! that went before are told when they are due. Until which time that was told is a record, kept with what is told: the
//! next process tells what came due meanwhile, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use mqtt_codec::{Filter, Message};
use mqtt_hooks::{Actor, Host, Moment, Records, States, Walk};
use parking_lot::Mutex;

use super::pending::{Pending, When};
use super::states::{State, state_of};
use super::topics::{SETTLED, Topics};
use super::turns::{Turns, pause};
use super::{Entry, History};

/// Clients that are looked at, or told, in one go.
const PIECE: usize = 64;

/// Between two looks whether someone subscribes.
const LOOK_MS: u64 = 1000;

/// The key of the record of the time until which all was told.
const UNTIL: &[u8] = b"until";

/// See the [module](self).
pub(super) struct Settled {
    host: Arc<dyn Host>,
    topics: Arc<Topics>,
    history: Arc<History>,
    records: Records,
    settle_ms: u64,
    pending: Mutex<Pending>,
    turns: Turns,
    /// Someone subscribes, as far as the task has noticed.
    is_followed: AtomicBool,
    /// All who were due then are told: by the system's clock, which may have been set back since.
    told_until: AtomicU64,
    /// Not told, for too many were about to be.
    skipped: Arc<AtomicU64>,
}

impl Settled {
    /// `most` may be waited for at a time.
    pub(super) fn new(
        actor: &Actor,
        topics: Arc<Topics>,
        history: Arc<History>,
        records: Records,
        settle_ms: u64,
        most: usize,
        skipped: Arc<AtomicU64>,
    ) -> Self {
        Self {
            host: Arc::clone(actor.host()),
            topics,
            history,
            records,
            settle_ms,
            pending: Mutex::new(Pending::new(most)),
            turns: Turns::default(),
            is_followed: AtomicBool::new(false),
            told_until: AtomicU64::new(0),
            skipped,
        }
    }

    /// What an earlier process, or start, has left: if someone subscribed, those who came due since are about to be told. Before
    /// anybody can come back.
    pub(super) fn restore(&self) -> std::io::Result<()> {
        let mut until = None;
        self.records.each(&mut |key, record| {
            if key == UNTIL {
                until = <[u8; 8]>::try_from(record).ok().map(u64::from_be_bytes);
            }
        })?;
        if let Some(until) = until {
            self.told_until.store(until, Relaxed);
            self.is_followed.store(true, Relaxed);
            let mut at = Some(0);
            while let Some(next) = at {
                at = self.find_pending(next, until);
            }
        }
        Ok(())
    }

    /// Whether anything is to be done. Between two looks of the task who subscribes is known at once, and who does
    /// not any more counts: it may be back.
    fn is_on(&self) -> bool {
        self.is_followed.load(Relaxed) || self.host.is_sys_named_by(&SETTLED[1..])
    }

    /// What is known of a client that is about to come, before that is recorded; `None`: nothing, or nobody cares.
    pub(super) fn before(&self, client_id: &str) -> Option<Entry> {
        if self.is_on() { self.history.last_event(client_id) } else { None }
    }

    /// It is back, and [this](Self::before) was known of it.
    pub(super) fn came(&self, before: Option<&Entry>, state: State<'_>, moment: &mut dyn Moment) {
        if !self.is_on() {
            return;
        }
        let _turn = self.turns.take(state.client_id);
        let is_in_time = self.pending.lock().remove(state.client_id).is_some();
        if !is_in_time && before.is_some_and(|before| self.is_due(before)) {
            self.tell(&state, state.since, moment);
        }
    }

    /// It is gone, which is recorded.
    pub(super) fn went(&self, client_id: &Arc<str>, state: State<'_>, moment: &mut dyn Moment) {
        if !self.is_on() {
            return;
        }
        if state.since + self.settle_ms <= self.host.now_ms() {
            // It has been away for so long, and nobody knew: the broker was down. What waits is told later than it was due, and
            // after a crash it would be taken for told.
            let _turn = self.turns.take(client_id);
            self.pending.lock().remove(client_id);
            self.tell(&state, state.since + self.settle_ms, moment);
        } else {
            self.expect(Arc::clone(client_id), state.since);
        }
    }

    /// It is gone, which nobody saw.
    pub(super) fn noticed(&self, client_id: &str, at: u64) {
        if self.is_on() {
            let _turn = self.turns.take(client_id);
            self.expect(client_id.into(), at);
        }
    }

    /// It is due when it will have been away for `settle`.
    fn expect(&self, client_id: Arc<str>, at: u64) {
        let left = (at + self.settle_ms).saturating_sub(self.host.now_ms()).min(self.settle_ms);
        let when = When { due: self.host.clock_ms() + left, at: at + self.settle_ms };
        if !self.pending.lock().insert(client_id, when) {
            self.skipped.fetch_add(1, Relaxed);
        }
    }

    /// It has been away for so long; and is not [`Pending`], or that would count.
    fn is_due(&self, last: &Entry) -> bool {
        !last.is_connected() && last.at + self.settle_ms <= self.host.now_ms().max(self.told_until.load(Relaxed))
    }

    fn is_offline(&self, last: &Entry) -> bool {
        self.is_due(last) && !self.pending.lock().has(last.client_id())
    }

    /// `changed_at`: when it became what it is.
    fn tell(&self, state: &State<'_>, changed_at: u64, moment: &mut dyn Moment) {
        // Too long for any event of this client, which was counted.
        let Ok(topic) = self.topics.of_at(state.node, state.client_id, SETTLED) else { return };
        // Who misses it is sent what has changed since; what is told later has not changed before what was told by now.
        let number = changed_at.min(self.told_until.load(Relaxed));
        moment.publish_state(&topic, number, &mut || state.message(topic.clone()));
    }

    /// For ever: tells who is due.
    pub(super) async fn run(self: Arc<Self>, actor: Actor) {
        loop {
            let is_followed = self.host.is_sys_named_by(&SETTLED[1..]);
            if is_followed != self.is_followed.load(Relaxed) {
                if is_followed { self.begin(&actor).await } else { self.end(&actor) }
            }
            if is_followed {
                while self.tell_due(&actor) {
                    pause().await;
                }
            }
            let now = self.host.clock_ms();
            // Who goes meanwhile is due later than that.
            let look = now + (self.settle_ms / 4).clamp(50, LOOK_MS);
            let next = self.pending.lock().first().map_or(look, |due| due.min(look));
            self.host.sleep_until(next.max(now + 1)).await;
        }
    }

    /// Someone subscribes, after nobody did: those that have gone lately are still to be told.
    async fn begin(&self, actor: &Actor) {
        let now = self.host.now_ms();
        self.told_until.fetch_max(now, Relaxed);
        // First: who goes from here on is put there by that.
        self.is_followed.store(true, Relaxed);
        actor.act(|moment| self.keep_until(now, moment));
        let mut at = Some(0);
        while let Some(next) = at {
            at = self.find_pending(next, now);
            pause().await;
        }
    }

    fn end(&self, actor: &Actor) {
        self.is_followed.store(false, Relaxed);
        self.pending.lock().clear();
        actor.act(|moment| self.records.forget(moment, UNTIL));
    }

    fn keep_until(&self, until: u64, moment: &mut dyn Moment) {
        self.records.keep(moment, UNTIL, &until.to_be_bytes());
    }

    /// Puts some of all clients where they wait: those that are away and were not due by then.
    fn find_pending(&self, at: u64, until: u64) -> Option<u64> {
        let mut found = Vec::new();
        let next = self.history.walk(at, PIECE, 0, &mut found);
        for client_id in found {
            // Under its turn: while it is about to come back it may be away by the table and not by what was told.
            let _turn = self.turns.take(&client_id);
            if let Some(last) = self.history.last_event(&client_id)
                && !last.is_connected()
                && last.at + self.settle_ms > until
                && !self.pending.lock().has(&client_id)
            {
                self.expect(client_id.into(), last.at);
            }
        }
        next
    }

    /// Tells some of those who are due; false: there are no more.
    fn tell_due(&self, actor: &Actor) -> bool {
        let (due, latest) = {
            let pending = self.pending.lock();
            let due = pending.due(self.host.clock_ms(), PIECE);
            let latest = due.iter().filter_map(|client_id| pending.get(client_id)).map(|when| when.at).max();
            (due, latest)
        };
        if due.is_empty() {
            return false;
        }
        actor.act(|moment| {
            let now = self.host.now_ms();
            // Both clocks tell whole milliseconds, which begin at different moments: who is due by the one may be due by the other only
            // in the next, and would be told again after a crash.
            let now = if latest == Some(now + 1) { now + 1 } else { now };
            // Before they are taken out: from then on this says that they are told.
            self.told_until.fetch_max(now, Relaxed);
            for client_id in &due {
                let _turn = self.turns.take(client_id);
                if self.pending.lock().remove(client_id).is_none() {
                    // It is back.
                    continue;
                }
                if let Some(last) = self.history.last_event(client_id).filter(|last| !last.is_connected()) {
                    self.tell(&settled_state(&last, true), last.at + self.settle_ms, moment);
                }
            }
            // All is told until right before the first of those that are left, which may be due by the system's clock and not by ours.
            let first = self.pending.lock().first_when();
            let until = first.map_or(now, |first| match self.host.clock_ms().checked_sub(first.due) {
                Some(late) => now.saturating_sub(late + 1),
                None => now.min(first.at.saturating_sub(1)),
            });
            self.keep_until(until, moment);
        });
        due.len() == PIECE
    }
}

/// One that went and is not settled is online still, by what was told.
fn settled_state(last: &Entry, is_offline: bool) -> State<'_> {
    let state = State { flaps: Some(last.flaps), ..state_of(last) };
    if is_offline { state } else { State { since: last.connected_at, gone: None, ..state } }
}

/// What is told of it is for who subscribes, and for who has missed some.
impl States for Settled {
    fn is_about(&self, filter: &Filter) -> bool {
        self.topics.is_about(filter, SETTLED)
    }

    fn find(&self, filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool {
        let next = if filter.has_wildcard() {
            self.history.walk(walk.at, PIECE, 0, found)
        } else {
            found.extend(self.topics.owner_of(filter, SETTLED).map(String::into_boxed_str));
            None
        };
        found.retain(|id| {
            let Some(last) = self.history.last_event(id) else { return false };
            let is_offline = self.is_offline(&last);
            let changed_at = if is_offline { last.at + self.settle_ms } else { last.at };
            // To who subscribes, all are online that are not told offline.
            (is_offline || walk.is_missed)
                && (walk.since == 0 || changed_at > walk.since)
                && self.topics.of_at(last.node(), id, SETTLED).is_ok_and(|topic| filter.matches(&topic))
        });
        walk.at = next.unwrap_or(walk.at);
        next.is_some()
    }

    fn state(&self, name: &str) -> Option<Message> {
        let last = self.history.last_event(name)?;
        let topic = self.topics.of_at(last.node(), name, SETTLED).ok()?;
        Some(settled_state(&last, self.is_offline(&last)).message(topic))
    }

    fn done(&self, _walk: &Walk) -> Option<Message> {
        None
    }
}

#[cfg(test)]
mod tests;
