use std::sync::atomic::Ordering;

use mqtt_codec::{Properties, Qos, Topic};
use mqtt_hooks::Hooks;
use mqtt_hooks::testing::Recorder;
use serde_json::Value;

use super::topics::{MAX_TOPICS, Wrong};
use super::*;
use crate::{MemoryStates, Modules, Registry};

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
    topics: Arc<Topics>,
}

impl Rig {
    fn new(host: Arc<Recorder>) -> Self {
        let (hooks, module) = (Hooks::new(), Arc::new(TopicMetrics::default()));
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(module.clone(), Value::Null);
        registry.restore().unwrap();
        let rig = Self { host, hooks, registry, topics: Arc::clone(&module.topics) };
        rig.start();
        rig
    }

    fn start(&self) {
        block_on(self.registry.start("emqx_mod_topic_metrics")).unwrap();
        self.host.run_tasks();
    }

    /// One message that so many sessions take.
    fn publish(&self, topic: &str, qos: Qos, taken: usize) {
        let message = message(topic, qos);
        self.hooks.published(&message, None);
        for _ in 0..taken {
            let (client_id, message) = ("c", &message);
            self.hooks.taken(&Delivery { client_id, message, qos: Qos::AtMostOnce, accepted_at: None });
        }
        if taken == 0 {
            self.hooks.unwanted(&message);
        }
    }

    #[track_caller]
    fn check(&self, topic: &str, expected: &[(&str, f64)]) {
        let shown = self.topics.get(topic).unwrap().shown();
        assert_eq!(shown.len(), 18);
        for (name, value) in shown {
            let expected = expected.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, value)| *value);
            assert_eq!(value.as_f64(), Some(expected), "{name} of {topic}");
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

fn message(name: &str, qos: Qos) -> Message {
    Message { topic: topic(name), payload: "x".into(), qos, retain: false, properties: Properties::EMPTY }
}

#[test]
fn messages_of_named_topics_are_counted_and_of_no_others() {
    let rig = Rig::new(Recorder::new());
    rig.publish("a", Qos::AtMostOnce, 1);
    rig.topics.add(&topic("a")).unwrap();
    rig.publish("a", Qos::AtLeastOnce, 2);
    rig.publish("a", Qos::ExactlyOnce, 0);
    rig.publish("a/b", Qos::AtMostOnce, 1);
    rig.check(
        "a",
        &[
            ("messages.in.count", 2.0),
            ("messages.qos1.in.count", 1.0),
            ("messages.qos2.in.count", 1.0),
            ("messages.out.count", 2.0),
            ("messages.qos0.out.count", 2.0),
            ("messages.dropped.count", 1.0),
        ],
    );
    assert_eq!(rig.topics.get("a/b").err(), Some(Wrong::Unknown));
}

#[test]
fn rates_are_of_the_last_ten_seconds() {
    let rig = Rig::new(Recorder::new());
    rig.topics.add(&topic("a")).unwrap();
    let pass = |seconds: u64| {
        for _ in 0..seconds {
            rig.host.clock.fetch_add(1000, Ordering::Relaxed);
            rig.host.run_tasks();
        }
    };
    pass(1);
    (0..20).for_each(|_| rig.publish("a", Qos::AtMostOnce, 0));
    pass(10);
    let counted = [("messages.in.count", 20.0), ("messages.qos0.in.count", 20.0), ("messages.dropped.count", 20.0)];
    let rates = [("messages.in.rate", 2.0), ("messages.qos0.in.rate", 2.0), ("messages.dropped.rate", 2.0)];
    rig.check("a", &[counted, rates].concat());
    pass(10);
    rig.check("a", &counted);
}

#[test]
fn nobody_looks_at_messages_while_no_topic_is_named() {
    let rig = Rig::new(Recorder::new());
    assert!(!rig.hooks.has_message_observers());
    rig.topics.add(&topic("a")).unwrap();
    assert!(rig.hooks.has_message_observers());
    rig.topics.remove("a").unwrap();
    assert!(!rig.hooks.has_message_observers());
    rig.topics.add(&topic("a")).unwrap();
    rig.topics.remove_all().unwrap();
    assert!(!rig.hooks.has_message_observers());
}

#[test]
fn so_many_topics_and_each_once() {
    let rig = Rig::new(Recorder::new());
    (0..MAX_TOPICS).for_each(|n| rig.topics.add(&topic(&n.to_string())).unwrap());
    assert_eq!(rig.topics.add(&topic("0")), Err(Wrong::Known));
    assert_eq!(rig.topics.add(&topic("more")), Err(Wrong::Full));
    rig.topics.remove("0").unwrap();
    assert_eq!(rig.topics.remove("0"), Err(Wrong::Unknown));
    rig.topics.add(&topic("more")).unwrap();
}

#[test]
fn topics_outlive_the_process_and_counts_end_with_the_module() {
    let rig = Rig::new(Recorder::new());
    for name in ["a", "b"] {
        rig.topics.add(&topic(name)).unwrap();
    }
    rig.topics.remove("b").unwrap();
    rig.publish("a", Qos::AtMostOnce, 1);
    block_on(rig.registry.stop("topic_metrics")).unwrap();
    assert_eq!(rig.topics.add(&topic("c")), Err(Wrong::Stopped));
    rig.start();
    assert!(rig.hooks.has_message_observers());
    rig.check("a", &[]);
    let next = Rig::new(Arc::clone(&rig.host));
    assert_eq!(next.topics.len(), 1);
    next.check("a", &[]);
}
