//! What a sink is told at once.

use std::sync::Arc;

use serde_json::json;

use super::cursor::{Cursor, Span};
use crate::presence::{Entry, History, Query};

/// Bytes from which no more is added.
const MAX_BYTES: usize = 1 << 20;

/// Events in order, and what is missing between them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    /// Events among them.
    pub(super) events: u64,
    /// Events that are missing.
    pub(super) lost: u64,
    /// Number of the last event that it has or that is missing.
    pub(super) last: u64,
}

/// An object of JSON, and what it tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) json: String,
    pub(super) tells: Tells,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tells {
    Event(Arc<Entry>),
    /// Which events are missing.
    Gap(Span),
}

impl Batch {
    /// What comes behind the cursor, up to `most` lines; `None`: nothing.
    pub(super) fn read(history: &History, cursor: &Cursor, most: usize) -> Option<Self> {
        // Before the events are looked up: of those up to here that are not found then it is certain that they are gone.
        let last = history.numbers().last;
        if last <= cursor.at() {
            return None;
        }
        let found = history.query(&Query { since: Some(cursor.at()), limit: most, ..Query::default() });
        let (mut batch, mut bytes) = (Self { last: cursor.at(), ..Self::default() }, 0);
        let looked_up = found.len();
        for entry in found {
            batch.miss(cursor, entry.number);
            bytes += batch.push(entry);
            if batch.lines.len() >= most || bytes >= MAX_BYTES {
                return Some(batch);
            }
        }
        // Only if there are no more: else what follows is not missing, it has not been looked up.
        if looked_up < most && batch.last < last {
            batch.miss(cursor, last + 1);
            batch.last = last;
        }
        Some(batch)
    }

    /// What was before this number and behind the last event is not there any more.
    fn miss(&mut self, cursor: &Cursor, number: u64) {
        for span @ Span { from, to } in cursor.between(self.last, number) {
            self.lost += to - from + 1;
            let json = json!({"gap": {"from": from, "to": to}}).to_string();
            self.lines.push(Line { json, tells: Tells::Gap(span) });
        }
    }

    /// Says how many bytes it has.
    fn push(&mut self, entry: Arc<Entry>) -> usize {
        let json = serde_json::to_string(&*entry).expect("an event has texts as keys, and nothing in it fails");
        let bytes = json.len();
        self.events += 1;
        self.last = entry.number;
        self.lines.push(Line { json, tells: Tells::Event(entry) });
        bytes
    }

    /// As an array.
    pub(super) fn array(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(|line| &*line.json).collect();
        format!("[{}]", lines.join(","))
    }

    /// One a line.
    pub(super) fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |text, line| text + &line.json + "\n")
    }
}
