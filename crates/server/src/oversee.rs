//! What an operator watches of the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_operate::{Alarm, Health, Oversee, Trace};

use crate::clock::wall_ms;
use crate::metrics::Metric;
use crate::operate::Operator;

impl Oversee for Operator {
    fn health(&self) -> Health {
        Health {
            stopping: self.0.stopping.load(Relaxed),
            store_failing: self.0.is_failing(),
            store_bytes: self.0.durable.as_ref().and_then(|durable| durable.journal.store().size()),
            memory_limit: self.0.config.limits.memory,
            started_at: wall_ms().saturating_sub(self.0.clock.uptime_ms()),
            presence_dropped: self.0.metrics.total(Metric::DroppedPresence),
        }
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.0.alarms.list()
    }

    fn deactivate_alarm(&self, name: &str) -> bool {
        self.0.deactivate_alarm(name)
    }

    fn forget_alarms(&self) {
        self.0.alarms.forget_past();
    }

    fn trace(self: Arc<Self>, client_id: &str) -> Option<Trace> {
        self.0.start_trace(client_id)
    }
}
