//! Numbers that are given once only, also over restarts.

use std::hash::BuildHasher;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use foldhash::HashMap;
use foldhash::fast::RandomState;
use mqtt_storage::{Bounds, StoreError};
use parking_lot::Mutex;

use crate::client::flaps::Flaps;
use crate::time::clock::wall_ms;

/// So many numbers are reserved in the store at once, for each restart skips those that are left.
const RESERVED: u64 = 1024;

/// Client ids without a session whose last `seq` is remembered exactly. Of others it is only known what it was at most.
const MAX_FORGOTTEN: usize = 65_536;

/// Numbers that are given once only.
pub(crate) struct Serials {
    /// Grows with every start.
    pub(crate) epoch: u64,
    connection: AtomicU64,
    session: AtomicU64,
    forgotten: Mutex<Forgotten>,
    /// What is reserved in the store.
    bounds: Mutex<Bounds>,
    reserved: Reserved,
}

/// The same for who needs no more than that: most numbers are reserved already.
#[derive(Default)]
struct Reserved {
    connection: AtomicU64,
    session: AtomicU64,
    seq: AtomicU64,
}

/// How many facts of coming and going there were of clients that left nothing behind.
#[derive(Default)]
struct Forgotten {
    /// No forgotten client had more, or was told of later, that is not in `by_client`.
    floor: Floor,
    /// By the hash of the client id; where two share one, the higher.
    by_client: HashMap<u64, Trail>,
    hasher: RandomState,
}

/// What holds for all of whom nothing is known.
#[derive(Clone, Copy, Default)]
struct Floor {
    seq: u64,
    told_ms: u64,
}

/// What is remembered of a client.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trail {
    /// Of its last fact of coming or going, or a higher one.
    pub(crate) seq: u64,
    pub(crate) flaps: Flaps,
    /// When that was told, or later: milliseconds since the Unix epoch.
    pub(crate) told_ms: u64,
}

impl Serials {
    /// Goes on after what was reserved, and tells of nobody at a time before `floor_ms`.
    pub(crate) fn new(reserved: Bounds, floor_ms: u64) -> Self {
        let epoch = wall_ms().max(reserved.epoch + 1);
        let floor = Floor { seq: reserved.seq, told_ms: floor_ms };
        Self {
            epoch,
            connection: AtomicU64::new(reserved.connection),
            session: AtomicU64::new(reserved.session),
            forgotten: Mutex::new(Forgotten { floor, ..Forgotten::default() }),
            bounds: Mutex::new(Bounds { epoch, ..reserved }),
            reserved: Reserved::default(),
        }
    }

    /// The next connection's; `stage` is called under a lock when more numbers are to be reserved.
    pub(crate) fn next_connection(&self, stage: impl FnOnce(&Bounds)) -> u64 {
        let number = self.connection.fetch_add(1, Relaxed) + 1;
        self.reserve(number, &self.reserved.connection, |bounds| &mut bounds.connection, stage);
        number
    }

    /// The next stored session's; as [`Self::next_connection`].
    pub(crate) fn next_session(&self, stage: impl FnOnce(&Bounds)) -> u64 {
        let number = self.session.fetch_add(1, Relaxed) + 1;
        self.reserve(number, &self.reserved.session, |bounds| &mut bounds.session, stage);
        number
    }

    /// A client leaves nothing behind but this; as [`Self::next_connection`].
    pub(crate) fn forget_client(&self, client_id: &str, trail: Trail, stage: impl FnOnce(&Bounds)) {
        self.forgotten.lock().note(client_id, trail);
        self.reserve(trail.seq, &self.reserved.seq, |bounds| &mut bounds.seq, stage);
    }

    /// Reserves more, if `number` is not. Staged under the lock, or a lower bound could be stored after a higher one.
    fn reserve(
        &self,
        number: u64,
        reserved: &AtomicU64,
        what: impl FnOnce(&mut Bounds) -> &mut u64,
        stage: impl FnOnce(&Bounds),
    ) {
        // Pairs with the release below: what is read here is staged.
        if number <= reserved.load(Acquire) {
            return;
        }
        let mut bounds = self.bounds.lock();
        let bound = what(&mut bounds);
        // Some are reserved ahead, so few of those who come write to the store for it.
        let is_new = number > *bound;
        if is_new {
            *bound = number + RESERVED;
        }
        let until = *bound;
        if is_new {
            stage(&bounds);
        }
        reserved.store(until, Release);
    }

    /// Stores the epoch, with which a process begins.
    pub(super) fn store_epoch(&self, store: impl FnOnce(&Bounds) -> Result<(), StoreError>) -> Result<(), StoreError> {
        store(&self.bounds.lock())
    }

    /// What is remembered of a client of which nothing else is.
    pub(crate) fn trail_of(&self, client_id: &str) -> Trail {
        let forgotten = self.forgotten.lock();
        let hash = forgotten.hasher.hash_one(client_id);
        let mut left = forgotten.by_client.get(&hash).copied().unwrap_or_default();
        left.seq = left.seq.max(forgotten.floor.seq);
        left.told_ms = left.told_ms.max(forgotten.floor.told_ms);
        left
    }

    /// No client of whom more is not known was told of later than this: milliseconds since the Unix epoch.
    pub(crate) fn floor_ms(&self) -> u64 {
        self.forgotten.lock().floor.told_ms
    }
}

impl Forgotten {
    fn note(&mut self, client_id: &str, trail: Trail) {
        if self.by_client.len() >= MAX_FORGOTTEN {
            for left in self.by_client.values() {
                self.floor.seq = self.floor.seq.max(left.seq);
                self.floor.told_ms = self.floor.told_ms.max(left.told_ms);
            }
            self.by_client.clear();
        }
        let hash = self.hasher.hash_one(client_id);
        let last = self.by_client.entry(hash).or_default();
        *last = Trail { seq: trail.seq.max(last.seq), told_ms: trail.told_ms.max(last.told_ms), ..trail };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_seq_comes_twice_however_many_clients_are_forgotten() {
        let serials = Serials::new(Bounds { seq: 5, ..Bounds::default() }, 0);
        let note = |id: &str, seq| serials.forgotten.lock().note(id, Trail { seq, ..Trail::default() });
        let last = |id| serials.trail_of(id).seq;
        assert_eq!(last("a"), 5);
        note("a", 9);
        assert_eq!((last("a"), last("b")), (9, 5));
        for n in 0..MAX_FORGOTTEN {
            note(&n.to_string(), 7);
        }
        assert_eq!((last("a"), last("b")), (9, 9));
    }
}
