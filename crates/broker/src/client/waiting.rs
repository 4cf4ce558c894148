//! How long a connection is waited for: keep alive, and a socket that takes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::ReasonCode;
use mqtt_hooks::Reason;

use crate::client::connection::{Awaited, Connection, Ending};
use crate::client::{ClientRef, Output};
use crate::delivery::batch::Batch;
use crate::time::patience::Patient;

/// When something came, in one number, for a connection has no room for two: in the lower bits the [`Patient`] moment of the
/// last byte, for which they suffice 34 years, and above them the second in which something else than a ping came last, which comes
/// round after half a year.
#[derive(Clone, Copy)]
pub(super) struct Heard(pub(super) u64);

impl Heard {
    const BITS: u32 = 40;
    const BYTE: u64 = (1 << Self::BITS) - 1;

    pub(super) const fn all(now: Patient) -> Self {
        Self(((now.0 / 1000) << Self::BITS) | (now.0 & Self::BYTE))
    }

    const fn byte(self, now: Patient) -> Self {
        Self((self.0 & !Self::BYTE) | (now.0 & Self::BYTE))
    }

    const fn byte_at(self) -> u64 {
        self.0 & Self::BYTE
    }

    /// For how long nothing but pings came, at the least.
    const fn quiet_ms(self, now: Patient) -> u64 {
        let seconds = (now.0 / 1000).wrapping_sub(self.0 >> Self::BITS) & (u64::MAX >> Self::BITS);
        // As if it had come at the end of its second.
        (seconds * 1000 + now.0 % 1000).saturating_sub(999)
    }
}

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
        self.wants_write.load(Relaxed).then(|| taken.after(self.broker().config.limits.slow_consumer_timeout))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_heard_and_says_nothing() {
        let came = Heard::all(Patient(5_200));
        assert_eq!((came.byte_at(), came.quiet_ms(Patient(5_200))), (5_200, 0));
        let pinged = came.byte(Patient(65_100)).byte(Patient(125_000));
        assert_eq!((pinged.byte_at(), pinged.quiet_ms(Patient(126_500))), (125_000, 120_501));
        assert_eq!(Heard::all(Patient(126_000)).quiet_ms(Patient(126_999)), 0);
        // Round the end of what there are bits for.
        let late = Heard::all(Patient(((1 << 24) - 1) * 1000));
        assert_eq!(late.quiet_ms(Patient(((1 << 24) + 9) * 1000)), 9_001);
    }
}
