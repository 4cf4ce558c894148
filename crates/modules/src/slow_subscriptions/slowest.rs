//! The slowest deliveries, so many at the most.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_hooks::{Delivery, Number};
use parking_lot::Mutex;

#[derive(Default)]
pub(super) struct Slowest {
    /// What takes no longer is not listed: the threshold, or with a full list the time of its last entry. Read on the way of each
    /// acknowledgement, so that one that is not slow takes no lock.
    floor_ms: AtomicU64,
    slow: AtomicU64,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    bounds: Bounds,
    /// The slowest first. One for a client and a topic.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) threshold_ms: u64,
    pub(super) expiry_ms: u64,
    pub(super) entries: usize,
}

/// What took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) client_id: Box<str>,
    pub(super) topic: Box<str>,
    pub(super) took_ms: u64,
    /// When, by the even clock.
    pub(super) at: u64,
}

impl Slowest {
    pub(super) fn begin(&self, bounds: Bounds) {
        let mut list = self.list.lock();
        *list = List { bounds, entries: Vec::new() };
        self.set_floor(&list);
    }

    pub(super) fn clear(&self) {
        let mut list = self.list.lock();
        list.entries.clear();
        self.set_floor(&list);
    }

    /// A delivery was acknowledged after such a time.
    pub(super) fn note(&self, delivery: &Delivery<'_>, took_ms: u64, at: u64) {
        if took_ms <= self.floor_ms.load(Relaxed) {
            return;
        }
        self.slow.fetch_add(1, Relaxed);
        let mut list = self.list.lock();
        list.put(delivery.client_id, delivery.message.topic.as_str(), took_ms, at);
        self.set_floor(&list);
    }

    pub(super) fn forget_old(&self, now: u64) {
        let mut list = self.list.lock();
        list.forget_old(now);
        self.set_floor(&list);
    }

    /// Under the lock, so that it is that of the list as it is.
    fn set_floor(&self, list: &List) {
        let List { bounds, entries } = list;
        let last = entries.last().filter(|_| entries.len() >= bounds.entries);
        // Who takes as long as the threshold is slow.
        let floor = last.map_or(bounds.threshold_ms.saturating_sub(1), |last| last.took_ms);
        self.floor_ms.store(floor, Relaxed);
    }

    pub(super) fn list(&self, now: u64) -> Vec<Entry> {
        let mut list = self.list.lock();
        list.forget_old(now);
        self.set_floor(&list);
        list.entries.clone()
    }

    pub(super) fn numbers(&self) -> Vec<Number> {
        let list = self.list.lock();
        let longest = list.entries.first().map_or(0, |slowest| slowest.took_ms);
        vec![
            Number::gauge("listed", "Clients and topics that are listed.", list.entries.len() as f64),
            Number::gauge("longest.seconds", "What the slowest one listed took.", longest as f64 / 1000.0),
            Number::counter("slow", "Deliveries that were slow enough to be listed.", self.slow.load(Relaxed)),
        ]
    }
}

impl List {
    fn put(&mut self, client_id: &str, topic: &str, took_ms: u64, at: u64) {
        let known = self.entries.iter().position(|entry| &*entry.client_id == client_id && &*entry.topic == topic);
        let entry = match known {
            Some(known) if self.entries[known].took_ms > took_ms => return,
            Some(known) => Entry { took_ms, at, ..self.entries.remove(known) },
            None => Entry { client_id: client_id.into(), topic: topic.into(), took_ms, at },
        };
        // Behind those that took as long: who was first is put out last.
        let place = self.entries.partition_point(|other| other.took_ms >= took_ms);
        self.entries.insert(place, entry);
        self.entries.truncate(self.bounds.entries);
    }

    fn forget_old(&mut self, now: u64) {
        let expiry = self.bounds.expiry_ms;
        self.entries.retain(|entry| now.saturating_sub(entry.at) < expiry);
    }
}
