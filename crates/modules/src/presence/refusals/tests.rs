use std::sync::atomic::Ordering::Relaxed;

use mqtt_hooks::Hooks;
use mqtt_hooks::testing::{NOW, Recorder, foo};
use serde_json::{Value, json};

use super::*;
use crate::presence::{History, Presence};
use crate::{MemoryStates, Modules, Registry};

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    _registry: Registry,
}

impl Rig {
    async fn with(settings: Value) -> Self {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(Arc::new(Presence::new(History::new())), settings);
        registry.start("presence").await.unwrap();
        host.run_tasks();
        Self { host, hooks, _registry: registry }
    }

    fn refuse(&self, client_id: &str, reason: ReasonCode) {
        let info = foo();
        let (version, peer, listener, at) = (Version::V5, info.peer, &*info.listener, NOW);
        let fact = Fact::Refused { client_id, username: Some("ann"), version, peer, listener, reason, at };
        self.hooks.observe(&fact, &mut self.host.moment());
    }

    /// What is told at the end of the second: the last two levels of each topic, and what.
    fn told(&self) -> Vec<(String, Value)> {
        self.host.clock.fetch_add(SECOND_MS, Relaxed);
        self.host.run_tasks();
        let messages = self.host.take().into_iter();
        let short = |topic: &str| topic.rsplitn(3, '/').take(2).collect::<Vec<_>>().join(" ");
        messages.map(|told| (short(told.topic.as_str()), serde_json::from_slice(&told.payload).unwrap())).collect()
    }
}

#[tokio::test]
async fn failures_of_a_second_are_told_together() {
    let rig = Rig::with(json!({"connect_failed": true})).await;
    for _ in 0..3 {
        rig.refuse("a", ReasonCode::NotAuthorized);
    }
    rig.refuse("a", ReasonCode::Banned);
    rig.refuse("b+", ReasonCode::NotAuthorized);
    assert!(rig.host.take().is_empty());
    let told = rig.told();
    let [(topic, first), (_, banned), (odd, _)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((topic.as_str(), odd.as_str()), ("connect_failed a", "connect_failed b%2B"));
    let info = foo();
    let expected = json!({"v": 1, "clientid": "a", "username": "ann", "reason": "not_authorized", "reason_code": 0x87,
        "ipaddress": info.peer.ip(), "peerport": info.peer.port(), "sockport": info.listener.port,
        "listener": &*info.listener.name, "proto_ver": 5, "proto_name": "MQTT", "ts": NOW, "count": 3});
    assert_eq!(*first, expected);
    assert_eq!((&banned["reason"], &banned["count"]), (&json!("banned"), &json!(1)));
    assert!(rig.told().is_empty());
}

#[tokio::test]
async fn those_who_make_up_ids_are_counted() {
    let rig = Rig::with(json!({"connect_failed": true})).await;
    for n in 0..1_000 {
        rig.refuse(&format!("c{n:03}"), ReasonCode::NotAuthorized);
    }
    rig.refuse(&"x".repeat(60_000), ReasonCode::NotAuthorized);
    let told = rig.told();
    assert_eq!(told.len(), MOST + 1);
    let (topic, rest) = &told[MOST];
    assert_eq!((topic.as_str(), &rest["count"]), ("connect_failed presence", &json!(901)));
}

#[tokio::test]
async fn nothing_is_told_unless_that_is_turned_on_and_somebody_subscribes() {
    for (settings, is_wanted) in [(Value::Null, true), (json!({"connect_failed": true}), false)] {
        let rig = Rig::with(settings).await;
        rig.host.wanted.store(is_wanted, Relaxed);
        rig.refuse("a", ReasonCode::NotAuthorized);
        assert!(rig.told().is_empty());
    }
}
