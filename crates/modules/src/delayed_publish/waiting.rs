//! The messages that wait, and what became of the others.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mqtt_codec::{Message, Property};
use mqtt_hooks::{Actor, Due, Moment, Number, Timer, Timers};
use parking_lot::Mutex;

use super::Delayed;
use super::record::Record;
use super::shares::{Amount, Shares};

/// More ids than a process can give in a millisecond: those of the next begin above the last of this one.
const IDS_PER_MS: u64 = 1000;

const FULL: &str =
    "delayed messages are dropped: modules.delayed_publish.max_delayed_messages or max_delayed_bytes is reached";

/// What waits.
pub(super) struct Waiting {
    pub(super) timers: Arc<Timers>,
    pub(super) counts: Counts,
    /// Held while it is seen whether there is room and that is taken.
    shares: Mutex<Shares>,
    next: AtomicU64,
    /// There since the first start.
    actor: OnceLock<Actor>,
}

/// Since the process began.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) full: AtomicU64,
    pub(super) wrong: AtomicU64,
    pub(super) expired: AtomicU64,
}

/// There is no room for one more.
pub(super) struct Full;

impl Waiting {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            timers: Timers::new(),
            counts: Counts::default(),
            shares: Mutex::default(),
            next: AtomicU64::new(0),
            actor: OnceLock::new(),
        })
    }

    /// Before a start.
    pub(super) fn prepare(&self, actor: Actor) {
        self.next.fetch_max(actor.host().epoch().saturating_mul(IDS_PER_MS), Relaxed);
        // The same at every start.
        let _ = self.actor.set(actor);
    }

    /// Once what earlier processes have left is there: counts it.
    pub(super) fn restore(&self) {
        let mut shares = Shares::default();
        self.timers.list(None, usize::MAX).iter().for_each(|timer| shares.restore(&timer.payload));
        *self.shares.lock() = shares;
    }

    /// Keeps a message of this client, if it is one's, until a time of the even clock.
    pub(super) fn take(
        &self,
        at: u64,
        client_id: Option<&str>,
        payload: Bytes,
        most: Amount,
        moment: &mut dyn Moment,
    ) -> Result<(), Full> {
        let mut shares = self.shares.lock();
        let waiting = Amount { messages: self.timers.len(), bytes: self.timers.payload_bytes() };
        if !shares.take(client_id, payload.len(), waiting, most) {
            return Err(Full);
        }
        let id = self.next.fetch_add(1, Relaxed);
        self.timers.schedule(Timer { id, at, payload }, moment);
        self.counts.accepted.fetch_add(1, Relaxed);
        Ok(())
    }

    /// See [`DelayedPublish::list`](super::DelayedPublish::list).
    pub(super) fn list(&self, after: Option<u64>, limit: usize) -> Vec<Delayed> {
        let after = after.and_then(|id| self.timers.get(id));
        let timers = self.timers.list(after.as_ref(), limit).into_iter();
        timers.filter_map(|timer| self.shown(timer)).collect()
    }

    pub(super) fn get(&self, id: u64) -> Option<Delayed> {
        self.shown(self.timers.get(id)?)
    }

    /// Takes a message out; false if it does not wait.
    pub(super) fn delete(&self, id: u64) -> bool {
        let Some(actor) = self.actor.get() else { return false };
        let mut is_deleted = false;
        actor.act(|moment| {
            if let Some(timer) = self.timers.cancel(id, moment) {
                is_deleted = true;
                self.give_back(&timer);
            }
        });
        self.counts.deleted.fetch_add(is_deleted.into(), Relaxed);
        is_deleted
    }

    fn give_back(&self, timer: &Timer) -> Option<Record> {
        let record = Record::read(&timer.payload)?;
        self.shares.lock().give_back(&record, timer.payload.len());
        Some(record)
    }

    fn shown(&self, timer: Timer) -> Option<Delayed> {
        let host = self.actor.get()?.host();
        let Record { message, accepted_at, client_id, .. } = Record::read(&timer.payload)?;
        let publish_at = host.now_ms() + timer.at.saturating_sub(host.clock_ms());
        Some(Delayed { id: timer.id, message, client_id, accepted_at, publish_at })
    }

    pub(super) fn numbers(&self) -> Vec<Number> {
        let Counts { accepted, published, deleted, full, wrong, expired } = &self.counts;
        let counter = |name: &'static str, help: &'static str, count: &AtomicU64| {
            Number::counter(name, help, count.load(Relaxed))
        };
        vec![
            Number::gauge("waiting", "Messages that wait to be published.", self.timers.len() as f64),
            Number::gauge("waiting.bytes", "Bytes of the messages that wait.", self.timers.payload_bytes() as f64),
            counter("accepted", "Messages taken to be published later.", accepted),
            counter("published", "Delayed messages that were published.", published),
            counter("deleted", "Delayed messages that operators took out.", deleted),
            counter("dropped.full", "Messages dropped, for as many waited as may.", full).alarming(FULL),
            counter("dropped.wrong", "Messages dropped, for their $delayed topic can't be read.", wrong),
            counter("dropped.expired", "Messages dropped, for they expired before their time.", expired),
        ]
    }
}

impl Due for Waiting {
    fn due(&self, timer: Timer, moment: &mut dyn Moment) {
        let (Some(record), Some(actor)) = (self.give_back(&timer), self.actor.get()) else {
            tracing::error!(id = timer.id, "a delayed message that can't be read is dropped");
            return;
        };
        let left_ms = record.expires_at.map(|at| at.saturating_sub(actor.host().clock_ms()));
        if left_ms == Some(0) {
            self.counts.expired.fetch_add(1, Relaxed);
            return;
        }
        self.counts.published.fetch_add(1, Relaxed);
        moment.publish(with_expiry(record.message, left_ms));
    }
}

/// [MQTT-3.3.2-6]: what waited is less by that. A second that has begun counts whole.
fn with_expiry(mut message: Message, left_ms: Option<u64>) -> Message {
    if let Some(left_ms) = left_ms {
        let seconds = left_ms.div_ceil(1000).try_into().unwrap_or(u32::MAX);
        message.properties = message.properties.iter().chain([Property::MessageExpiry(seconds)]).collect();
    }
    message
}
