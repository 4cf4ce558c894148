//! What is looked at once a second, so that nothing on the way of a message has to know of alarms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mqtt_hooks::run::Status;
use mqtt_hooks::{Number, Reading};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::cluster::wrong_with_cluster;
use super::tell::Notice;
use super::watch::{Change, Level, Watch};
use super::{ModulesSeen, Wrong};
use crate::broker::Broker;
use crate::coming::doors::Doors;
use crate::time::clock::{Clock, wall_ms};
use crate::watch::{Watched, sys};

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
        let sight = Sight {
            watched: &broker.watched,
            doors: &broker.doors,
            clock: &broker.clock,
            online: broker.clients.online(),
            max_connections: broker.terms().mqtt.max_connections,
        };
        let mut modules = modules();
        let roll = broker.membership.roll();
        modules.beside.extend(roll.iter().flat_map(|roll| wrong_with_cluster(&roll.state(), wall_ms())));
        let notices = causes.look(&sight, &modules);
        sys::tell_alarms(&broker, notices);
        broker.watched.refusals.tell_left_out(broker.clock.uptime_ms());
    }
}

/// What is looked at.
struct Sight<'a> {
    watched: &'a Watched,
    doors: &'a Doors,
    clock: &'a Clock,
    online: usize,
    max_connections: usize,
}

/// What is known from the looks before.
#[derive(Default)]
struct Causes {
    memory: Watch,
    connections: Watch,
    files: Watch,
    modules: BTreeMap<&'static str, (Watch, Watch)>,
    stopped: BTreeMap<&'static str, bool>,
    stalled: Watch,
    late: Watch,
    clock: Watch,
    /// By how much the system's clock is ahead of the broker's, in milliseconds.
    ahead: Option<i64>,
    numbers: BTreeMap<String, (Watch, u64)>,
    /// What modules have raised, by the alarm's name.
    raised: BTreeMap<String, Watch>,
    tasks: BTreeMap<&'static str, (Watch, u64)>,
    accepts_failed: u64,
    stalls: u64,
    late_times: u64,
    /// Of this look.
    notices: Vec<Notice>,
}

/// An alarm as it would be now.
struct Cause<'a> {
    name: &'a str,
    message: &'a str,
    details: Value,
}

impl Causes {
    /// Returns which alarms have begun and which are over.
    fn look(&mut self, sight: &Sight<'_>, modules: &ModulesSeen) -> Vec<Notice> {
        self.look_at_memory(sight);
        let (online, limit) = (sight.online, sight.max_connections);
        let message = "mqtt.max_connections is reached: nobody else comes in";
        let cause =
            Cause { name: "connections_limit", message, details: json!({ "connections": online, "limit": limit }) };
        sight.change(&mut self.notices, &mut self.connections, Level::of(online, limit), cause);
        self.look_at_files(sight);
        self.look_at_stalls(sight);
        self.look_at_lateness(sight);
        self.look_at_clock(sight);
        self.look_at_tasks(sight);
        for module in &modules.states {
            self.look_at_module(sight, module);
            self.look_at_stopped(sight, module);
        }
        self.look_at_raised(sight, modules);
        for of_one in &modules.numbers {
            of_one.numbers.iter().for_each(|number| self.look_at_number(sight, of_one.module, number));
        }
        std::mem::take(&mut self.notices)
    }

    fn look_at_memory(&mut self, sight: &Sight<'_>) {
        // Without traffic nobody else looks whether it is over.
        let is_full = sight.watched.memory.is_full();
        let (used, limit) = (sight.watched.memory.used(), sight.watched.memory.limit());
        let level = if is_full { Level::High } else { Level::of(used, limit) };
        let message =
            "limits.memory is reached: nothing more is queued, retained or subscribed, and nobody new comes in";
        let cause = Cause { name: "memory_limit", message, details: json!({ "used": used, "limit": limit }) };
        sight.change(&mut self.notices, &mut self.memory, level, cause);
    }

    fn look_at_files(&mut self, sight: &Sight<'_>) {
        let failed = sight.watched.alarms.accepts_failed();
        let happened = std::mem::replace(&mut self.accepts_failed, failed) != failed;
        let limit = sight.doors.max_sockets();
        let sockets = sight.doors.sockets();
        let level = if happened { Level::High } else { Level::of(sockets, limit / 100 * FILES_PERCENT) };
        let message =
            "file descriptors are nearly exhausted: connections are not accepted; raise the limit of open files";
        let details = json!({ "sockets": sockets, "limit": limit, "accepts_failed": failed });
        sight.change(&mut self.notices, &mut self.files, level, Cause { name: "file_descriptors", message, details });
    }

    fn look_at_stalls(&mut self, sight: &Sight<'_>) {
        let stalls = sight.clock.patience.stalls();
        let happened = std::mem::replace(&mut self.stalls, stalls.count) != stalls.count;
        let message = "the broker stood still: paused, short of processor time, or blocked; nobody was ended for it";
        let details =
            json!({ "stalled_ms": stalls.last_ms, "stalls": stalls.count, "stalled_ms_total": stalls.total_ms });
        sight.change(
            &mut self.notices,
            &mut self.stalled,
            Level::of_event(happened),
            Cause { name: "broker_stalled", message, details },
        );
    }

    fn look_at_lateness(&mut self, sight: &Sight<'_>) {
        let lateness = &sight.doors.lateness;
        let times = lateness.closed();
        let happened = std::mem::replace(&mut self.late_times, times) != times;
        let message = "limits.lateness is reached: the broker has more to do than it can, and who comes has to wait";
        let cause = Cause { name: "broker_late", message, details: json!({ "waiting": lateness.waiting() }) };
        let level = Level::of_event(happened || lateness.is_closed());
        sight.change(&mut self.notices, &mut self.late, level, cause);
    }

    fn look_at_clock(&mut self, sight: &Sight<'_>) {
        let clock = &sight.clock;
        let ahead = wall_ms() as i64 - clock.now().0 as i64;
        let before = self.ahead.replace(ahead).unwrap_or(ahead - clock.disbelieved_ms as i64);
        let jumped = ahead - before;
        let message =
            "the system's clock has jumped, or the system slept: times in events follow it, sessions and timers do not";
        let cause = Cause { name: "clock_jumped", message, details: json!({ "jumped_ms": jumped }) };
        sight.change(&mut self.notices, &mut self.clock, Level::of_event(jumped.abs() >= JUMP_MS), cause);
    }

    fn look_at_tasks(&mut self, sight: &Sight<'_>) {
        for (task, panics) in sight.watched.faults.all() {
            let (watch, seen) = self.tasks.entry(task).or_default();
            let happened = std::mem::replace(seen, panics) != panics;
            let cause = Cause {
                name: &format!("task_{task}_panicked"),
                message: "a background task of the broker has panicked; it was started again",
                details: json!({ "task": task, "panics": panics }),
            };
            sight.change(&mut self.notices, watch, Level::of_event(happened), cause);
        }
    }

    fn look_at_number(&mut self, sight: &Sight<'_>, module: &str, number: &Number) {
        let (Some(message), Reading::Counter(count)) = (number.alarm, &number.value) else { return };
        let name = format!("{module}_{}", number.key().replace('.', "_"));
        let (watch, seen) = self.numbers.entry(name.clone()).or_default();
        let happened = std::mem::replace(seen, *count) < *count;
        let what = number.name.rsplit('.').next().unwrap_or_default();
        let cause = Cause { name: &name, message, details: json!({ what: count }) };
        sight.change(&mut self.notices, watch, Level::of_event(happened), cause);
    }

    /// What is over is looked at too, until the alarm is.
    fn look_at_raised(&mut self, sight: &Sight<'_>, modules: &ModulesSeen) {
        let raised = modules.states.iter().flat_map(|module| {
            let name = module.info.name;
            module.raised.iter().map(move |raised| {
                (format!("{name}_{}", raised.name), (raised.message.to_string(), json!({ "module": name })))
            })
        });
        let beside = modules.beside.iter().map(|wrong| {
            let Wrong { name, message, details } = wrong;
            ((*name).to_owned(), (message.clone(), details.clone()))
        });
        let mut raised: BTreeMap<_, _> = raised.chain(beside).collect();
        for name in raised.keys() {
            self.raised.entry(name.clone()).or_default();
        }
        for (name, watch) in &mut self.raised {
            let found = raised.remove(name);
            let is_raised = found.is_some();
            let (message, details) = found.unwrap_or_default();
            let cause = Cause { name, message: &message, details };
            sight.change(&mut self.notices, watch, Level::of_event(is_raised), cause);
        }
    }

    /// Begins and is over at once: nothing comes and goes here but what an operator does.
    fn look_at_stopped(&mut self, sight: &Sight<'_>, module: &Status) {
        let name = module.info.name;
        let was_stopped = self.stopped.insert(name, module.stopped).unwrap_or_default();
        let alarm = format!("module_{name}_stopped");
        let alarms = &sight.watched.alarms;
        self.notices.extend(match (was_stopped, module.stopped) {
            (false, true) => {
                let message = format!("{} is stopped. {}", module.info.title, module.stop_warning);
                alarms.activate(&alarm, &message, json!({ "module": name, "stopped": true }))
            }
            (true, false) => alarms.deactivate(&alarm),
            _ => None,
        });
    }

    fn look_at_module(&mut self, sight: &Sight<'_>, module: &Status) {
        let name = module.info.name;
        let (failed, panicked) = self.modules.entry(name).or_default();
        let message = format!("module {name} did not start");
        let cause = Cause {
            name: &format!("module_{name}_failed"),
            message: &message,
            details: json!({ "module": name, "why": module.error }),
        };
        sight.change(&mut self.notices, failed, Level::of_event(module.error.is_some()), cause);
        let message = format!("module {name} has panicked; it goes on");
        let cause = Cause {
            name: &format!("module_{name}_panicked"),
            message: &message,
            details: json!({ "module": name, "panics": module.panics }),
        };
        sight.change(&mut self.notices, panicked, Level::of_event(module.panics > 0), cause);
    }
}

impl Sight<'_> {
    fn change(&self, notices: &mut Vec<Notice>, watch: &mut Watch, level: Level, cause: Cause<'_>) {
        let alarms = &self.watched.alarms;
        notices.extend(match watch.look(level) {
            Some(Change::Activate) => alarms.activate(cause.name, cause.message, cause.details),
            Some(Change::Deactivate) => alarms.deactivate(cause.name),
            None => None,
        });
    }
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::run::Numbers;
    use mqtt_hooks::{Info, Listing, Raised};
    use mqtt_session::Gauge;

    use super::*;
    use crate::coming::banned::Banned;
    use crate::config::Config;
    use crate::terms::Terms;
    use crate::watch::memory::Memory;

    /// What of a broker alarms are about.
    struct Seen {
        watched: Watched,
        doors: Doors,
        clock: Clock,
        online: usize,
        max_connections: usize,
        causes: Causes,
    }

    impl Seen {
        fn new(max_connections: usize, memory: usize) -> Self {
            let mut config = Config::default();
            config.mqtt.max_connections = max_connections;
            Self {
                watched: Watched::new(Memory::new(memory, Arc::default(), Gauge::default())),
                doors: Doors::new(
                    Banned::default(),
                    &Terms::new(&config, mqtt_session::Config::default()),
                    config.anonymous,
                ),
                clock: Clock::new(None),
                online: 0,
                max_connections,
                causes: Causes::default(),
            }
        }

        /// A broker of which nothing is wrong.
        fn well() -> Self {
            Self::new(100, 1 << 30)
        }

        fn look(&mut self, modules: &ModulesSeen) -> Vec<Notice> {
            let Self { watched, doors, clock, online, max_connections, causes } = self;
            let (online, max_connections) = (*online, *max_connections);
            causes.look(&Sight { watched, doors, clock, online, max_connections }, modules)
        }

        #[track_caller]
        fn check(&mut self, active: &[&str]) {
            self.look(&ModulesSeen::default());
            let alarms = self.watched.alarms.list().into_iter().filter(|alarm| alarm.activated);
            assert_eq!(alarms.map(|alarm| alarm.name).collect::<Vec<_>>(), active);
        }
    }

    #[test]
    fn too_many_connections_are_one_alarm() {
        let mut seen = Seen::well();
        seen.check(&[]);
        seen.online = 100;
        seen.check(&["connections_limit"]);
        seen.online = 94;
        for _ in 0..9 {
            seen.check(&["connections_limit"]);
        }
        seen.check(&[]);
        assert_eq!(seen.watched.alarms.list().len(), 1);
    }

    fn greeter() -> Status {
        Status {
            info: Info { name: "greeter", title: "Greeter", description: "", default_on: true, settings: &[] },
            added: true,
            running: true,
            stopped: false,
            testable: false,
            listing: Listing::default(),
            stop_warning: "Nobody is greeted.",
            error: None,
            started_at: None,
            panics: 0,
            raised: Vec::new(),
        }
    }

    #[test]
    fn a_module_that_was_stopped_is_an_alarm_until_it_is_started() {
        let mut seen = Seen::well();
        let stopped = |stopped| ModulesSeen { states: vec![Status { stopped, ..greeter() }], ..ModulesSeen::default() };
        seen.look(&stopped(true));
        assert_eq!(seen.watched.alarms.list()[0].message, "Greeter is stopped. Nobody is greeted.");
        seen.check(&["module_greeter_stopped"]);
        seen.look(&stopped(false));
        seen.check(&[]);
    }

    #[test]
    fn what_a_module_raises_is_an_alarm_until_it_is_calm_again() {
        let raised = vec![Raised { name: "file_unreadable", message: "the file can't be read".to_owned() }];
        let states = vec![Status { raised, ..greeter() }];
        let mut seen = Seen::well();
        seen.look(&ModulesSeen { states, ..ModulesSeen::default() });
        assert_eq!(seen.watched.alarms.list()[0].message, "the file can't be read");
        for _ in 0..9 {
            seen.check(&["greeter_file_unreadable"]);
        }
        seen.check(&[]);
    }

    #[test]
    fn an_alarm_is_told_when_it_begins_and_when_it_is_over() {
        let mut seen = Seen::well();
        let mut topics = |online| {
            seen.online = online;
            let notices = seen.look(&ModulesSeen::default());
            notices.iter().map(|notice| notice.message("n").unwrap().topic.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(topics(100), ["$SYS/brokers/n/alarms/activate"]);
        for _ in 0..9 {
            assert!(topics(0).is_empty());
        }
        assert_eq!(topics(0), ["$SYS/brokers/n/alarms/deactivate"]);
    }

    #[test]
    fn an_alarm_that_was_declared_over_stays_over_while_its_cause_lasts() {
        let mut seen = Seen::new(10, 1 << 30);
        seen.online = 10;
        seen.check(&["connections_limit"]);
        let alarms = &seen.watched.alarms;
        assert!(alarms.deactivate("connections_limit").is_some() && alarms.deactivate("connections_limit").is_none());
        seen.check(&[]);
    }

    #[test]
    fn a_process_over_its_limit_is_an_alarm() {
        Seen::new(100, 0).check(&["memory_limit"]);
    }

    #[test]
    fn a_clock_that_is_set_is_an_alarm_for_a_while() {
        let mut seen = Seen::well();
        seen.check(&[]);
        // As if it had been an hour behind until now.
        seen.causes.ahead = seen.causes.ahead.map(|ahead| ahead - 3_600_000);
        for _ in 0..10 {
            seen.check(&["clock_jumped"]);
        }
        seen.check(&[]);
    }

    #[test]
    fn a_number_that_may_not_grow_is_an_alarm_when_it_does() {
        let mut seen = Seen::well();
        let mut look = |lost, other| {
            let lost = Number::counter("events.lost", "Lost.", lost).alarming("events are lost");
            let numbers = vec![lost, Number::counter("events", "Events.", other)];
            let modules = ModulesSeen { numbers: vec![Numbers { module: "m", numbers }], ..ModulesSeen::default() };
            seen.look(&modules);
            seen.watched.alarms.list().into_iter().next()
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
        let mut seen = Seen::well();
        seen.watched.alarms.note_accept_failed();
        seen.check(&["file_descriptors"]);
    }
}
