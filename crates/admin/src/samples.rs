//! How the broker was in the last minutes, second by second, so that charts need not begin empty; [`History`] has what was before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mqtt_hooks::Reading;
use mqtt_hooks::run::{ModulePages, Modules, Numbers};
use mqtt_operate::Operate;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;

use crate::Shared;
use crate::asking::with_broker;
use crate::history::History;
use crate::time::now_ms;

const EVERY: Duration = Duration::from_secs(1);

/// Five minutes, and the one before them.
const KEPT: usize = 301;

/// A stream that is so far behind misses some.
const WAITING: usize = 8;

/// The broker at a moment. What is counted is counted since its start.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Sample {
    /// Milliseconds since the Unix epoch.
    at: u64,
    /// Since the broker's start, in milliseconds.
    pub(crate) uptime: u64,
    /// Resident memory in bytes.
    memory: u64,
    /// Clients online.
    pub(crate) connections: u64,
    /// Sessions.
    sessions: u64,
    /// Subscriptions.
    pub(crate) subscriptions: u64,
    /// Retained messages.
    retained: u64,
    /// Different filters that are subscribed with.
    pub(crate) routes: u64,
    /// Messages that came.
    pub(crate) received: u64,
    /// Messages that went out.
    pub(crate) sent: u64,
    /// Messages that were dropped.
    pub(crate) dropped: u64,
    /// Bytes that came.
    bytes_received: u64,
    /// Bytes that went out.
    bytes_sent: u64,
    /// What modules count of which they have charts: `MODULE.COUNTER`.
    modules: BTreeMap<String, u64>,
}

/// Under which key a module's counter stands in [`Sample::modules`].
pub(crate) fn counter(module: &str, key: &str) -> String {
    format!("{module}.{key}")
}

impl Sample {
    /// Milliseconds since the Unix epoch.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    fn of(broker: &dyn Operate, modules: &dyn Modules, charted: &BTreeSet<String>) -> Self {
        let (node, stats, metrics) = (broker.node(), broker.stats(), broker.metrics());
        let stat = |name| stats.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value);
        let metric = |name| metrics.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value);
        Self {
            at: now_ms(),
            uptime: node.uptime_ms,
            memory: node.memory_used,
            connections: node.connections as u64,
            sessions: stat("sessions.count"),
            subscriptions: stat("subscriptions.count"),
            retained: stat("retained.count"),
            routes: stat("topics.count"),
            received: metric("messages.received"),
            sent: metric("messages.sent"),
            dropped: metric("delivery.dropped"),
            bytes_received: metric("bytes.received"),
            bytes_sent: metric("bytes.sent"),
            modules: counted(modules, charted),
        }
    }
}

fn counted(modules: &dyn Modules, charted: &BTreeSet<String>) -> BTreeMap<String, u64> {
    let numbers = modules.numbers().into_iter().flat_map(|Numbers { module, numbers }| {
        numbers.into_iter().map(move |number| (counter(module, &number.key()), number.value))
    });
    let counts = numbers.filter(|(name, _)| charted.contains(name)).filter_map(|(name, value)| match value {
        Reading::Counter(count) => Some((name, count)),
        Reading::Gauge(_) | Reading::Histogram(_) => None,
    });
    counts.collect()
}

/// What the charts of modules show.
fn charted(modules: &dyn Modules) -> BTreeSet<String> {
    let all = modules.pages().into_iter().flat_map(|ModulePages { module, pages, .. }| {
        let series = pages.charts.iter().flat_map(|chart| chart.series);
        series.map(move |series| counter(module, series.counter))
    });
    all.collect()
}

/// The last of them, those to come, and what was before.
pub(crate) struct Samples {
    kept: Mutex<VecDeque<Sample>>,
    new: broadcast::Sender<Sample>,
    history: History,
}

impl Samples {
    /// With what earlier processes have kept.
    pub(crate) fn restore(broker: &dyn Operate) -> Self {
        let history = History::restore(broker, now_ms());
        Self { kept: Mutex::default(), new: broadcast::channel(WAITING).0, history }
    }

    /// The last two, the later one last; fewer at the start.
    pub(crate) fn latest(&self) -> Vec<Sample> {
        let kept = self.kept.lock();
        kept.range(kept.len().saturating_sub(2)..).cloned().collect()
    }

    /// A day by the minute.
    pub(crate) fn day(&self) -> Vec<Sample> {
        self.history.day()
    }

    /// Thirty days by the hour.
    pub(crate) fn month(&self) -> Vec<Sample> {
        self.history.month()
    }

    /// Those there are, and all that follow.
    pub(crate) fn follow(&self) -> (Vec<Sample>, broadcast::Receiver<Sample>) {
        let kept = self.kept.lock();
        (kept.iter().cloned().collect(), self.new.subscribe())
    }

    fn add(&self, sample: Sample) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(sample.clone());
        // Nobody may be looking.
        let _ = self.new.send(sample);
    }
}

/// Takes one each second, for ever.
pub(crate) async fn take(shared: &Arc<Shared>) {
    let charted = Arc::new(charted(&*shared.modules));
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let (asked, charted) = (Arc::clone(shared), Arc::clone(&charted));
        let taken = with_broker(shared, move |broker| {
            let sample = Sample::of(broker, &*asked.modules, &charted);
            asked.samples.history.note(broker, &sample);
            sample
        });
        if let Ok(sample) = taken.await {
            shared.samples.add(sample);
        }
    }
}

#[cfg(test)]
impl Sample {
    /// Of a broker where nothing is.
    pub(crate) const fn at_time(at: u64) -> Self {
        Self {
            at,
            uptime: 0,
            memory: 0,
            connections: 0,
            sessions: 0,
            subscriptions: 0,
            retained: 0,
            routes: 0,
            received: 0,
            sent: 0,
            dropped: 0,
            bytes_received: 0,
            bytes_sent: 0,
            modules: BTreeMap::new(),
        }
    }
}
