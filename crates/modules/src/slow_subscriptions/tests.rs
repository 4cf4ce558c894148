use std::sync::atomic::Ordering;

use mqtt_codec::{Message, Properties, Qos, Topic};
use mqtt_hooks::Hooks;
use mqtt_hooks::testing::Recorder;
use serde_json::json;

use super::*;
use crate::{MemoryStates, Modules, Registry};

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
    slowest: Arc<Slowest>,
}

impl Rig {
    fn new(config: Value) -> Self {
        let (host, hooks, module) = (Recorder::new(), Hooks::new(), Arc::new(SlowSubscriptions::default()));
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(module.clone(), config);
        block_on(registry.start("slow_subscriptions")).unwrap();
        host.run_tasks();
        Self { host, hooks, registry, slowest: Arc::clone(&module.slowest) }
    }

    fn now(&self) -> u64 {
        self.host.clock.load(Ordering::Relaxed)
    }

    fn pass(&self, ms: u64) {
        self.host.clock.fetch_add(ms, Ordering::Relaxed);
        self.host.run_tasks();
    }

    /// A client acknowledges now what came so long ago.
    fn acknowledge(&self, client_id: &str, topic: &str, took_ms: u64) {
        let topic = Topic::new(topic.to_owned()).unwrap();
        let properties = Properties::EMPTY;
        let message = Message { topic, payload: "x".into(), qos: Qos::AtLeastOnce, retain: false, properties };
        let accepted_at = Some(self.now() - took_ms);
        self.hooks.acknowledged(&Delivery { client_id, message: &message, qos: Qos::AtLeastOnce, accepted_at });
        self.hooks.acknowledged(&Delivery { client_id, message: &message, qos: Qos::AtLeastOnce, accepted_at: None });
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, &str, u64)]) {
        let list = self.slowest.list(self.now());
        let list: Vec<_> = list.iter().map(|entry| (&*entry.client_id, &*entry.topic, entry.took_ms)).collect();
        assert_eq!(list, expected);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn the_slowest_come_first_and_each_client_and_topic_once() {
    let rig = Rig::new(json!({"threshold": 100}));
    for (client_id, topic, took) in
        [("a", "t", 99), ("a", "t", 100), ("b", "t", 300), ("a", "u", 200), ("b", "t", 250), ("a", "u", 400)]
    {
        rig.acknowledge(client_id, topic, took);
    }
    rig.check(&[("a", "u", 400), ("b", "t", 300), ("a", "t", 100)]);
}

#[test]
fn a_full_list_keeps_the_slowest() {
    let rig = Rig::new(json!({"threshold": 1, "top_k_num": 2}));
    for took in [10, 30, 20, 5, 20] {
        rig.acknowledge(&took.to_string(), "t", took);
    }
    rig.check(&[("30", "t", 30), ("20", "t", 20)]);
    rig.acknowledge("20", "t", 40);
    rig.acknowledge("25", "t", 25);
    rig.check(&[("20", "t", 40), ("30", "t", 30)]);
}

#[test]
fn what_is_old_makes_room_for_what_was_less_slow() {
    let rig = Rig::new(json!({"threshold": 1, "top_k_num": 1, "expire_interval": 10}));
    rig.acknowledge("a", "t", 500);
    rig.pass(9_999);
    rig.acknowledge("b", "t", 50);
    rig.check(&[("a", "t", 500)]);
    // It looks once a second.
    rig.pass(1000);
    rig.acknowledge("b", "t", 50);
    rig.check(&[("b", "t", 50)]);
}

#[test]
fn a_stop_forgets_them() {
    let rig = Rig::new(Value::Null);
    rig.acknowledge("a", "t", 500);
    rig.acknowledge("a", "u", 499);
    rig.check(&[("a", "t", 500)]);
    block_on(rig.registry.stop("slow_subscriptions")).unwrap();
    rig.acknowledge("a", "u", 900);
    rig.check(&[]);
}
