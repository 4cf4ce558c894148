//! What is wrong with the broker: told on `$SYS/brokers/${node}/alarms/activate` and `.../deactivate`, and remembered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_hooks::run::{Numbers, Status};
use mqtt_operate::Alarm;
use parking_lot::Mutex;
use serde_json::Value;

pub(crate) mod causes;
pub(crate) mod certificates;
mod cluster;
pub(crate) mod tell;
mod watch;

/// Alarms that are over and not forgotten; then the oldest goes.
const MAX_PAST: usize = 256;

/// How the modules are.
#[derive(Clone, Debug, Default)]
pub struct ModulesSeen {
    /// Each of them.
    pub states: Vec<Status>,
    /// What they count: some of it makes an alarm while it grows.
    pub numbers: Vec<Numbers>,
    /// What whoever runs the broker has found wrong beside it.
    pub beside: Vec<Wrong>,
}

/// Something that is wrong, as long as it is told.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// What the alarm is called.
    pub name: &'static str,
    /// What is wrong, for people.
    pub message: String,
    /// The same for programs.
    pub details: Value,
}

/// The alarms there are and were. Each has a name of its own and is there once.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    state: Mutex<State>,
    /// How often a connection could not be accepted for want of file descriptors or memory.
    accepts_failed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    active: Vec<Alarm>,
    past: VecDeque<Alarm>,
}

impl Alarms {
    fn begin(&self, alarm: Alarm) -> Option<Alarm> {
        self.state.lock().activate(alarm)
    }

    fn end(&self, name: &str, now_us: u64) -> Option<Alarm> {
        self.state.lock().deactivate(name, now_us)
    }
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

    /// For the listener.
    pub(crate) fn note_accept_failed(&self) {
        self.accepts_failed.fetch_add(1, Relaxed);
    }

    fn accepts_failed(&self) -> u64 {
        self.accepts_failed.load(Relaxed)
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
