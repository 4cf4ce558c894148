//! For how much of the last days each client was online, how often it was away, and for how long.
//!
//! A client has a record of its days, which is written anew when it goes: in the moment of that fact, so that both are stored or
//! neither. Nothing is done when one comes, or at midnight: when the connection that there is began, and so what it adds to which days,
//! is known to whoever asks. What a `kill -9` takes back is no more than that: the next process tells that the client went with the
//! broker (`node_down`), and when it had come is stored with the connection.
//!
//! While presence is stopped nobody takes this down: who goes meanwhile counts as away since it went the last time before.
//!
//! It is off unless days are set. What a connect costs is the same with it; but each who goes writes a record more, of some 20 bytes for
//! each day on which something happened to it, and a table of all clients is memory that who does not ask for uptime should not pay for.
//!
//! There are no more records than clients may be known, and of those who are not known any more they are forgotten. While there are too
//! many, for others came faster than they were forgotten, no uptime begins for those that are new.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_hooks::{Actor, Ctx, Fact, Host, Moment, Observe, Records};
use parking_lot::Mutex;

pub(super) use self::timeline::{Stretch, Timeline, first_day};
use super::turns::pause;
use super::{DAY_MS, History};

mod timeline;

/// Clients that are looked at in one go.
const PIECE: usize = 256;

/// Between two looks at who is known still; and while there is no room.
const LOOK_MS: u64 = 60_000;
const LOOK_WHEN_FULL_MS: u64 = 1000;

/// Bytes of ids and records that clients may have on average before no more are taken in, and of one id.
const BYTES: usize = 512;
const MAX_ID: usize = 4096;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Uptime {
    /// Days that are kept; 0: it is off.
    days: AtomicU64,
    table: Mutex<Table>,
    /// Times that a client went of which no uptime is kept, for there were too many.
    skipped: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    records: BTreeMap<Box<str>, Box<[u8]>>,
    bytes: usize,
    most: usize,
    is_full: bool,
    is_restored: bool,
}

impl Table {
    /// What an earlier process has left, once: after that, what is here is newer than what is stored. Returns the keys of what can't be
    /// read.
    fn restore(&mut self, records: &Records) -> io::Result<Vec<Vec<u8>>> {
        let mut wrong = Vec::new();
        if !std::mem::replace(&mut self.is_restored, true) {
            records.each(&mut |key, record| match (std::str::from_utf8(key), Timeline::read(record)) {
                (Ok(client_id), Some(_)) => self.insert(client_id, record.to_vec()),
                _ => wrong.push(key.to_vec()),
            })?;
            if !wrong.is_empty() {
                tracing::warn!(clients = wrong.len(), "uptime that can't be read is forgotten");
            }
        }
        Ok(wrong)
    }

    fn insert(&mut self, client_id: &str, record: Vec<u8>) {
        self.bytes += record.len();
        match self.records.get_mut(client_id) {
            Some(before) => {
                self.bytes -= before.len();
                *before = record.into();
            }
            None => {
                self.bytes += client_id.len();
                self.records.insert(client_id.into(), record.into());
            }
        }
    }

    fn remove(&mut self, client_id: &str) {
        if let Some((id, record)) = self.records.remove_entry(client_id) {
            self.bytes -= id.len() + record.len();
        }
    }

    /// Whether it may have a record.
    fn takes(&self, client_id: &str) -> bool {
        self.records.contains_key(client_id)
            || client_id.len() <= MAX_ID
                && self.records.len() < self.most
                && self.bytes < self.most.saturating_mul(BYTES)
    }
}

impl Uptime {
    /// Keeps so many days of `most` clients from now on, beginning with what earlier processes have kept; 0: forgets all of it.
    pub(super) fn start(self: &Arc<Self>, ctx: &Ctx, history: &Arc<History>, days: u32, most: usize) -> io::Result<()> {
        let records = ctx.records().part("uptime");
        let gone = {
            let mut table = self.table.lock();
            let mut gone = table.restore(&records)?;
            table.most = most;
            if days == 0 {
                gone.extend(std::mem::take(&mut table.records).into_keys().map(|id| id.into_string().into_bytes()));
                table.bytes = 0;
            }
            gone
        };
        self.days.store(days.into(), Relaxed);
        if !gone.is_empty() {
            ctx.actor().act(|moment| gone.iter().for_each(|key| records.forget(moment, key)));
        }
        if days > 0 {
            ctx.observe(Arc::new(Keeper { uptime: Arc::clone(self), records: records.clone() }));
            ctx.spawn(Arc::clone(self).forget_unknown(ctx.actor(), Arc::clone(history), records));
        }
        Ok(())
    }

    /// Days that are kept; 0: it is off.
    pub(super) fn days(&self) -> u64 {
        self.days.load(Relaxed)
    }

    /// Times that a client went of which no uptime is kept.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// It came then and has gone.
    fn went(&self, client_id: &str, came: u64, at: u64, records: &Records, moment: &mut dyn Moment) {
        // Kept under the lock, or it would not be in the order in which it is forgotten.
        let mut table = self.table.lock();
        if !table.takes(client_id) {
            table.is_full = true;
            self.skipped.fetch_add(1, Relaxed);
            return;
        }
        let before = table.records.get(client_id).and_then(|record| Timeline::read(record));
        // One that is ahead of the clock was told by one that was wrong.
        let before = before.filter(|timeline| timeline.until() <= at.max(came) + DAY_MS);
        let mut timeline = before.unwrap_or_else(|| Timeline::new(came));
        timeline.visit(came, at, self.days());
        let record = timeline.write();
        records.keep(moment, client_id.as_bytes(), &record);
        table.insert(client_id, record);
    }

    /// How it was with a client, until now; `None`: nothing is known of that.
    pub(super) fn look(&self, client_id: &str, history: &History, host: &dyn Host) -> Option<Timeline> {
        let keep = self.days();
        // First the connection: if it ends before the record is read, that has it.
        let online = host.connection(client_id);
        let record = self.table.lock().records.get(client_id).cloned();
        let now = host.now_ms();
        let kept = record.and_then(|record| Timeline::read(&record));
        let Some(info) = online else {
            let mut timeline = kept?;
            let last = history.last_event(client_id);
            // What became of it since it came is about to be told, or was not noticed.
            let until = last.filter(|last| last.reason().is_none()).map_or(now, |last| last.connected_at.min(now));
            timeline.stay_away(until, keep);
            return Some(timeline);
        };
        let mut timeline = kept.unwrap_or_else(|| Timeline::new(info.connected_at));
        let has_gone = timeline.until() > info.connected_at
            && host
                .connection(client_id)
                .is_none_or(|again| (again.epoch, again.conn_id) != (info.epoch, info.conn_id));
        if has_gone {
            timeline.stay_away(now, keep);
        } else {
            timeline.visit(info.connected_at, now, keep);
        }
        Some(timeline)
    }

    /// The ids of some clients that have gone since uptime is kept, in order: those after `after` that begin with `prefix`.
    pub(super) fn some(&self, after: Option<&str>, prefix: &str, most: usize) -> Vec<Box<str>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let table = self.table.lock();
        let found = table.records.range::<str, _>((start, Bound::Unbounded)).map(|(client_id, _)| client_id);
        found.take_while(|client_id| client_id.starts_with(prefix)).take(most).cloned().collect()
    }

    /// For ever: those who are not known any more have no uptime.
    async fn forget_unknown(self: Arc<Self>, actor: Actor, history: Arc<History>, records: Records) {
        let host = Arc::clone(actor.host());
        let mut seen = None;
        loop {
            let forgotten = Some(history.forgotten());
            if forgotten != seen {
                seen = forgotten;
                let mut after = None;
                loop {
                    let some = self.some(after.as_deref(), "", PIECE);
                    let Some(last) = some.last().cloned() else { break };
                    after = Some(last);
                    let unknown: Vec<_> = some.iter().filter(|client_id| !history.knows(client_id)).collect();
                    if !unknown.is_empty() {
                        actor.act(|moment| {
                            let mut table = self.table.lock();
                            // Some may have come back meanwhile.
                            for client_id in unknown.iter().filter(|client_id| !history.knows(client_id)) {
                                table.remove(client_id);
                                records.forget(moment, client_id.as_bytes());
                            }
                        });
                    }
                    pause().await;
                }
            }
            let is_full = std::mem::take(&mut self.table.lock().is_full);
            host.sleep_until(host.clock_ms() + if is_full { LOOK_WHEN_FULL_MS } else { LOOK_MS }).await;
        }
    }
}

/// Takes down who goes.
struct Keeper {
    uptime: Arc<Uptime>,
    records: Records,
}

impl Observe for Keeper {
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        if let Fact::Disconnected { client, at, .. } = *fact {
            self.uptime.went(&client.client_id, client.connected_at, at, &self.records, moment);
        }
    }
}

#[cfg(test)]
mod tests;
