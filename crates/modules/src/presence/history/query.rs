//! Looking events up.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_hooks::Listener;

use super::record::Glance;
use super::{Entry, History, PIECE};

/// Which events are looked for; those that are `None` hold for all.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// With a higher number than this.
    pub since: Option<u64>,
    /// With a lower number than this.
    pub before: Option<u64>,
    /// That happened then or later: milliseconds since the Unix epoch.
    pub from: Option<u64>,
    /// That happened then or earlier.
    pub to: Option<u64>,
    /// Of this client.
    pub client_id: Option<&'a str>,
    /// Of clients whose id begins like this.
    pub client_id_prefix: Option<&'a str>,
    /// So many at the most.
    pub limit: usize,
    /// The newest come first, and are those that are found when there are more than `limit`.
    pub newest_first: bool,
}

impl Default for Query<'_> {
    /// All, oldest first.
    fn default() -> Self {
        Self {
            since: None,
            before: None,
            from: None,
            to: None,
            client_id: None,
            client_id_prefix: None,
            limit: usize::MAX,
            newest_first: false,
        }
    }
}

impl Query<'_> {
    fn has_in_range(&self, number: u64) -> bool {
        self.since.is_none_or(|since| number > since) && self.before.is_none_or(|before| number < before)
    }

    /// Whether a record is of an event that is looked for.
    fn wants(&self, record: &[u8]) -> bool {
        let Some(Glance { client_id, at, .. }) = Glance::at(record) else { return false };
        self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at <= to)
            && self.client_id.is_none_or(|id| client_id == id)
            && self.client_id_prefix.is_none_or(|prefix| client_id.starts_with(prefix))
    }
}

impl History {
    /// Events in the order asked for. Who comes and goes meanwhile is not held up for longer than some take.
    pub fn query(&self, query: &Query<'_>) -> Vec<Arc<Entry>> {
        let found = match query.client_id {
            Some(client_id) => self.of_client(client_id, query),
            None => self.of_all(query),
        };
        let mut listener = Arc::new(Listener::new("", 0));
        let entries = found.iter().filter_map(|record| Entry::from_record(record, &mut listener).ok());
        entries.map(Arc::new).collect()
    }

    fn of_all(&self, query: &Query<'_>) -> Vec<Arc<[u8]>> {
        let (mut after, mut before) = (query.since.unwrap_or(0), query.before.unwrap_or(u64::MAX));
        let (mut found, mut piece) = (Vec::new(), Vec::with_capacity(PIECE));
        while found.len() < query.limit {
            self.state.lock().book.ring.copy(after, before, query.newest_first, PIECE, &mut piece);
            match piece.last() {
                None => break,
                Some((last, _)) if query.newest_first => before = *last,
                Some((last, _)) => after = *last,
            }
            let more = query.limit - found.len();
            found.extend(piece.drain(..).map(|(_, record)| record).filter(|record| query.wants(record)).take(more));
        }
        found
    }

    /// No more than `limit` are held at a time, however many the client has.
    fn of_client(&self, client_id: &str, query: &Query<'_>) -> Vec<Arc<[u8]>> {
        let hash = self.known.hash(client_id);
        let (mut found, mut last_seen, mut at) = (Found::of(query), 0, None);
        let mut piece = Vec::with_capacity(PIECE);
        while !found.is_full() {
            at = self.state.lock().book.ring.copy_of(hash, client_id, at, PIECE, &mut piece);
            for (number, record) in piece.drain(..) {
                last_seen = number;
                found.take(number, record);
            }
            if at.is_none() {
                break;
            }
        }
        // It may be older than all there is room for; the others of this client are older still.
        if let Some(record) = self.known.get(client_id)
            && let Some(last) = Glance::at(&record)
            && last_seen < last.number
        {
            found.take(last.number, record);
        }
        found.into_records()
    }
}

/// What is found of one client, whose events come oldest first.
struct Found<'a> {
    query: &'a Query<'a>,
    records: VecDeque<Arc<[u8]>>,
}

impl<'a> Found<'a> {
    const fn of(query: &'a Query<'a>) -> Self {
        Self { query, records: VecDeque::new() }
    }

    /// No later event changes what is found.
    fn is_full(&self) -> bool {
        self.records.len() >= self.query.limit && !self.query.newest_first
    }

    fn take(&mut self, number: u64, record: Arc<[u8]>) {
        if self.is_full() || !self.query.has_in_range(number) || !self.query.wants(&record) {
            return;
        }
        self.records.push_back(record);
        if self.records.len() > self.query.limit {
            self.records.pop_front();
        }
    }

    fn into_records(self) -> Vec<Arc<[u8]>> {
        let mut records = Vec::from(self.records);
        if self.query.newest_first {
            records.reverse();
        }
        records
    }
}
