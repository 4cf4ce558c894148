use mqtt_hooks::testing::{NOW, Recorder, foo, went};
use mqtt_hooks::{ConnectionInfo, Hooks, Reason};
use serde_json::json;

use super::*;
use crate::presence::Presence;
use crate::{MemoryStates, Modules, Registry};

const TABLE: &str = "presence.uptime";
const HOUR: u64 = 3_600_000;

/// A broker's process with presence; `host` outlives it.
struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    presence: Arc<Presence>,
    _registry: Registry,
}

impl Rig {
    async fn new(host: &Arc<Recorder>, config: serde_json::Value) -> Self {
        let hooks = Hooks::new();
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        let presence = Arc::new(Presence::new(History::new()));
        registry.register(presence.clone(), config);
        registry.restore().unwrap();
        registry.start("presence").await.unwrap();
        Self { host: host.clone(), hooks, presence, _registry: registry }
    }

    fn stayed(&self, client_id: &str, came: u64, at: u64) {
        let client = ConnectionInfo { client_id: client_id.into(), connected_at: came, ..foo() };
        let mut fact = went(&client, Reason::Kicked, 2);
        if let Fact::Disconnected { at: when, .. } = &mut fact {
            *when = at;
        }
        self.hooks.observe(&fact, &mut self.host.moment());
    }

    fn online(&self, client_id: &str) -> Option<u64> {
        let Presence { uptime, history, .. } = &*self.presence;
        uptime.look(client_id, history, &*self.host).map(|timeline| timeline.over(0).1.online)
    }

    fn kept(&self) -> Vec<String> {
        self.host.kept(TABLE).into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    /// A minute goes by.
    fn sweep(&self) {
        self.host.run_tasks();
        self.host.clock.fetch_add(LOOK_MS, Relaxed);
        self.host.run_tasks();
    }
}

#[tokio::test]
async fn what_is_kept_is_there_after_the_process_has_died() {
    let host = Recorder::new();
    let rig = Rig::new(&host, json!({"uptime": 30})).await;
    rig.stayed("a", NOW - 9 * HOUR, NOW - 7 * HOUR);
    drop(rig);
    let rig = Rig::new(&host, json!({"uptime": 30})).await;
    assert_eq!(rig.online("a"), Some(2 * HOUR));
    rig.stayed("a", NOW - 6 * HOUR, NOW - 5 * HOUR);
    assert_eq!(rig.online("a"), Some(3 * HOUR));
}

#[tokio::test]
async fn who_does_not_ask_for_it_keeps_nothing() {
    let host = Recorder::new();
    let rig = Rig::new(&host, json!({})).await;
    rig.stayed("a", NOW - HOUR, NOW);
    assert_eq!((rig.kept(), rig.online("a")), (vec![], None));
    drop(rig);
    let rig = Rig::new(&host, json!({"uptime": 1})).await;
    rig.stayed("a", NOW - HOUR, NOW);
    assert_eq!(rig.kept(), ["a"]);
    // Turned off: forgotten, or days that nobody counted would be taken for an outage.
    drop(rig);
    let rig = Rig::new(&host, json!({"uptime": 0})).await;
    assert_eq!((rig.kept(), rig.online("a")), (vec![], None));
}

#[tokio::test]
async fn uptime_is_forgotten_with_its_client() {
    let host = Recorder::new();
    // Each shard has two: of so many clients some are forgotten.
    let rig = Rig::new(&host, json!({"uptime": 30, "known": 128})).await;
    let ids: Vec<_> = (0..100).map(|n| format!("c{n:03}")).collect();
    ids.iter().for_each(|id| rig.stayed(id, NOW - HOUR, NOW));
    rig.sweep();
    let known: Vec<_> = ids.iter().filter(|id| rig.presence.history.knows(id)).cloned().collect();
    assert!(!known.is_empty() && known.len() < ids.len(), "{}", known.len());
    assert_eq!(rig.kept(), known);
    let bytes: usize = host.kept(TABLE).iter().map(|(key, record)| key.len() + record.len()).sum();
    assert_eq!(rig.presence.uptime.table.lock().bytes, bytes);
}

#[tokio::test]
async fn who_makes_up_ids_finds_an_end() {
    let host = Recorder::new();
    let rig = Rig::new(&host, json!({"uptime": 30, "known": 64})).await;
    for n in 0..200 {
        rig.stayed(&format!("c{n:03}"), NOW - HOUR, NOW);
    }
    assert_eq!((rig.kept().len(), rig.presence.uptime.skipped()), (64, 136));
    // Those who are known no more have made room.
    rig.sweep();
    assert!(rig.kept().len() < 64);
    rig.stayed("new", NOW - HOUR, NOW);
    assert_eq!(rig.online("new"), Some(HOUR));
    rig.stayed(&"x".repeat(MAX_ID + 1), NOW - HOUR, NOW);
    assert_eq!(rig.presence.uptime.skipped(), 137);
}

#[tokio::test]
async fn a_clock_that_was_far_ahead_is_not_believed_for_ever() {
    let host = Recorder::new();
    let rig = Rig::new(&host, json!({"uptime": 30})).await;
    rig.stayed("a", NOW, NOW + 400 * DAY_MS);
    rig.stayed("a", NOW - HOUR, NOW);
    assert_eq!(rig.online("a"), Some(HOUR));
}
