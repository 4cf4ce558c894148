//! What an operator watches of the broker.

use std::sync::Arc;

use mqtt_operate::{Alarm, Health, Oversee, Trace};

use crate::time::clock::wall_ms;
use crate::watch::operate::Operator;
use crate::watch::sys;

impl Oversee for Operator {
    fn health(&self) -> Health {
        Health {
            stopping: self.broker().doors.is_stopping(),
            draining: self.broker().doors.draining.is_on(),
            store_failing: self.broker().durable.is_failing(),
            store_bytes: self.broker().durable.journal().and_then(|journal| journal.store().size()),
            memory_held: self.broker().watched.memory.used(),
            memory_limit: self.broker().watched.memory.limit(),
            started_at: wall_ms().saturating_sub(self.broker().clock.uptime_ms()),
        }
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.broker().watched.alarms.list()
    }

    fn deactivate_alarm(&self, name: &str) -> bool {
        let notice = self.broker().watched.alarms.deactivate(name);
        let is_over = notice.is_some();
        sys::tell_alarms(self.broker(), notice);
        is_over
    }

    fn forget_alarms(&self) {
        self.broker().watched.alarms.forget_past();
    }

    fn trace(self: Arc<Self>, client_id: &str) -> Option<Trace> {
        let client = self.broker().clients.get(client_id);
        // While this is locked no write begins.
        let state = client.as_ref().map(|client| client.state.lock());
        // Of what leaves amid a packet nothing can be read.
        let amid = state.as_ref().filter(|state| state.is_amid_a_packet()).and_then(|state| state.connection());
        self.broker().watched.traces.start(client_id, amid.map(|connection| connection.info.conn_id))
    }
}
