use mqtt_codec::{Properties, Qos, Topic};
use mqtt_hooks::testing::Recorder;
use mqtt_hooks::{Hooks, Reading};
use serde_json::json;

use super::*;
use crate::{MemoryStates, Modules, Registry};

struct Rig {
    hooks: Arc<Hooks>,
    registry: Registry,
    module: Arc<Retainer>,
}

impl Rig {
    fn new(config: Value) -> Self {
        let (hooks, module) = (Hooks::new(), Arc::new(Retainer::default()));
        assert!(hooks.retains(), "without such a module all is retained");
        let registry = Registry::new(Recorder::new(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(module.clone(), config);
        assert!(!hooks.retains());
        assert!(block_on(registry.start_wanted()).is_empty());
        Self { hooks, registry, module }
    }

    fn retain(&self, bytes: usize, others: usize) -> Retention {
        self.hooks.retain(&message(bytes), others)
    }

    fn count(&self, key: &str) -> Reading {
        self.module.numbers().into_iter().find(|number| number.key() == key).unwrap().value
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn message(bytes: usize) -> Message {
    let topic = Topic::new("a").unwrap();
    Message {
        topic,
        payload: vec![b'x'; bytes].into(),
        qos: Qos::AtMostOnce,
        retain: true,
        properties: Properties::EMPTY,
    }
}

#[test]
fn all_is_retained_unless_told_otherwise() {
    let rig = Rig::new(Value::Null);
    assert!(rig.hooks.retains());
    assert_eq!(rig.retain(1 << 20, usize::MAX), Retention::Keep);
    assert!(rig.hooks.publishes_removal(&message(0)));
}

#[test]
fn large_ones_and_too_many_are_refused_and_counted() {
    let rig = Rig::new(json!({"max_payload_size": 3, "max_retained_messages": 2, "expiry_interval": 9}));
    assert_eq!(rig.retain(3, 1), Retention::KeepFor(9));
    assert_eq!(rig.retain(4, 0), Retention::Refuse("modules.retainer.max_payload_size"));
    assert_eq!(rig.retain(1, 2), Retention::Refuse("modules.retainer.max_retained_messages"));
    for key in ["messages", "refused.max_payload_size", "refused.max_retained_messages"] {
        assert_eq!(rig.count(key), Reading::Counter(1), "{key}");
    }
}

#[test]
fn nothing_is_retained_while_it_is_stopped_and_all_while_it_is_given_other_settings() {
    let rig = Rig::new(Value::Null);
    block_on(rig.registry.configure("retainer", json!({"stop_publish_clear_msg": true}))).unwrap();
    assert!(rig.hooks.retains() && !rig.hooks.publishes_removal(&message(0)));
    assert_eq!(rig.count("removals"), Reading::Counter(1));
    block_on(rig.registry.stop("emqx_mod_retainer")).unwrap();
    assert!(!rig.hooks.retains());
    block_on(rig.registry.start("retainer")).unwrap();
    assert!(rig.hooks.retains());
}
