//! What is gathered while the packets of one read are handled, or something like it happens: clients whose outboxes are
//! to be flushed, counts to be added up, and how far the journal is to be written before that.
//!
//! A batch is a value. Whoever stages, touches or counts needs one in its signature, so nothing can be left behind for
//! somebody else, and two brokers in one process share nothing.

use std::marker::PhantomData;
use std::sync::Arc;
use std::{mem, thread};

use bytes::BytesMut;
use mqtt_codec::Qos;
use mqtt_hooks::{Acting, DropReason, Hooks, Publisher};
use mqtt_router::Matches;
use mqtt_session::{Outbox, Publication};
use mqtt_storage::{Failing, Position, Stage};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::cluster::peers::owed::{Answer, Owed};
use crate::cluster::peers::peer::Peer;
use crate::delivery::lost::LostDelivery;
use crate::store::durable::Durable;
use crate::watch::Watched;
use crate::watch::metrics::{Metric, Tally};

/// So many clients are touched before they are flushed, and so many lost deliveries noted before they are told.
const MAX_TOUCHED: usize = 4096;

/// So many bytes are taken in and delivered before those who are touched are flushed.
const MAX_TRAFFIC: usize = 8 << 20;

/// With fewer worker threads than this, cutting a fan-out in pieces costs more than it gains.
const MANY_WORKERS: usize = 4;

/// A fan-out is cut into pieces of so many clients, where there are workers to share them.
const FLUSHED_TOGETHER: usize = 256;

/// Where there are too few workers for that, more clients than these are not flushed in one go: it would take twenty milliseconds
/// and more. Fewer are, for to go to and fro costs a burst to a thousand some percent.
const FLUSHED_AT_ONCE: usize = 1536;

/// Those who are flushed before others have their turn then. That takes half a millisecond.
const FLUSHED_IN_A_TURN: usize = 64;

/// Spare output buffers in one workplace; the session bounds the size of each.
const MAX_BUFFERS: usize = 256;

/// Workplaces kept for the next batch: more are seldom in use at once than there are worker threads.
const MAX_WORKPLACES: usize = 64;

/// Ready when what was left of a fan-out is flushed.
pub(crate) type Flushing = JoinHandle<()>;

/// What a batch works with. It outlives the batch, for its memory is used again.
#[derive(Default)]
struct Workplace {
    touched: Vec<ClientRef>,
    /// Of which modules are to be told.
    lost: Vec<LostDelivery>,
    tally: Tally,
    matches: Option<Box<Matches<ClientRef>>>,
    /// Bytes not yet told to [`Memory`](crate::watch::memory::Memory).
    traffic: usize,
    deliveries: usize,
    /// Bytes held for clients in addition, not yet told either; fewer: wrapped around.
    held: usize,
    /// Empty outboxes with memory, so that a client needs some only while bytes wait.
    buffers: Vec<Outbox>,
    /// Read into by whoever handles packets, so that an idle connection owns no buffer.
    input: BytesMut,
    /// How far the journal is with what this batch has staged.
    staged: Position,
    /// What is left of a long fan-out, which a task of its own flushes.
    flushing: Option<Flushing>,
    /// To other nodes.
    owed: Option<Box<Owed>>,
    /// Something was gathered since it was last settled: a read that finds nothing costs no more than that.
    is_used: bool,
}

/// Where batches are worked on.
pub(crate) struct Workplaces {
    /// Of which no batch makes use.
    #[expect(clippy::vec_box, reason = "some hundred bytes that would be moved twice for every read")]
    free: Mutex<Vec<Box<Workplace>>>,
    /// Where a long fan-out is flushed on.
    runtime: Option<Handle>,
    /// So many workers that several share it.
    has_many_workers: bool,
}

impl Default for Workplaces {
    fn default() -> Self {
        let runtime = Handle::try_current().ok();
        let workers = runtime.as_ref().map_or(0, |runtime| runtime.metrics().num_workers());
        Self { free: Mutex::default(), runtime, has_many_workers: workers >= MANY_WORKERS }
    }
}

/// What is delivered waits in the outboxes until the batch is [finished](Self::finish) or [settled](Self::settle).
///
/// It is begun before any lock is taken and settled when none is held, nor a bundle open. It stays on its thread.
#[must_use]
pub(crate) struct Batch<'a> {
    broker: &'a Arc<Broker>,
    /// `None` only while it is dropped.
    place: Option<Box<Workplace>>,
    pub(crate) acting: Acting,
    /// What is published by it is for this node's own subscribers: each other node does so, too.
    pub(crate) stays_here: bool,
    /// What every node does by itself, by a number that all give it; 0: it does nothing of that kind.
    pub(crate) telling: u64,
    _stays: PhantomData<*const ()>,
}

impl<'a> Batch<'a> {
    pub(crate) fn begin(broker: &'a Arc<Broker>) -> Self {
        let place = broker.workplaces.free.lock().pop();
        Self {
            broker,
            place: Some(place.unwrap_or_default()),
            acting: Acting::BROKER,
            stays_here: false,
            telling: 0,
            _stays: PhantomData,
        }
    }

    pub(crate) const fn broker(&self) -> &'a Arc<Broker> {
        self.broker
    }

    /// Who is told and asked of what it brings about.
    pub(crate) fn hooks(&self) -> &'a Hooks {
        &self.broker.hooks
    }

    /// What is counted of it, and the memory it takes.
    pub(crate) fn watched(&self) -> &'a Watched {
        &self.broker.watched
    }

    /// Where it stages.
    pub(crate) fn durable(&self) -> &'a Durable {
        &self.broker.durable
    }

    /// Who it is that publishes by it.
    pub(crate) fn publisher(&self) -> Publisher<'static> {
        self.acting.module().map_or(Publisher::Broker, Publisher::Module)
    }

    /// Stores what was staged, then lets everything leave. An error says that something is not stored; each client's
    /// flush has decided what could leave all the same.
    pub(crate) fn finish(mut self) -> Result<(), Failing> {
        self.settle()
    }

    /// [`Self::finish`], and the batch goes on.
    pub(crate) fn settle(&mut self) -> Result<(), Failing> {
        if !mem::take(&mut self.place().is_used) {
            return Ok(());
        }
        self.forget_matches();
        // Once for all that was staged, before the first flush: else each of them would find its bytes waiting for the
        // store and go there by itself.
        let mut stored = self.commit();
        self.flush_touched();
        // A flush may have sent what waited in a session's queue, which is staged too.
        stored = stored.and(self.commit());
        // Behind the flushes, with no lock held: what observers do about it keeps no bytes waiting.
        self.tell_lost();
        let broker = self.broker;
        let place = self.place();
        // Counted while it was settled, and settled by that.
        place.is_used = false;
        place.deliveries = 0;
        place.tally.add_to(&broker.watched.metrics);
        broker.watched.memory.note_held(mem::take(&mut place.held));
        broker.watched.memory.note(mem::take(&mut place.traffic));
        stored
    }

    /// Settles if much is waiting.
    pub(crate) fn relieve(&mut self) {
        let place = self.place();
        if place.touched.len().max(place.lost.len()) >= MAX_TOUCHED || place.traffic >= MAX_TRAFFIC {
            // Each client's flush has decided.
            let _ = self.settle();
        }
    }

    /// Notes that `client` has something in its outbox.
    pub(crate) fn touch(&mut self, client: &ClientRef) {
        // Its state says that it is in such a list, so it is in none twice, and who takes it out has to flush it.
        self.used().touched.push(client.clone());
    }

    /// Adds to a metric; others see it when the batch is settled.
    pub(crate) fn count(&mut self, metric: Metric, n: u64) {
        self.used().tally.count(metric, n);
    }

    /// Notes a delivery that had waited and was given up: modules are told when the batch is settled, with no lock held.
    pub(crate) fn lose(&mut self, client: &ClientRef, publication: Arc<Publication>, qos: Qos, reason: DropReason) {
        if self.broker.hooks.has_drop_observers() {
            self.used().lost.push(LostDelivery { client_id: Arc::clone(&client.id), publication, qos, reason });
        }
    }

    /// Stages what `write` says, if there is a store. Call it under the lock of what has changed.
    pub(crate) fn stage(&mut self, write: impl FnOnce(&mut Stage<'_>)) {
        if let Some(journal) = self.broker.durable.journal() {
            // Positions only grow: the last one stands for all before it.
            self.used().staged = journal.stage(write);
        }
    }

    /// What this batch has staged so far must be in the store before anyone hears of it.
    pub(crate) fn staged(&mut self) -> Position {
        self.place().staged
    }

    /// Notes bytes taken in or handed to receivers, which may have made the process grow.
    pub(crate) fn note_traffic(&mut self, bytes: usize) {
        self.used().traffic += bytes;
    }

    /// Notes that a message of so many bytes was delivered so often.
    pub(crate) fn note_deliveries(&mut self, receivers: usize, bytes: usize) {
        let place = self.used();
        place.traffic += receivers * bytes;
        place.deliveries += receivers;
    }

    /// How many there were since it was last settled.
    pub(crate) fn deliveries(&mut self) -> usize {
        self.place().deliveries
    }

    /// So many bytes more are held for a client, or less: it may wrap around.
    pub(crate) fn hold(&mut self, change: usize) {
        let place = self.used();
        place.held = place.held.wrapping_add(change);
    }

    /// Gives an outbox without memory some that was used before, if there is any.
    pub(crate) fn lend_buffer(&mut self, outbox: &mut Outbox) {
        if let Some(spare) = self.place().buffers.pop() {
            outbox.recycle(spare);
        }
    }

    /// Takes an outbox that is written out; its memory is for the next who needs some.
    pub(crate) fn return_buffer(&mut self, outbox: Outbox) {
        let buffers = &mut self.place().buffers;
        if buffers.len() < MAX_BUFFERS && outbox.has_buffer() {
            buffers.push(outbox);
        }
    }

    /// Lends the buffer to read into, empty.
    pub(crate) fn lend_input(&mut self) -> BytesMut {
        mem::take(&mut self.place().input)
    }

    pub(crate) fn return_input(&mut self, mut input: BytesMut) {
        input.clear();
        self.place().input = input;
    }

    /// Lends the look-up buffer, with what was looked up last in this batch; who asks for another meanwhile gets a fresh
    /// one.
    pub(crate) fn lend_matches(&mut self) -> Box<Matches<ClientRef>> {
        self.place().matches.take().unwrap_or_default()
    }

    pub(crate) fn return_matches(&mut self, matches: Box<Matches<ClientRef>>) {
        self.used().matches = Some(matches);
    }

    /// Empties the look-up buffer: what stays in it would keep subscriber lists from being changed in place.
    pub(crate) fn forget_matches(&mut self) {
        if let Some(matches) = &mut self.place().matches {
            matches.clear();
        }
    }

    /// To gather something, which is there until the batch is settled.
    fn used(&mut self) -> &mut Workplace {
        let place = self.place();
        // Settling looks at nothing else first: what is gathered without this would stay.
        place.is_used = true;
        place
    }

    fn place(&mut self) -> &mut Workplace {
        self.place.as_mut().expect("it is there until the batch is dropped")
    }

    fn commit(&mut self) -> Result<(), Failing> {
        match mem::take(&mut self.place().staged) {
            Position::NONE => Ok(()),
            staged => self.broker.durable.commit(staged),
        }
    }

    fn tell_lost(&mut self) {
        for lost in mem::take(&mut self.place().lost) {
            lost.tell(&self.broker.hooks);
        }
    }

    fn flush_touched(&mut self) {
        let mut touched = mem::take(&mut self.place().touched);
        if let Some(runtime) = &self.broker.workplaces.runtime {
            // What is delivered meanwhile joins what waits in each outbox, so its order stays.
            if self.broker.workplaces.has_many_workers {
                self.share_out(&mut touched, runtime);
            } else if touched.len() > FLUSHED_AT_ONCE {
                self.put_off(&mut touched, runtime);
            }
        }
        for client in touched.drain(..) {
            client.flush(self);
        }
        // Flushing touches nobody, so the list that is there now is empty: keep the memory of this one.
        self.place().touched = touched;
    }

    fn share_out(&self, touched: &mut Vec<ClientRef>, workers: &Handle) {
        // This thread keeps at least as many as it gives away in a piece, so nothing is spawned that it could do in
        // that time.
        while touched.len() >= 2 * FLUSHED_TOGETHER {
            let clients = touched.split_off(touched.len() - FLUSHED_TOGETHER);
            let broker = Arc::clone(self.broker);
            workers.spawn(async move { flush_all(&broker, &clients) });
        }
    }

    fn put_off(&mut self, touched: &mut Vec<ClientRef>, runtime: &Handle) {
        let rest = touched.split_off(FLUSHED_IN_A_TURN);
        let flushing = flush_in_turns(Arc::clone(self.broker), rest, self.take_flushing());
        self.place().flushing = Some(runtime.spawn(flushing));
    }

    /// What is left of a fan-out by this batch. Who has brought it about is to wait until that is done: else more would
    /// be put into the outboxes than leaves.
    pub(crate) fn take_flushing(&mut self) -> Option<Flushing> {
        self.place().flushing.take()
    }

    /// Something is published when this node has handled what is at this place.
    pub(crate) fn owe(&mut self, peer: &Arc<dyn Peer>, place: u64) {
        self.place().owed.get_or_insert_default().add(peer, place);
    }

    /// Where answers are to wait, for who brought this about owes something to other nodes.
    pub(crate) fn answers(&mut self) -> Option<&mut Vec<Answer>> {
        self.place().owed.as_mut().map(|owed| &mut owed.answers)
    }

    /// What is owed to other nodes; who has brought it about is to wait for that.
    pub(crate) fn take_owed(&mut self) -> Option<Box<Owed>> {
        self.place().owed.take()
    }

    /// Whether there is something to [wait](Self::take_flushing) for.
    pub(crate) fn is_flushing(&mut self) -> bool {
        self.place().flushing.is_some()
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let place = self.place();
        if !place.touched.is_empty() || !place.lost.is_empty() || place.staged > Position::NONE {
            debug_assert!(thread::panicking(), "a batch that is not finished");
            // A packet's handling panicked. Those who were touched before believe that a flush is under way, and
            // nobody else would do it.
            let _ = self.settle();
        }
        let Some(mut place) = self.place.take() else { return };
        // Nobody waits for it: its task goes on.
        place.flushing = None;
        place.owed = None;
        let mut places = self.broker.workplaces.free.lock();
        if places.len() < MAX_WORKPLACES {
            places.push(place);
        }
    }
}

/// Does this in a batch of its own. What can't be stored now is tried again every second.
pub(crate) fn in_batch<T>(broker: &Arc<Broker>, act: impl FnOnce(&mut Batch<'_>) -> T) -> T {
    let mut batch = Batch::begin(broker);
    let done = act(&mut batch);
    let _ = batch.finish();
    done
}

fn flush_all(broker: &Arc<Broker>, clients: &[ClientRef]) {
    let mut batch = Batch::begin(broker);
    clients.iter().for_each(|client| client.flush(&mut batch));
    // Each flush has decided what could leave.
    let _ = batch.finish();
}

/// A write to a socket takes some microseconds: to twenty thousand of them, a fifth of a second. So others have their turn
/// between pieces.
async fn flush_in_turns(broker: Arc<Broker>, clients: Vec<ClientRef>, before: Option<Flushing>) {
    if let Some(before) = before {
        // If it panicked, that is told, and this goes on.
        let _ = before.await;
    }
    for piece in clients.chunks(FLUSHED_IN_A_TURN) {
        flush_all(&broker, piece);
        tokio::task::yield_now().await;
    }
}
