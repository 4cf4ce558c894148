//! What is looked at once a second, so that nothing on the way of a message has to know of alarms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mqtt_hooks::run::Status;
use mqtt_hooks::{Number, Reading};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::ModulesSeen;
use super::watch::{Change, Level, Watch};
use crate::broker::Broker;
use crate::time::clock::wall_ms;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The system's clock has jumped if it is off by so much from one look to the next.
const JUMP_MS: i64 = 60_000;

/// Of a hundred that clients may take so many may be taken.
const FILES_PERCENT: usize = 95;

/// Looks for what is wrong until the runtime ends.
pub(crate) async fn watch(broker: Arc<Broker>, modules: Arc<impl Fn() -> ModulesSeen>) {
    let mut every = interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut causes = Causes::default();
    loop {
        every.tick().await;
        causes.look(&broker, &modules());
        broker.refusals.tell_left_out(broker.clock.uptime_ms());
    }
}

/// What is known from the looks before.
#[derive(Default)]
struct Causes {
    memory: Watch,
    connections: Watch,
    files: Watch,
    modules: BTreeMap<&'static str, (Watch, Watch)>,
    stalled: Watch,
    clock: Watch,
    /// By how much the system's clock is ahead of the broker's, in milliseconds.
    ahead: Option<i64>,
    numbers: BTreeMap<String, (Watch, u64)>,
    tasks: BTreeMap<&'static str, (Watch, u64)>,
    accepts_failed: u64,
    stalls: u64,
}

/// An alarm as it would be now.
struct Cause<'a> {
    name: &'a str,
    message: &'a str,
    details: Value,
}

impl Causes {
    fn look(&mut self, broker: &Arc<Broker>, modules: &ModulesSeen) {
        self.look_at_memory(broker);
        let (online, limit) = (broker.online(), broker.config.mqtt.max_connections);
        let message = "mqtt.max_connections is reached: nobody else comes in";
        let cause =
            Cause { name: "connections_limit", message, details: json!({ "connections": online, "limit": limit }) };
        change(broker, &mut self.connections, Level::of(online, limit), cause);
        self.look_at_files(broker);
        self.look_at_stalls(broker);
        self.look_at_clock(broker);
        self.look_at_tasks(broker);
        for module in &modules.states {
            self.look_at_module(broker, module);
        }
        for of_one in &modules.numbers {
            of_one.numbers.iter().for_each(|number| self.look_at_number(broker, of_one.module, number));
        }
    }

    fn look_at_memory(&mut self, broker: &Arc<Broker>) {
        // Without traffic nobody else looks whether it is over.
        let is_full = broker.memory.is_full();
        let (used, limit) = (broker.memory.used(), broker.memory.limit());
        let level = if is_full { Level::High } else { Level::of(used, limit) };
        let message =
            "limits.memory is reached: nothing more is queued, retained or subscribed, and nobody new comes in";
        let cause = Cause { name: "memory_limit", message, details: json!({ "used": used, "limit": limit }) };
        change(broker, &mut self.memory, level, cause);
    }

    fn look_at_files(&mut self, broker: &Arc<Broker>) {
        let failed = broker.alarms.accepts_failed.load(Relaxed);
        let happened = std::mem::replace(&mut self.accepts_failed, failed) != failed;
        let limit = broker.doors.max_sockets();
        let sockets = broker.doors.sockets();
        let level = if happened { Level::High } else { Level::of(sockets, limit / 100 * FILES_PERCENT) };
        let message =
            "file descriptors are nearly exhausted: connections are not accepted; raise the limit of open files";
        let details = json!({ "sockets": sockets, "limit": limit, "accepts_failed": failed });
        change(broker, &mut self.files, level, Cause { name: "file_descriptors", message, details });
    }

    fn look_at_stalls(&mut self, broker: &Arc<Broker>) {
        let stalls = broker.clock.patience.stalls();
        let happened = std::mem::replace(&mut self.stalls, stalls.count) != stalls.count;
        let message = "the broker stood still: paused, short of processor time, or blocked; nobody was ended for it";
        let details =
            json!({ "stalled_ms": stalls.last_ms, "stalls": stalls.count, "stalled_ms_total": stalls.total_ms });
        change(
            broker,
            &mut self.stalled,
            Level::of_event(happened),
            Cause { name: "broker_stalled", message, details },
        );
    }

    fn look_at_clock(&mut self, broker: &Arc<Broker>) {
        let clock = &broker.clock;
        let ahead = wall_ms() as i64 - clock.now().0 as i64;
        let before = self.ahead.replace(ahead).unwrap_or(ahead - clock.disbelieved_ms as i64);
        let jumped = ahead - before;
        let message =
            "the system's clock has jumped, or the system slept: times in events follow it, sessions and timers do not";
        let cause = Cause { name: "clock_jumped", message, details: json!({ "jumped_ms": jumped }) };
        change(broker, &mut self.clock, Level::of_event(jumped.abs() >= JUMP_MS), cause);
    }

    fn look_at_tasks(&mut self, broker: &Arc<Broker>) {
        for (task, panics) in broker.faults.all() {
            let (watch, seen) = self.tasks.entry(task).or_default();
            let happened = std::mem::replace(seen, panics) != panics;
            let cause = Cause {
                name: &format!("task_{task}_panicked"),
                message: "a background task of the broker has panicked; it was started again",
                details: json!({ "task": task, "panics": panics }),
            };
            change(broker, watch, Level::of_event(happened), cause);
        }
    }

    fn look_at_number(&mut self, broker: &Arc<Broker>, module: &str, number: &Number) {
        let (Some(message), Reading::Counter(count)) = (number.alarm, &number.value) else { return };
        let name = format!("{module}_{}", number.key().replace('.', "_"));
        let (watch, seen) = self.numbers.entry(name.clone()).or_default();
        let happened = std::mem::replace(seen, *count) < *count;
        let what = number.name.rsplit('.').next().unwrap_or_default();
        let cause = Cause { name: &name, message, details: json!({ what: count }) };
        change(broker, watch, Level::of_event(happened), cause);
    }

    fn look_at_module(&mut self, broker: &Arc<Broker>, module: &Status) {
        let name = module.info.name;
        let (failed, panicked) = self.modules.entry(name).or_default();
        let message = format!("module {name} did not start");
        let cause = Cause {
            name: &format!("module_{name}_failed"),
            message: &message,
            details: json!({ "module": name, "why": module.error }),
        };
        change(broker, failed, Level::of_event(module.error.is_some()), cause);
        let message = format!("module {name} has panicked; it goes on");
        let cause = Cause {
            name: &format!("module_{name}_panicked"),
            message: &message,
            details: json!({ "module": name, "panics": module.panics }),
        };
        change(broker, panicked, Level::of_event(module.panics > 0), cause);
    }
}

fn change(broker: &Arc<Broker>, watch: &mut Watch, level: Level, cause: Cause<'_>) {
    match watch.look(level) {
        Some(Change::Activate) => broker.activate_alarm(cause.name, cause.message, cause.details),
        Some(Change::Deactivate) => drop(broker.deactivate_alarm(cause.name)),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::run::Numbers;

    use super::*;
    use crate::config::Config;
    use crate::store::durable::Durable;
    use crate::store::past::Past;
    use crate::store::settings::Settings;

    fn broker(change: impl FnOnce(&mut Config)) -> Arc<Broker> {
        let mut config = Config::default();
        change(&mut config);
        Arc::new(Broker::new(config, Durable::none(), &Past::default(), Settings::default()))
    }

    #[track_caller]
    fn check(broker: &Arc<Broker>, causes: &mut Causes, active: &[&str]) {
        causes.look(broker, &ModulesSeen::default());
        let alarms = broker.alarms.list().into_iter().filter(|alarm| alarm.activated);
        assert_eq!(alarms.map(|alarm| alarm.name).collect::<Vec<_>>(), active);
    }

    #[test]
    fn too_many_connections_are_one_alarm() {
        let (broker, mut causes) = (broker(|config| config.mqtt.max_connections = 100), Causes::default());
        check(&broker, &mut causes, &[]);
        broker.online.store(100, Relaxed);
        check(&broker, &mut causes, &["connections_limit"]);
        broker.online.store(94, Relaxed);
        for _ in 0..9 {
            check(&broker, &mut causes, &["connections_limit"]);
        }
        check(&broker, &mut causes, &[]);
        assert_eq!(broker.alarms.list().len(), 1);
    }

    #[test]
    fn an_alarm_that_was_declared_over_stays_over_while_its_cause_lasts() {
        let (broker, mut causes) = (broker(|config| config.mqtt.max_connections = 10), Causes::default());
        broker.online.store(10, Relaxed);
        check(&broker, &mut causes, &["connections_limit"]);
        assert!(broker.deactivate_alarm("connections_limit") && !broker.deactivate_alarm("connections_limit"));
        check(&broker, &mut causes, &[]);
    }

    #[test]
    fn a_process_over_its_limit_is_an_alarm() {
        let (broker, mut causes) = (broker(|config| config.limits.memory = Some(0)), Causes::default());
        check(&broker, &mut causes, &["memory_limit"]);
    }

    #[test]
    fn a_clock_that_is_set_is_an_alarm_for_a_while() {
        let (broker, mut causes) = (broker(|_| {}), Causes::default());
        check(&broker, &mut causes, &[]);
        // As if it had been an hour behind until now.
        causes.ahead = causes.ahead.map(|ahead| ahead - 3_600_000);
        for _ in 0..10 {
            check(&broker, &mut causes, &["clock_jumped"]);
        }
        check(&broker, &mut causes, &[]);
    }

    #[test]
    fn a_number_that_may_not_grow_is_an_alarm_when_it_does() {
        let (broker, mut causes) = (broker(|_| {}), Causes::default());
        let mut look = |lost, other| {
            let lost = Number::counter("events.lost", "Lost.", lost).alarming("events are lost");
            let numbers = vec![lost, Number::counter("events", "Events.", other)];
            let seen = ModulesSeen { numbers: vec![Numbers { module: "m", numbers }], ..ModulesSeen::default() };
            causes.look(&broker, &seen);
            broker.alarms.list().into_iter().next()
        };
        assert_eq!(look(0, 1), None);
        let alarm = look(2, 2).unwrap();
        assert_eq!((&*alarm.name, &alarm.details, alarm.activated), ("m_events_lost", &json!({ "lost": 2 }), true));
        for _ in 0..9 {
            assert!(look(2, 3).unwrap().activated);
        }
        assert!(!look(2, 4).unwrap().activated);
    }

    #[test]
    fn a_failed_accept_is_an_alarm() {
        let (broker, mut causes) = (broker(|_| {}), Causes::default());
        broker.note_accept_failed();
        check(&broker, &mut causes, &["file_descriptors"]);
    }
}
