//! What is still to be written when a client has no part in its connection any more.

use std::mem;
use std::task::{Context, Poll};

use mqtt_session::Outbox;

use crate::client::Needs;
use crate::client::connection::{Connection, Written};
use crate::client::shared::Tail;
use crate::delivery::batch::Batch;

impl Connection {
    /// What is left in the outbox when the client gives this connection up; `busy`: a flush is under way.
    pub(crate) fn leave_tail(&self, outbox: Outbox, needs: Needs, busy: bool) {
        // Who flushes has bytes of their own that come before these. They give back what they could not write, and until
        // then the tail is not touched.
        let mut shared = self.shared.lock();
        shared.is_flushed = busy;
        if !outbox.is_empty() {
            shared.rare().tail = Some(Tail { outbox, needs });
        }
    }

    /// The flush that was under way is over; `rest` is what it could not write.
    pub(crate) fn return_tail(&self, rest: Outbox) {
        let mut shared = self.shared.lock();
        shared.is_flushed = false;
        if !rest.is_empty() {
            // In front of what was left: a packet may have been cut.
            shared.rare().tail.get_or_insert_default().outbox.put_back(rest);
        }
        drop(shared);
        self.wake();
    }

    /// For the connection's task, once the client has given it up: writes the tail. Ready when there is nothing left to
    /// do.
    pub(crate) fn poll_tail(&self, context: &mut Context<'_>) -> Poll<()> {
        // Before it is looked at: who gives bytes back later wakes the task that is registered by then.
        self.register(context);
        loop {
            let tail = {
                let mut shared = self.shared.lock();
                if shared.is_flushed {
                    // [`Self::return_tail`] wakes the task. What it brings back comes before what is here.
                    return Poll::Pending;
                }
                shared.rare.as_mut().and_then(|rare| rare.tail.take())
            };
            let Some(mut tail) = tail else { return Poll::Ready(()) };
            // Asked for once, also if the socket takes the rest later.
            let needs = mem::take(&mut tail.needs);
            // An answer that promises what is not stored may not leave; messages may, they are owed again.
            if self.broker.durable.commit(needs.position).is_err() && needs.owes {
                return Poll::Ready(());
            }
            let mut batch = Batch::begin(&self.broker);
            let written = self.write(&mut tail.outbox, &mut batch);
            // It has counted bytes, no more.
            let _ = batch.finish();
            match written {
                Written::All | Written::Failed => return Poll::Ready(()),
                // Put back before the socket is asked: this task is woken by it, and looks here first.
                Written::Blocked => self.shared.lock().rare().tail = Some(tail),
            }
            if self.transport.poll_writable(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
