//! What is wrong with the broker: told on `$SYS/brokers/${node}/alarms/activate` and `.../deactivate`, and remembered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_codec::{Message, Properties, Property, Qos, Topic};
use mqtt_hooks::run::{Numbers, Status};
use mqtt_operate::Alarm;
use parking_lot::Mutex;
use serde_json::Value;

use crate::broker::Broker;
use crate::delivery::batch::Batch;
use crate::time::clock::wall_ms;

mod causes;
mod watch;

pub(crate) use causes::watch;

/// Alarms that are over and not forgotten; then the oldest goes.
const MAX_PAST: usize = 256;

/// How the modules are.
#[derive(Clone, Debug, Default)]
pub struct ModulesSeen {
    /// Each of them.
    pub states: Vec<Status>,
    /// What they count: some of it makes an alarm while it grows.
    pub numbers: Vec<Numbers>,
}

/// The alarms there are and were. Each has a name of its own and is there once.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    state: Mutex<State>,
    /// How often a connection could not be accepted for want of file descriptors or memory.
    pub(crate) accepts_failed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    active: Vec<Alarm>,
    past: VecDeque<Alarm>,
}

impl State {
    /// `None`: there is one of this name.
    fn activate(&mut self, alarm: Alarm) -> Option<Alarm> {
        if self.active.iter().any(|active| active.name == alarm.name) {
            return None;
        }
        self.active.push(alarm.clone());
        Some(alarm)
    }

    fn deactivate(&mut self, name: &str, now_us: u64) -> Option<Alarm> {
        let place = self.active.iter().position(|alarm| alarm.name == name)?;
        let alarm = self.active.remove(place).over(now_us);
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(alarm.clone());
        Some(alarm)
    }
}

impl Alarms {
    /// Those that are active first, of each the newest first.
    pub(crate) fn list(&self) -> Vec<Alarm> {
        let state = self.state.lock();
        state.active.iter().rev().chain(state.past.iter().rev()).cloned().collect()
    }

    pub(crate) fn forget_past(&self) {
        self.state.lock().past.clear();
    }
}

impl Broker {
    /// Something begins to be wrong. An alarm of this name that is active stays as it is.
    pub(crate) fn activate_alarm(self: &Arc<Self>, name: &str, message: &str, details: Value) {
        let alarm = Alarm::new(name, message, details, wall_ms() * 1000);
        if let Some(alarm) = self.alarms.state.lock().activate(alarm) {
            tracing::warn!(name, message, details = %alarm.details, "alarm activated");
            self.tell_alarm("activate", &alarm);
        }
    }

    /// It is over; false if there is no such alarm.
    pub(crate) fn deactivate_alarm(self: &Arc<Self>, name: &str) -> bool {
        let over = self.alarms.state.lock().deactivate(name, wall_ms() * 1000);
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
        self.announce(message, &mut batch);
        // A message of QoS 0 stores nothing.
        let _ = batch.finish();
    }

    /// For the listener.
    pub(crate) fn note_accept_failed(&self) {
        self.alarms.accepts_failed.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alarm(name: &str) -> Alarm {
        Alarm::new(name, "wrong", json!({}), 1)
    }

    fn names(alarms: &Alarms) -> Vec<(String, bool)> {
        alarms.list().into_iter().map(|alarm| (alarm.name, alarm.activated)).collect()
    }

    #[test]
    fn an_alarm_is_there_once() {
        let alarms = Alarms::default();
        assert!(alarms.state.lock().activate(alarm("a")).is_some());
        assert!(alarms.state.lock().activate(alarm("a")).is_none());
        alarms.state.lock().activate(alarm("b"));
        assert_eq!(names(&alarms), [("b".into(), true), ("a".into(), true)]);
        assert!(alarms.state.lock().deactivate("a", 2).is_some());
        assert!(alarms.state.lock().deactivate("a", 3).is_none());
        assert_eq!(names(&alarms), [("b".into(), true), ("a".into(), false)]);
        alarms.forget_past();
        assert_eq!(names(&alarms), [("b".into(), true)]);
    }

    #[test]
    fn the_past_is_bounded() {
        let alarms = Alarms::default();
        for n in 0..2 * MAX_PAST {
            alarms.state.lock().activate(alarm(&n.to_string()));
            alarms.state.lock().deactivate(&n.to_string(), 2);
        }
        let names = names(&alarms);
        assert_eq!(names.len(), MAX_PAST);
        assert_eq!(names[0].0, (2 * MAX_PAST - 1).to_string());
    }
}
