//! What coming and going leave behind.

use std::collections::VecDeque;
use std::mem;

use mqtt_codec::Filter;
use mqtt_session::Timestamp;

use crate::client::flaps::Flaps;
use crate::delivery::wanted::Replay;
use crate::store::past::Fallen;
use crate::store::serials::Trail;
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
    /// One box for all that few clients have.
    pub(crate) rare: Option<Box<Rare>>,
}

#[derive(Debug, Default)]
pub(crate) struct Rare {
    fallen: Option<Fallen>,
    replays: VecDeque<Replay>,
}

impl Transition {
    /// The client was online when an earlier process died, and nobody has been told.
    pub(crate) fn is_fallen(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.fallen.is_some())
    }

    pub(crate) fn set_fallen(&mut self, fallen: Fallen) {
        self.rare.get_or_insert_default().fallen = Some(fallen);
    }

    pub(crate) fn take_fallen(&mut self) -> Option<Fallen> {
        self.take_rare(|rare| rare.fallen.take())
    }

    /// While the client is away: retained messages that its session is still to be sent.
    pub(crate) fn leave_replays(&mut self, replays: impl IntoIterator<Item = Replay>) {
        let mut replays = replays.into_iter().peekable();
        if replays.peek().is_some() {
            self.rare.get_or_insert_default().replays.extend(replays);
        }
    }

    /// Filters for which it is still to be sent something of what is retained.
    pub(crate) fn owing(&self) -> impl Iterator<Item = &Filter> {
        self.rare.iter().flat_map(|rare| &rare.replays).flat_map(Replay::left)
    }

    pub(crate) fn take_replays(&mut self) -> VecDeque<Replay> {
        self.take_rare(|rare| mem::take(&mut rare.replays))
    }

    fn take_rare<T: Default>(&mut self, take: impl FnOnce(&mut Rare) -> T) -> T {
        let taken = self.rare.as_mut().map(|rare| take(rare)).unwrap_or_default();
        // Nobody is to keep an empty box for as long as a session lives.
        self.rare = self.rare.take_if(|rare| rare.fallen.is_some() || !rare.replays.is_empty());
        taken
    }

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
