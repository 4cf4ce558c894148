//! `limits.memory`: what the broker holds for its clients, and how much of it may be one client's.
//!
//! What is held is counted where it is taken and given back, not asked of the system: the allocator keeps memory that
//! nobody uses, and who is let in must not depend on that.
//!
//! There is one rule for all that grows: a client may hold a [`Share`], a part of what is free. While there is plenty, a
//! burst fits; the scarcer it gets, the less each may hold, so the last byte is never anyone's. What stays free at the end
//! is for those who come: a client takes some KiB.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use mqtt_session::{Gauge, Share};

use self::by_address::{ByAddress, Part};

pub(crate) mod by_address;

/// One client may hold as much as this part of what is free: with n that take all they can get, 4 / (4 + n) stays free.
const PART: usize = 4;

/// Of the limit this part is kept for clients that come, and nobody's queue may grow into it.
const RESERVE: usize = 8;

/// While memory is not full, each client may hold this much.
const LEAST_SHARE: usize = 64 << 10;

/// While it is full, this much: without some messages under way, and the packets that acknowledge them, nobody could drain.
const SHARE_WHEN_FULL: usize = 16 << 10;

/// Of the limit this part is for those who have not said who they are yet, ...
const ARRIVING: usize = 16;

/// ... but not more than this.
const MOST_ARRIVING: usize = 64 << 20;

/// Bytes of traffic between two looks: by so much shares may be off.
const LOOK_EVERY: usize = 1 << 20;

/// All clients of one address that are away may hold so many times what is free.
const TIMES_AWAY: usize = 3;

/// The log tells that it is full no longer when this part of the limit is free, so that it is not told at every message.
const CALM: usize = 32;

/// What a retained message takes in the tables where it is found.
const PER_RETAINED: usize = 256;

#[derive(Debug)]
pub(crate) struct Memory {
    limit: AtomicUsize,
    /// Messages that sessions keep, or that are retained.
    kept: Gauge,
    /// All that sessions and connections hold but messages.
    held: AtomicUsize,
    retained: AtomicUsize,
    arriving: Pot,
    half_done: Pot,
    share: Arc<Share>,
    /// Clients that are away: a session may outlive its connection for ever, and costs whoever leaves it behind nothing.
    pub(crate) absentees: ByAddress,
    /// What those of one address may hold, as it was when that was last looked at.
    away: AtomicUsize,
    traffic: AtomicUsize,
    /// The log says that memory is full.
    told_full: AtomicBool,
}

/// Bytes that some share. One of them may [grow](Claim::grow_to) to half of what is left, so that the last byte is never
/// anyone's here, either.
#[derive(Clone, Debug)]
pub(crate) struct Pot(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    bytes: AtomicUsize,
    size: AtomicUsize,
}

/// What one has taken from a pot; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pot: Pot,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(limit: usize, share: Arc<Share>, kept: Gauge) -> Self {
        let memory = Self {
            limit: AtomicUsize::new(limit),
            kept,
            held: AtomicUsize::new(0),
            retained: AtomicUsize::new(0),
            arriving: Pot::new(for_arriving(limit)),
            half_done: Pot::new(limit),
            share,
            absentees: ByAddress::default(),
            away: AtomicUsize::new(0),
            traffic: AtomicUsize::new(0),
            told_full: AtomicBool::new(false),
        };
        memory.look();
        memory
    }

    /// Bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// So much from now on. Where more is held, it goes as it does when memory has become full.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
        self.arriving.0.size.store(for_arriving(limit), Relaxed);
        self.half_done.0.size.store(limit, Relaxed);
        self.look();
    }

    /// Bytes held for clients, and retained.
    pub(crate) fn used(&self) -> usize {
        self.kept.bytes() + self.held.load(Relaxed) + self.arriving.bytes() + self.half_done.bytes()
    }

    /// Nobody who has no session here is let in.
    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.limit()
    }

    /// Whether so many bytes may be retained in addition. All retained messages together are like one client that may hold
    /// half of what there is.
    pub(crate) fn has_room_to_retain(&self, bytes: usize) -> bool {
        bytes <= self.free_to_retain()
    }

    /// Bytes that may be retained in addition.
    pub(crate) fn free_to_retain(&self) -> usize {
        self.free().saturating_sub(self.retained.load(Relaxed))
    }

    /// Whether what is held for the clients of this address that are away leaves room for one more of them.
    pub(crate) fn has_room_for_absentees(&self, address: IpAddr) -> bool {
        let held = self.absentees.of(address).map_or(0, |part| part.bytes());
        held <= self.free().saturating_mul(TIMES_AWAY)
    }

    /// Whether those who are away, and what is held for them here, leave room for something more to wait for one of them.
    pub(crate) fn has_room_at(&self, absent: &Part) -> bool {
        absent.bytes() <= self.away.load(Relaxed)
    }

    /// What a retained message of this size takes.
    pub(crate) const fn cost_of_retained(size: usize) -> usize {
        PER_RETAINED + size
    }

    /// So many bytes more are retained, or less.
    pub(crate) fn note_retained(&self, more: usize, less: usize) {
        self.retained.fetch_add(more.wrapping_sub(less), Relaxed);
        let tables = |bytes: usize| if bytes > 0 { PER_RETAINED } else { 0 };
        self.note_held(tables(more).wrapping_sub(tables(less)));
    }

    /// Sessions and connections hold so many bytes more, or less: it may wrap around.
    pub(crate) fn note_held(&self, change: usize) {
        self.held.fetch_add(change, Relaxed);
    }

    /// For who has not said who it is.
    pub(crate) const fn arriving(&self) -> &Pot {
        &self.arriving
    }

    /// For half packets of those who are in, and for filters that are still to be searched for; how much of it one may have
    /// is for its [`Share`] to say.
    pub(crate) const fn half_done(&self) -> &Pot {
        &self.half_done
    }

    /// Notes traffic, in bytes taken and bytes handed to receivers.
    pub(crate) fn note(&self, bytes: usize) {
        // Two may get here at once, and both look: that is right, and seldom.
        if self.traffic.fetch_add(bytes, Relaxed) + bytes >= LOOK_EVERY {
            self.traffic.store(0, Relaxed);
            self.look();
        }
    }

    /// Shares out anew what is free.
    pub(crate) fn look(&self) {
        let used = self.used();
        let is_full = used >= self.limit();
        self.away.store(self.free().saturating_mul(TIMES_AWAY), Relaxed);
        self.share.set(if is_full { SHARE_WHEN_FULL } else { (self.free() / PART).max(LEAST_SHARE) });
        match self.changes_to(used) {
            Some(true) => tracing::warn!(used, limit = self.limit(), "limits.memory is reached: nobody new comes in"),
            Some(false) => tracing::info!(used, limit = self.limit(), "memory is below limits.memory again"),
            None => {}
        }
    }

    /// Whether it is to be told that memory is full, or no longer.
    fn changes_to(&self, used: usize) -> Option<bool> {
        let was_full = self.told_full.load(Relaxed);
        let limit = self.limit();
        let is_full = used >= if was_full { limit - limit / CALM } else { limit };
        (self.told_full.swap(is_full, Relaxed) != is_full).then_some(is_full)
    }

    fn free(&self) -> usize {
        let limit = self.limit();
        (limit - limit / RESERVE).saturating_sub(self.used())
    }
}

fn for_arriving(limit: usize) -> usize {
    (limit / ARRIVING).min(MOST_ARRIVING)
}

impl Pot {
    fn new(size: usize) -> Self {
        Self(Arc::new(Taken { bytes: AtomicUsize::new(0), size: AtomicUsize::new(size) }))
    }

    fn bytes(&self) -> usize {
        self.0.bytes.load(Relaxed)
    }

    /// An empty claim.
    pub(crate) fn claim(&self) -> Claim {
        Claim { pot: self.clone(), bytes: 0 }
    }
}

impl Claim {
    /// Takes as much as there is need of; false: it is not there.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let Taken { bytes: taken, size } = &*self.pot.0;
        let left = size.load(Relaxed).saturating_sub(taken.load(Relaxed));
        if more > 0 && bytes > left / 2 {
            return false;
        }
        self.set(self.bytes + more);
        true
    }

    /// What it has taken.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes so much, whether or not it is there.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.pot.0.bytes.fetch_add(bytes.wrapping_sub(self.bytes), Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pot.0.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit: usize) -> (Memory, Arc<Share>) {
        let share = Arc::new(Share::default());
        (Memory::new(limit, Arc::clone(&share), Gauge::default()), share)
    }

    #[test]
    fn the_more_is_held_the_less_each_may() {
        let (memory, share) = memory(80 << 20);
        assert_eq!(share.bytes(), (70 << 20) / PART);
        let mut before = share.bytes();
        for _ in 0..100 {
            // One after the other takes all it may.
            memory.note_held(share.bytes());
            memory.look();
            assert!(share.bytes() <= before && !memory.is_full());
            before = share.bytes();
        }
        memory.note_held(80 << 20);
        memory.look();
        assert_eq!((share.bytes(), memory.is_full()), (SHARE_WHEN_FULL, true));
        memory.note_held((80_usize << 20).wrapping_neg());
        memory.note(LOOK_EVERY);
        assert_eq!((share.bytes(), memory.is_full()), (before, false));
    }

    #[test]
    fn another_limit_holds_at_once() {
        let (memory, share) = memory(64 << 20);
        memory.note_held(32 << 20);
        memory.look();
        let (before, mut claim) = (share.bytes(), memory.arriving().claim());
        memory.set_limit(16 << 20);
        assert!(memory.is_full() && share.bytes() == SHARE_WHEN_FULL && !claim.grow_to(1 << 20));
        memory.set_limit(64 << 20);
        assert!(!memory.is_full() && share.bytes() == before && claim.grow_to(1 << 20));
    }

    #[test]
    fn who_takes_and_gives_back_the_last_byte_is_told_of_once() {
        let (memory, _) = memory(64 << 20);
        let (full, calm) = (64 << 20, 62 << 20);
        assert_eq!(memory.changes_to(full - 1), None);
        assert_eq!(memory.changes_to(full), Some(true));
        assert!((0..100).all(|_| memory.changes_to(full - 1).is_none() && memory.changes_to(full).is_none()));
        assert_eq!((memory.changes_to(calm), memory.changes_to(calm - 1)), (None, Some(false)));
    }

    #[test]
    fn what_is_retained_is_half_of_it_at_the_most() {
        let (memory, _) = memory(80 << 20);
        let one = Memory::cost_of_retained(1 << 20);
        let mut kept = 0;
        while memory.has_room_to_retain(one) {
            memory.note_held(1 << 20);
            memory.note_retained(one, 0);
            kept += 1;
        }
        assert!((30..=35).contains(&kept), "{kept}");
        memory.note_retained(0, one);
        memory.note_held((1_usize << 20).wrapping_neg());
        assert!(memory.has_room_to_retain(one));
    }

    #[test]
    fn who_arrives_never_takes_all() {
        let (memory, _) = memory(16 << 20);
        let mut claims: Vec<_> = (0..1000).map(|_| memory.arriving().claim()).collect();
        for claim in &mut claims {
            let mut bytes = 1024;
            while claim.grow_to(bytes) {
                bytes += 1024;
            }
        }
        assert!(memory.used() < 1 << 20, "{}", memory.used());
        assert!(claims[0].bytes > 256 << 10 && claims[0].grow_to(10));
        drop(claims);
        assert_eq!(memory.used(), 0);
        assert!(memory.arriving().claim().grow_to(512 << 10));
    }
}
