//! Alarms are told when they begin and when they are over.

use mqtt_codec::{Message, Properties, Property, Qos, Topic};
use mqtt_operate::Alarm;
use serde_json::Value;

use super::Alarms;
use crate::time::clock::wall_ms;

/// An alarm that has begun or is over, to be published.
pub(crate) struct Notice {
    /// The last level of its topic.
    what: &'static str,
    alarm: Alarm,
}

impl Alarms {
    /// Something begins to be wrong. An alarm of this name that is active stays as it is.
    #[must_use]
    pub(crate) fn activate(&self, name: &str, message: &str, details: Value) -> Option<Notice> {
        let alarm = self.begin(Alarm::new(name, message, details, wall_ms() * 1000))?;
        tracing::warn!(name, message, details = %alarm.details, "alarm activated");
        Some(Notice { what: "activate", alarm })
    }

    /// It is over; `None` if there is no such alarm.
    #[must_use]
    pub(crate) fn deactivate(&self, name: &str) -> Option<Notice> {
        let alarm = self.end(name, wall_ms() * 1000)?;
        tracing::info!(name, "alarm deactivated");
        Some(Notice { what: "deactivate", alarm })
    }
}

impl Notice {
    /// `None`: it can't be said in a message of this node.
    pub(crate) fn message(&self, node: &str) -> Option<Message> {
        let topic = Topic::new(format!("$SYS/brokers/{node}/alarms/{}", self.what)).ok()?;
        let payload = serde_json::to_vec(&self.alarm).ok()?;
        let properties = Properties::from([Property::ContentType("application/json".into())]);
        Some(Message { topic, payload: payload.into(), qos: Qos::AtMostOnce, retain: false, properties })
    }
}
