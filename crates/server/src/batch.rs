//! What a worker thread gathers while it handles the packets of one read: clients whose outboxes are to be flushed,
//! counts to be added up, and how far the journal is to be written before that. All of it happens without an `.await`,
//! so it can live in the thread.

use std::cell::{Cell, RefCell};

use mqtt_router::Matches;
use mqtt_session::Outbox;
use mqtt_storage::Position;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::metrics::{Metric, Tally};

/// So many clients are touched before they are flushed.
const MAX_TOUCHED: usize = 4096;

/// So many bytes are taken in and delivered before those who are touched are flushed.
const MAX_TRAFFIC: usize = 8 << 20;

/// A fan-out is cut into pieces of so many clients, where there are workers to share them.
const FLUSHED_TOGETHER: usize = 256;

/// Spare output buffers of a thread; the session bounds the size of each.
const MAX_BUFFERS: usize = 256;

thread_local! {
    static SCRATCH: Scratch = const { Scratch {
        depth: Cell::new(0),
        touched: RefCell::new(Vec::new()),
        tally: Tally::new(),
        matches: Cell::new(None),
        traffic: Cell::new(0),
        buffers: RefCell::new(Vec::new()),
        staged: Cell::new(Position::NONE),
    } };
}

struct Scratch {
    depth: Cell<u32>,
    touched: RefCell<Vec<ClientRef>>,
    tally: Tally,
    matches: Cell<Option<Box<Matches<ClientRef>>>>,
    /// Bytes not yet told to [`Memory`](crate::memory::Memory).
    traffic: Cell<usize>,
    /// Empty outboxes with memory, so that a client needs some only while bytes wait.
    buffers: RefCell<Vec<Outbox>>,
    /// Of what this batch has staged and not committed yet.
    staged: Cell<Position>,
}

/// While one lives on a thread, what is delivered there waits in the outboxes; the outermost flushes them when dropped.
///
/// No lock may be held when the outermost is dropped.
pub(crate) struct Batch<'a> {
    broker: &'a Broker,
    /// It stays on its thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl<'a> Batch<'a> {
    pub(crate) fn begin(broker: &'a Broker) -> Self {
        SCRATCH.with(|scratch| scratch.depth.set(scratch.depth.get() + 1));
        Self { broker, _not_send: std::marker::PhantomData }
    }

    /// Flushes if much is waiting. Call it where no lock is held.
    pub(crate) fn relieve(&self) {
        let is_much = SCRATCH.with(|scratch| {
            let touched = scratch.touched.borrow().len();
            scratch.depth.get() == 1 && (touched >= MAX_TOUCHED || scratch.traffic.get() >= MAX_TRAFFIC)
        });
        if is_much {
            self.commit();
            flush_touched(self.broker);
            self.broker.memory.note(SCRATCH.with(|scratch| scratch.traffic.take()));
        }
    }
}

impl Batch<'_> {
    /// What the batch has staged is to be in the store before anyone hears of it. If it can't be, each client's flush
    /// decides what may leave all the same.
    fn commit(&self) {
        let staged = SCRATCH.with(|scratch| scratch.staged.take());
        if staged > Position::NONE {
            let _ = self.broker.commit(staged);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let outermost = SCRATCH.with(|scratch| scratch.depth.get() == 1);
        if outermost {
            forget_matches();
            self.commit();
            flush_touched(self.broker);
            SCRATCH.with(|scratch| {
                scratch.tally.add_to(&self.broker.metrics);
                self.broker.memory.note(scratch.traffic.take());
            });
        }
        SCRATCH.with(|scratch| scratch.depth.set(scratch.depth.get() - 1));
    }
}

/// Notes that `client` has something in its outbox.
pub(crate) fn touch(client: &ClientRef) {
    SCRATCH.with(|scratch| scratch.touched.borrow_mut().push(client.clone()));
}

/// Adds to a metric; it is seen by others when the batch ends.
pub(crate) fn count(metric: Metric, n: u64) {
    SCRATCH.with(|scratch| scratch.tally.count(metric, n));
}

/// Notes how far the journal is with what this batch has staged.
pub(crate) fn note_staged(position: Position) {
    SCRATCH.with(|scratch| scratch.staged.set(position));
}

/// What this batch has staged so far must be in the store before anyone hears of it.
pub(crate) fn staged() -> Position {
    SCRATCH.with(|scratch| scratch.staged.get())
}

/// Notes bytes taken in or handed to receivers, which may have made the process grow.
pub(crate) fn note_traffic(bytes: usize) {
    SCRATCH.with(|scratch| scratch.traffic.set(scratch.traffic.get() + bytes));
}

/// Gives an outbox without memory some that was used before, if there is any.
pub(crate) fn lend_buffer(outbox: &mut Outbox) {
    if let Some(spare) = SCRATCH.with(|scratch| scratch.buffers.borrow_mut().pop()) {
        outbox.recycle(spare);
    }
}

/// Takes an outbox that is written out; its memory is for the next who needs some.
pub(crate) fn return_buffer(outbox: Outbox) {
    SCRATCH.with(|scratch| {
        let mut buffers = scratch.buffers.borrow_mut();
        if buffers.len() < MAX_BUFFERS && outbox.has_buffer() {
            buffers.push(outbox);
        }
    });
}

/// Lends the thread's look-up buffer, with what was looked up last in this batch. A nested call gets a fresh one.
pub(crate) fn with_matches<R>(use_it: impl FnOnce(&mut Matches<ClientRef>) -> R) -> R {
    let mut matches = SCRATCH.with(|scratch| scratch.matches.take()).unwrap_or_default();
    let result = use_it(&mut matches);
    SCRATCH.with(|scratch| scratch.matches.set(Some(matches)));
    result
}

/// Empties the look-up buffer: what stays in it would keep subscriber lists from being changed in place.
pub(crate) fn forget_matches() {
    SCRATCH.with(|scratch| {
        if let Some(mut matches) = scratch.matches.take() {
            matches.clear();
            scratch.matches.set(Some(matches));
        }
    });
}

fn flush_touched(broker: &Broker) {
    loop {
        let mut touched = SCRATCH.with(|scratch| scratch.touched.take());
        if touched.is_empty() {
            return;
        }
        if let Some(workers) = &broker.workers {
            // What is delivered meanwhile joins what waits in each outbox, so its order stays.
            while touched.len() >= 2 * FLUSHED_TOGETHER {
                let clients = touched.split_off(touched.len() - FLUSHED_TOGETHER);
                workers.spawn(async move { clients.iter().for_each(ClientRef::flush) });
            }
        }
        for client in touched.drain(..) {
            client.flush();
        }
        // Flushing touches nobody, so the list that is there now is empty: keep the memory of this one.
        SCRATCH.with(|scratch| {
            let mut now = scratch.touched.borrow_mut();
            if now.is_empty() {
                *now = touched;
            }
        });
    }
}
