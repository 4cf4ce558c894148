//! Timers that outlive the process.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::chains::Start;
use crate::panics::caught;
use crate::records::Records;
use crate::{Actor, Host, Moment, Task};

/// Timers that are due together come in one moment; so many of them, ...
const TOGETHER: usize = 64;

/// ... and with payloads of some so many bytes.
const BYTES_TOGETHER: usize = 1 << 20;

/// What a module has scheduled. The module owns it, so that it is there while the module is stopped; handed to
/// [`Ctx::timers`](crate::Ctx::timers), it is read from the records of earlier processes once, and runs.
///
/// A timer is a record of the module's: it is in the store with what the [`Moment`] that scheduled it is about. Its handler
/// is called in a moment in which the record goes, so what the handler publishes and keeps is stored with that or not at
/// all. So each timer is handled at least once, and again only if the process dies between the two. One that was due while
/// the broker or the module was stopped is handled when they run again.
pub struct Timers(Mutex<State>);

/// Handles timers.
pub trait Due: Send + Sync {
    /// It is time. The timer is gone; one that is wanted again is scheduled by this moment. After a panic, which is logged
    /// and counted, it is gone too.
    fn due(&self, timer: Timer, moment: &mut dyn Moment);
}

/// Something that is to be done at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// As its module calls it.
    pub id: u64,
    /// When, by [`Host::clock_ms`].
    pub at: u64,
    /// What its handler needs.
    pub payload: Bytes,
}

#[derive(Default)]
struct State {
    /// There since the first start.
    records: Option<Records>,
    /// Each with its time, in order.
    order: BTreeSet<(u64, u64)>,
    timers: HashMap<u64, Timer>,
    /// Of all payloads.
    bytes: usize,
    /// Grows with every start: a task of an earlier one that is still being polled has nothing to do.
    run: u64,
    /// Of the task that waits.
    waker: Option<Waker>,
}

impl Timers {
    /// Nothing is scheduled.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// Schedules something; what has this id already is replaced.
    ///
    /// # Panics
    /// If the module was never started.
    pub fn schedule(&self, timer: Timer, moment: &mut dyn Moment) {
        let mut state = self.0.lock();
        state.remove(timer.id);
        // Under the lock, so that the record of one id is kept and forgotten in the order in which that happens here.
        state.records().keep(moment, &timer.id.to_be_bytes(), &to_record(&timer));
        let is_first = state.order.first().is_none_or(|&(at, _)| timer.at < at);
        state.insert(timer);
        if is_first && let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Takes back what was scheduled; `None` if it was not, or has been handled.
    pub fn cancel(&self, id: u64, moment: &mut dyn Moment) -> Option<Timer> {
        let mut state = self.0.lock();
        let timer = state.remove(id)?;
        state.records().forget(moment, &id.to_be_bytes());
        Some(timer)
    }

    /// What is scheduled by this id.
    pub fn get(&self, id: u64) -> Option<Timer> {
        self.0.lock().timers.get(&id).cloned()
    }

    /// The next that are due, in order: so many at the most, after this one where one is given.
    pub fn list(&self, after: Option<&Timer>, limit: usize) -> Vec<Timer> {
        let state = self.0.lock();
        let start = after.map_or((0, 0), |after| (after.at, after.id));
        let following = state.order.range(start..).filter(|&&(at, id)| after.is_none() || (at, id) != start);
        following.take(limit).map(|(_, id)| state.timers[id].clone()).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().timers.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all payloads.
    pub fn payload_bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Takes back what earlier processes have scheduled, unless that is done.
    pub(crate) fn load(&self, records: Records) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.records.is_some() {
            return Ok(());
        }
        let (mut found, mut wrong) = (Vec::new(), 0);
        records.each(&mut |key, record| match from_record(key, record) {
            Some(timer) => found.push(timer),
            None => wrong += 1,
        })?;
        if wrong > 0 {
            tracing::warn!(records = wrong, "timers that can't be read are left out, and stay in the store");
        }
        found.into_iter().for_each(|timer| state.insert(timer));
        state.records = Some(records);
        Ok(())
    }

    /// Handles what is due, for ever.
    pub(crate) fn run(
        self: Arc<Self>,
        due: Arc<dyn Due>,
        host: Arc<dyn Host>,
        actor: Actor,
        start: Arc<Start>,
    ) -> Task {
        Box::pin(async move {
            let run = self.begin();
            let mut sleep = None;
            while poll_fn(|cx| self.poll_due(run, &mut sleep, &*host, cx)).await {
                let now = host.clock_ms();
                actor.act(|moment| self.handle_due(now, &*due, &start, moment));
                pause().await;
            }
        })
    }

    fn begin(&self) -> u64 {
        let mut state = self.0.lock();
        state.run += 1;
        state.run
    }

    /// True when something is due, false when another start has begun.
    fn poll_due(&self, run: u64, sleep: &mut Option<Sleep>, host: &dyn Host, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock();
        if state.run != run {
            return Poll::Ready(false);
        }
        loop {
            state.waker = Some(cx.waker().clone());
            let Some(&(at, _)) = state.order.first() else { return Poll::Pending };
            if at <= host.clock_ms() {
                return Poll::Ready(true);
            }
            let sleeping = match sleep {
                Some(sleeping) if sleeping.until == at => sleeping,
                _ => sleep.insert(Sleep { until: at, ends: host.sleep_until(at) }),
            };
            if sleeping.ends.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *sleep = None;
        }
    }

    fn handle_due(&self, now: u64, due: &dyn Due, start: &Start, moment: &mut dyn Moment) {
        let mut bytes = 0;
        for _ in 0..TOGETHER {
            let Some(timer) = self.take_due(now, moment) else { return };
            bytes += timer.payload.len();
            if let Err(why) = caught(|| due.due(timer, moment)) {
                start.complain("due", &why);
            }
            if bytes > BYTES_TOGETHER {
                return;
            }
        }
    }

    fn take_due(&self, now: u64, moment: &mut dyn Moment) -> Option<Timer> {
        let mut state = self.0.lock();
        let id = state.order.first().filter(|(at, _)| *at <= now)?.1;
        let timer = state.remove(id)?;
        state.records().forget(moment, &id.to_be_bytes());
        Some(timer)
    }
}

impl State {
    fn records(&self) -> &Records {
        self.records.as_ref().expect("what schedules is called after a start")
    }

    fn insert(&mut self, timer: Timer) {
        self.order.insert((timer.at, timer.id));
        self.bytes += timer.payload.len();
        self.timers.insert(timer.id, timer);
    }

    fn remove(&mut self, id: u64) -> Option<Timer> {
        let timer = self.timers.remove(&id)?;
        self.order.remove(&(timer.at, id));
        self.bytes -= timer.payload.len();
        Some(timer)
    }
}

struct Sleep {
    until: u64,
    ends: Task,
}

/// Lets other tasks have their turn.
async fn pause() {
    let mut is_over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The time in eight bytes, and the payload.
fn to_record(timer: &Timer) -> Vec<u8> {
    [&timer.at.to_be_bytes(), &timer.payload[..]].concat()
}

fn from_record(key: &[u8], record: &[u8]) -> Option<Timer> {
    let (at, payload) = record.split_first_chunk()?;
    Some(Timer {
        id: u64::from_be_bytes(key.try_into().ok()?),
        at: u64::from_be_bytes(*at),
        payload: Bytes::copy_from_slice(payload),
    })
}

#[cfg(test)]
mod tests;
