//! What coming and going leave behind.

use mqtt_session::Timestamp;

use crate::client::flaps::Flaps;
use crate::store::numbers::Trail;
use crate::store::past::Fallen;
use crate::time::clock::wall_ms;
use crate::time::timers::{Expiry, TimerKey};

/// What coming and going leave behind.
#[derive(Debug, Default)]
pub(crate) struct Transition {
    /// The session ended and the client is out of the table: look it up again.
    pub(crate) dead: bool,
    /// There is a session to go on with.
    pub(crate) has_session: bool,
    /// Of the last fact of coming or going.
    pub(crate) seq: u64,
    /// When that was, by the system's clock.
    pub(crate) last_fact_ms: u64,
    /// By how much later it was told. Later facts are not told earlier, whatever the system's clock does.
    pub(crate) told_late_ms: u32,
    pub(crate) flaps: Flaps,
    /// When the session began, by the system's clock.
    pub(crate) created_at: u64,
    /// While offline: when the session ends, and the entry that sees to it and to a delayed will.
    pub(crate) expires_at: Expiry,
    pub(crate) timer: Option<TimerKey<Timestamp>>,
    /// The client was online when an earlier process died, and nobody has been told.
    pub(crate) fallen: Option<Box<Fallen>>,
}

impl Transition {
    /// The system's time for a fact that is told now.
    pub(crate) fn now_ms(&self) -> u64 {
        wall_ms().max(self.told_ms())
    }

    fn told_ms(&self) -> u64 {
        self.last_fact_ms + u64::from(self.told_late_ms)
    }

    /// The next fact is not told before this.
    pub(crate) fn note_told(&mut self, told_ms: u64) {
        let late = told_ms.saturating_sub(self.last_fact_ms).try_into().unwrap_or(u32::MAX);
        self.told_late_ms = self.told_late_ms.max(late);
    }

    /// A fact, told at once or later.
    pub(crate) fn note_fact(&mut self, at_ms: u64, told_ms: u64) {
        (self.last_fact_ms, self.told_late_ms) = (at_ms, 0);
        self.note_told(told_ms);
    }

    /// What is remembered when the session has ended.
    pub(crate) fn trail(&self) -> Trail {
        Trail { seq: self.seq, flaps: self.flaps, told_ms: self.told_ms() }
    }
}
