//! How far sinks are, for operators.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_hooks::{Alarm, Number};
use parking_lot::Mutex;

use super::batch::Batch;
use super::cursor::Cursor;
use crate::presence::History;

/// How far one sink is. The counts are since the process began.
pub(super) struct Progress {
    cursor: Mutex<Cursor>,
    pub(super) delivered: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) dead: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl Progress {
    pub(super) fn new(cursor: Cursor) -> Self {
        Self {
            cursor: Mutex::new(cursor),
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.cursor.lock().clone()
    }

    pub(super) fn set_cursor(&self, cursor: Cursor) {
        *self.cursor.lock() = cursor;
    }

    /// The batch is where it goes. `keep` is called without a lock: it writes.
    pub(super) fn advance(&self, batch: &Batch, keep: impl FnOnce(&Cursor)) {
        let mut cursor = self.cursor();
        cursor.move_to(batch.last);
        self.lost.fetch_add(batch.lost, Relaxed);
        keep(&cursor);
        *self.cursor.lock() = cursor;
    }
}

/// All numbers of all sinks, by their names.
pub(super) fn numbers(all: &BTreeMap<String, Arc<Progress>>, history: &History) -> Vec<Number> {
    let counted = history.numbers();
    let counter = |name, help, count: fn(&Progress) -> &AtomicU64, alarm: Option<&'static str>| {
        all.iter().map(move |(sink, progress)| Number {
            alarm,
            ..Number::counter(name, help, count(progress).load(Relaxed)).labelled("sink", sink.clone())
        })
    };
    let lost = Some("presence events were no longer kept when a sink came to them: see modules.presence.history");
    let dead = Some("presence events were refused by where they go, and are dead letters");
    let behind = all.iter().map(|(sink, progress)| {
        let behind = progress.cursor.lock().behind(counted);
        Number::gauge("behind", "Events that have still to be delivered.", behind as f64).labelled("sink", sink.clone())
    });
    counter("delivered", "Events that are where they go.", |progress| &progress.delivered, None)
        .chain(behind)
        .chain(counter("failures", "Tries to deliver that came to nothing.", |progress| &progress.failures, None))
        .chain(counter("lost", "Events that were no longer kept; a gap was told.", |progress| &progress.lost, lost))
        .chain(counter("dead", "Events that were refused for good.", |progress| &progress.dead, dead))
        .collect()
}

/// The alarm for sinks that get nothing.
pub(super) struct Behind {
    alarm: Alarm,
    failing: Mutex<BTreeMap<String, String>>,
}

impl Behind {
    pub(super) fn new(alarm: Alarm) -> Self {
        Self { alarm, failing: Mutex::default() }
    }

    pub(super) fn is_failing(&self, sink: &str, why: &str) {
        let mut failing = self.failing.lock();
        failing.insert(sink.to_owned(), why.to_owned());
        self.tell(&failing);
    }

    pub(super) fn is_well(&self, sink: &str) {
        let mut failing = self.failing.lock();
        if failing.remove(sink).is_some() {
            self.tell(&failing);
        }
    }

    /// Under the lock, so that what was found out last is told last.
    fn tell(&self, failing: &BTreeMap<String, String>) {
        if failing.is_empty() {
            self.alarm.clear();
            return;
        }
        let all: Vec<_> = failing.iter().map(|(sink, why)| format!("{sink} ({why})")).collect();
        self.alarm.raise(format!("presence events do not reach {}", all.join(", ")));
    }
}
