//! What is due, by either clock.

use std::time::Duration;

use mqtt_session::Timestamp;

use crate::time::clock::Clock;
use crate::time::patience::Patient;
use crate::time::timers::Timers;

/// What is due, by either clock.
pub(crate) struct Deadlines<Client, Awaited> {
    /// At clients that are offline: a will to publish, a session to end.
    pub(crate) offline: Timers<Timestamp, Client>,
    /// Connections and arrivals that are waited for.
    pub(crate) awaited: Timers<Patient, Awaited>,
}

impl<Client, Awaited> Default for Deadlines<Client, Awaited> {
    fn default() -> Self {
        Self { offline: Timers::default(), awaited: Timers::default() }
    }
}

impl<Client, Awaited> Deadlines<Client, Awaited> {
    /// How long nothing is due; `None`: until something is [added](Self::earlier).
    ///
    /// Should the broker be late meanwhile, those who are awaited are looked after too early, and then waited for again.
    pub(crate) fn until_next(&self, clock: &Clock) -> Option<Duration> {
        let offline = self.offline.next().map(|at| at.0.saturating_sub(clock.now().0));
        let awaited = self.awaited.next().map(|at| at.0.saturating_sub(clock.patient().0));
        offline.into_iter().chain(awaited).min().map(Duration::from_millis)
    }

    /// Returns when something has come that is due before all else of its clock.
    pub(crate) async fn earlier(&self) {
        tokio::select! {
            () = self.offline.earlier() => {}
            () = self.awaited.earlier() => {}
        }
    }
}
