use std::sync::atomic::Ordering;

use mqtt_codec::{Properties, Property, Qos, ReasonCode, Topic};
use mqtt_hooks::testing::{NOW, Recorder, foo};
use mqtt_hooks::{Hooks, Publisher, Reading};
use serde_json::json;

use super::*;
use crate::{MemoryStates, Modules, Registry};

/// The module, started, with a host that remembers.
struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
    module: Arc<DelayedPublish>,
}

impl Rig {
    fn new(host: Arc<Recorder>, config: Value) -> Self {
        let hooks = Hooks::new();
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        let module = Arc::new(DelayedPublish::default());
        registry.register(module.clone(), config);
        let rig = Self { host, hooks, registry, module };
        block_on(rig.registry.start("emqx_mod_delayed")).unwrap();
        rig.host.run_tasks();
        rig
    }

    /// What a client sends; true: it is routed on.
    fn send(&self, message: Message, expiry: Option<u64>) -> bool {
        let (mut message, client) = (message, foo());
        let mut expires_at = expiry.map(|seconds| self.host.clock.load(Ordering::Relaxed) + seconds * 1000);
        let publisher = Publisher::Client(&client);
        let mut incoming = Incoming { publisher, message: &mut message, expires_at: &mut expires_at };
        self.hooks.intercept(&mut incoming, &mut self.host.moment()) == Passage::Pass
    }

    #[track_caller]
    fn delay(&self, topic: &str) {
        assert!(!self.send(message(topic), None), "{topic}");
    }

    /// What is published until so many seconds after the beginning.
    fn wait(&self, seconds: u64) -> Vec<Message> {
        self.host.clock.store(NOW + seconds * 1000, Ordering::Relaxed);
        self.host.run_tasks();
        self.host.take()
    }

    fn number(&self, name: &str) -> u64 {
        let number = self.module.numbers().into_iter().find(|number| number.name == name);
        match number.map(|number| number.value) {
            Some(Reading::Counter(count)) => count,
            Some(Reading::Gauge(value)) => value as u64,
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn message(topic: &str) -> Message {
    Message {
        topic: Topic::new(topic.to_owned()).unwrap(),
        payload: "x".into(),
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Properties::from([Property::ContentType("text".into())]),
    }
}

#[test]
fn a_message_is_published_when_its_time_has_come_as_it_was_sent() {
    let rig = Rig::new(Recorder::new(), Value::Null);
    rig.delay("$delayed/10/a/b");
    rig.delay("$delayed/5/c");
    rig.delay("$delayed/10/d");
    assert!(rig.send(message("a/b"), None), "others go on");
    assert!(rig.wait(4).is_empty());
    assert_eq!(rig.wait(5), [message("c")]);
    assert_eq!(rig.wait(10), [message("a/b"), message("d")]);
    assert_eq!((rig.number("accepted"), rig.number("published"), rig.number("waiting")), (3, 3, 0));
}

#[test]
fn what_can_t_be_read_is_dropped_and_counted() {
    let rig = Rig::new(Recorder::new(), Value::Null);
    for topic in ["$delayed/x/a", "$delayed/4294968/a", "$delayed/1", "$delayed/1/$SYS/a"] {
        rig.delay(topic);
    }
    assert_eq!((rig.number("dropped.wrong"), rig.number("waiting")), (4, 0));
}

#[test]
fn expiry_counts_the_delay() {
    let rig = Rig::new(Recorder::new(), Value::Null);
    for expiry in [9, 10, 25] {
        assert!(!rig.send(message("$delayed/10/a"), Some(expiry)));
    }
    assert_eq!(rig.number("dropped.expired"), 2);
    let published = rig.wait(10);
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].properties.message_expiry(), Some(15));
    // It expires while the broker is late.
    assert!(!rig.send(message("$delayed/10/a"), Some(15)));
    assert!(rig.wait(25).is_empty());
    assert_eq!(rig.number("dropped.expired"), 3);
}

#[test]
fn messages_and_bytes_are_bounded() {
    let rig = Rig::new(Recorder::new(), json!({"max_delayed_messages": 2}));
    (0..3).for_each(|_| rig.delay("$delayed/1/a"));
    assert_eq!((rig.number("dropped.full"), rig.number("waiting")), (1, 2));
    assert_eq!(rig.wait(1).len(), 2);
    rig.delay("$delayed/1/a");
    assert_eq!(rig.number("waiting"), 1);

    let bytes = rig.number("waiting.bytes");
    let rig = Rig::new(Recorder::new(), json!({"max_delayed_bytes": 2 * bytes}));
    (0..3).for_each(|_| rig.delay("$delayed/1/a"));
    assert_eq!((rig.number("dropped.full"), rig.number("waiting.bytes")), (1, 2 * bytes));
}

#[test]
fn what_waits_is_listed_and_can_be_taken_out() {
    let rig = Rig::new(Recorder::new(), Value::Null);
    (1..=3).rev().for_each(|seconds| rig.delay(&format!("$delayed/{seconds}/a{seconds}")));
    let first = rig.module.list(None, 2);
    let rest = rig.module.list(Some(first[1].id), 9);
    let topics: Vec<_> = first.iter().chain(&rest).map(|delayed| delayed.message.topic.as_str()).collect();
    assert_eq!(topics, ["a1", "a2", "a3"]);
    let Delayed { id, client_id, accepted_at, publish_at, .. } = first[1].clone();
    assert_eq!((client_id.as_deref(), accepted_at, publish_at), (Some(&*foo().client_id), NOW, NOW + 2000));
    assert!(rig.module.delete(id) && !rig.module.delete(id));
    assert_eq!((rig.module.get(id), rig.module.get(first[0].id).as_ref()), (None, Some(&first[0])));
    let published: Vec<_> = rig.wait(9).iter().map(|message| message.topic.clone()).collect();
    assert_eq!(published.iter().map(Topic::as_str).collect::<Vec<_>>(), ["a1", "a3"]);
    assert_eq!((rig.number("deleted"), rig.host.kept("delayed_publish.timers").len()), (1, 0));
}

#[test]
fn what_waits_outlives_a_stop_and_the_process() {
    let rig = Rig::new(Recorder::new(), Value::Null);
    rig.delay("$delayed/1/a");
    rig.delay("$delayed/2/b");
    block_on(rig.registry.stop("delayed_publish")).unwrap();
    assert!(rig.send(message("$delayed/1/c"), None), "a topic like any other while it is stopped");
    assert!(rig.wait(1).is_empty());
    block_on(rig.registry.start("delayed_publish")).unwrap();
    assert_eq!(rig.wait(1), [message("a")]);

    block_on(rig.registry.stop_all());
    let next = Rig::new(rig.host, Value::Null);
    assert_eq!(next.wait(2), [message("b")]);
}

#[test]
fn ids_are_never_given_twice() {
    let host = Recorder::new();
    host.epoch.store(7, Ordering::Relaxed);
    let before = Rig::new(host.clone(), Value::Null);
    before.delay("$delayed/9/a");
    host.epoch.store(8, Ordering::Relaxed);
    let after = Rig::new(host, Value::Null);
    after.delay("$delayed/9/b");
    let ids: Vec<_> = after.module.list(None, 9).iter().map(|delayed| delayed.id).collect();
    assert_eq!(ids, [7000, 8000]);
}

#[test]
fn who_may_not_publish_to_a_topic_may_not_with_a_delay() {
    let rig = Rig::new(Recorder::new(), Value::Null);
    let asked = |topic: &str| rig.hooks.authorize(&foo(), Access::Publish(&Topic::new(topic.to_owned()).unwrap()));
    assert_eq!(asked("$delayed/1/forbidden/a"), Verdict::Deny(ReasonCode::NotAuthorized));
    for topic in ["$delayed/1/a", "$delayed/x/forbidden", "forbidden/a"] {
        assert_eq!(asked(topic), Verdict::Ignore, "{topic}");
    }
}

#[test]
fn wrong_settings_are_named() {
    let wrong = DelayedPublish::default().check(&json!({"max_delayed_messages": 10_000_001})).unwrap_err();
    assert_eq!(wrong.to_string(), "max_delayed_messages: 10000001 is not from 0 to 10000000");
}
