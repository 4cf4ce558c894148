//! How the broker was in the last minutes, second by second, so that charts need not begin empty.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mqtt_hooks::Reading;
use mqtt_hooks::run::{ModulePages, Modules, Numbers};
use mqtt_operate::Operate;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;

use crate::Shared;
use crate::api::with_broker;

const EVERY: Duration = Duration::from_secs(1);

/// Five minutes, and the one before them.
const KEPT: usize = 301;

/// A stream that is so far behind misses some.
const WAITING: usize = 8;

/// The broker at a moment. What is counted is counted since its start.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Sample {
    /// Milliseconds since the Unix epoch.
    at: u64,
    /// Since the broker's start, in milliseconds.
    uptime: u64,
    /// Resident memory in bytes.
    memory: u64,
    /// Clients online.
    connections: u64,
    /// Sessions.
    sessions: u64,
    /// Subscriptions.
    subscriptions: u64,
    /// Retained messages.
    retained: u64,
    /// Messages that came.
    received: u64,
    /// Messages that went out.
    sent: u64,
    /// Messages that were dropped.
    dropped: u64,
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
    fn of(broker: &dyn Operate, modules: &dyn Modules, charted: &BTreeSet<String>) -> Self {
        let (node, stats, metrics) = (broker.node(), broker.stats(), broker.metrics());
        let stat = |name| stats.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value);
        let metric = |name| metrics.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value);
        Self {
            at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            uptime: node.uptime_ms,
            memory: node.memory_used,
            connections: node.connections as u64,
            sessions: stat("sessions.count"),
            subscriptions: stat("subscriptions.count"),
            retained: stat("retained.count"),
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
    let all = modules.pages().into_iter().flat_map(|ModulePages { module, pages }| {
        let series = pages.charts.iter().flat_map(|chart| chart.series);
        series.map(move |series| counter(module, series.counter))
    });
    all.collect()
}

/// The last of them, and those to come.
pub(crate) struct Samples {
    kept: Mutex<VecDeque<Sample>>,
    new: broadcast::Sender<Sample>,
}

impl Default for Samples {
    fn default() -> Self {
        Self { kept: Mutex::default(), new: broadcast::channel(WAITING).0 }
    }
}

impl Samples {
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
        let (modules, charted) = (Arc::clone(&shared.modules), Arc::clone(&charted));
        if let Ok(sample) = with_broker(shared, move |broker| Sample::of(broker, &*modules, &charted)).await {
            shared.samples.add(sample);
        }
    }
}
