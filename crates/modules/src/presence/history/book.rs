//! What is kept of events, and where: the ring of the last ones, and the last one of each client that is known.

use std::sync::Arc;

use mqtt_hooks::{Moment, Records};

use super::Entry;
use super::known::{Hash, Known, Last, Limits, Newest, Origin, Spot};
use super::ring::{Arriving, Ring, weight};

/// The events that there are.
///
/// Each is kept under a number of its own, its *place*. A place is an event's as long as it is in the ring or is the last one of
/// a client that is known; then a new event is kept over it, in the same bundle of the journal as what it tells of. So
/// after a `kill -9` either the new event is there or what it was kept over, nothing is lost on the way, and most events cost
/// one record. The order is that of the events' numbers, whatever their places.
#[derive(Default)]
pub(super) struct Book {
    pub(super) ring: Ring,
    /// Above all that were ever used.
    next_place: u32,
    /// Where there are events that were kept twice.
    stray: Vec<u32>,
}

impl Book {
    /// What an earlier process has left; all of it stays until it is known how much may.
    pub(super) fn restored(mut found: Vec<(u32, Entry)>, known: &Known) -> Self {
        found.sort_by_key(|(_, entry)| entry.number);
        let mut book = Self::default();
        for (place, entry) in found {
            book.next_place = book.next_place.max(place.saturating_add(1));
            if book.ring.last() == Some(entry.number) {
                book.stray.push(place);
            } else {
                let (record, hash) = (entry.to_record(), known.hash(entry.client_id()));
                if let Some(spot) = known.spot(hash, entry.client_id()) {
                    let newest = Newest {
                        from: known.origin(entry.ip),
                        at: entry.at,
                        first_seen: entry.first_seen,
                        is_connected: entry.is_connected(),
                        record: &record,
                        place,
                    };
                    known.put(spot, &newest, &mut Vec::new());
                }
                book.ring.insert(&Arriving {
                    client_id: entry.client_id(),
                    hash,
                    number: entry.number,
                    record: &record,
                    weight: weight(entry.text_len()),
                    place,
                });
            }
        }
        book
    }

    /// Takes an event, newer than all there are. What went for it is added to `gone`: freeing it takes a while.
    ///
    /// Called in the order of the numbers, at the moment of the fact that the event is about, so both are stored or neither.
    pub(super) fn push(&mut self, event: &Told<'_>, known: &Known, store: &mut Store<'_>, gone: &mut Vec<Arc<[u8]>>) {
        let Told { client_id, hash, number, weight, spot, record, .. } = *event;
        let mut is_ringed = usize::from(weight) <= self.ring.capacity();
        let before = spot.and_then(|spot| spot.last);
        // Its place is found below; nobody looks before that.
        let arriving = Arriving { client_id, hash, number, record, weight, place: UNKEPT };
        let ringed_before =
            if is_ringed { self.ring.insert(&arriving) } else { self.ring.newest_number_of(hash, client_id) };
        let mut vacant = Vacant::default();
        // The place of the event before it, unless the ring has that: then it is its as long as it is in there.
        if let Some(before) = before
            && ringed_before != Some(before.number)
        {
            vacant.add(before.place, store);
        }
        while let Some(evicted) = self.ring.evict() {
            if evicted.place == UNKEPT {
                // The new one itself: its client has the most, and no other event.
                is_ringed = false;
            } else if !(evicted.is_last && known.is_last(evicted.hash, evicted.number)) {
                vacant.add(evicted.place, store);
            }
            gone.push(evicted.record);
        }
        if is_ringed || spot.is_some() {
            let place = vacant.first.unwrap_or(self.next_place);
            self.next_place = self.next_place.max(place.saturating_add(1));
            store.keep(place, record);
            if is_ringed {
                self.ring.set_place(place);
            }
            if let Some(spot) = spot {
                let Told { from, at, first_seen, is_connected, .. } = *event;
                let newest = Newest { from, at, first_seen, is_connected, record, place };
                let mut forgotten = Vec::new();
                gone.extend(known.put(spot, &newest, &mut forgotten));
                self.forget(&forgotten, store);
            }
        } else if let Some(place) = vacant.first {
            store.forget(place);
        }
    }

    /// Changes how many events there may be.
    pub(super) fn set_capacity(&mut self, capacity: usize, known: &Known, store: &mut Store<'_>) {
        std::mem::take(&mut self.stray).into_iter().for_each(|place| store.forget(place));
        self.ring.set_capacity(capacity);
        while let Some(evicted) = self.ring.evict() {
            if !(evicted.is_last && known.is_last(evicted.hash, evicted.number)) {
                store.forget(evicted.place);
            }
        }
        self.ring.grow();
    }

    /// Changes how many clients are known.
    pub(super) fn set_limits(&mut self, limits: Limits, now_ms: u64, known: &Known, store: &mut Store<'_>) {
        let gone = known.set_limits(limits, now_ms);
        self.forget(&gone, store);
    }

    /// Forgets some of those who have been away for too long.
    pub(super) fn forget_old(&self, shard: usize, now_ms: u64, known: &Known, store: &mut Store<'_>) {
        let gone = known.forget_old(shard, now_ms);
        self.forget(&gone, store);
    }

    /// These are not known any more.
    fn forget(&self, gone: &[Last], store: &mut Store<'_>) {
        gone.iter().filter(|last| !self.ring.has(last.number)).for_each(|last| store.forget(last.place));
    }
}

/// An event that is not kept yet.
const UNKEPT: u32 = u32::MAX;

/// An event that was told, and what its record does not say at a glance.
pub(super) struct Told<'a> {
    pub(super) client_id: &'a str,
    pub(super) from: Origin,
    pub(super) hash: Hash,
    /// Where its client is among those that are known.
    pub(super) spot: Option<Spot>,
    pub(super) number: u64,
    pub(super) at: u64,
    pub(super) first_seen: u64,
    pub(super) is_connected: bool,
    pub(super) weight: u16,
    pub(super) record: &'a Arc<[u8]>,
}

/// Places that are nobody's: one for the new event, others are not needed.
#[derive(Default)]
struct Vacant {
    first: Option<u32>,
}

impl Vacant {
    fn add(&mut self, place: u32, store: &mut Store<'_>) {
        if self.first.is_some() {
            store.forget(place);
        } else {
            self.first = Some(place);
        }
    }
}

/// Where the events are kept.
pub(super) struct Store<'a> {
    pub(super) records: &'a Records,
    pub(super) moment: &'a mut dyn Moment,
}

impl Store<'_> {
    fn keep(&mut self, place: u32, record: &[u8]) {
        self.records.keep(self.moment, &key(place), record);
    }

    fn forget(&mut self, place: u32) {
        self.records.forget(self.moment, &key(place));
    }
}

/// As earlier versions wrote it.
fn key(place: u32) -> [u8; 8] {
    u64::from(place).to_be_bytes()
}

/// The place of this key, if it is one's.
pub(super) fn place_of(key: &[u8]) -> Option<u32> {
    let place = u64::from_be_bytes(key.try_into().ok()?);
    u32::try_from(place).ok().filter(|place| *place < UNKEPT)
}
