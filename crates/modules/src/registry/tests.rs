use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use mqtt_hooks::testing::{NOW, Recorder, came, foo};
use mqtt_hooks::{Fact, Moment, Observe, Raised, StartError};
use serde::Deserialize;
use serde_json::json;

use super::*;

mod guards;

/// What [`Probe`] does when it is started.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Act {
    #[default]
    Start,
    Fail,
    Panic,
    Hang,
    /// Registers a hook that panics.
    Harm,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    act: Act,
}

/// Registers an observer that notes the module's name, then does as its settings say.
struct Probe {
    name: &'static str,
    default_on: bool,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

struct Seen {
    name: &'static str,
    log: Log,
    harm: bool,
}

impl Observe for Seen {
    fn observe(&self, _fact: &Fact<'_>, _: &mut dyn Moment) {
        assert!(!self.harm, "observe says no");
        self.log.note(self.name);
    }
}

#[async_trait::async_trait]
impl Module for Probe {
    fn info(&self) -> Info {
        Info { name: self.name, title: "Probe", description: "A probe.", default_on: self.default_on, settings: &[] }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let act = ctx.config::<Settings>()?.act;
        ctx.observe(Arc::new(Seen { name: self.name, log: self.log.clone(), harm: act == Act::Harm }));
        match act {
            Act::Start | Act::Harm => {
                self.log.note(format!("start {}", self.name));
                Ok(())
            }
            Act::Fail => Err(StartError::Other("no luck".to_owned())),
            Act::Panic => panic!("out of {}", "coffee"),
            Act::Hang => pending().await,
        }
    }

    async fn stop(&self) {
        self.log.note(format!("stop {}", self.name));
    }
}

/// Notes what it is told, and fails on demand.
#[derive(Default)]
struct Disk {
    memory: MemoryStates,
    full: AtomicBool,
    kept: AtomicUsize,
}

impl States for Disk {
    fn wanted(&self, name: &str) -> Option<bool> {
        self.memory.wanted(name)
    }

    fn keep(&self, name: &str, on: bool) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.kept.fetch_add(1, Ordering::Relaxed);
        self.memory.keep(name, on)
    }

    fn settings(&self, name: &str) -> Option<Value> {
        self.memory.settings(name)
    }

    fn keep_settings(&self, name: &str, settings: &Value) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.memory.keep_settings(name, settings)
    }

    fn added(&self, name: &str) -> Option<bool> {
        self.memory.added(name)
    }

    fn keep_added(&self, name: &str, added: bool) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.memory.keep_added(name, added)
    }
}

struct Rig {
    registry: Registry,
    hooks: Arc<Hooks>,
    disk: Arc<Disk>,
    log: Log,
}

impl Rig {
    fn new() -> Self {
        let (hooks, disk) = (Hooks::new(), Arc::new(Disk::default()));
        let registry = Registry::new(Recorder::new(), hooks.clone(), disk.clone());
        Self { registry, hooks, disk, log: Log::default() }
    }

    fn with(self, name: &'static str, default_on: bool, act: &str) -> Self {
        let probe = Probe { name, default_on, log: self.log.clone() };
        self.registry.register(Arc::new(probe), json!({ "act": act }));
        self
    }

    /// What observers note of one fact.
    fn observed(&self) -> Vec<String> {
        self.log.take();
        self.hooks.observe(&came(&foo(), 0), &mut Recorder::new().moment());
        self.log.take()
    }

    fn status(&self) -> Status {
        self.registry.list().remove(0)
    }
}

#[track_caller]
fn fails(result: Result<(), ChangeError>, why: &str) {
    assert_eq!(result.unwrap_err().to_string(), why);
}

#[tokio::test]
async fn hooks_are_there_while_a_module_runs() {
    let rig = Rig::new().with("a", false, "start");
    assert!(!rig.hooks.has_observers());
    rig.registry.start("a").await.unwrap();
    assert_eq!(rig.observed(), ["a"]);
    let status = rig.status();
    assert_eq!((status.running, status.started_at, status.panics, status.error), (true, Some(NOW), 0, None));

    rig.registry.stop("a").await.unwrap();
    assert!(!rig.hooks.has_observers());
    let status = rig.status();
    assert_eq!((status.running, status.started_at), (false, None));
}

#[tokio::test]
async fn a_change_that_is_none_is_refused() {
    let rig = Rig::new().with("a", false, "start");
    fails(rig.registry.stop("a").await, "module a is not started");
    fails(rig.registry.restart("a").await, "module a is not started");
    rig.registry.start("a").await.unwrap();
    fails(rig.registry.start("a").await, "module a is started already");
    assert_eq!(rig.observed(), ["a"]);
    rig.registry.stop("a").await.unwrap();
    fails(rig.registry.stop("a").await, "module a is not started");
}

#[tokio::test]
async fn an_unknown_name_is_not_found() {
    let rig = Rig::new().with("a", false, "start");
    fails(rig.registry.start("b").await, "no module is called b");
    fails(rig.registry.stop("emqx_mod_b").await, "no module is called emqx_mod_b");
    fails(rig.registry.restart("").await, "no module is called ");
    fails(rig.registry.configure("emqx_mod_", Value::Null).await, "no module is called emqx_mod_");
}

#[tokio::test]
async fn the_names_of_emqx_are_understood() {
    let rig = Rig::new()
        .with("presence", false, "start")
        .with("delayed_publish", false, "start")
        .with("topic_rewrite", false, "start")
        .with("acl_internal", false, "start");
    for (theirs, ours) in [
        ("emqx_mod_presence", "presence"),
        ("presence", "presence"),
        ("emqx_mod_delayed", "delayed_publish"),
        ("delayed", "delayed_publish"),
        ("delayed_publish", "delayed_publish"),
        ("emqx_mod_rewrite", "topic_rewrite"),
        ("internal_acl", "acl_internal"),
        ("emqx_mod_acl_internal", "acl_internal"),
    ] {
        assert_eq!(rig.registry.status(theirs).unwrap().info.name, ours);
        rig.registry.start(theirs).await.unwrap();
        assert_eq!(rig.disk.wanted(ours), Some(true));
        rig.registry.stop(theirs).await.unwrap();
    }
}

#[tokio::test]
#[should_panic(expected = "two modules are called a")]
async fn two_modules_of_one_name_are_a_fault_of_the_caller() {
    let _ = Rig::new().with("a", false, "start").with("a", false, "start");
}

#[tokio::test]
async fn a_start_that_fails_or_panics_leaves_no_hook_and_tells_why() {
    for (act, why) in [("fail", "no luck"), ("panic", "panicked: out of coffee")] {
        let rig = Rig::new().with("a", false, act);
        fails(rig.registry.start("a").await, &format!("module a did not start: {why}"));
        assert!(!rig.hooks.has_observers());
        assert!(rig.log.take().is_empty(), "neither started nor stopped");
        let status = rig.status();
        assert_eq!((status.running, status.error.as_deref()), (false, Some(why)));
        assert_eq!(rig.disk.wanted("a"), None, "a failed start does not change the wish");

        rig.registry.configure("a", json!({"act": "start"})).await.unwrap();
        rig.registry.start("a").await.unwrap();
        assert_eq!(rig.status().error, None);
        assert_eq!(rig.observed(), ["a"]);
    }
}

#[tokio::test]
async fn a_wanted_module_that_failed_can_be_wished_off() {
    let rig = Rig::new().with("a", true, "fail");
    assert_eq!(rig.registry.start_wanted().await.len(), 1);
    rig.registry.stop("a").await.unwrap();
    assert_eq!(rig.disk.wanted("a"), Some(false));
    assert!(rig.log.take().is_empty(), "what did not start is not stopped");
    fails(rig.registry.stop("a").await, "module a is not started");
    assert!(rig.registry.start_wanted().await.is_empty());
}

#[tokio::test]
async fn the_wish_is_kept_before_the_answer_or_nothing_changes() {
    let rig = Rig::new().with("a", false, "start");
    rig.disk.full.store(true, Ordering::Relaxed);
    let error = rig.registry.start("a").await.unwrap_err();
    assert!(matches!(&error, ChangeError::Keep { name, .. } if name == "a"), "{error}");
    assert!(!rig.hooks.has_observers());
    assert!(!rig.status().running);
    assert!(rig.status().error.is_some());
    assert_eq!(rig.log.take(), ["start a", "stop a"]);

    rig.disk.full.store(false, Ordering::Relaxed);
    rig.registry.start("a").await.unwrap();
    assert_eq!(rig.disk.wanted("a"), Some(true));

    rig.disk.full.store(true, Ordering::Relaxed);
    assert!(matches!(rig.registry.stop("a").await, Err(ChangeError::Keep { .. })));
    assert!(rig.status().running);
    assert_eq!(rig.observed(), ["a"]);

    rig.disk.full.store(false, Ordering::Relaxed);
    rig.registry.stop("a").await.unwrap();
    assert_eq!(rig.disk.wanted("a"), Some(false));
}

#[tokio::test]
async fn wanted_modules_start_and_the_end_changes_no_wish() {
    let rig = Rig::new()
        .with("told_on", false, "start")
        .with("told_off", true, "start")
        .with("broken", true, "panic")
        .with("untold", true, "start")
        .with("off", false, "start");
    rig.disk.keep("told_on", true).unwrap();
    rig.disk.keep("told_off", false).unwrap();
    let failed = rig.registry.start_wanted().await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].to_string(), "module broken did not start: panicked: out of coffee");
    assert_eq!(rig.observed(), ["told_on", "untold"]);
    assert!(rig.registry.list()[2].error.is_some());

    rig.registry.stop_all().await;
    assert_eq!(rig.log.take(), ["stop untold", "stop told_on"]);
    assert!(!rig.hooks.has_observers());
    assert_eq!(rig.disk.kept.load(Ordering::Relaxed), 2, "only what the test kept");
}

#[tokio::test]
async fn restart_stops_and_starts_without_touching_the_wish() {
    let rig = Rig::new().with("a", true, "start").with("b", true, "start");
    rig.registry.start_wanted().await;
    rig.log.take();
    rig.registry.restart("a").await.unwrap();
    assert_eq!(rig.log.take(), ["stop a", "start a"]);
    assert_eq!(rig.observed(), ["a", "b"], "the order of registration outlives a restart");
    assert_eq!(rig.disk.wanted("a"), None);
}

#[tokio::test]
async fn new_settings_restart_a_running_module() {
    let rig = Rig::new().with("a", false, "start");
    rig.registry.start("a").await.unwrap();
    rig.log.take();
    rig.registry.configure("a", Value::Null).await.unwrap();
    assert_eq!(rig.log.take(), ["stop a", "start a"]);
    assert_eq!(rig.observed(), ["a"]);
}

#[tokio::test]
async fn settings_that_fail_are_taken_back() {
    let rig = Rig::new().with("a", false, "start");
    rig.registry.start("a").await.unwrap();
    rig.log.take();
    let why = "module a did not start: unknown field `atc`, expected `act`";
    fails(rig.registry.configure("a", json!({"atc": "start"})).await, why);
    assert_eq!(rig.log.take(), ["stop a", "start a"]);
    assert_eq!(rig.observed(), ["a"]);
    let status = rig.status();
    assert_eq!((status.running, status.error), (true, None));
    rig.registry.restart("a").await.unwrap();
}

#[tokio::test]
async fn settings_are_kept_or_not_changed() {
    let rig = Rig::new().with("a", false, "start");
    rig.registry.start("a").await.unwrap();
    rig.disk.full.store(true, Ordering::Relaxed);
    rig.log.take();
    fails(
        rig.registry.configure("a", json!({"act": "panic"})).await,
        "module a did not start: panicked: out of coffee",
    );
    assert!(rig.registry.configure("a", Value::Null).await.is_err());
    assert_eq!(rig.disk.settings("a"), None);
    assert_eq!(rig.observed(), ["a"], "it goes on with the settings before");

    rig.disk.full.store(false, Ordering::Relaxed);
    rig.registry.configure("a", json!({"act": "fail"})).await.unwrap_err();
    assert_eq!(rig.disk.settings("a"), None, "only what works is kept");
    rig.registry.stop("a").await.unwrap();
    rig.registry.configure("a", json!({"act": "start"})).await.unwrap();
    assert_eq!(rig.disk.settings("a"), Some(json!({"act": "start"})));
}

/// Starts once.
struct Once(AtomicBool);

#[async_trait::async_trait]
impl Module for Once {
    fn info(&self) -> Info {
        Info { name: "once", title: "Once", description: "Starts once.", default_on: false, settings: &[] }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        ctx.observe(Arc::new(Seen { name: "once", log: Log::default(), harm: false }));
        match self.0.swap(true, Ordering::Relaxed) {
            false => Ok(()),
            true => Err(StartError::Other("spent".to_owned())),
        }
    }
}

#[tokio::test]
async fn when_the_old_settings_fail_too_both_reasons_are_told() {
    let rig = Rig::new();
    rig.registry.register(Arc::new(Once(AtomicBool::default())), Value::Null);
    rig.registry.start("once").await.unwrap();
    let why = "module once did not start: spent; nor with the settings before: spent";
    fails(rig.registry.configure("once", json!({})).await, why);
    assert!(!rig.status().running);
    assert!(rig.status().error.is_some());
    assert!(!rig.hooks.has_observers());
    assert_eq!(rig.disk.wanted("once"), Some(true), "it is tried again at the next start of the broker");
}

#[test]
fn a_start_that_is_given_up_leaves_nothing_behind() {
    let rig = Rig::new().with("a", false, "hang");
    let cx = &mut Context::from_waker(Waker::noop());
    {
        let mut start = Box::pin(rig.registry.start("a"));
        assert!(start.as_mut().poll(cx).is_pending());
        assert!(!rig.hooks.has_observers(), "no hook is called before its start is done");
        assert!(!rig.status().running);
        let mut other = Box::pin(rig.registry.stop("a"));
        assert!(other.as_mut().poll(cx).is_pending(), "changes go one at a time");
    }
    assert!(!rig.hooks.has_observers());
    assert_eq!(rig.disk.wanted("a"), None);
    assert!(Box::pin(rig.registry.configure("a", Value::Null)).as_mut().poll(cx).is_ready());
    assert!(Box::pin(rig.registry.start("a")).as_mut().poll(cx).is_ready());
    assert!(rig.status().running);
}

#[tokio::test]
async fn panics_of_hooks_are_counted_per_start() {
    let rig = Rig::new().with("a", false, "harm").with("b", false, "start");
    rig.registry.start("a").await.unwrap();
    rig.registry.start("b").await.unwrap();
    assert_eq!(rig.observed(), ["b"]);
    assert_eq!(rig.observed(), ["b"]);
    assert_eq!(rig.status().panics, 2);
    rig.registry.restart("a").await.unwrap();
    assert_eq!(rig.status().panics, 0);
}

/// Its stop panics.
struct Sore;

#[async_trait::async_trait]
impl Module for Sore {
    fn info(&self) -> Info {
        Info { name: "sore", title: "Sore", description: "Stops badly.", default_on: false, settings: &[] }
    }

    async fn start(&self, _ctx: &Ctx) -> Result<(), StartError> {
        Ok(())
    }

    async fn stop(&self) {
        panic!("ouch");
    }
}

#[tokio::test]
async fn a_stop_that_panics_is_a_stop() {
    let rig = Rig::new();
    rig.registry.register(Arc::new(Sore), Value::Null);
    rig.registry.start("sore").await.unwrap();
    rig.registry.stop("sore").await.unwrap();
    assert!(!rig.status().running);
    rig.registry.start("sore").await.unwrap();
}

#[test]
fn modules_come_and_go_while_facts_are_shown() {
    let rig = Rig::new().with("a", false, "start").with("b", false, "start");
    let block_on = |future: std::pin::Pin<Box<dyn Future<Output = Result<(), ChangeError>> + '_>>| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(future).unwrap();
    };
    block_on(Box::pin(rig.registry.start("b")));
    let done = AtomicBool::new(false);
    let shown = std::thread::scope(|scope| {
        let shower = scope.spawn(|| {
            let mut shown = 0;
            while !done.load(Ordering::Relaxed) {
                rig.hooks.observe(&came(&foo(), 0), &mut Recorder::new().moment());
                shown += 1;
            }
            shown
        });
        for _ in 0..100 {
            block_on(Box::pin(rig.registry.start("a")));
            block_on(Box::pin(rig.registry.stop("a")));
        }
        done.store(true, Ordering::Relaxed);
        shower.join().unwrap()
    });
    let seen = rig.log.take();
    assert_eq!(seen.iter().filter(|name| *name == "b").count(), shown, "who stays sees every fact once");
    assert_eq!(rig.observed(), ["b"]);
}

#[tokio::test]
async fn what_is_removed_is_stopped_and_has_its_first_settings_when_it_is_added_again() {
    let rig = Rig::new().with("a", true, "start");
    rig.registry.start_wanted().await;
    assert!(rig.status().added && rig.status().running, "on by default");
    fails(rig.registry.add("a").await, "module a is added already");
    rig.registry.configure("a", json!({"act": "harm"})).await.unwrap();
    rig.registry.remove("a").await.unwrap();
    assert!(!rig.status().added && !rig.status().running && !rig.hooks.has_observers());
    fails(rig.registry.remove("a").await, "module a is not added");
    assert_eq!((rig.disk.wanted("a"), rig.disk.settings("a")), (Some(false), None), "kept");
    rig.registry.add("a").await.unwrap();
    assert!(rig.status().added && rig.status().running);
    assert_eq!(rig.registry.settings("a").unwrap(), json!({"act": "start"}));
}

#[tokio::test]
async fn a_module_that_is_started_is_added_and_stays_so() {
    let rig = Rig::new().with("a", false, "start");
    assert!(!rig.status().added);
    rig.registry.start("a").await.unwrap();
    rig.registry.stop("a").await.unwrap();
    assert!(rig.status().added);
    rig.registry.remove("a").await.unwrap();
    assert!(!rig.status().added);
}

#[tokio::test]
async fn nothing_is_removed_that_can_t_be_kept() {
    let rig = Rig::new().with("a", true, "start");
    rig.registry.start_wanted().await;
    rig.disk.full.store(true, Ordering::Relaxed);
    assert!(matches!(rig.registry.remove("a").await, Err(ChangeError::Keep { .. })));
    assert!(rig.status().added && rig.status().running);
}

/// Is never right.
struct Wrong;

#[async_trait::async_trait]
impl Module for Wrong {
    fn info(&self) -> Info {
        Info { name: "wrong", title: "Wrong", description: "Is never right.", default_on: false, settings: &[] }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let (first, second) = (ctx.alarm("first"), ctx.alarm("second"));
        first.raise("first it was this");
        first.clear();
        second.raise("then that");
        Ok(())
    }
}

#[tokio::test]
async fn an_alarm_of_a_module_lasts_no_longer_than_it_runs() {
    let rig = Rig::new();
    rig.registry.register(Arc::new(Wrong), Value::Null);
    let raised = || rig.registry.status("wrong").unwrap().raised;
    assert_eq!(raised(), []);
    rig.registry.start("wrong").await.unwrap();
    assert_eq!(raised(), [Raised { name: "second", message: "then that".to_owned() }]);
    rig.registry.stop("wrong").await.unwrap();
    assert_eq!(raised(), []);
}
