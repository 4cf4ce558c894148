//! The events in memory, and the places where they are kept.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use mqtt_hooks::{Moment, Records};

use super::Entry;

/// Bytes of client id and user name that have room in what an event takes; longer ones take the room of several. MQTT's
/// longest would make the ring 600 times as big as it is with usual ones.
pub(super) const TEXT: usize = 256;

/// Events that each client may have whatever others do, as long as there is room for that: two visits. With more it is the
/// first to lose some.
pub(super) const FLOOR: u64 = 4;

/// The events there is room for, in the order of their numbers.
///
/// Room is shared as in a fair queue: when there is none, the client that takes most of it loses its oldest event, as long as it
/// has more than [`FLOOR`]; if nobody has, the oldest of all goes. So who flaps or floods writes over its own events.
///
/// Each event is kept under a number of its own, its place. A new one is kept over one that goes for it, so nothing has to be
/// removed; the order is that of the events' numbers, not of the places. What one event costs grows with the logarithm of
/// how many there are, and maps that grow by doubling have their size from the start: no single event pays for all.
#[derive(Default)]
pub(super) struct Ring {
    events: BTreeMap<u64, Held>,
    clients: HashMap<Newest, Share>,
    /// Who has more than [`FLOOR`], by how much that is, and of two that have the same the one with the oldest event last.
    over: BTreeSet<(u64, Reverse<u64>)>,
    capacity: usize,
    /// What all events take; an event with usual texts takes 1.
    taken: u64,
    /// Above all that were ever used.
    next_place: u64,
    /// Where events were kept that are there twice.
    stray: Vec<u64>,
}

struct Held {
    entry: Arc<Entry>,
    place: u64,
    /// The number of this client's following event; 0: it is the newest.
    following: u64,
}

/// A client by its newest event, whose memory has its id.
struct Newest(Arc<Entry>);

/// What one client has.
#[derive(Clone, Copy)]
struct Share {
    oldest: u64,
    newest: u64,
    taken: u64,
}

impl Share {
    fn is_over(&self) -> bool {
        self.taken > FLOOR
    }

    const fn rank(&self) -> (u64, Reverse<u64>) {
        (self.taken, Reverse(self.oldest))
    }
}

impl Ring {
    /// What an earlier process has left; all of it stays until the capacity is known.
    pub(super) fn restored(mut kept: Vec<(u64, Entry)>) -> Self {
        kept.sort_by_key(|(_, entry)| entry.number);
        let mut ring = Self::default();
        for (place, entry) in kept {
            ring.next_place = ring.next_place.max(place.saturating_add(1));
            if ring.last() == Some(entry.number) {
                ring.stray.push(place);
            } else {
                ring.insert(&Arc::new(entry), place);
            }
        }
        ring
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.events.keys().next().copied()
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.events.keys().next_back().copied()
    }

    /// The oldest event there is, of all or of one client.
    pub(super) fn oldest(&self, client_id: Option<&str>) -> Option<&Arc<Entry>> {
        let number = match client_id {
            None => self.first()?,
            Some(client_id) => self.clients.get(client_id)?.oldest,
        };
        Some(&self.events.get(&number)?.entry)
    }

    /// Takes an event, if there is room for it at all. Those that went for it are added to `gone`: freeing them takes a while.
    pub(super) fn push(
        &mut self,
        entry: &Arc<Entry>,
        records: &Records,
        moment: &mut dyn Moment,
        gone: &mut Vec<Arc<Entry>>,
    ) {
        if weight(entry) > self.capacity as u64 {
            return;
        }
        // Its own place is found below; nobody looks before that.
        self.insert(entry, UNKEPT);
        let mut free = None;
        while self.taken > self.capacity as u64 {
            let Some(Held { entry, place, .. }) = self.evict() else { break };
            gone.push(entry);
            match (place, free) {
                // The new one itself: its client has the most, and no other event.
                (UNKEPT, _) => {}
                (place, None) => free = Some(place),
                (place, Some(_)) => forget(place, records, moment),
            }
        }
        match (self.events.get_mut(&entry.number), free) {
            (Some(held), free) => {
                held.place = free.unwrap_or(self.next_place);
                self.next_place = self.next_place.max(held.place.saturating_add(1));
                keep(held.place, entry, records, moment);
            }
            (None, Some(place)) => forget(place, records, moment),
            (None, None) => {}
        }
    }

    /// Changes how many events there may be.
    pub(super) fn set_capacity(&mut self, capacity: usize, records: &Records, moment: &mut dyn Moment) {
        for place in std::mem::take(&mut self.stray) {
            forget(place, records, moment);
        }
        self.capacity = capacity;
        while self.taken > capacity as u64 {
            let Some(gone) = self.evict() else { break };
            forget(gone.place, records, moment);
        }
        // Grown at once: later it would hold up who comes and goes. Memory that nothing was written to is not there yet.
        self.clients.shrink_to(capacity);
        self.clients.reserve(capacity.saturating_sub(self.clients.len()));
    }

    /// Copies up to `most` events between two numbers, both left out, from one end of them.
    pub(super) fn copy(&self, after: u64, before: u64, from_end: bool, most: usize, out: &mut Vec<Arc<Entry>>) {
        let Some(start) = after.checked_add(1).filter(|start| *start < before) else { return };
        let range = self.events.range(start..before).map(|(_, held)| &held.entry);
        if from_end {
            out.extend(range.rev().take(most).cloned());
        } else {
            out.extend(range.take(most).cloned());
        }
    }

    fn insert(&mut self, entry: &Arc<Entry>, place: u64) {
        let (number, taken) = (entry.number, weight(entry));
        self.taken += taken;
        // The key is to be the newest event: an older one would keep its memory.
        let share = match self.clients.remove(entry.client_id()) {
            None => Share { oldest: number, newest: number, taken },
            Some(before) => {
                if before.is_over() {
                    self.over.remove(&before.rank());
                }
                if let Some(newest) = self.events.get_mut(&before.newest) {
                    newest.following = number;
                }
                Share { newest: number, taken: before.taken + taken, ..before }
            }
        };
        if share.is_over() {
            self.over.insert(share.rank());
        }
        self.clients.insert(Newest(Arc::clone(entry)), share);
        self.events.insert(number, Held { entry: Arc::clone(entry), place, following: 0 });
    }

    /// Takes out what is to go next.
    fn evict(&mut self) -> Option<Held> {
        let number = match self.over.last() {
            Some((_, Reverse(oldest))) => *oldest,
            None => self.first()?,
        };
        let held = self.events.remove(&number)?;
        let taken = weight(&held.entry);
        self.taken -= taken;
        let client_id = held.entry.client_id();
        let share = self.clients.get_mut(client_id).expect("each event's client has a share");
        if share.is_over() {
            self.over.remove(&share.rank());
        }
        // Either way the event is its client's oldest one.
        *share = Share { oldest: held.following, taken: share.taken - taken, ..*share };
        if held.following == 0 {
            self.clients.remove(client_id);
        } else if share.is_over() {
            self.over.insert(share.rank());
        }
        Some(held)
    }
}

/// An event that is not kept yet.
const UNKEPT: u64 = u64::MAX;

/// What an event takes of the room.
pub(super) fn weight(entry: &Entry) -> u64 {
    entry.text_len().div_ceil(TEXT).max(1) as u64
}

impl Borrow<str> for Newest {
    fn borrow(&self) -> &str {
        self.0.client_id()
    }
}

impl Hash for Newest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.client_id().hash(state);
    }
}

impl PartialEq for Newest {
    fn eq(&self, other: &Self) -> bool {
        self.0.client_id() == other.0.client_id()
    }
}

impl Eq for Newest {}

/// Called in the order of the numbers, at the moment of the fact that the event is about, so both are stored or neither.
fn keep(place: u64, entry: &Entry, records: &Records, moment: &mut dyn Moment) {
    records.keep(moment, &place.to_be_bytes(), &entry.to_record());
}

fn forget(place: u64, records: &Records, moment: &mut dyn Moment) {
    records.forget(moment, &place.to_be_bytes());
}
