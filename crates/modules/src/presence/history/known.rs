//! Every client that was seen lately, by its last event.
//!
//! A client is known by the record of its last event, in memory as it is in the store: who it is, when it came and went, and
//! why. So the table costs no record of its own: while a client is known, the place of its last event is not given to another.
//!
//! Their room is shared by the addresses from which they came: who comes takes the place of one whose address has no less of it
//! than its own. So whoever makes up ever new client ids is forgotten for them, and not those who are away from elsewhere.
//!
//! It is in shards, so that a look at all clients holds up nobody who comes and goes, and what grows by doubling grows in small
//! pieces.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use mqtt_hooks::network;
use parking_lot::Mutex;

use self::shard::Shard;
use super::record::{Glance, is_of, number_of};

mod shard;

/// A power of two.
pub(super) const SHARDS: usize = 64;

/// Bytes of records that clients may have on average.
const RECORD: usize = 320;

/// How many clients are known, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// 0: none is.
    pub(crate) clients: usize,
    /// Milliseconds from when a client went until it is forgotten.
    pub(crate) forget_after_ms: u64,
}

impl Limits {
    /// Until they are known all stay.
    const NONE: Self = Self { clients: usize::MAX, forget_after_ms: u64::MAX };
}

/// A client's last event, and where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) number: u64,
    pub(super) place: u32,
    pub(super) first_seen: u64,
}

/// What a client id is found by, here and in the ring. The shard takes the bits at one end of it, the bucket those at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(pub(super) u32);

impl Hash {
    const fn shard(self) -> usize {
        (self.0 >> (u32::BITS - SHARDS.ilog2())) as usize
    }
}

/// What the address is told apart by from which a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin(u32);

/// What is put into the table: a client's newest event.
pub(super) struct Newest<'a> {
    pub(super) from: Origin,
    pub(super) at: u64,
    pub(super) first_seen: u64,
    pub(super) is_connected: bool,
    pub(super) record: &'a Arc<[u8]>,
    pub(super) place: u32,
}

/// Where a client is in the table, or would be: as long as nothing else is put there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    hash: Hash,
    slot: Option<u32>,
    pub(super) last: Option<Last>,
}

/// See the [module](self).
pub(super) struct Known {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    is_on: AtomicBool,
    /// [`Limits::clients`]
    most: AtomicUsize,
}

/// How far a walk through all clients is: shard and slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    shard: usize,
    slot: usize,
}

impl Cursor {
    /// Of who comes behind all that are in the table.
    pub(super) const fn behind_all(slot: usize) -> Self {
        Self { shard: SHARDS, slot }
    }

    /// Of the how manieth of them.
    pub(super) const fn is_behind_all(self) -> Option<usize> {
        if self.shard == SHARDS { Some(self.slot) } else { None }
    }
}

impl From<u64> for Cursor {
    fn from(number: u64) -> Self {
        Self { shard: (number >> 32) as usize, slot: number as u32 as usize }
    }
}

impl From<Cursor> for u64 {
    fn from(Cursor { shard, slot }: Cursor) -> Self {
        (shard as Self) << 32 | slot as Self
    }
}

impl Default for Known {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(Limits::NONE))).collect();
        Self {
            shards,
            hasher: RandomState::default(),
            is_on: AtomicBool::new(true),
            most: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Known {
    /// Changes the limits, and returns what is kept of those who are not known any more.
    pub(super) fn set_limits(&self, limits: Limits, now_ms: u64) -> Vec<Last> {
        let mut gone = Vec::new();
        let Limits { clients, forget_after_ms } = limits;
        self.is_on.store(clients > 0, Ordering::Relaxed);
        self.most.store(clients, Ordering::Relaxed);
        for shard in &self.shards {
            let of_shard = Limits { clients: clients.div_ceil(SHARDS), forget_after_ms };
            shard.lock().set_limits(of_shard, now_ms, &mut gone);
        }
        gone
    }

    /// Whether so many more than are in the table may be known.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.len().saturating_add(more) <= self.most.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Clients that went out for others, or because nothing was heard of them for so long.
    pub(super) fn forgotten(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().forgotten).sum()
    }

    /// Where this client is. `None`: no client is to be known.
    pub(super) fn spot(&self, hash: Hash, client_id: &str) -> Option<Spot> {
        if !self.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let slots = self.shards[hash.shard()].lock();
        let slot = slots.find(hash, client_id);
        Some(Spot { hash, slot, last: slot.map(|slot| slots.last_of(slot)) })
    }

    /// The last event of a client, in place of the one before, of which the record is returned: to free it takes a while.
    /// Those who go for it are added to `gone`.
    pub(super) fn put(&self, spot: Spot, newest: &Newest<'_>, gone: &mut Vec<Last>) -> Option<Arc<[u8]>> {
        self.shards[spot.hash.shard()].lock().put(spot.hash, spot.slot, newest, gone)
    }

    /// The record of the last event of this client.
    pub(super) fn get(&self, client_id: &str) -> Option<Arc<[u8]>> {
        let hash = self.hash(client_id);
        self.shards[hash.shard()].lock().get(hash, client_id)
    }

    /// Whether the event with this number is the last one of its client, and that is known.
    pub(super) fn is_last(&self, hash: Hash, number: u64) -> bool {
        self.shards[hash.shard()].lock().is_last(hash, number)
    }

    /// Shows `visit` the records of some clients, one after the other, and says where to go on; `None`: that was the last one.
    /// Who is known from the first call to the last is seen once; others may be.
    pub(super) fn walk(
        &self,
        Cursor { shard, slot }: Cursor,
        most: usize,
        visit: &mut dyn FnMut(Glance<'_>, &Arc<[u8]>),
    ) -> Option<Cursor> {
        let next = self.shards.get(shard)?.lock().walk(slot, most, visit);
        match next {
            Some(slot) => Some(Cursor { shard, slot }),
            None => (shard + 1 < self.shards.len()).then_some(Cursor { shard: shard + 1, slot: 0 }),
        }
    }

    /// Forgets some of those of one shard who have been away for too long.
    pub(super) fn forget_old(&self, shard: usize, now_ms: u64) -> Vec<Last> {
        let mut gone = Vec::new();
        if let Some(shard) = self.shards.get(shard) {
            shard.lock().forget_old(now_ms, &mut gone);
        }
        gone
    }

    /// Of a network of version 6 all addresses are one.
    pub(super) fn origin(&self, address: IpAddr) -> Origin {
        Origin(self.hasher.hash_one(network(address)) as u32)
    }

    pub(super) fn hash(&self, client_id: &str) -> Hash {
        Hash(self.hasher.hash_one(client_id) as u32)
    }
}

#[cfg(test)]
mod tests;
