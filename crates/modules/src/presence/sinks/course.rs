//! One sink's way through the history.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mqtt_hooks::{Actor, Records};

use super::batch::Batch;
use super::cursor::Cursor;
use super::progress::{Behind, Progress};
use super::target::{Outcome, Target};
use crate::presence::History;

/// Milliseconds between two looks at the history when there was nothing new. Who comes and goes wakes nobody up for a sink.
const LOOK_EVERY: u64 = 200;

/// After a failure; twice as long after each further one.
const FIRST_REST: Duration = Duration::from_secs(1);

/// Failures one after the other from which there is an alarm.
const ALARMING: u32 = 3;

/// Takes events from the history to where they go, one batch after the other.
pub(super) struct Course {
    pub(super) name: String,
    pub(super) history: Arc<History>,
    pub(super) actor: Actor,
    pub(super) records: Records,
    pub(super) progress: Arc<Progress>,
    pub(super) behind: Arc<Behind>,
    pub(super) target: Box<dyn Target>,
    /// Where batches go that are refused for good; `None`: nowhere.
    pub(super) dead_letters: Option<Box<dyn Target>>,
    /// Lines of a batch.
    pub(super) most: usize,
    /// The longest time between two tries.
    pub(super) retry_max: Duration,
}

impl Course {
    /// Goes on for ever.
    pub(super) async fn run(self) {
        let mut most = self.most;
        loop {
            let cursor = self.progress.cursor();
            let Some(batch) = Batch::read(&self.history, &cursor, most) else {
                self.rest(Duration::from_millis(LOOK_EVERY)).await;
                continue;
            };
            // What the history shows may not be stored yet, and a process that dies then takes it back: the sink would have an
            // event that nobody will ever hear of again. What is kept now is stored behind all of the batch, so that is too.
            self.keep(&cursor);
            match self.deliver(&batch).await {
                Told::Taken => most = (most * 2).min(self.most),
                // Whose fault it is only shows when all others are told without it.
                Told::TooMuch => {
                    most = batch.lines.len().div_ceil(2);
                    continue;
                }
            }
            self.progress.advance(&batch, |cursor| self.keep(cursor));
        }
    }

    /// Until the batch is somewhere for good, or is to be divided.
    async fn deliver(&self, batch: &Batch) -> Told {
        let (mut failures, mut rest) = (0_u32, FIRST_REST.min(self.retry_max));
        let mut is_dead = false;
        loop {
            let target = if is_dead { self.dead_letters.as_ref() } else { Some(&self.target) };
            let outcome = match target {
                Some(target) => target.tell(batch).await,
                None => Outcome::Taken,
            };
            let (why, after) = match outcome {
                Outcome::Taken => break,
                Outcome::Refused { is_for_content: true, .. } if !is_dead && batch.lines.len() > 1 => {
                    self.behind.is_well(&self.name);
                    return Told::TooMuch;
                }
                Outcome::Refused { why, .. } if !is_dead => {
                    tracing::warn!(
                        sink = self.name,
                        why,
                        last = batch.last,
                        "events are refused and become dead letters"
                    );
                    is_dead = true;
                    continue;
                }
                Outcome::Refused { why, .. } => (why, None),
                Outcome::NotNow { why, after } => (why, after),
            };
            failures = failures.saturating_add(1);
            self.progress.failures.fetch_add(1, Relaxed);
            if failures.is_power_of_two() {
                tracing::warn!(sink = self.name, why, failures, "events do not reach where they go; they are kept");
            }
            if failures >= ALARMING {
                self.behind.is_failing(&self.name, &why);
            }
            self.rest(after.map_or(rest, |after| after.max(FIRST_REST.min(self.retry_max)))).await;
            rest = (rest * 2).min(self.retry_max);
        }
        if failures > 0 {
            tracing::info!(sink = self.name, failures, "events reach where they go again");
        }
        self.behind.is_well(&self.name);
        let count = if is_dead { &self.progress.dead } else { &self.progress.delivered };
        count.fetch_add(batch.events, Relaxed);
        Told::Taken
    }

    fn keep(&self, cursor: &Cursor) {
        let record = cursor.to_record();
        self.actor.act(|moment| self.records.keep(moment, self.name.as_bytes(), &record));
    }

    async fn rest(&self, time: Duration) {
        let host = self.actor.host();
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        host.sleep_until(host.clock_ms().saturating_add(time)).await;
    }
}

/// What has become of a batch.
enum Told {
    /// It is there, or a dead letter.
    Taken,
    /// It is to be told in two parts.
    TooMuch,
}
