//! What is so of clients though their last events say otherwise: they came or went while presence was stopped.
//!
//! It is no event: it has no number, is not kept and goes to nobody who follows events. It is beside a client's last event until
//! there is another one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use mqtt_hooks::{ConnectionInfo, Host, Reason};
use parking_lot::Mutex;

use super::entry::{Entry, Unseen};
use super::known::Cursor;
use super::{Happened, History, record};

impl History {
    /// All clients are looked at anew.
    pub(in crate::presence) fn forget_unseen(&self) {
        self.unseen.clear();
    }

    /// Says so, and has it noted, if a client has this connection and its last event tells of another or of none.
    ///
    /// What changes a connection is told after it has changed. So if that is told after the event was looked up, what is noted is
    /// beside an event that is not the last by then.
    pub(in crate::presence) fn note_online(&self, client: &ConnectionInfo, host: &dyn Host) -> bool {
        let last = self.last_told(&client.client_id);
        let is_this = |epoch, conn_id| (epoch, conn_id) == (client.epoch, client.conn_id);
        let is_told = last.as_ref().is_some_and(|last| last.is_connected() && is_this(last.epoch, last.conn_id));
        let is_to_be_known = last.is_some() || self.known.has_room_for(self.unseen.stranger_count() + 1);
        if is_told || !is_to_be_known {
            return false;
        }
        let is_there = host.connection(&client.client_id).is_some_and(|found| is_this(found.epoch, found.conn_id));
        if is_there {
            self.unseen.add_online(client, last.as_ref(), self.last_number());
        }
        is_there
    }

    /// Notes that a client is gone if it is and its last event says otherwise; says when that was found. As with
    /// [`Self::note_online`].
    pub(in crate::presence) fn note_gone(&self, client_id: &str, host: &dyn Host) -> Option<u64> {
        // Others are told of by their nodes.
        let last = self.last_told(client_id).filter(|last| last.node().is_none())?;
        // Who was taken over is online, by what is told next.
        let is_replaced = |reason| [Reason::TakenOver, Reason::Discarded].iter().any(|of| of.name() == reason);
        let says_online = last.reason().is_none_or(|reason| last.epoch == host.epoch() && is_replaced(reason));
        if !says_online || host.has_fallen(client_id) || host.connection(client_id).is_some() {
            return None;
        }
        let now = host.now_ms();
        self.unseen.add_gone(&last, now);
        Some(now)
    }

    /// As [`Self::walk`], of those who have no event.
    pub(super) fn walk_strangers(
        &self,
        from: usize,
        most: usize,
        since: u64,
        found: &mut Vec<Box<str>>,
    ) -> Option<u64> {
        let (strangers, next) = self.unseen.strangers(from, most);
        found.extend(strangers.iter().filter(|entry| entry.number > since).map(|entry| entry.client_id().into()));
        next.map(|next| Cursor::behind_all(next).into())
    }
}

/// Clients whose last event says what is not so.
///
/// Each is so until the next event of that client, which has another number, so one that is late is never taken for what is true.
#[derive(Default)]
pub(super) struct AllUnseen {
    all: Mutex<All>,
    /// Most starts find nothing.
    are_any: AtomicBool,
}

#[derive(Default)]
struct All {
    clients: HashMap<Box<str>, Correction>,
    /// Those who have no event, in the order in which they were found.
    strangers: Vec<Box<str>>,
}

struct Correction {
    /// The number of the event that it is beside.
    beside: Option<u64>,
    so: So,
}

enum So {
    /// It is online, by this.
    Came(Box<Entry>),
    /// It is not, as was found then: milliseconds since the Unix epoch.
    Went(u64),
}

impl AllUnseen {
    /// All are looked at anew.
    pub(super) fn clear(&self) {
        *self.all.lock() = All::default();
        self.are_any.store(false, Ordering::Relaxed);
    }

    /// It has an event of its own now.
    pub(super) fn forget(&self, client_id: &str) {
        if self.are_any.load(Ordering::Relaxed) {
            self.all.lock().clients.remove(client_id);
        }
    }

    pub(super) fn add_gone(&self, last: &Entry, found_at: u64) {
        self.add(last.client_id(), Some(last.number), So::Went(found_at));
    }

    /// `number` is that of the last event of all, for one who has none of its own.
    pub(super) fn add_online(&self, client: &ConnectionInfo, last: Option<&Entry>, number: u64) {
        let at = client.connected_at;
        let (seq, flaps) = last.map_or((0, 0), |last| (last.seq, last.flaps));
        let mut record = record::draft(&Happened { client, seq, at, flaps, last_heard: at, reason: None });
        let first_seen = last.map_or(at, |last| last.first_seen);
        let known = (first_seen > 0).then(|| at.saturating_sub(first_seen));
        record::complete(&mut record, last.map_or(number, |last| last.number), known);
        if let Some(mut entry) = Entry::read(&record) {
            entry.unseen = Unseen::Came;
            self.add(&client.client_id, last.map(|last| last.number), So::Came(Box::new(entry)));
        }
    }

    fn add(&self, client_id: &str, beside: Option<u64>, so: So) {
        let mut all = self.all.lock();
        let before = all.clients.insert(client_id.into(), Correction { beside, so });
        if beside.is_none() && before.is_none() {
            all.strangers.push(client_id.into());
        }
        self.are_any.store(true, Ordering::Relaxed);
    }

    /// What is so of one who has no event.
    pub(super) fn stranger(&self, client_id: &str) -> Option<Entry> {
        if !self.are_any.load(Ordering::Relaxed) {
            return None;
        }
        match self.all.lock().clients.get(client_id) {
            Some(Correction { beside: None, so: So::Came(entry) }) => Some((**entry).clone()),
            _ => None,
        }
    }

    /// What is so of the client with this last event.
    pub(super) fn beside(&self, last: Entry) -> Entry {
        if !self.are_any.load(Ordering::Relaxed) {
            return last;
        }
        let all = self.all.lock();
        match all.clients.get(last.client_id()).filter(|found| found.beside == Some(last.number)) {
            None => last,
            Some(Correction { so: So::Came(entry), .. }) => (**entry).clone(),
            Some(Correction { so: So::Went(at), .. }) => last.gone(*at),
        }
    }

    /// How many have no event.
    pub(super) fn stranger_count(&self) -> usize {
        if self.are_any.load(Ordering::Relaxed) { self.all.lock().strangers.len() } else { 0 }
    }

    /// Some of those who have no event, from this one on, and where to go on.
    pub(super) fn strangers(&self, from: usize, most: usize) -> (Vec<Entry>, Option<usize>) {
        if !self.are_any.load(Ordering::Relaxed) {
            return (Vec::new(), None);
        }
        let all = self.all.lock();
        let some = all.strangers.iter().skip(from).take(most);
        let entry = |id: &str| match all.clients.get(id) {
            Some(Correction { beside: None, so: So::Came(entry) }) => Some((**entry).clone()),
            _ => None,
        };
        let next = from.saturating_add(most);
        (some.filter_map(|id| entry(id)).collect(), (next < all.strangers.len()).then_some(next))
    }
}
