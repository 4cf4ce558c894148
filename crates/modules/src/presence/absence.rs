//! Absence rules: which clients are missed when they stay away, or say nothing, and after how long.
//!
//! ```toml
//! [[modules.presence.absence]]
//! name = "meters"
//! match = "meter-*"
//! after = ["10m", "24h"]
//! silent_after = "1h"
//! ```
//!
//! A client that a rule is about is told *absent* when it has been away for each of these times, and *back* when it comes after that;
//! it is told *silent* when it is connected and nothing but pings has come from it for so long, and *heard* when it says
//! something after that, or comes anew. While the roster has it in *maintenance* it is not missed, which is told where it was. Each is told once, on `$SYS/brokers/${node}/presence/absent/${name}/${clientid}`, and stands in
//! a list and an alarm until it is over.
//!
//! When somebody is due is derived from the table of known clients, in which the last event of each is stored with the fact itself.
//! A durable timer for each who goes would say the same for two records more a visit, one to keep and one to forget. What was told is a
//! record, kept in the moment that publishes it: so after a `kill -9` it is told once, and what came due while the broker was down is
//! told when it is back. All of it is bounded by how many clients are known; who is forgotten is missed no more.

use std::sync::Arc;

use mqtt_codec::{Message, Topic};
use mqtt_hooks::{Actor, Alarm, ConnectionInfo, Host, Moment, Records};
use parking_lot::Mutex;
use serde::Serialize;

use self::rules::Rule;
use super::pending::{Pending, When};
use super::roster::Roster;
use super::states::message;
use super::topics::Topics;
use super::turns::{Turns, pause};
use super::{Entry, History};

mod rules;
mod told;

pub(super) use rules::Rules;
pub use rules::Settings;
pub(super) use told::{Key, Missed, Missing, What};

/// Clients that are looked at in one go.
const PIECE: usize = 64;

/// Between two looks at who is due, at the most.
const LOOK_MS: u64 = 1000;

/// Between two looks at those who are missed: whether they are known still.
const SWEEP_MS: u64 = 60_000;

/// Silent clients looked at in a second: whether they say something.
const SILENT_A_SECOND: u64 = 5000;

/// See the [module](self).
pub(super) struct Absence {
    host: Arc<dyn Host>,
    topics: Arc<Topics>,
    history: Arc<History>,
    roster: Arc<Roster>,
    records: Records,
    alarm: Alarm,
    rules: Rules,
    missing: Arc<Missing>,
    pending: Mutex<Pending>,
    turns: Turns,
}

impl Absence {
    /// What earlier processes and starts have told holds on, as far as there are rules for it.
    #[expect(clippy::too_many_arguments, reason = "all that a start is handed, once")]
    pub(super) fn start(
        actor: &Actor,
        topics: Arc<Topics>,
        history: Arc<History>,
        roster: Arc<Roster>,
        records: Records,
        alarm: Alarm,
        rules: Rules,
        missing: Arc<Missing>,
        most: usize,
    ) -> std::io::Result<Self> {
        missing.restore(&records)?;
        let is_kept = |key: &Key| rules.of(&key.client_id).any(|rule| rule.name == key.name);
        actor.act(|moment| missing.keep_only(&records, moment, &is_kept));
        Ok(Self {
            host: Arc::clone(actor.host()),
            topics,
            history,
            roster,
            records,
            alarm,
            rules,
            missing,
            pending: Mutex::new(Pending::new(most)),
            turns: Turns::default(),
        })
    }

    /// It is in, which is recorded.
    pub(super) fn came(&self, client: &ConnectionInfo, number: u64, moment: &mut dyn Moment) {
        if self.rules.are_none() {
            return;
        }
        let id = &client.client_id;
        let (now, mut silent_at) = (client.connected_at, None);
        let mut rules = self.rules.of(id).peekable();
        if rules.peek().is_none() {
            return;
        }
        let _turn = self.turns.take(id);
        for rule in rules {
            let key = Key::new(&rule.name, id);
            if let Some(missed) = self.missing.remove(&key, &self.records, moment) {
                self.tell_over(&key, missed, over(missed.what), now, number, moment);
            }
            silent_at = earliest(silent_at, rule.silent_after.map(|after| now + after));
        }
        self.plan(id, silent_at, now);
    }

    /// It is gone, which is recorded.
    pub(super) fn went(&self, client_id: &Arc<str>, at: u64) {
        if self.rules.are_none() {
            return;
        }
        let due = self.rules.of(client_id).filter_map(|rule| rule.after.first()).min().map(|after| at + after);
        if due.is_some() {
            let _turn = self.turns.take(client_id);
            self.plan(client_id, due, self.host.now_ms());
        }
    }

    /// It is to be looked at then, by the system's clock that shows `now`; `None`: it needs no look.
    fn plan(&self, client_id: &Arc<str>, at: Option<u64>, now: u64) {
        let mut pending = self.pending.lock();
        match at {
            Some(at) => {
                let due = self.host.clock_ms().saturating_add(at.saturating_sub(now));
                // There is a place for each who is known; for others there is nothing to tell by then.
                pending.insert(Arc::clone(client_id), When { due, at });
            }
            None => drop(pending.remove(client_id)),
        }
    }

    /// The roster says something else of when it need not be there.
    pub(super) fn look_again(&self, client_id: &str) {
        if self.rules.of(client_id).next().is_none() || self.history.last_event(client_id).is_none() {
            return;
        }
        let client_id = Arc::from(client_id);
        // Its turn: who looks at it now plans the next look when that is done.
        let _turn = self.turns.take(&client_id);
        let now = self.host.now_ms();
        self.plan(&client_id, Some(now), now);
    }

    /// Tells what is to be told of a client by now, and plans the next look. It can be done at any time: all of it is derived.
    fn look_at(&self, client_id: &Arc<str>, moment: &mut dyn Moment) {
        // Before its turn, which whoever comes and goes takes within the locks that this needs.
        let quiet = self.host.quiet_ms(client_id);
        let _turn = self.turns.take(client_id);
        let planned = self.pending.lock().remove(client_id);
        let Some(last) = self.history.last_event(client_id) else { return };
        // By a clock that was set back since it was planned it would not be time yet.
        let now = planned.map_or(0, |planned| planned.at).max(self.host.now_ms());
        if let Some(until) = self.roster.in_maintenance_until(client_id, now) {
            self.set_aside(client_id, now, last.number, moment);
            self.plan(client_id, Some(until), now);
            return;
        }
        let mut next = None;
        for rule in self.rules.of(client_id) {
            let key = Key::new(&rule.name, client_id);
            let at = match quiet {
                Some(quiet) => self.look_at_online(rule, &key, &last, now.saturating_sub(quiet), now, moment),
                // It is about to be told gone.
                None if last.is_connected() => None,
                None => self.look_at_away(rule, &key, &last, now, moment),
            };
            next = earliest(next, at);
        }
        self.plan(client_id, next, now);
    }

    fn look_at_away(&self, rule: &Rule, key: &Key, last: &Entry, now: u64, moment: &mut dyn Moment) -> Option<u64> {
        let away = now.saturating_sub(last.at);
        if let Some(after) = rule.after.iter().rev().find(|after| **after <= away) {
            let told = self.missing.get(key).filter(|missed| missed.what == What::Absent);
            if told.is_none_or(|missed| missed.after < *after) {
                let missed = Missed { what: What::Absent, after: *after, since: last.at, told_at: now };
                self.tell(key, missed, Some(last), moment);
            }
        }
        rule.after.iter().find(|after| **after > away).map(|after| last.at + after)
    }

    fn look_at_online(
        &self,
        rule: &Rule,
        key: &Key,
        last: &Entry,
        heard_at: u64,
        now: u64,
        moment: &mut dyn Moment,
    ) -> Option<u64> {
        let told = self.missing.get(key);
        let after = rule.silent_after;
        let is_silent = after.is_some_and(|after| heard_at + after <= now);
        match told {
            // It came while presence was stopped, or it says something again.
            Some(missed) if missed.what == What::Absent || !is_silent => {
                self.missing.remove(key, &self.records, moment);
                self.tell_over(key, missed, over(missed.what), now, last.number, moment);
            }
            _ => {}
        }
        let after = after?;
        if !is_silent {
            return Some(heard_at + after);
        }
        if told.is_none_or(|missed| missed.what == What::Absent) {
            let missed = Missed { what: What::Silent, after, since: heard_at, told_at: now };
            self.tell(key, missed, Some(last), moment);
        }
        // Nothing else says that a client says something: all that is published would pay for that.
        Some(now + LOOK_MS.max(self.missing.count(What::Silent) * 1000 / SILENT_A_SECOND))
    }

    /// It need not be there for now, so it is missed no more. If it is missing still when that is over, it is told anew.
    fn set_aside(&self, client_id: &Arc<str>, now: u64, event: u64, moment: &mut dyn Moment) {
        for rule in self.rules.of(client_id) {
            let key = Key::new(&rule.name, client_id);
            if let Some(missed) = self.missing.remove(&key, &self.records, moment) {
                self.tell_over(&key, missed, "maintenance", now, event, moment);
            }
        }
    }

    /// It is missed.
    fn tell(&self, key: &Key, missed: Missed, last: Option<&Entry>, moment: &mut dyn Moment) {
        self.missing.insert(key, missed, &self.records, moment);
        let state = if missed.what == What::Absent { "absent" } else { "silent" };
        let Missed { after, since, .. } = missed;
        let shown = Shown {
            state,
            since,
            after: Some(after / 1000),
            reason: last.and_then(Entry::reason),
            last_heard: last.and_then(Entry::heard_until),
            event: last.map_or(0, |last| last.number),
            ..Shown::of(key)
        };
        self.publish(key, &shown, moment);
    }

    /// It is missed no more.
    fn tell_over(&self, key: &Key, missed: Missed, state: &'static str, now: u64, event: u64, moment: &mut dyn Moment) {
        let shown = Shown { state, since: now, missed_since: Some(missed.since), event, ..Shown::of(key) };
        self.publish(key, &shown, moment);
    }

    fn publish(&self, key: &Key, shown: &Shown<'_>, moment: &mut dyn Moment) {
        if !self.host.is_sys_watched() {
            return;
        }
        // One that is too long is so for the client's events, too, which are counted.
        let Ok(topic) = self.topics.of_absent(&key.name, &key.client_id) else { return };
        moment.publish_if_wanted(&topic, &mut || shown.message(topic.clone()));
    }

    /// For ever: looks at who is due.
    pub(super) async fn run(self: Arc<Self>, actor: Actor) {
        let mut at = Some(0);
        while let Some(next) = at {
            at = self.look_at_some(next, &actor);
            pause().await;
        }
        let mut swept_at = self.host.clock_ms();
        loop {
            while self.look_at_due(&actor) {
                pause().await;
            }
            self.missing.show(&self.alarm);
            let now = self.host.clock_ms();
            if now >= swept_at + SWEEP_MS {
                swept_at = now;
                self.forget_unknown(&actor).await;
            }
            // Who comes or goes meanwhile is due later than that.
            let look = now + (self.rules.shortest() / 4).clamp(20, LOOK_MS);
            let next = self.pending.lock().first().map_or(look, |due| due.min(look));
            self.host.sleep_until(next.max(now + 1)).await;
        }
    }

    /// Some of all who are known, and where to go on.
    fn look_at_some(&self, at: u64, actor: &Actor) -> Option<u64> {
        let mut found = Vec::new();
        let next = self.history.walk(at, PIECE, 0, &mut found);
        found.retain(|client_id| self.rules.of(client_id).next().is_some());
        let found: Vec<Arc<str>> = found.into_iter().map(Into::into).collect();
        if !found.is_empty() {
            actor.act(|moment| found.iter().for_each(|client_id| self.look_at(client_id, moment)));
        }
        next
    }

    /// False: there are no more.
    fn look_at_due(&self, actor: &Actor) -> bool {
        let due = self.pending.lock().due(self.host.clock_ms(), PIECE);
        if due.is_empty() {
            return false;
        }
        actor.act(|moment| due.iter().for_each(|client_id| self.look_at(client_id, moment)));
        due.len() == PIECE
    }

    /// Those who are not known any more are missed no more.
    async fn forget_unknown(&self, actor: &Actor) {
        let mut after = None;
        loop {
            let (some, _) = self.missing.list(None, after.as_ref(), PIECE);
            let Some((last, _)) = some.last().cloned() else { return };
            let unknown = some.iter().filter(|(key, _)| self.history.last_event(&key.client_id).is_none());
            let unknown: Vec<_> = unknown.map(|(key, _)| key).collect();
            if !unknown.is_empty() {
                actor.act(|moment| {
                    for key in &unknown {
                        self.missing.remove(key, &self.records, moment);
                    }
                });
            }
            after = Some(last);
            pause().await;
        }
    }
}

/// What is told of a client that is missed no more.
const fn over(what: What) -> &'static str {
    match what {
        What::Absent => "back",
        What::Silent => "heard",
    }
}

fn earliest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

#[derive(Serialize)]
struct Shown<'a> {
    v: u8,
    name: &'a str,
    clientid: &'a str,
    state: &'static str,
    since: u64,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed_since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard: Option<u64>,
    event: u64,
}

impl<'a> Shown<'a> {
    fn of(key: &'a Key) -> Self {
        Self {
            v: 1,
            name: &key.name,
            clientid: &key.client_id,
            state: "",
            since: 0,
            after: None,
            missed_since: None,
            reason: None,
            last_heard: None,
            event: 0,
        }
    }

    fn message(&self, topic: Topic) -> Message {
        message(topic, self)
    }
}

#[cfg(test)]
mod tests;
