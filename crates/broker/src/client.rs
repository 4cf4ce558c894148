//! A client: what the broker keeps for one client id.

use std::hash::{Hash, Hasher};
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use mqtt_codec::{Packet, Qos, ReasonCode};
use mqtt_session::{Delivered, DeliveryOptions, DropReason, Fanout, Lost, Outbox, Publication, Session, Timestamp};
use mqtt_storage::Position;
use parking_lot::Mutex;

use crate::client::clients::Identified;
use crate::client::connection::Connection;
use crate::client::transition::Transition;
use crate::client::whereabouts::Whereabouts;
use crate::delivery::batch::Batch;
use crate::delivery::reasons;
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

pub(crate) mod clients;
pub(crate) mod connection;
pub(crate) mod ending;
pub(crate) mod flaps;
mod flush;
pub(crate) mod granted;
mod heard;
pub(crate) mod held;
mod replays;
pub(crate) mod seat;
mod shared;
mod tail;
pub(crate) mod terms;
pub(crate) mod traffic;
pub(crate) mod transition;
pub(crate) mod variety;
mod waiting;
mod whereabouts;

/// One client id. It lives as long as its session; an offline one is only memory.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: Arc<str>,
    /// Held while this client comes or goes and the facts of it are emitted. Taken before any session's lock.
    pub(crate) transition: Mutex<Transition>,
    /// Never held together with another client's.
    pub(crate) state: Mutex<State>,
}

/// The session, the bytes ready to leave, and the connection they leave by.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) outbox: Outbox,
    whereabouts: Whereabouts<Connection>,
    /// The session's number in the store; 0: it is not there.
    pub(crate) number: u64,
    /// Of what is in the outbox: [`Needs`].
    owes: bool,
    /// An answer is in the outbox, and what it needs is not known yet: nothing leaves.
    pub(crate) held: bool,
    pub(crate) standing: Standing,
    output: Output,
    /// Bytes held, as they are in the sum of all.
    counted: u32,
}

/// Who writes what is in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Nobody: whoever adds to it is to [touch](State::touch) it.
    Idle,
    /// A flush is in the list of some batch.
    Touched,
    /// Someone writes what was in it, and will look again.
    Writing,
    /// The socket would block; the connection's own task goes on when it takes more.
    Blocked,
}

impl Output {
    /// Whoever looks after it finds what is added without being told.
    const fn is_looked_after(self) -> bool {
        matches!(self, Self::Writing | Self::Blocked)
    }
}

/// What a client is to those who find it by the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is to have what its subscriptions say.
    Wanted,
    /// It is away, and the router passes over it for what nobody keeps for such a one.
    PassedOver,
    /// It is out of the table and its session has ended; the router may find it for a while.
    Over,
}

impl State {
    pub(crate) fn is_over(&self) -> bool {
        self.standing == Standing::Over
    }

    /// True if `connection` is the current one: not taken over since.
    pub(crate) fn is_current(&self, connection: &Arc<Connection>) -> bool {
        self.connection().is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    /// Of what is in the outbox: [`Needs`].
    const fn position(&self) -> Position {
        match self.whereabouts {
            Whereabouts::Here { position, .. } => position,
            Whereabouts::Away(_) => Position::NONE,
        }
    }

    /// `None`: it is away.
    pub(crate) const fn connection(&self) -> Option<&Arc<Connection>> {
        self.whereabouts.connection()
    }

    /// Some bytes of a packet may have left, and others not.
    pub(crate) const fn is_amid_a_packet(&self) -> bool {
        self.output.is_looked_after()
    }

    /// Puts a packet into the outbox.
    pub(crate) fn push(&mut self, packet: &Packet) {
        let version = self.session.version();
        self.outbox.push(packet, version);
    }

    /// Stages what the session says is to be stored.
    pub(crate) fn stage(&mut self, batch: &mut Batch<'_>) {
        if !self.session.is_stored() {
            return;
        }
        let changes = self.session.take_changes();
        if !changes.is_empty() {
            batch.stage(|stage| changes.iter().for_each(|change| stage.change(self.number, change)));
        }
    }

    /// What was just put into the outbox tells of something that this batch has staged, if it has; `owes` says that it
    /// is the answer to the client's own doing.
    pub(crate) fn wait_for_store(&mut self, owes: bool, batch: &mut Batch<'_>) {
        self.wait_for(batch.staged(), owes);
    }

    /// What was just put into the outbox tells of what is staged up to `position`.
    pub(crate) fn wait_for(&mut self, position: Position, owes: bool) {
        // With nothing in the outbox there is nothing that tells: what is put there later must not wait for it.
        if position > Position::NONE
            && !self.outbox.is_empty()
            && let Whereabouts::Here { position: before, .. } = &mut self.whereabouts
        {
            *before = position.max(*before);
            self.owes |= owes;
        }
    }

    /// Makes sure what is in the outbox will be flushed.
    pub(crate) fn touch(&mut self, client: &ClientRef, batch: &mut Batch<'_>) {
        // In every other state somebody comes by anyway; and what is held is touched by who lets it go.
        if self.output == Output::Idle && !self.held && !self.outbox.is_empty() {
            self.output = Output::Touched;
            batch.touch(client);
        }
    }

    /// Counts what had waited, or was sent again.
    pub(crate) fn count_sent_late(&mut self, batch: &mut Batch<'_>) {
        for (metric, sent) in Metric::SENT.into_iter().zip(self.session.take_sent_late()) {
            if sent > 0 {
                batch.count(metric, sent.into());
            }
        }
    }

    /// Counts what had waited and was given up, for modules to be told of when no lock is held.
    #[inline]
    pub(crate) fn note_lost(&mut self, client: &ClientRef, batch: &mut Batch<'_>) {
        if self.session.has_lost() {
            self.note_all_lost(client, batch);
        }
    }

    #[cold]
    fn note_all_lost(&mut self, client: &ClientRef, batch: &mut Batch<'_>) {
        for Lost { publication, qos, reason } in self.session.take_lost() {
            let is_expired = reason == DropReason::Expired;
            batch.count(if is_expired { Metric::DroppedExpired } else { Metric::DroppedTooLarge }, 1);
            batch.lose(client, publication, qos, reasons::of(reason));
        }
        // It stopped for a while, with nothing in the outbox whose leaving would have it go on.
        if self.outbox.is_empty()
            && self.session.has_backlog()
            && let Some(connection) = self.connection()
        {
            connection.note_backlog();
        }
    }

    /// Sends what waits for room in the outbox.
    fn pump(&mut self, client: &ClientRef, now: Timestamp, batch: &mut Batch<'_>) {
        let Self { session, outbox, .. } = self;
        session.pump(now, outbox);
        // It stages what it sends: a packet id that the client has seen is not to be given to another message after a
        // crash.
        self.stage(batch);
        self.wait_for_store(false, batch);
        self.count_sent_late(batch);
        self.recount(batch);
        self.note_lost(client, batch);
    }

    /// The session may have sent of what waits, and has told the store so.
    pub(crate) fn after_sending(&mut self, client: &ClientRef, batch: &mut Batch<'_>) {
        self.wait_for_store(false, batch);
        self.count_sent_late(batch);
        self.recount_now_and_then(batch);
        self.note_lost(client, batch);
        self.touch(client, batch);
    }

    /// Takes the connection away, and gives it what still waits for its socket.
    pub(crate) fn take_connection(&mut self) -> Option<Arc<Connection>> {
        self.connection()?;
        let needs = self.take_needs();
        let Whereabouts::Here { connection, .. } = mem::take(&mut self.whereabouts) else { return None };
        // Its own task writes that, behind what a flush has in hand and with the same needs.
        connection.leave_tail(self.outbox.take(), needs, self.output == Output::Writing);
        // What is added from here on is for the next connection, which is not to wait for what this one did.
        self.reset_output();
        Some(connection)
    }

    fn take_needs(&mut self) -> Needs {
        let position = match &mut self.whereabouts {
            Whereabouts::Here { position, .. } => mem::take(position),
            Whereabouts::Away(_) => Position::NONE,
        };
        Needs { position, owes: mem::take(&mut self.owes) }
    }

    /// It has a new connection.
    pub(crate) fn come_by(&mut self, connection: &Arc<Connection>) {
        self.reset_output();
        self.whereabouts = Whereabouts::Here { connection: Arc::clone(connection), position: Position::NONE };
    }

    fn reset_output(&mut self) {
        self.outbox.clear();
        self.take_needs();
        self.held = false;
        self.output = Output::Idle;
    }
}

/// What must be in the store before bytes may leave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// The journal is to be written so far.
    pub(crate) position: Position,
    /// There is an answer among them, which may not leave at all without the store. Messages may.
    pub(crate) owes: bool,
}

/// A client as subscribers are known to the router: one is equal to itself only.
#[derive(Clone, Debug)]
pub(crate) struct ClientRef(pub(crate) Arc<Client>);

impl ClientRef {
    pub(crate) fn new(id: Arc<str>, session: Session) -> Self {
        let state = State {
            session,
            outbox: Outbox::new(),
            whereabouts: Whereabouts::default(),
            number: 0,
            owes: false,
            held: false,
            standing: Standing::Wanted,
            output: Output::Idle,
            counted: 0,
        };
        Self(Arc::new(Client { id, transition: Mutex::default(), state: Mutex::new(state) }))
    }

    /// Delivers to the session of this client, whose state is locked; what reaches the outbox leaves with the batch.
    pub(crate) fn deliver_locked(
        &self,
        state: &mut State,
        fanout: &mut Fanout<'_>,
        options: DeliveryOptions<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Delivered {
        let is_kept = options.qos.min(fanout.publication().message.qos) > Qos::AtMostOnce;
        if is_kept && state.is_crowded_out(batch) {
            let delivered = state.session.refuse();
            self.warn_of_full_queue(state, fanout.publication(), batch);
            return delivered;
        }
        let State { session, outbox, .. } = state;
        // Memory only for as long as bytes wait: of a million clients few are sent something at one time.
        if !outbox.has_buffer() {
            batch.lend_buffer(outbox);
        }
        let delivered = session.deliver(fanout, options, now, outbox);
        // Under the lock under which the session changed: so the journal has the steps of one client in the order in
        // which they were made, wherever it is cut.
        state.stage(batch);
        // What leaves at once is held until it is acknowledged, and for so long it is not worth counting.
        if delivered == Delivered::Queued {
            state.recount_now_and_then(batch);
        } else if state.output == Output::Blocked {
            state.recount(batch);
        }
        state.note_lost(self, batch);
        match delivered {
            Delivered::Sent => {
                // Nothing is owed by it: should the store fail, the message leaves all the same. It is its publisher's
                // answer that waits.
                state.wait_for_store(false, batch);
                state.touch(self, batch);
            }
            Delivered::Dropped(DropReason::QueueFull) => self.warn_of_full_queue(state, fanout.publication(), batch),
            Delivered::Queued | Delivered::Dropped(_) => {}
        }
        delivered
    }

    /// At the first message that is dropped, the second, the fourth, ...: never silent. And who can fill the queues of many
    /// floods the log no more than who is refused.
    fn warn_of_full_queue(&self, state: &State, publication: &Publication, batch: &Batch<'_>) {
        let dropped = state.session.drops().queue_full;
        if !dropped.is_power_of_two() {
            return;
        }
        let waiting = state.session.queue_len();
        batch.broker().tell_refused(&Refused {
            kind: Kind::Delivery,
            peer: state.connection().map(|connection| connection.info.peer),
            client_id: &self.id,
            reason: ReasonCode::QuotaExceeded,
            rule: &format_args!(
                "{dropped} dropped, {waiting} waiting: session.max_queued, session.max_queued_bytes or what limits.memory \
                 leaves for one client, or for all of an address who are away, is reached",
            ),
            about: publication.message.topic.as_str(),
        });
    }
}

impl Identified for ClientRef {
    fn client_id(&self) -> &str {
        &self.id
    }
}

impl Deref for ClientRef {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl PartialEq for ClientRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClientRef {}

impl Hash for ClientRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With its reference counts it fits the allocator's 320 bytes.
    #[test]
    fn a_client_costs_no_more_than_its_allocation() {
        assert!(size_of::<Client>() <= 304, "{}", size_of::<Client>());
    }
}
