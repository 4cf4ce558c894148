//! The last events in memory: which there is room for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;

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
/// What one event costs grows with the logarithm of how many there are, and maps that grow by doubling have their size from the
/// start: no single event pays for all.
#[derive(Default)]
pub(super) struct Ring {
    events: BTreeMap<u64, Held>,
    clients: HashMap<Arc<str>, Share>,
    /// Who has more than [`FLOOR`], by how much that is, and of two that have the same the one with the oldest event last.
    over: BTreeSet<(u64, Reverse<u64>)>,
    capacity: usize,
    /// What all events take; an event with usual texts takes 1.
    taken: u64,
}

struct Held {
    entry: Arc<Entry>,
    /// Where it is kept.
    place: u32,
    /// The number of this client's following event; 0: it is the newest.
    following: u64,
}

/// An event that has gone.
pub(super) struct Evicted {
    pub(super) entry: Arc<Entry>,
    pub(super) place: u32,
    /// Its client has no newer one.
    pub(super) is_last: bool,
}

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

    pub(super) fn has(&self, number: u64) -> bool {
        self.events.contains_key(&number)
    }

    /// Takes an event, newer than all there are, though there may be no room: see [`Self::evict`]. Returns the number of the
    /// client's event before it, if that is here.
    pub(super) fn insert(&mut self, client_id: &Arc<str>, entry: &Arc<Entry>, place: u32) -> Option<u64> {
        let (number, taken) = (entry.number, weight(entry));
        self.taken += taken;
        self.events.insert(number, Held { entry: Arc::clone(entry), place, following: 0 });
        let Some(share) = self.clients.get_mut(client_id) else {
            let share = Share { oldest: number, newest: number, taken };
            if share.is_over() {
                self.over.insert(share.rank());
            }
            self.clients.insert(Arc::clone(client_id), share);
            return None;
        };
        if share.is_over() {
            self.over.remove(&share.rank());
        }
        let before = share.newest;
        *share = Share { newest: number, taken: share.taken + taken, ..*share };
        if share.is_over() {
            self.over.insert(share.rank());
        }
        if let Some(newest) = self.events.get_mut(&before) {
            newest.following = number;
        }
        Some(before)
    }

    /// Says where the newest event is kept.
    pub(super) fn set_place(&mut self, place: u32) {
        if let Some(mut newest) = self.events.last_entry() {
            newest.get_mut().place = place;
        }
    }

    /// Changes how many events there may be; more than that are still to be [evicted](Self::evict).
    pub(super) const fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Makes the maps as big as they may get: later that would hold up who comes and goes. Memory that nothing was written to is
    /// not there yet.
    pub(super) fn grow(&mut self) {
        self.clients.shrink_to(self.capacity);
        self.clients.reserve(self.capacity.saturating_sub(self.clients.len()));
    }

    /// Takes out what is to go next, if there is no room for all.
    pub(super) fn evict(&mut self) -> Option<Evicted> {
        if self.taken <= self.capacity as u64 {
            return None;
        }
        let number = match self.over.last() {
            Some((_, Reverse(oldest))) => *oldest,
            None => self.first()?,
        };
        let Held { entry, place, following } = self.events.remove(&number)?;
        let taken = weight(&entry);
        self.taken -= taken;
        let share = self.clients.get_mut(entry.client_id()).expect("each event's client has a share");
        if share.is_over() {
            self.over.remove(&share.rank());
        }
        // Either way the event is its client's oldest one.
        *share = Share { oldest: following, taken: share.taken - taken, ..*share };
        if following == 0 {
            self.clients.remove(entry.client_id());
        } else if share.is_over() {
            self.over.insert(share.rank());
        }
        Some(Evicted { entry, place, is_last: following == 0 })
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
}

/// What an event takes of the room.
pub(super) fn weight(entry: &Entry) -> u64 {
    entry.text_len().div_ceil(TEXT).max(1) as u64
}
