//! Alarms are told when they begin and when they are over.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::{Message, Properties, Property, Qos, Topic};
use mqtt_hooks::Publisher;
use mqtt_operate::Alarm;
use serde_json::Value;

use crate::broker::Broker;
use crate::delivery::batch::Batch;
use crate::time::clock::wall_ms;

impl Broker {
    /// Something begins to be wrong. An alarm of this name that is active stays as it is.
    pub(crate) fn activate_alarm(self: &Arc<Self>, name: &str, message: &str, details: Value) {
        let alarm = Alarm::new(name, message, details, wall_ms() * 1000);
        if let Some(alarm) = self.alarms.begin(alarm) {
            tracing::warn!(name, message, details = %alarm.details, "alarm activated");
            self.tell_alarm("activate", &alarm);
        }
    }

    /// It is over; false if there is no such alarm.
    pub(crate) fn deactivate_alarm(self: &Arc<Self>, name: &str) -> bool {
        let over = self.alarms.end(name, wall_ms() * 1000);
        if let Some(alarm) = &over {
            tracing::info!(name, "alarm deactivated");
            self.tell_alarm("deactivate", alarm);
        }
        over.is_some()
    }

    fn tell_alarm(self: &Arc<Self>, what: &str, alarm: &Alarm) {
        let Ok(topic) = Topic::new(format!("$SYS/brokers/{}/alarms/{what}", self.config.node)) else { return };
        let Ok(payload) = serde_json::to_vec(alarm) else { return };
        let properties = Properties::from([Property::ContentType("application/json".into())]);
        let message = Message { topic, payload: payload.into(), qos: Qos::AtMostOnce, retain: false, properties };
        let mut batch = Batch::begin(self);
        self.announce(Publisher::Broker, message, &mut batch);
        // A message of QoS 0 stores nothing.
        let _ = batch.finish();
    }

    /// For the listener.
    pub(crate) fn note_accept_failed(&self) {
        self.alarms.accepts_failed.fetch_add(1, Relaxed);
    }
}
