//! The events in memory, and the places where they are kept.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_hooks::{Moment, Records};

use super::Entry;

/// Bytes of client id and user name that events may have on average. MQTT's longest would make the ring 600 times as
/// big as it is with usual ones.
pub(super) const TEXT: usize = 256;

/// The newest events in the order of their numbers.
///
/// Each has a place, a number below the capacity. They follow each other round the ring, so a new event is kept over the
/// oldest one and nothing has to be removed for it.
#[derive(Default)]
pub(super) struct Ring {
    events: VecDeque<Arc<Entry>>,
    capacity: usize,
    /// Bytes of all events' texts.
    text: usize,
    /// Of the next event.
    place: u64,
    /// Where the events were kept that an earlier process has left, until it is known how many may stay.
    found: Vec<u64>,
}

impl Ring {
    /// What an earlier process has left; all of it stays until the capacity is known.
    pub(super) fn restored(mut kept: Vec<(u64, Entry)>) -> Self {
        kept.sort_by_key(|(_, entry)| entry.number);
        let text = kept.iter().map(|(_, entry)| entry.text_len()).sum();
        let (found, events) = kept.into_iter().map(|(place, entry)| (place, Arc::new(entry))).unzip();
        Self { events, capacity: 0, text, place: 0, found }
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.events.front().map(|entry| entry.number)
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.events.back().map(|entry| entry.number)
    }

    /// Takes an event, if there is room for any at all. Returns the one that went for it: freeing it takes a while.
    pub(super) fn push(
        &mut self,
        entry: &Arc<Entry>,
        records: &Records,
        moment: &mut dyn Moment,
    ) -> Option<Arc<Entry>> {
        if self.capacity == 0 {
            return None;
        }
        let oldest = if self.len() == self.capacity { self.pop() } else { None };
        keep(self.place, entry, records, moment);
        self.place = self.follow(self.place, 1);
        self.text += entry.text_len();
        self.events.push_back(Arc::clone(entry));
        while self.is_over() {
            let place = self.place_of_first();
            self.pop();
            forget(place, records, moment);
        }
        oldest
    }

    /// Changes how many events there may be; the oldest go.
    pub(super) fn set_capacity(&mut self, capacity: usize, records: &Records, moment: &mut dyn Moment) {
        let mut places = std::mem::take(&mut self.found);
        if places.is_empty() {
            if capacity == self.capacity {
                return;
            }
            let first = self.place_of_first();
            places = (0..self.len() as u64).map(|n| self.follow(first, n)).collect();
        }
        self.capacity = capacity;
        let mut gone = 0;
        while self.len() > capacity || self.is_over() {
            self.pop();
            gone += 1;
        }
        let (gone, kept) = places.split_at(gone);
        let is_ring = kept.first().is_none_or(|&first| {
            let mut expected = (0..).map(|n| self.follow(first, n));
            kept.iter().all(|&place| place < capacity as u64 && expected.next() == Some(place))
        });
        if is_ring {
            gone.iter().for_each(|&place| forget(place, records, moment));
            self.place = kept.last().map_or(0, |&last| self.follow(last, 1));
        } else {
            places
                .iter()
                .filter(|place| **place >= self.len() as u64)
                .for_each(|&place| forget(place, records, moment));
            for (place, entry) in (0..).zip(&self.events) {
                keep(place, entry, records, moment);
            }
            self.place = self.follow(0, self.len() as u64);
        }
        self.events.shrink_to(capacity);
        // Grown at once: later it would hold up who comes and goes. Memory that nothing was written to is not there yet.
        self.events.reserve_exact(capacity - self.len());
    }

    /// Copies up to `most` events between two numbers, both left out, from one end of them.
    pub(super) fn copy(&self, after: u64, before: u64, from_end: bool, most: usize, out: &mut Vec<Arc<Entry>>) {
        let start = self.events.partition_point(|entry| entry.number <= after);
        let end = self.events.partition_point(|entry| entry.number < before);
        if start >= end {
            return;
        }
        let most = most.min(end - start);
        if from_end {
            out.extend(self.events.range(end - most..end).rev().cloned());
        } else {
            out.extend(self.events.range(start..start + most).cloned());
        }
    }

    fn pop(&mut self) -> Option<Arc<Entry>> {
        let oldest = self.events.pop_front()?;
        self.text -= oldest.text_len();
        Some(oldest)
    }

    /// Over the bound of bytes. The newest event stays whatever its size.
    fn is_over(&self) -> bool {
        self.text > self.capacity.saturating_mul(TEXT) && self.len() > 1
    }

    fn place_of_first(&self) -> u64 {
        self.follow(self.place, (self.capacity - self.len()) as u64)
    }

    /// The place `n` further round the ring.
    const fn follow(&self, place: u64, n: u64) -> u64 {
        if self.capacity == 0 { 0 } else { (place + n) % self.capacity as u64 }
    }
}

/// Called in the order of the numbers, at the moment of the fact that the event is about, so both are stored or neither.
fn keep(place: u64, entry: &Entry, records: &Records, moment: &mut dyn Moment) {
    records.keep(moment, &place.to_be_bytes(), &entry.to_record());
}

fn forget(place: u64, records: &Records, moment: &mut dyn Moment) {
    records.forget(moment, &place.to_be_bytes());
}
