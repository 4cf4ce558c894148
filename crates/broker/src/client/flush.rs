//! An outbox's way to the socket.

use std::sync::Arc;

use mqtt_codec::ReasonCode;

use crate::client::connection::{Connection, Written};
use crate::client::ending::Ending;
use crate::client::{ClientRef, Output};
use crate::delivery::batch::Batch;

impl ClientRef {
    /// Writes the outbox to the socket, there and then.
    ///
    /// At most one thread is between taking the outbox and giving it back: [`Output::Writing`] says so. It leaves by one of five
    /// exits, and each leaves the state so that whoever adds to the outbox next knows who writes it: nobody (then `touch`
    /// finds someone), this thread (it looks again before it lets go), or the connection's own task ([`Output::Blocked`]).
    pub(crate) fn flush(&self, batch: &mut Batch<'_>) {
        let broker = batch.broker();
        let mut state = self.state.lock();
        // 1: someone else is writing. They look again before they let go, so what we just added leaves with theirs. Or the
        // socket is full, and the task that waits for it writes all there is by then.
        if state.output.is_looked_after() {
            return;
        }
        // This flush is the one that writes, but only for as long as it has the lock: where it gives that up for the
        // store, another may come by, and when it writes it says so.
        state.output = Output::Idle;
        // Gone before its turn in that list came: what was in the outbox then is the old connection's tail, and this is
        // empty.
        let Some(connection) = state.connection().cloned() else {
            return;
        };
        // Again, as long as something was added while the lock was given up, or the session had more for the room that
        // there is. What is held stays: whoever lets it go touches the client again.
        while !state.outbox.is_empty() && !state.held {
            if !broker.durable.is_written(state.position()) {
                // What the bytes tell of is to be in the store first. That takes a disk's time, so the lock is given up, and
                // what was known under it is asked for again.
                let position = state.position();
                drop(state);
                let is_stored = broker.durable.commit(position).is_ok();
                state = self.state.lock();
                // 2: taken over, or another flush came by meanwhile: the outbox is theirs now, with what it needs.
                if !state.is_current(&connection) || state.output.is_looked_after() || state.held {
                    return;
                }
                if !is_stored && state.owes {
                    // 3: nothing is promised that is not stored. To skip the one answer would leave its client waiting for
                    // ever, so it is closed, and asks again when it is back.
                    state.outbox.clear();
                    state.take_needs();
                    drop(state);
                    connection.end(Ending::refused(ReasonCode::QuotaExceeded));
                    return;
                }
                // More was added meanwhile, and it tells of more.
                if is_stored && state.position() > position {
                    continue;
                }
            }
            // All that the bytes tell of is stored, or none of them is an answer: messages promise nothing.
            state.take_needs();
            let mut leaving = state.outbox.take();
            state.output = Output::Writing;
            drop(state);
            // No lock is held while the socket is written to.
            let written = connection.write(&mut leaving, batch);
            state = self.state.lock();
            if !state.is_current(&connection) {
                // 4: taken over while we wrote. The rest is the old connection's, whose task writes it on its way out:
                // the new one must not get the second half of a packet.
                connection.return_tail(leaving);
                return;
            }
            state.output = Output::Idle;
            match written {
                Written::All => batch.return_buffer(leaving),
                Written::Blocked => {
                    // 5: the socket is full. What came meanwhile is behind what is put back.
                    state.outbox.put_back(leaving);
                    state.output = Output::Blocked;
                    state.recount(batch);
                    drop(state);
                    connection.wait_writable();
                    return;
                }
                Written::Failed => {
                    // Nothing leaves any more. The connection's task finds out why and ends it; until then this keeps
                    // others from trying.
                    state.outbox.clear();
                    state.output = Output::Blocked;
                    state.recount(batch);
                    drop(state);
                    connection.wake();
                    return;
                }
            }
            // Room in the outbox is room for what the session could not send before.
            if state.outbox.is_empty() && state.session.has_backlog() {
                state.pump(self, connection.now(), batch);
            }
        }
        if connection.is_replaying() && state.session.is_ready() {
            drop(state);
            // It goes on when what it has sent is taken.
            connection.wake();
        }
    }

    /// For the connection's task: goes on with what waits, if the session had [stopped](State::note_lost) for a while.
    pub(crate) fn go_on(&self, connection: &Arc<Connection>, batch: &mut Batch<'_>) {
        if !connection.take_backlog() {
            return;
        }
        let mut state = self.state.lock();
        if state.is_current(connection) && state.outbox.is_empty() && state.session.has_backlog() {
            state.pump(self, connection.now(), batch);
            state.touch(self, batch);
        }
    }

    /// The socket takes bytes again.
    pub(crate) fn unblock(&self, connection: &Arc<Connection>, batch: &mut Batch<'_>) {
        let mut state = self.state.lock();
        // Otherwise it was taken over meanwhile, and what was put back went to the old connection's tail with the rest.
        if state.is_current(connection) {
            state.output = Output::Idle;
            state.recount(batch);
            drop(state);
            self.flush(batch);
        }
    }
}
