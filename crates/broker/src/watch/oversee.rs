//! What an operator watches of the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_operate::{Alarm, Health, Oversee, Trace};

use crate::time::clock::wall_ms;
use crate::watch::operate::Operator;

impl Oversee for Operator {
    fn health(&self) -> Health {
        Health {
            stopping: self.broker().stopping.load(Relaxed),
            store_failing: self.broker().is_failing(),
            store_bytes: self.broker().durable.as_ref().and_then(|durable| durable.journal.store().size()),
            memory_limit: self.broker().config.limits.memory,
            started_at: wall_ms().saturating_sub(self.broker().clock.uptime_ms()),
        }
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.broker().alarms.list()
    }

    fn deactivate_alarm(&self, name: &str) -> bool {
        self.broker().deactivate_alarm(name)
    }

    fn forget_alarms(&self) {
        self.broker().alarms.forget_past();
    }

    fn trace(self: Arc<Self>, client_id: &str) -> Option<Trace> {
        self.broker().start_trace(client_id)
    }
}
