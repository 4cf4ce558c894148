//! What the broker holds for one client.

use std::net::IpAddr;

use crate::client::whereabouts::Whereabouts;
use crate::client::{ClientRef, Output, State};
use crate::delivery::batch::Batch;

/// What a client id takes: its session, in all tables.
const PER_CLIENT: usize = 768;

/// Deliveries that may wait uncounted, or be gone and counted. Large messages are counted by themselves.
const RECOUNT_EVERY: usize = 32;

/// What a connection takes: its task, its timers, and what the system's library has of its socket.
const PER_CONNECTION: usize = 1280;

/// Whether something of which there were so many before, one more or less, is worth a recount.
pub(crate) const fn is_another_count(before: usize, after: usize) -> bool {
    before / RECOUNT_EVERY != after / RECOUNT_EVERY
}

impl State {
    /// Brings the sum of what is held for all up to date with this client, of which something has changed.
    ///
    /// What is left out by mistake is made good by the next call: each compares with what it counted last.
    pub(crate) fn recount(&mut self, batch: &mut Batch<'_>) {
        self.count_as(self.held_alone(), batch);
    }

    /// [`Self::recount`], after one more or less waits: not each time, for it may be one of a burst.
    pub(crate) fn recount_now_and_then(&mut self, batch: &mut Batch<'_>) {
        if self.session.queue_len().is_multiple_of(RECOUNT_EVERY) {
            self.recount(batch);
        }
    }

    /// The client is no more.
    pub(crate) fn count_nothing(&mut self, batch: &mut Batch<'_>) {
        self.count_as(0, batch);
        self.be_back(batch);
    }

    /// The client is away, and what is held for it is from now on held for those of that address.
    pub(crate) fn be_away(&mut self, address: IpAddr, batch: &Batch<'_>) {
        let absent = batch.watched().memory.absentees.add(address);
        absent.note_held(self.counted as usize);
        self.whereabouts = Whereabouts::Away(Some(absent));
    }

    /// It is away, and so much is held for those of its address that nothing more may wait for it.
    pub(crate) fn is_crowded_out(&self, batch: &Batch<'_>) -> bool {
        self.whereabouts.absent().is_some_and(|absent| !batch.watched().memory.has_room_at(absent))
    }

    /// Where it was, if it is away and that is known.
    pub(crate) fn was_at(&self) -> Option<IpAddr> {
        self.whereabouts.absent().map(|absent| absent.address())
    }

    /// The client is away no longer.
    pub(crate) fn be_back(&mut self, batch: &Batch<'_>) {
        if let Whereabouts::Away(absent) = &mut self.whereabouts
            && let Some(absent) = absent.take()
        {
            absent.note_held((self.counted as usize).wrapping_neg());
            batch.watched().memory.absentees.remove(&absent);
        }
    }

    fn count_as(&mut self, held: usize, batch: &mut Batch<'_>) {
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        if held != self.counted {
            let change = (held as usize).wrapping_sub(self.counted as usize);
            batch.hold(change);
            if let Some(absent) = self.whereabouts.absent() {
                absent.note_held(change);
            }
            self.counted = held;
        }
    }

    /// All but messages, which are counted by themselves, because others may keep them too.
    fn held_alone(&self) -> usize {
        let connection = if self.connection().is_some() { PER_CONNECTION } else { 0 };
        // What is about to leave costs nothing for long; what a socket does not take stays.
        let outbox = if self.output == Output::Blocked { self.outbox.len() } else { 0 };
        PER_CLIENT + connection + outbox + self.session.held_alone()
    }
}

impl ClientRef {
    /// Nothing waits for this client but what its socket is about to take.
    pub(crate) fn takes_more(&self) -> bool {
        let state = self.state.lock();
        state.output != Output::Blocked && state.session.is_ready()
    }

    /// So much waits for its socket that nothing more is to be done for this client before it takes some.
    pub(crate) fn is_stuffed(&self) -> bool {
        let state = self.state.lock();
        state.output == Output::Blocked && state.session.is_full(&state.outbox)
    }
}
