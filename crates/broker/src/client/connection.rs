//! A connection: its transport, shared by all who deliver, and the facts about it.

use std::io::{ErrorKind, IoSlice};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use mqtt_hooks::ConnectionInfo;
use mqtt_net::FirstError;
use mqtt_net::Transport;
use mqtt_session::{Outbox, Timestamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::ending::Ending;
use crate::client::heard::Heard;
use crate::client::shared::Shared;
use crate::client::traffic::Traffic;
use crate::delivery::batch::Batch;
use crate::time::patience::Patient;
use crate::watch::metrics::Metric;

/// Slices handed to the system in one write.
const SLICES: usize = 32;

/// Whom to look after when someone has been waited for long enough. Whether anything is due is decided there: deadlines
/// move.
#[derive(Debug)]
pub(crate) enum Awaited {
    /// Silent for too long, or taking nothing for too long?
    Connection(Weak<Connection>),
    /// No CONNECT yet? Boxed, for it is seldom waited for, and all others would have room for it.
    Arrival(Box<Waker>),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    Blocked,
    Failed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) info: ConnectionInfo,
    pub(crate) traffic: Traffic,
    pub(super) transport: Transport,
    pub(super) broker: Arc<Broker>,
    pub(super) shared: Mutex<Shared>,
    /// Someone has said in `shared` that it ends.
    is_ending: AtomicBool,
    /// [`super::replays`]. One byte, for there is no room for two.
    pub(super) more: AtomicU8,
    /// The client may not do everything: `shared` has what it may.
    pub(super) has_rules: AtomicBool,
    /// The task is to wait until the socket takes bytes again.
    pub(super) wants_write: AtomicBool,
    /// The first error of a write. The reader may still find a DISCONNECT that came before.
    write_error: FirstError,
    /// The timer has found the client too silent or too slow. Its task is to look whether that is so.
    pub(super) is_doubted: AtomicBool,
    /// When bytes last came: [`Heard`].
    pub(super) heard_at: AtomicU64,
    /// That at which the socket last took bytes; meant while it is blocked.
    pub(super) took_at: AtomicU64,
    /// Seconds; 0: none.
    pub(super) keep_alive: u16,
}

impl Connection {
    pub(crate) fn new(
        info: ConnectionInfo,
        traffic: Traffic,
        transport: Transport,
        broker: Arc<Broker>,
        keep_alive: u16,
        now: Patient,
    ) -> Self {
        Self {
            info,
            traffic,
            transport,
            broker,
            shared: Mutex::default(),
            is_ending: AtomicBool::new(false),
            more: AtomicU8::new(0),
            has_rules: AtomicBool::new(false),
            wants_write: AtomicBool::new(false),
            is_doubted: AtomicBool::new(false),
            write_error: FirstError::default(),
            heard_at: AtomicU64::new(Heard::all(now).0),
            took_at: AtomicU64::new(now.0),
            keep_alive,
        }
    }

    pub(crate) const fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// For the connection's task: to read from.
    pub(crate) const fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.broker.clock.now()
    }

    /// Ends the connection: its task will do it. The first reason given holds.
    pub(crate) fn end(&self, ending: Ending) {
        let mut shared = self.shared.lock();
        let place = &mut shared.rare().ending;
        if place.is_none() {
            *place = Some(ending);
            // Under the lock: whoever sees the flag finds the reason.
            self.is_ending.store(true, Relaxed);
            drop(shared);
            self.wake();
        }
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        if !self.is_ending.load(Relaxed) {
            return None;
        }
        self.shared.lock().rare.as_ref()?.ending
    }

    /// Returns when the connection's task has handled all that has come by now, or has ended.
    pub(crate) async fn hear_out(&self) {
        let (told, heard_out) = oneshot::channel();
        {
            let mut shared = self.shared.lock();
            // In one go with joining the list: a task that ends either finds this one in the list or is seen to have
            // ended.
            if shared.is_over {
                return;
            }
            shared.rare().listeners.push(told);
        }
        self.wake();
        // An error says that the task has ended.
        let _ = heard_out.await;
    }

    /// For the connection's task: nothing more has come.
    pub(crate) fn tell_heard_out(&self) {
        for listener in self.take_listeners() {
            // It may have given up waiting.
            let _ = listener.send(());
        }
    }

    /// Someone waits until all that has come has been handled.
    pub(crate) fn is_listened_to(&self) -> bool {
        self.shared.lock().rare.as_ref().is_some_and(|rare| !rare.listeners.is_empty())
    }

    /// The task has ended in order.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.lock().is_over
    }

    /// For the connection's task: it ends. Whoever waits for it is told by the loss of the channel.
    pub(crate) fn stop_listening(&self) {
        self.shared.lock().is_over = true;
        drop(self.take_listeners());
    }

    fn take_listeners(&self) -> Vec<oneshot::Sender<()>> {
        let mut shared = self.shared.lock();
        shared.rare.as_mut().map(|rare| mem::take(&mut rare.listeners)).unwrap_or_default()
    }

    pub(crate) fn wake(&self) {
        // Once is enough: a task that is polled registers again before it looks at anything.
        let waker = self.shared.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// For the connection's task: where to find it.
    pub(crate) fn register(&self, context: &Context<'_>) {
        let waker = &mut self.shared.lock().waker;
        // It is nearly always the one of before, and to clone it would touch the task's count at every turn.
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    /// Writes until all is written or the socket would block.
    pub(crate) fn write(&self, outbox: &mut Outbox, batch: &mut Batch<'_>) -> Written {
        // Packets count when they begin to leave, and once: what is put back has none to count any more.
        self.traffic.note_sent(outbox.take_pushed());
        let (mut total, mut writes) = (0, 0);
        let written = loop {
            if outbox.is_empty() {
                break Written::All;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = outbox.io_slices(&mut slices);
            match self.transport.try_write(&slices[..filled]) {
                Ok(written) => {
                    if self.broker.watched.traces.are_running() {
                        self.trace_written(&slices[..filled], written);
                    }
                    outbox.advance(written);
                    total += written;
                    writes += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Written::Blocked,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.write_error.note(&error);
                    break Written::Failed;
                }
            }
        };
        self.traffic.note_written(total as u64, writes);
        batch.count(Metric::BytesSent, total as u64);
        // It took some before it was full, so it is slow only from now on.
        if written == Written::Blocked && total > 0 {
            self.took_at.store(self.broker.clock.patient().0, Relaxed);
        }
        written
    }

    #[cold]
    fn trace_written(&self, slices: &[IoSlice<'_>], mut written: usize) {
        let taken = slices.iter().map(|slice| {
            let part = slice.len().min(written);
            written -= part;
            &slice[..part]
        });
        let taken: Vec<_> = taken.collect();
        self.broker.watched.traces.note_written(&self.info, &taken);
    }

    /// The socket is full: the task goes on when it takes more, and the broker looks after some time whether it did.
    pub(crate) fn wait_writable(self: &Arc<Self>) {
        if !self.wants_write.swap(true, Relaxed) {
            let now = self.broker.clock.patient();
            self.took_at.store(now.0, Relaxed);
            let timer = &mut self.shared.lock().timer;
            // One entry for both deadlines, keep alive's and this one: the earlier of them.
            if let Some(timer) = timer.take() {
                self.broker.deadlines.awaited.cancel(timer);
            }
            let at = self.next_look(now);
            *timer = at.map(|at| self.broker.deadlines.awaited.insert(at, Awaited::Connection(Arc::downgrade(self))));
        }
        self.wake();
    }

    /// For the connection's task: goes on writing if the socket has become writable.
    pub(crate) fn poll_write(self: &Arc<Self>, client: &ClientRef, context: &mut Context<'_>, batch: &mut Batch<'_>) {
        while self.wants_write.load(Relaxed) {
            match self.transport.poll_writable(context) {
                Poll::Pending => return,
                Poll::Ready(()) => {
                    // Before the flush, which says so again if it finds the socket full again.
                    self.wants_write.store(false, Relaxed);
                    self.took_at.store(self.broker.clock.patient().0, Relaxed);
                    client.unblock(self, batch);
                }
            }
        }
    }

    /// The socket takes nothing, as far as is known.
    pub(crate) fn is_blocked(&self) -> bool {
        self.wants_write.load(Relaxed)
    }

    pub(crate) fn write_error(&self) -> Option<&'static str> {
        self.write_error.name()
    }
}

#[cfg(test)]
mod tests {
    use super::Connection;

    /// With its reference counts it fills 320 bytes, a size the allocator has; one more byte would cost 64.
    #[test]
    fn a_connection_costs_320_bytes() {
        assert!(size_of::<Connection>() <= 304, "{}", size_of::<Connection>());
    }
}
