//! What was told lately: the last events, in order, to be looked up and followed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mqtt_hooks::{ConnectionInfo, Listener, Moment, Reason, Records};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};

use self::book::{Book, Store, Told, place_of};
use self::known::{Cursor, Known};
use self::unseen::AllUnseen;
use super::latency::{Latency, LatencyCounts};

mod book;
mod entry;
mod known;
mod query;
mod record;
mod ring;
mod unseen;

pub use entry::{End, Entry};
pub(super) use known::Limits;
pub use query::Query;

/// Events copied before others may use the ring again.
const PIECE: usize = 128;

/// Events that wait for a subscriber that is slow; then it misses the oldest.
const BACKLOG: usize = 1024;

/// The last events of [`Presence`](super::Presence).
///
/// An event is in here before it is published, whether or not anyone subscribes; of one client they are in order. When
/// there are as many as there may be, the client that has the most loses its oldest, and where nobody has more than four the
/// oldest of all goes; one with texts of over 256 bytes counts as several. They stay while the module is stopped.
///
/// What is shown here may be known before it is stored: an event that a `kill -9` takes back is told again after the
/// next start as what has become of it by then, under another number.
///
/// Beside these it knows of each client that was seen lately what its last event was, for as long as it is told to.
pub struct History {
    state: Mutex<State>,
    known: Known,
    unseen: AllUnseen,
    /// There is room for events, or for what is known of clients.
    has_room: AtomicBool,
    /// Someone wants events: there is room, or someone follows.
    is_wanted: AtomicBool,
    connected: AtomicU64,
    disconnected: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) latency: Latency,
    /// Other nodes of the cluster that an earlier process has kept events of.
    nodes: Mutex<BTreeSet<Box<str>>>,
}

struct State {
    /// Number of the next event.
    next: u64,
    /// Number of the first event of this process, whether or not there has been one.
    first: u64,
    /// The highest number that an earlier process has kept; 0: none.
    before: u64,
    book: Book,
    /// There while someone follows.
    live: Option<Sender<Arc<Entry>>>,
}

impl State {
    /// The next event's.
    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

/// Which numbers events were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The highest that is kept of those that earlier processes have given; 0: none.
    pub(super) before: u64,
    /// Those that this process gives begin with this one, and none of them is left out.
    pub(super) first: u64,
    /// The last one that this process has given; less than `first` if it has given none.
    pub(super) last: u64,
}

/// Which clients of those that are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Those whose ids come after this one.
    pub(super) after: Option<&'a str>,
    /// Those whose ids begin so.
    pub(super) prefix: &'a str,
    /// Those that came in with this user name last.
    pub(super) username: Option<&'a str>,
    /// Those whose last event happened then or later.
    pub(super) since: u64,
    /// So many at the most.
    pub(super) limit: usize,
}

/// Something that is to become an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happened<'a> {
    pub(super) client: &'a ConnectionInfo,
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) flaps: u32,
    pub(super) last_heard: u64,
    /// `None`: the client came.
    pub(super) reason: Option<Reason>,
}

/// How much there is and was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Events that clients came, since the process began.
    pub connected: u64,
    /// Events that clients went, since the process began.
    pub disconnected: u64,
    /// Events not published, for MQTT does not allow the topic they would have: it is too long.
    pub skipped: u64,
    /// Events that a subscriber did not get, for its queue or its socket was full.
    pub dropped: u64,
    /// From when the broker noticed that a client came or went until that was with all subscribers.
    pub latency: LatencyCounts,
    /// Events there are.
    pub len: usize,
    /// Events there may be.
    pub capacity: usize,
    /// Number of the oldest event there is.
    pub first: Option<u64>,
    /// Number of the newest event there is.
    pub last: Option<u64>,
    /// Clients of which the last event is known.
    pub known: usize,
    /// Clients that were forgotten, for others or because they have been away for so long, since the process began.
    pub forgotten: u64,
}

impl History {
    /// Without events, their numbers beginning at 1.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { next: 1, first: 1, before: 0, book: Book::default(), live: None }),
            known: Known::default(),
            unseen: AllUnseen::default(),
            has_room: AtomicBool::new(false),
            is_wanted: AtomicBool::new(false),
            connected: AtomicU64::new(0),
            disconnected: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            latency: Latency::default(),
            nodes: Mutex::default(),
        })
    }

    /// Goes on after what earlier processes have kept. New events are given the numbers from `first` on, or those after
    /// the highest that is kept; `first` is to be above all that were ever given, also to events that are not kept any
    /// more.
    pub(super) fn restore(&self, records: &Records, first: u64) -> io::Result<()> {
        let (mut kept, mut left_out) = (Vec::new(), 0);
        let mut wrong = None;
        // Most events share one.
        let mut listener = Arc::new(Listener::new("", 0));
        records.each(&mut |key, record| match (place_of(key), Entry::from_record(record, &mut listener)) {
            (Some(place), Ok(entry)) => {
                if let Some(node) = entry.node() {
                    self.nodes.lock().insert(node.into());
                }
                kept.push((place, entry));
            }
            (place, entry) => {
                left_out += 1;
                wrong = Some(match place {
                    Some(_) => entry.err().unwrap_or_default(),
                    None => "its key is no place".to_owned(),
                });
            }
        })?;
        if let Some(last) = wrong {
            tracing::warn!(events = left_out, last, "events that can't be read are left out, and stay in the store");
        }
        let book = Book::restored(kept, &self.known);
        let before = book.ring.last().unwrap_or(0);
        let next = first.max(before + 1);
        *self.state.lock() = State { next, first: next, before, book, live: None };
        Ok(())
    }

    /// Other nodes of the cluster that an earlier process has kept events of.
    pub(super) fn nodes(&self) -> Vec<Box<str>> {
        self.nodes.lock().iter().cloned().collect()
    }

    /// What is known of a client: its last event, however long ago that was, and what has become of it since if nobody saw that.
    pub fn last_event(&self, client_id: &str) -> Option<Entry> {
        match self.last_told(client_id) {
            Some(last) => Some(self.unseen.beside(last)),
            None => self.unseen.stranger(client_id),
        }
    }

    fn last_told(&self, client_id: &str) -> Option<Entry> {
        Entry::read(&self.known.get(client_id)?)
    }

    /// Whether anything is known of a client.
    pub(super) fn knows(&self, client_id: &str) -> bool {
        self.known.get(client_id).is_some()
    }

    /// Clients that were forgotten, since the process began.
    pub(super) fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    /// The last events of clients that are known, in order of their ids, and whether there are more; of those that `has` says
    /// true of. Who comes and goes meanwhile is held up for no longer than it takes to look at some.
    pub(super) fn last_events(&self, wanted: &Wanted<'_>, has: &dyn Fn(&Entry) -> bool) -> (Vec<Entry>, bool) {
        let mut first = BTreeMap::<Box<str>, Entry>::new();
        let (mut at, mut piece) = (Some(Cursor::default()), Vec::<Arc<[u8]>>::new());
        while let Some(cursor) = at {
            // As many more as there may be, and one that says whether there are more.
            let is_full = first.len() > wanted.limit;
            let last = first.last_key_value().filter(|_| is_full).map(|(id, _)| &**id);
            at = self.known.walk(cursor, PIECE, &mut |glance, record| {
                let id = glance.client_id;
                let is_wanted = id.starts_with(wanted.prefix)
                    && wanted.after.is_none_or(|after| id > after)
                    && last.is_none_or(|last| id < last)
                    && wanted.username.is_none_or(|name| glance.username == Some(name))
                    && glance.at >= wanted.since;
                if is_wanted {
                    piece.push(Arc::clone(record));
                }
            });
            let told = piece.drain(..).filter_map(|record| Entry::read(&record));
            for entry in told.map(|told| self.unseen.beside(told)).filter(has) {
                first.insert(entry.client_id().into(), entry);
                if first.len() > wanted.limit + 1 {
                    first.pop_last();
                }
            }
        }
        let has_more = first.len() > wanted.limit;
        (first.into_values().take(wanted.limit).collect(), has_more)
    }

    /// The number of the last event, or more.
    pub(super) fn last_number(&self) -> u64 {
        self.state.lock().next - 1
    }

    /// Which numbers events were given. All of them that are not found behind this are no longer kept.
    pub(super) fn numbers(&self) -> Numbers {
        let state = self.state.lock();
        Numbers { before: state.before, first: state.first, last: state.next - 1 }
    }

    /// Adds the ids of some known clients to `found`, of those whose last event has a higher number than `since`, and says where to
    /// go on from there; 0 is where to begin. Who is known all the while is found once.
    pub(super) fn walk(&self, at: u64, most: usize, since: u64, found: &mut Vec<Box<str>>) -> Option<u64> {
        let cursor = Cursor::from(at);
        if let Some(from) = cursor.is_behind_all() {
            return self.walk_strangers(from, most, since, found);
        }
        let next = self.known.walk(cursor, most, &mut |glance, _| {
            if glance.number > since {
                found.push(glance.client_id.into());
            }
        });
        let next = next.or_else(|| (self.unseen.stranger_count() > 0).then(|| Cursor::behind_all(0)));
        next.map(Into::into)
    }

    /// Follows the events from now on.
    pub fn subscribe(&self) -> Live {
        let mut state = self.state.lock();
        let sender = state.live.get_or_insert_with(|| broadcast::channel(BACKLOG).0);
        let receiver = sender.subscribe();
        self.is_wanted.store(true, Ordering::Relaxed);
        Live { receiver, since: state.next - 1 }
    }

    /// The oldest event there is, of all or of one client.
    pub fn oldest(&self, client_id: Option<&str>) -> Option<Arc<Entry>> {
        let state = self.state.lock();
        let ring = &state.book.ring;
        let oldest = match client_id {
            None => ring.oldest(),
            Some(client_id) => ring.oldest_of(self.known.hash(client_id), client_id),
        };
        let record = Arc::clone(oldest?);
        drop(state);
        Entry::read(&record).map(Arc::new)
    }

    /// How much there is and was.
    pub fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            connected: self.connected.load(Ordering::Relaxed),
            disconnected: self.disconnected.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            latency: self.latency.counts(),
            len: state.book.ring.len(),
            capacity: state.book.ring.capacity(),
            first: state.book.ring.first(),
            last: state.book.ring.last(),
            known: self.known.len(),
            forgotten: self.known.forgotten(),
        }
    }

    /// Changes how many events there may be, and how many clients are known for how long.
    pub(super) fn set_room(
        &self,
        capacity: usize,
        limits: Limits,
        now_ms: u64,
        records: &Records,
        moment: &mut dyn Moment,
    ) {
        let mut store = Store { records, moment };
        let mut state = self.state.lock();
        state.book.set_capacity(capacity, &self.known, &mut store);
        state.book.set_limits(limits, now_ms, &self.known, &mut store);
        self.has_room.store(capacity > 0 || limits.clients > 0, Ordering::Relaxed);
        self.is_wanted.store(capacity > 0 || limits.clients > 0 || state.live.is_some(), Ordering::Relaxed);
    }

    /// Forgets clients that have been away for too long; to be called for each of these now and then.
    pub(super) const SHARDS: usize = known::SHARDS;

    /// See [`Self::SHARDS`].
    pub(super) fn forget_old(&self, shard: usize, now_ms: u64, records: &Records, moment: &mut dyn Moment) {
        self.state.lock().book.forget_old(shard, now_ms, &self.known, &mut Store { records, moment });
    }

    /// Something has happened. Returns the event's running number, which no other ever has.
    pub(super) fn record(&self, happened: Happened<'_>, records: &Records, moment: &mut dyn Moment) -> u64 {
        let Happened { client, at, reason, .. } = happened;
        let counter = if reason.is_none() { &self.connected } else { &self.disconnected };
        counter.fetch_add(1, Ordering::Relaxed);
        if !self.is_wanted.load(Ordering::Relaxed) {
            return self.state.lock().number();
        }
        // All that can be made before the lock is: all who come and go wait for it. What goes is freed behind it.
        let (mut record, mut gone) = (record::draft(&happened), Vec::with_capacity(3));
        let client_id = &*client.client_id;
        let (hash, texts) =
            (self.known.hash(client_id), client_id.len() + client.username.as_ref().map_or(0, |name| name.len()));
        let from = self.known.origin(client.peer.ip());
        self.unseen.forget(client_id);
        let mut state = self.state.lock();
        let number = state.number();
        // Only who has the lock changes what is known, so it is still right when the event is put there.
        let spot = self.known.spot(hash, client_id);
        let first_seen = spot.and_then(|spot| spot.last).map_or(at, |last| last.first_seen);
        record::complete(&mut record, number, (first_seen > 0).then(|| at.saturating_sub(first_seen)));
        // Kept and sent under the lock, or neither would be in order.
        if self.has_room.load(Ordering::Relaxed) {
            let told = Told {
                client_id,
                from,
                hash,
                spot,
                number,
                at,
                first_seen,
                is_connected: reason.is_none(),
                weight: ring::weight(texts),
                record: &record,
            };
            state.book.push(&told, &self.known, &mut Store { records, moment }, &mut gone);
        }
        if let Some(live) = &state.live
            && let Some(entry) = Entry::read(&record)
            && live.send(Arc::new(entry)).is_err()
        {
            state.live = None;
            self.is_wanted.store(self.has_room.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        drop(state);
        drop(gone);
        number
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// Events as they happen.
#[derive(Debug)]
pub struct Live {
    receiver: Receiver<Arc<Entry>>,
    since: u64,
}

/// What who follows hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(Arc<Entry>),
    /// So many events were missed, for they were not taken in time; [`History::query`] may still have them. The next one
    /// heard is the oldest that is not missed.
    Missed(u64),
}

impl Live {
    /// Number of the last event, or more, when this began: those up to it can be looked up, those after it are heard.
    pub const fn since(&self) -> u64 {
        self.since
    }

    /// The next event, once there is one; `None` when the history is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.recv().await {
            Ok(entry) => Some(Heard::Event(entry)),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests;
