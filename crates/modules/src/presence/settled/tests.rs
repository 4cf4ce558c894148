use mqtt_hooks::testing::{NOW, Recorder, Told, foo};
use mqtt_hooks::{ConnectionInfo, Hooks, Reason};
use serde_json::{Value, json};

use super::*;
use crate::presence::Presence;
use crate::presence::tests::start;
use crate::{MemoryStates, Registry};

/// Presence with `settle` of 30 s.
struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    _registry: Registry,
    seq: AtomicU64,
}

impl Rig {
    async fn on(host: Arc<Recorder>) -> Self {
        let hooks = Hooks::new();
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(Arc::new(Presence::new(History::new())), json!({"known": 1000}));
        registry.restore().unwrap();
        start(&registry, &host).await;
        Self { host, hooks, _registry: registry, seq: AtomicU64::new(0) }
    }

    async fn new() -> Self {
        let host = Recorder::new();
        host.named.store(true, Relaxed);
        Self::on(host).await
    }

    /// Later than the start.
    fn at(&self, ms: u64) -> &Self {
        self.host.now.store(NOW + ms, Relaxed);
        self.host.clock.store(NOW + ms, Relaxed);
        self.host.run_tasks();
        self
    }

    fn fact(&self, client_id: &str, reason: Option<Reason>) -> &Self {
        let at = self.host.now_ms();
        let client = ConnectionInfo { client_id: client_id.into(), connected_at: at, ..foo() };
        let told = Told { at, seq: self.seq.fetch_add(1, Relaxed), flaps: 7, ..Told::of(&client) };
        let fact = reason.map_or_else(|| told.came(), |reason| told.went(reason));
        self.hooks.observe(&fact, &mut self.host.moment());
        self
    }

    fn come(&self, client_id: &str) -> &Self {
        self.fact(client_id, None)
    }

    fn go(&self, client_id: &str) -> &Self {
        self.fact(client_id, Some(Reason::Closed("tcp_closed")))
    }

    /// What was told since the last time: who is what.
    fn told(&self) -> Vec<(String, String)> {
        let told = self.host.take().into_iter().filter(|message| message.topic.as_str().ends_with(SETTLED));
        told.map(|message| {
            let value: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(value["flaps"], 7);
            let text = |key: &str| value[key].as_str().unwrap().to_owned();
            (text("clientid"), text("state"))
        })
        .collect()
    }

    #[track_caller]
    fn check(&self, told: &[(&str, &str)]) -> &Self {
        let expected: Vec<_> = told.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect();
        assert_eq!(self.told(), expected);
        self
    }

    /// What is found for a subscriber.
    fn found(&self, walk: Walk) -> Vec<(String, Value)> {
        let filter = Filter::new("$SYS/brokers/+/clients/+/settled").unwrap();
        let states = self.hooks.states_about(&filter).unwrap();
        let (mut walk, mut names) = (walk, Vec::new());
        while states.find(&filter, &mut walk, &mut names) {}
        assert!(states.done(&walk).is_none());
        let mut found: Vec<_> = names
            .iter()
            .map(|name| {
                let value: Value = serde_json::from_slice(&states.state(name).unwrap().payload).unwrap();
                (name.to_string(), value["state"].clone())
            })
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }
}

#[tokio::test]
async fn offline_is_told_to_the_millisecond_and_online_only_after_it() {
    let rig = Rig::new().await;
    rig.come("a").check(&[]);
    rig.at(1_000).go("a").at(30_999).check(&[]).at(31_000).check(&[("a", "offline")]);
    rig.at(100_000).check(&[]).come("a").check(&[("a", "online")]);
    rig.at(200_000).check(&[]);
}

#[tokio::test]
async fn who_is_back_in_time_is_not_told_of_however_often() {
    let rig = Rig::new().await;
    rig.come("a");
    for round in 0..20 {
        rig.at(round * 29_000).go("a").at(round * 29_000 + 28_999).come("a");
    }
    rig.at(2_000_000).check(&[]);
    // It is away from when it went last.
    rig.go("a").at(2_029_999).come("a").go("a").at(2_059_998).check(&[]).at(2_059_999).check(&[("a", "offline")]);
}

#[tokio::test]
async fn who_subscribes_in_between_is_told_of_those_who_are_not_due_yet() {
    let rig = Rig::new().await;
    rig.host.named.store(false, Relaxed);
    rig.at(1_000);
    rig.come("long gone").go("long gone").come("back").go("back");
    rig.at(20_000).come("a").go("a").come("in time").go("in time");
    assert!(rig.host.kept("presence.settled").is_empty());
    rig.at(40_000);
    rig.host.named.store(true, Relaxed);
    assert_eq!(
        rig.found(Walk::default()),
        [("back".to_owned(), json!("offline")), ("long gone".into(), json!("offline"))]
    );
    // Before the task has looked, too.
    rig.come("back").check(&[("back", "online")]).come("in time").check(&[]);
    rig.at(49_999).check(&[]).at(50_000).check(&[("a", "offline")]);
    // Nobody subscribes: nothing is kept, and to be away for so long counts as told.
    rig.go("back").host.named.store(false, Relaxed);
    rig.at(60_000);
    assert!(rig.host.kept("presence.settled").is_empty());
    rig.at(90_000).come("back").check(&[]);
}

#[tokio::test]
async fn whoever_was_due_while_the_broker_was_down_is_told_of_once() {
    let rig = Rig::new().await;
    rig.come("a").come("b").come("c").go("a");
    rig.at(20_000).go("b").at(31_000).check(&[("a", "offline")]);
    let host = rig.host.clone();
    drop(rig);
    // It goes on before b is due, and again long after that.
    for (ms, told) in [(32_000, vec![]), (90_000, vec![("b", "offline")]), (95_000, vec![])] {
        host.now.store(NOW + ms, Relaxed);
        host.clock.store(NOW + ms, Relaxed);
        let rig = Rig::on(host.clone()).await;
        rig.check(&told);
        if ms > 90_000 {
            rig.come("b").check(&[("b", "online")]).come("a").check(&[("a", "online")]);
        }
    }
}

/// A millisecond of the one clock begins in the midst of one of the other.
#[tokio::test]
async fn who_is_due_by_one_clock_and_not_yet_by_the_other_is_told_of_once_over_a_crash() {
    let rig = Rig::new().await;
    rig.come("a").come("b").go("a").at(1).go("b");
    let tick = |host: &Recorder, now: u64, clock: u64| {
        host.now.store(NOW + now, Relaxed);
        host.clock.store(NOW + clock, Relaxed);
        host.run_tasks();
    };
    tick(&rig.host, 29_999, 30_000);
    rig.check(&[("a", "offline")]);
    let host = rig.host.clone();
    drop(rig);
    host.now.store(NOW + 30_001, Relaxed);
    let rig = Rig::on(host.clone()).await;
    // And b is not left out for it.
    rig.at(90_000).check(&[("b", "offline")]);
    drop(rig);
    Rig::on(host).await.at(95_000).check(&[]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_changes_nothing() {
    let rig = Rig::new().await;
    rig.come("a").go("a").at(30_000).check(&[("a", "offline")]);
    rig.host.now.store(NOW - 3_600_000, Relaxed);
    assert_eq!(rig.found(Walk::default()).len(), 1);
    rig.come("a").check(&[("a", "online")]).go("a");
    rig.host.clock.store(NOW + 60_000, Relaxed);
    rig.host.run_tasks();
    rig.check(&[("a", "offline")]);
}

#[tokio::test]
async fn who_has_missed_some_is_told_what_has_changed() {
    let rig = Rig::new().await;
    rig.come("a").come("b").come("c").go("a").go("b");
    rig.at(40_000).check(&[("a", "offline"), ("b", "offline")]).come("b").go("c");
    let missed = |since| Walk { is_missed: true, since, ..Walk::default() };
    let [a, b, c] =
        [("a", "offline"), ("b", "online"), ("c", "online")].map(|(id, state)| (id.to_owned(), json!(state)));
    assert_eq!(rig.found(missed(0)), [a.clone(), b.clone(), c.clone()]);
    assert_eq!(rig.found(missed(NOW + 30_000)), [b, c]);
    assert_eq!(rig.found(Walk::default()), [a]);
}
