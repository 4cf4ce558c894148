//! What an operator watches of the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_operate::{Alarm, Health, Oversee, Trace};

use crate::broker::Broker;
use crate::clock::wall_ms;
use crate::metrics::Metric;

impl Oversee for Broker {
    fn health(&self) -> Health {
        Health {
            stopping: self.stopping.load(Relaxed),
            store_failing: self.is_failing(),
            store_bytes: self.durable.as_ref().and_then(|durable| durable.journal.store().size()),
            memory_limit: self.config.limits.memory,
            started_at: wall_ms().saturating_sub(self.clock.uptime_ms()),
            presence_dropped: self.metrics.total(Metric::DroppedPresence),
        }
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.alarms.list()
    }

    fn deactivate_alarm(&self, name: &str) -> bool {
        self.deactivate_alarm(name)
    }

    fn forget_alarms(&self) {
        self.alarms.forget_past();
    }

    fn trace(self: Arc<Self>, client_id: &str) -> Option<Trace> {
        self.start_trace(client_id)
    }
}
