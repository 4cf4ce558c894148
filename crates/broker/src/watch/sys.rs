//! What the broker publishes about itself under `$SYS/brokers`, by EMQ X 4.3's names and intervals.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mqtt_codec::{Message, Properties, Qos, Topic};
use mqtt_hooks::Publisher;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::broker::Broker;
use crate::delivery::batch::Batch;

/// The broker's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The highest values seen, in the order of [`STATS`].
#[derive(Debug, Default)]
pub(crate) struct Highest([AtomicUsize; STATS.len()]);

const STATS: [&str; 9] = [
    "connections",
    "channels",
    "sessions",
    "topics",
    "suboptions",
    "subscribers",
    "subscriptions",
    "subscriptions.shared",
    "retained",
];

/// Publishes until the runtime ends.
pub(crate) async fn publish(broker: Arc<Broker>) {
    let sys = &broker.config.sys;
    let every = |period| {
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let (mut slow, mut fast) = (every(sys.interval), every(sys.heartbeat));
    loop {
        tokio::select! {
            _ = slow.tick() => {
                broker.drop_expired_queued().await;
                in_batch(&broker, |batch| {
                    broker.drop_expired_retained(batch);
                    slow_round(batch);
                });
            }
            _ = fast.tick() => in_batch(&broker, fast_round),
        }
    }
}

fn in_batch(broker: &Arc<Broker>, round: impl FnOnce(&mut Batch<'_>)) {
    let mut batch = Batch::begin(broker);
    round(&mut batch);
    // What can't be stored now is tried again every second.
    let _ = batch.finish();
}

fn slow_round(batch: &mut Batch<'_>) {
    let broker = batch.broker();
    let node = &broker.config.node;
    tell(batch, "$SYS/brokers".to_owned(), node.clone(), true);
    tell(batch, format!("$SYS/brokers/{node}/version"), VERSION.to_owned(), true);
    tell(batch, format!("$SYS/brokers/{node}/sysdescr"), "Rollcall".to_owned(), true);
    for (name, value) in stats(broker) {
        tell(batch, format!("$SYS/brokers/{node}/stats/{name}"), value.to_string(), false);
    }
    for (name, value) in broker.metrics.list() {
        let name = name.replace('.', "/");
        tell(batch, format!("$SYS/brokers/{node}/metrics/{name}"), value.to_string(), false);
    }
}

fn fast_round(batch: &mut Batch<'_>) {
    let broker = batch.broker();
    let node = &broker.config.node;
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    tell(batch, format!("$SYS/brokers/{node}/uptime"), uptime(broker.clock.uptime_ms() / 1000), false);
    tell(batch, format!("$SYS/brokers/{node}/datetime"), now, false);
}

/// How many of everything there are, and the most that were seen by whoever asked.
pub(crate) fn stats(broker: &Broker) -> Vec<(String, u64)> {
    let mut all = Vec::with_capacity(2 * STATS.len());
    for ((name, value), highest) in STATS.iter().zip(values(broker)).zip(&broker.highest.0) {
        let max = highest.fetch_max(value, Relaxed).max(value);
        all.push((format!("{name}.count"), value as u64));
        all.push((format!("{name}.max"), max as u64));
    }
    all
}

fn values(broker: &Broker) -> [usize; STATS.len()] {
    let online = broker.online();
    let sessions = broker.clients.len();
    let (filters, subscriptions) = (broker.router.filters_len(), broker.router.subscriptions_len());
    [
        online,
        online,
        sessions,
        filters,
        subscriptions,
        subscriptions,
        subscriptions,
        broker.router.shared_len(),
        broker.retained.len(),
    ]
}

fn tell(batch: &mut Batch<'_>, topic: String, payload: String, retain: bool) {
    // The node's name is checked to be a topic level.
    let Ok(topic) = Topic::new(topic) else { return };
    let message =
        Message { topic, payload: payload.into(), qos: Qos::AtMostOnce, retain, properties: Properties::EMPTY };
    batch.broker().announce(Publisher::Broker, message, batch);
}

/// `1 days, 2 hours, 3 minutes, 4 seconds`, without leading zero units.
pub(crate) fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let mut text = String::new();
    for (value, total, unit) in [(days, days, "days"), (hours % 24, hours, "hours"), (minutes % 60, minutes, "minutes")]
    {
        if total > 0 {
            text.push_str(&format!("{value} {unit}, "));
        }
    }
    text.push_str(&format!("{} seconds", seconds % 60));
    text
}

#[cfg(test)]
mod tests {
    use super::uptime;

    #[test]
    fn uptime_leaves_out_leading_zero_units() {
        for (seconds, text) in [
            (5, "5 seconds"),
            (60, "1 minutes, 0 seconds"),
            (3661, "1 hours, 1 minutes, 1 seconds"),
            (86_400, "1 days, 0 hours, 0 minutes, 0 seconds"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
