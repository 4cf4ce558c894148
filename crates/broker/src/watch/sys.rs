//! What the broker publishes about itself under `$SYS/brokers`, by EMQ X 4.3's names and intervals.

use std::sync::Arc;

use mqtt_codec::{Message, Properties, Qos, Topic};
use mqtt_hooks::Publisher;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::broker::Broker;
use crate::delivery::batch::{Batch, in_batch};
use crate::watch::alarms::tell::Notice;
use crate::watch::stats;

/// The broker's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Clients whose queues are looked through before other tasks of the thread have their turn.
const SWEPT_TOGETHER: usize = 256;

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
                drop_expired_queued(&broker).await;
                in_batch(&broker, |batch| {
                    broker.retained.drop_expired(broker.clock.now(), batch);
                    slow_round(batch);
                });
            }
            _ = fast.tick() => in_batch(&broker, fast_round),
        }
    }
}

/// Drops messages that have expired while they waited for their client.
async fn drop_expired_queued(broker: &Arc<Broker>) {
    if !broker.routes.take_expiring() {
        return;
    }
    for mut clients in broker.clients.all().chunks(SWEPT_TOGETHER) {
        while !clients.is_empty() {
            in_batch(broker, |batch| broker.routes.drop_expired_of(&mut clients, broker.clock.now(), batch));
            tokio::task::yield_now().await;
        }
    }
}

/// Tells which alarms have begun and which are over.
pub(crate) fn tell_alarms(broker: &Arc<Broker>, notices: impl IntoIterator<Item = Notice>) {
    in_batch(broker, |batch| {
        for message in notices.into_iter().filter_map(|notice| notice.message(&broker.config.node)) {
            broker.announce(Publisher::Broker, message, batch);
        }
    });
}

fn slow_round(batch: &mut Batch<'_>) {
    let broker = batch.broker();
    let node = &broker.config.node;
    tell(batch, "$SYS/brokers".to_owned(), node.clone(), true);
    tell(batch, format!("$SYS/brokers/{node}/version"), VERSION.to_owned(), true);
    tell(batch, format!("$SYS/brokers/{node}/sysdescr"), "Rollcall".to_owned(), true);
    let Broker { clients, routes, retained, watched, .. } = &**broker;
    for (name, value) in stats::all(clients, &routes.router, retained.len(), &watched.highest) {
        tell(batch, format!("$SYS/brokers/{node}/stats/{name}"), value.to_string(), false);
    }
    for (name, value) in broker.watched.metrics.list() {
        let name = name.replace('.', "/");
        tell(batch, format!("$SYS/brokers/{node}/metrics/{name}"), value.to_string(), false);
    }
}

fn fast_round(batch: &mut Batch<'_>) {
    let broker = batch.broker();
    let node = &broker.config.node;
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    tell(batch, format!("$SYS/brokers/{node}/uptime"), stats::uptime(broker.clock.uptime_ms() / 1000), false);
    tell(batch, format!("$SYS/brokers/{node}/datetime"), now, false);
}

fn tell(batch: &mut Batch<'_>, topic: String, payload: String, retain: bool) {
    // The node's name is checked to be a topic level.
    let Ok(topic) = Topic::new(topic) else { return };
    let message =
        Message { topic, payload: payload.into(), qos: Qos::AtMostOnce, retain, properties: Properties::EMPTY };
    batch.broker().announce(Publisher::Broker, message, batch);
}
