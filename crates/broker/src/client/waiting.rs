//! How long a connection is waited for: keep alive, and a socket that takes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::ReasonCode;
use mqtt_hooks::Reason;

use crate::client::connection::{Awaited, Connection};
use crate::client::ending::Ending;
use crate::client::heard::Heard;
use crate::client::{ClientRef, Output};
use crate::delivery::batch::Batch;
use crate::time::patience::Patient;

impl Connection {
    /// For the connection's task: bytes have come.
    pub(crate) fn heard(&self, now: Patient) {
        let heard = Heard(self.heard_at.load(Relaxed)).byte(now);
        self.heard_at.store(heard.0, Relaxed);
    }

    /// For the connection's task: packets have come that are no pings.
    pub(crate) fn heard_more(&self, now: Patient) {
        self.heard_at.store(Heard::all(now).0, Relaxed);
    }

    /// For how long nothing has come, less the time in which the broker itself stood still.
    pub(crate) fn silent_ms(&self) -> u64 {
        self.broker().clock.patient().0.saturating_sub(Heard(self.heard_at.load(Relaxed)).byte_at())
    }

    /// The same of all but pings, at the least.
    pub(crate) fn quiet_ms(&self) -> u64 {
        Heard(self.heard_at.load(Relaxed)).quiet_ms(self.broker().clock.patient())
    }

    /// Starts the clock of keep alive.
    pub(crate) fn start_timer(self: &Arc<Self>, now: Patient) {
        // `None`: there is no keep alive, and its socket takes all.
        if let Some(at) = self.next_look(now) {
            let timer = self.broker().deadlines.awaited.insert(at, Awaited::Connection(Arc::downgrade(self)));
            self.shared.lock().timer = Some(timer);
        }
    }

    pub(crate) fn stop_timer(&self) {
        let timer = self.shared.lock().timer.take();
        if let Some(timer) = timer {
            self.broker().deadlines.awaited.cancel(timer);
        }
    }

    /// The timer's time has come: too silent, too slow, or look again later.
    ///
    /// Nobody is ended by that alone. What the client has sent may lie in its socket, because this process or this one
    /// task was late; only the task can see that.
    pub(crate) fn look(self: &Arc<Self>, now: Patient) {
        if self.overdue(now).is_some() {
            self.is_doubted.store(true, Relaxed);
            self.wake();
        } else if self.ending().is_none() {
            self.start_timer(now);
        }
    }

    /// For the connection's task: it is to read what has come, and to write what is taken, and then to see whether it is [over](Self::patience_ends).
    pub(crate) fn is_doubted(&self) -> bool {
        self.is_doubted.load(Relaxed)
    }

    /// For the task of a connection in doubt, when it has read and written all it could: whether that is the end.
    pub(crate) fn patience_ends(self: &Arc<Self>) -> Option<Ending> {
        let now = self.broker().clock.patient();
        let overdue = self.overdue(now);
        if overdue.is_none() {
            self.is_doubted.store(false, Relaxed);
            self.start_timer(now);
        }
        overdue
    }

    fn overdue(&self, now: Patient) -> Option<Ending> {
        let is_over = |at: Option<Patient>| at.is_some_and(|at| at <= now);
        if is_over(self.silent_until()) {
            Some(Ending { reason: Reason::KeepAliveTimeout, code: Some(ReasonCode::KeepAliveTimeout) })
        } else if is_over(self.slow_until()) {
            Some(Ending { reason: Reason::SlowConsumer, code: Some(ReasonCode::QuotaExceeded) })
        } else {
            None
        }
    }

    pub(super) fn next_look(&self, now: Patient) -> Option<Patient> {
        let at = self.silent_until().into_iter().chain(self.slow_until()).min()?;
        Some(at.max(Patient(now.0 + 1)))
    }

    fn silent_until(&self) -> Option<Patient> {
        // [MQTT-3.1.2-22]
        let limit = u64::from(self.keep_alive) * 1500;
        (limit > 0).then(|| Patient(Heard(self.heard_at.load(Relaxed)).byte_at() + limit))
    }

    fn slow_until(&self) -> Option<Patient> {
        let taken = Patient(self.took_at.load(Relaxed));
        self.wants_write.load(Relaxed).then(|| taken.after(self.broker().terms().limits.slow_consumer_timeout))
    }
}

impl ClientRef {
    /// For the connection's task: the socket is full though the outbox is empty, for the client takes no answers of the transport's
    /// own. What is [touched](Output::Touched) meanwhile waits with them.
    pub(crate) fn block(&self, connection: &Arc<Connection>, batch: &mut Batch<'_>) {
        let mut state = self.state.lock();
        // Who writes finds the socket full themselves.
        if state.is_current(connection) && !state.output.is_looked_after() {
            state.output = Output::Blocked;
            state.recount(batch);
            drop(state);
            connection.wait_writable();
        }
    }
}
