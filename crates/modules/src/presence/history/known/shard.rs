//! Some of the clients: a hash table, and a list of them in the order of their last events.

use std::sync::Arc;

use foldhash::HashMap;

use super::{Glance, Hash, Last, Limits, Newest, Origin, RECORD, is_of, number_of};

/// No slot.
const NONE: u32 = u32::MAX;

/// Clients that are online and are passed over before one of them goes.
const PASSED_OVER: usize = 8;

/// Clients of whose address there is less than of that of who comes, and that are passed over for it, for each [`RECORD`] that it
/// brings: to find one of its own among them. Of those of others one in so many goes until it has that many.
const SPARED: usize = 256;

/// Clients that are looked at in one go, for being away for too long.
const LOOKED_AT: usize = 1024;

/// A client. With the record of its last event it takes some 200 bytes.
struct Slot {
    /// Shared with the ring while the event is in there. `None`: nobody's.
    record: Option<Arc<[u8]>>,
    first_seen: u64,
    /// When it went, in seconds since the Unix epoch; 0: it has not gone.
    went_s: u32,
    place: u32,
    hash: Hash,
    from: Origin,
    /// In the bucket; of nobody's slots, the next of those.
    next: u32,
    /// In the list.
    older: u32,
    newer: u32,
}

impl Slot {
    /// The number of its last event.
    fn number(&self) -> Option<u64> {
        self.record.as_deref().and_then(number_of)
    }
}

pub(super) struct Shard {
    limits: Limits,
    slots: Vec<Slot>,
    /// The first slot of each bucket.
    buckets: Vec<u32>,
    /// The first of nobody's slots.
    free: u32,
    oldest: u32,
    newest: u32,
    len: usize,
    /// Of the records of those who came from there last.
    origins: HashMap<Origin, usize>,
    /// Of all records.
    bytes: usize,
    pub(super) forgotten: u64,
}

impl Shard {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            buckets: Vec::new(),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            len: 0,
            origins: HashMap::default(),
            bytes: 0,
            forgotten: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn set_limits(&mut self, limits: Limits, now_ms: u64, gone: &mut Vec<Last>) {
        self.limits = limits;
        while self.is_over() {
            self.forget(self.oldest, gone);
        }
        self.forget_old(now_ms, gone);
        if self.len == 0 {
            *self = Self { forgotten: self.forgotten, ..Self::new(limits) };
        }
    }

    pub(super) fn get(&self, hash: Hash, client_id: &str) -> Option<Arc<[u8]>> {
        let slot = self.find(hash, client_id)?;
        self.slot(slot).record.clone()
    }

    /// `slot` is where [`Self::find`] has found the client.
    pub(super) fn put(
        &mut self,
        hash: Hash,
        slot: Option<u32>,
        newest: &Newest<'_>,
        gone: &mut Vec<Last>,
    ) -> Option<Arc<[u8]>> {
        let Newest { from, at, first_seen, is_connected, record, place } = *newest;
        let went_s = if is_connected { 0 } else { (at / 1000).clamp(1, u64::from(u32::MAX)) as u32 };
        let slot = match slot {
            Some(slot) => {
                self.unlink(slot);
                self.uncount(slot);
                slot
            }
            None => self.take_free(hash, from),
        };
        *self.origins.entry(from).or_default() += record.len();
        let of = self.slot_mut(slot);
        let before = of.record.replace(Arc::clone(record));
        (of.from, of.first_seen, of.went_s, of.place) = (from, first_seen, went_s, place);
        self.bytes = self.bytes + record.len() - before.as_ref().map_or(0, |before| before.len());
        self.link_newest(slot);
        // Each event makes room for itself, so one costs no more than that. Its own client is the last to go.
        let (mut passed_over, mut spared) = (0, SPARED * (1 + record.len() / RECORD));
        while self.is_over() {
            let oldest = self.oldest;
            if oldest == slot {
                // Those that were passed over are behind it by now.
                self.pass_over(oldest);
            } else if self.slot(oldest).went_s == 0 && passed_over < PASSED_OVER {
                // It is online: those who have gone go before it, if there are any among so many.
                passed_over += 1;
                self.pass_over(oldest);
            } else if spared > 0 && self.of_origin(self.slot(oldest).from) < self.of_origin(from) {
                spared -= 1;
                self.pass_over(oldest);
            } else {
                self.forget(oldest, gone);
            }
        }
        before
    }

    pub(super) fn forget_old(&mut self, now_ms: u64, gone: &mut Vec<Last>) {
        // In the order in which they went, with those between them who are still there.
        for _ in 0..LOOKED_AT.min(self.len) {
            let oldest = self.oldest;
            if self.is_too_old(oldest, now_ms) {
                self.forget(oldest, gone);
            } else if self.slot(oldest).went_s == 0 {
                self.pass_over(oldest);
            } else {
                break;
            }
        }
    }

    /// From this slot on; returns the one to go on with.
    pub(super) fn walk(
        &self,
        from: usize,
        most: usize,
        visit: &mut dyn FnMut(Glance<'_>, &Arc<[u8]>),
    ) -> Option<usize> {
        let until = from.saturating_add(most).min(self.slots.len());
        let records = self.slots.get(from..until).into_iter().flatten().filter_map(|slot| slot.record.as_ref());
        for record in records {
            if let Some(glance) = Glance::at(record) {
                visit(glance, record);
            }
        }
        (until < self.slots.len()).then_some(until)
    }

    /// Over the bound of clients, or of their records' bytes.
    fn is_over(&self) -> bool {
        self.len > self.limits.clients || self.bytes > self.limits.clients.saturating_mul(RECORD) && self.len > 1
    }

    fn is_too_old(&self, slot: u32, now_ms: u64) -> bool {
        let went_s = self.slot(slot).went_s;
        went_s > 0 && (u64::from(went_s) * 1000).saturating_add(self.limits.forget_after_ms) <= now_ms
    }

    pub(super) fn find(&self, hash: Hash, client_id: &str) -> Option<u32> {
        let is_wanted = |slot: &Slot| slot.record.as_ref().is_some_and(|record| is_of(record, client_id));
        self.in_bucket(hash, &is_wanted)
    }

    pub(super) fn is_last(&self, hash: Hash, number: u64) -> bool {
        self.in_bucket(hash, &|slot| slot.number() == Some(number)).is_some()
    }

    fn in_bucket(&self, hash: Hash, is_wanted: &dyn Fn(&Slot) -> bool) -> Option<u32> {
        let mut slot = *self.buckets.get(self.bucket(hash))?;
        while slot != NONE {
            let of = self.slot(slot);
            if of.hash == hash && is_wanted(of) {
                return Some(slot);
            }
            slot = of.next;
        }
        None
    }

    /// Into its bucket; the list comes later.
    fn take_free(&mut self, hash: Hash, from: Origin) -> u32 {
        if self.len == self.buckets.len() {
            self.grow();
        }
        let bucket = self.bucket(hash);
        let new = Slot {
            record: None,
            first_seen: 0,
            went_s: 0,
            place: 0,
            hash,
            from,
            next: self.buckets[bucket],
            older: NONE,
            newer: NONE,
        };
        let slot = if self.free == NONE {
            if self.slots.len() == self.slots.capacity() {
                // Twice as many would leave most of a million slots' room to nobody; a shard's are few enough to be moved.
                self.slots.reserve_exact(self.slots.len() / 8 + 8);
            }
            self.slots.push(new);
            (self.slots.len() - 1) as u32
        } else {
            let slot = self.free;
            self.free = self.slot(slot).next;
            *self.slot_mut(slot) = new;
            slot
        };
        self.buckets[bucket] = slot;
        self.len += 1;
        slot
    }

    fn forget(&mut self, slot: u32, gone: &mut Vec<Last>) {
        gone.push(self.last_of(slot));
        self.unlink(slot);
        self.uncount(slot);
        let (hash, next) = (self.slot(slot).hash, self.slot(slot).next);
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == slot {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while self.slot(before).next != slot {
                before = self.slot(before).next;
            }
            self.slot_mut(before).next = next;
        }
        let free = self.free;
        let of = self.slot_mut(slot);
        let record = of.record.take();
        (of.next, of.went_s) = (free, 0);
        self.free = slot;
        self.len -= 1;
        self.bytes -= record.map_or(0, |record| record.len());
        self.forgotten += 1;
    }

    /// Bytes of the records of those who came from there last.
    pub(super) fn of_origin(&self, from: Origin) -> usize {
        self.origins.get(&from).copied().unwrap_or(0)
    }

    fn uncount(&mut self, slot: u32) {
        let Slot { from, record, .. } = self.slot(slot);
        let (from, less) = (*from, record.as_ref().map_or(0, |record| record.len()));
        if let Some(bytes) = self.origins.get_mut(&from) {
            *bytes -= less;
            if *bytes == 0 {
                self.origins.remove(&from);
            }
        }
    }

    /// As many buckets as clients: those of a shard are few enough to be sorted anew at once.
    fn grow(&mut self) {
        self.buckets = vec![NONE; (self.buckets.len() * 2).max(8)];
        for slot in 0..self.slots.len() as u32 {
            if self.slot(slot).record.is_some() {
                let bucket = self.bucket(self.slot(slot).hash);
                self.slot_mut(slot).next = self.buckets[bucket];
                self.buckets[bucket] = slot;
            }
        }
    }

    const fn bucket(&self, hash: Hash) -> usize {
        hash.0 as usize & self.buckets.len().wrapping_sub(1)
    }

    fn unlink(&mut self, slot: u32) {
        let (older, newer) = (self.slot(slot).older, self.slot(slot).newer);
        match older {
            NONE => self.oldest = newer,
            older => self.slot_mut(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slot_mut(newer).older = older,
        }
    }

    fn pass_over(&mut self, slot: u32) {
        self.unlink(slot);
        self.link_newest(slot);
    }

    fn link_newest(&mut self, slot: u32) {
        let newest = self.newest;
        let of = self.slot_mut(slot);
        (of.older, of.newer) = (newest, NONE);
        match newest {
            NONE => self.oldest = slot,
            newest => self.slot_mut(newest).newer = slot,
        }
        self.newest = slot;
    }

    pub(super) fn last_of(&self, slot: u32) -> Last {
        let of = self.slot(slot);
        Last { number: of.number().unwrap_or_default(), place: of.place, first_seen: of.first_seen }
    }

    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }
}
