use std::sync::atomic::Ordering::Relaxed;

use mqtt_hooks::route::{Answer, Method, Request};
use mqtt_hooks::testing::{NOW, Recorder, Told, foo};
use mqtt_hooks::{Hooks, Reason};
use serde_json::{Value, json};

use super::*;
use crate::presence::Presence;
use crate::presence::roster::Member;
use crate::presence::tests::start;
use crate::{MemoryStates, Modules, Registry};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// Presence with a rule about `m*`.
struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
    presence: Arc<Presence>,
}

fn config() -> Value {
    json!({"absence": [{"name": "meters", "match": "m*", "after": ["10m", "24h"], "silent_after": "1h"}]})
}

impl Rig {
    async fn on(host: Arc<Recorder>, config: Value) -> Self {
        let hooks = Hooks::new();
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        let presence = Arc::new(Presence::new(History::new()));
        registry.register(presence.clone(), config);
        registry.restore().unwrap();
        start(&registry, &host).await;
        Self { host, hooks, registry, presence }
    }

    async fn new() -> Self {
        Self::on(Recorder::new(), config()).await
    }

    /// Later than the start.
    fn at(&self, ms: u64) -> &Self {
        set(&self.host, ms);
        self.host.run_tasks();
        self
    }

    fn fact(&self, client_id: &str, reason: Option<Reason>) -> &Self {
        let at = self.host.now_ms();
        let client = ConnectionInfo { client_id: client_id.into(), connected_at: at, ..foo() };
        let told = Told { at, ..Told::of(&client) };
        let fact = reason.map_or_else(|| told.came(), |reason| told.went(reason));
        self.hooks.observe(&fact, &mut self.host.moment());
        self
    }

    /// The roster has it, in maintenance until then.
    fn serve(&self, client_id: &str, until: Option<u64>) -> &Self {
        let member = Member::new(client_id, Vec::new(), None, until).unwrap();
        self.presence.roster.change(vec![(client_id.into(), member)], &[]).unwrap();
        self
    }

    fn come(&self, client_id: &str) -> &Self {
        self.says_nothing_for(client_id, 0).fact(client_id, None)
    }

    fn go(&self, client_id: &str) -> &Self {
        self.host.quiet.lock().remove(client_id);
        self.fact(client_id, Some(Reason::KeepAliveTimeout))
    }

    fn says_nothing_for(&self, client_id: &str, ms: u64) -> &Self {
        self.host.quiet.lock().insert(client_id.to_owned(), ms);
        self
    }

    /// What was told since the last time.
    fn told(&self) -> Vec<Value> {
        let prefix = "$SYS/brokers/rollcall@127.0.0.1/presence/absent/meters/";
        let mut told = Vec::new();
        for message in self.host.take() {
            if let Some(client_id) = message.topic.as_str().strip_prefix(prefix) {
                let value: Value = serde_json::from_slice(&message.payload).unwrap();
                assert_eq!((&value["clientid"], &value["name"]), (&json!(client_id), &json!("meters")));
                told.push(value);
            }
        }
        told
    }

    #[track_caller]
    fn check(&self, told: &[(&str, &str)]) -> &Self {
        let found = self.told();
        let found: Vec<_> =
            found.iter().map(|value| (value["clientid"].as_str().unwrap(), value["state"].as_str().unwrap())).collect();
        assert_eq!(found, told);
        self
    }

    fn missing(&self) -> (u64, u64) {
        let missing = &self.presence.missing;
        assert_eq!(
            self.host.kept("presence.absent").len() as u64,
            missing.count(What::Absent) + missing.count(What::Silent)
        );
        (missing.count(What::Absent), missing.count(What::Silent))
    }

    fn alarm(&self) -> Option<String> {
        let raised = self.registry.status("presence").unwrap().raised;
        raised.into_iter().find(|raised| raised.name == "absent").map(|raised| raised.message)
    }
}

fn set(host: &Recorder, ms: u64) {
    host.now.store(NOW + ms, Relaxed);
    host.clock.store(NOW + ms, Relaxed);
}

#[tokio::test]
async fn each_time_is_told_once_and_back_only_after_that() {
    let rig = Rig::new().await;
    rig.come("m1").come("other").go("m1").go("other");
    rig.at(10 * MINUTE - 1).check(&[]).at(10 * MINUTE);
    let told = rig.told();
    let absent = json!({"v": 1, "name": "meters", "clientid": "m1", "state": "absent", "since": NOW, "after": 600,
        "reason": "keepalive_timeout", "last_heard": NOW, "event": 3});
    assert_eq!(told, [absent]);
    assert_eq!(rig.missing(), (1, 0));
    rig.at(24 * HOUR - 1).check(&[]).at(24 * HOUR);
    assert_eq!(rig.told()[0]["after"], 86_400);
    rig.at(48 * HOUR).check(&[]).come("m1");
    let told = rig.told();
    assert_eq!((&told[0]["state"], &told[0]["missed_since"], told.len()), (&json!("back"), &json!(NOW), 1));
    assert_eq!(rig.missing(), (0, 0));
    // Back in time, it was not missed.
    rig.go("m1").at(48 * HOUR + 10 * MINUTE - 1).come("m1").at(49 * HOUR - 1).check(&[]);
}

#[tokio::test]
async fn who_is_in_maintenance_is_missed_when_that_is_over() {
    let rig = Rig::new().await;
    rig.come("m1").go("m1").serve("m1", Some(NOW + HOUR));
    rig.at(10 * MINUTE).check(&[]).at(HOUR - 1).check(&[]).at(HOUR).check(&[("m1", "absent")]);
    // It is served while it is missed.
    rig.serve("m1", Some(NOW + 2 * HOUR)).at(HOUR + 1001).check(&[("m1", "maintenance")]);
    assert_eq!((rig.missing(), rig.alarm()), ((0, 0), None));
    rig.at(2 * HOUR - 1).check(&[]).at(2 * HOUR);
    let told = rig.told();
    assert_eq!((&told[0]["state"], &told[0]["since"], told.len()), (&json!("absent"), &json!(NOW), 1));
    // That is over before it was to be.
    rig.serve("m1", Some(NOW + 9 * HOUR)).at(2 * HOUR + 1001).check(&[("m1", "maintenance")]);
    rig.serve("m1", None).at(2 * HOUR + 2002).check(&[("m1", "absent")]);
    // It is back meanwhile, and silent only after that.
    rig.serve("m1", Some(NOW + 9 * HOUR)).at(2 * HOUR + 3003).check(&[("m1", "maintenance")]);
    rig.come("m1").check(&[]).says_nothing_for("m1", 2 * HOUR).at(9 * HOUR - 1).check(&[]);
    rig.at(9 * HOUR).check(&[("m1", "silent")]);
    rig.serve("m1", Some(u64::MAX)).at(9 * HOUR + 1001).check(&[("m1", "maintenance")]);
}

#[tokio::test]
async fn the_roster_says_by_which_rules_a_client_is_missed() {
    let rig = Rig::new().await;
    rig.serve("m1", None).serve("m2", None).serve("m3", Some(NOW + HOUR)).serve("other", None);
    for id in ["m1", "m2", "m3", "other"] {
        rig.come(id);
    }
    rig.go("m1").go("m3").go("other").at(10 * MINUTE).says_nothing_for("m2", HOUR).at(HOUR - 1).at(HOUR - 1);
    let ask = async |path: &str, query: &[(&str, &str)]| {
        let mut offers = rig.registry.routes().into_iter();
        let found = offers.find(|offer| offer.route.path == path && offer.route.method == Method::Get).unwrap();
        let answer = found.route.handler.handle(Request::asking(query)).await.unwrap();
        let Answer::List { rows, .. } = answer else { panic!("{answer:?}") };
        let rows: Vec<Value> = serde_json::from_str(rows.as_str()).unwrap();
        let short = |row: &Value| format!("{} {} {}", row["clientid"], row["state"], row["rules"]).replace('"', "");
        rows.iter().map(short).collect::<Vec<_>>()
    };
    // Its connection is what the host says, which knows nobody here.
    let all = ["m1 absent [meters]", "m2 offline null", "m3 maintenance null", "other offline null"];
    assert_eq!(ask("/presence/roster", &[]).await, all);
    assert_eq!(ask("/presence/roster", &[("state", "absent")]).await, all[..1]);
    assert_eq!(ask("/presence/missing", &[]).await, [all[0], all[1], all[3]]);
}

#[tokio::test]
async fn who_says_nothing_but_pings_is_silent_until_it_does() {
    let rig = Rig::new().await;
    rig.come("m1").says_nothing_for("m1", 20 * MINUTE).at(HOUR).check(&[]);
    rig.says_nothing_for("m1", HOUR - 1).at(HOUR + 40 * MINUTE).check(&[]);
    rig.says_nothing_for("m1", HOUR).at(HOUR + 40 * MINUTE + 1);
    let told = rig.told();
    assert_eq!((&told[0]["state"], &told[0]["after"], told.len()), (&json!("silent"), &json!(3600), 1));
    assert_eq!(told[0]["since"], NOW + 40 * MINUTE + 1);
    assert_eq!(rig.missing(), (0, 1));
    rig.says_nothing_for("m1", 2 * HOUR).at(3 * HOUR).check(&[]);
    rig.says_nothing_for("m1", 10).at(3 * HOUR + 1001).check(&[("m1", "heard")]).at(3 * HOUR + 1002).check(&[]);
    // It goes while it is silent, and that is over when it is back, or absent.
    rig.says_nothing_for("m1", HOUR)
        .at(5 * HOUR)
        .check(&[("m1", "silent")])
        .go("m1")
        .come("m1")
        .check(&[("m1", "heard")]);
    rig.says_nothing_for("m1", HOUR).at(7 * HOUR).check(&[("m1", "silent")]).go("m1");
    rig.at(7 * HOUR + 10 * MINUTE).check(&[("m1", "absent")]).come("m1").check(&[("m1", "back")]);
    assert_eq!(rig.missing(), (0, 0));
}

#[tokio::test]
async fn what_came_due_while_the_broker_was_down_is_told_once() {
    let rig = Rig::new().await;
    rig.come("m1").come("m2").go("m1").at(5 * MINUTE).go("m2").at(11 * MINUTE).check(&[("m1", "absent")]);
    let host = rig.host.clone();
    drop(rig);
    for (ms, told) in [
        (12 * MINUTE, vec![]),
        (20 * MINUTE, vec![("m2", "absent")]),
        (25 * HOUR, vec![("m1", "absent"), ("m2", "absent")]),
        (26 * HOUR, vec![]),
    ] {
        set(&host, ms);
        let rig = Rig::on(host.clone(), config()).await;
        let mut found = rig.told();
        found.sort_by_key(|value| value["clientid"].as_str().unwrap().to_owned());
        let found: Vec<_> =
            found.iter().map(|value| (value["clientid"].as_str().unwrap(), value["state"].as_str().unwrap())).collect();
        assert_eq!(found, told, "{ms}");
        if ms == 26 * HOUR {
            rig.come("m1").check(&[("m1", "back")]);
            assert_eq!(rig.missing(), (1, 0));
        }
    }
    // Its rule is gone, so nobody is missed by it.
    let rig = Rig::on(host, json!({"absence": [{"name": "meters", "match": "x*", "after": ["10m"]}]})).await;
    assert_eq!(rig.missing(), (0, 0));
    rig.come("m2").check(&[]);
}

#[tokio::test]
async fn a_rule_is_about_those_who_are_away_already_and_not_about_who_came_while_presence_was_stopped() {
    let host = Recorder::new();
    let rig = Rig::on(host.clone(), Value::Null).await;
    rig.come("m1").come("m2").go("m1").go("m2");
    drop(rig);
    set(&host, HOUR);
    host.quiet.lock().insert("m2".to_owned(), 0);
    let rig = Rig::on(host, config()).await;
    rig.check(&[("m1", "absent")]);
}

#[tokio::test]
async fn an_alarm_names_some_as_long_as_any_is_missed() {
    let rig = Rig::new().await;
    for id in ["m1", "m2", "m3", "m4", "m5"] {
        rig.come(id);
    }
    rig.go("m1").go("m2").go("m3").go("m4").at(10 * MINUTE);
    let message = rig.alarm().unwrap();
    assert!(message.starts_with("4 clients are absent and 0 silent"), "{message}");
    assert!(message.contains("m1 (absent for 10m, meters)") && message.ends_with(", ..."), "{message}");
    for id in ["m1", "m2", "m3", "m4"] {
        rig.come(id);
    }
    rig.at(11 * MINUTE);
    assert_eq!(rig.alarm(), None);
}

#[tokio::test]
async fn who_is_missed_is_listed_by_pages_also_while_presence_is_stopped() {
    let rig = Rig::new().await;
    for id in ["m1", "m2", "m3"] {
        rig.come(id);
    }
    rig.go("m1").go("m3").at(10 * MINUTE).says_nothing_for("m2", HOUR).at(HOUR);
    rig.registry.stop("presence").await.unwrap();
    let ask = async |query: &[(&str, &str)]| {
        let mut offers = rig.registry.routes().into_iter();
        let found = offers.find(|offer| offer.route.path == "/presence/absent").unwrap();
        let answer = found.route.handler.handle(Request::asking(query)).await.unwrap();
        let Answer::List { rows, position } = answer else { panic!("{answer:?}") };
        let rows: Vec<Value> = serde_json::from_str(rows.as_str()).unwrap();
        let short = |row: &Value| format!("{} {}", row["clientid"].as_str().unwrap(), row["state"].as_str().unwrap());
        (rows.iter().map(short).collect::<Vec<_>>(), position.next.filter(|_| position.has_next), rows)
    };
    let (all, _, rows) = ask(&[]).await;
    assert_eq!(all, ["m1 absent", "m2 silent", "m3 absent"]);
    let row = json!({"name": "meters", "clientid": "m1", "state": "absent", "since": NOW, "after": 600,
        "told_at": NOW + 10 * MINUTE, "username": "foo", "reason": "keepalive_timeout", "ipaddress": "127.0.0.1"});
    assert_eq!(rows[0], row);
    let (some, next, _) = ask(&[("_limit", "2"), ("name", "meters")]).await;
    assert_eq!(some, ["m1 absent", "m2 silent"]);
    assert_eq!(ask(&[("_limit", "2"), ("_after", &next.unwrap())]).await.0, ["m3 absent"]);
    assert_eq!(ask(&[("state", "absent"), ("_limit", "1")]).await.0, ["m1 absent"]);
    assert_eq!(ask(&[("state", "silent")]).await.0, ["m2 silent"]);
    assert!(ask(&[("name", "other")]).await.0.is_empty());
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_up_nothing() {
    let rig = Rig::new().await;
    rig.come("m1").go("m1");
    rig.host.now.store(NOW - HOUR, Relaxed);
    rig.host.clock.store(NOW + 10 * MINUTE, Relaxed);
    rig.host.run_tasks();
    rig.check(&[("m1", "absent")]);
}

#[test]
fn a_record_says_what_was_written() {
    let host = Recorder::new();
    let records = host.records_of("presence");
    let missing = Missing::default();
    let key = |name: &str, id: &str| Key { name: name.into(), client_id: id.into() };
    let missed = |what, after| Missed { what, after, since: 3, told_at: u64::MAX };
    let all = [
        (key("a", "x/y"), missed(What::Silent, 1)),
        (key("b", ""), missed(What::Absent, 2)),
        (key("b", "é"), missed(What::Absent, 3)),
    ];
    for (key, missed) in &all {
        missing.insert(key, *missed, &records, &mut host.moment());
    }
    let restored = Missing::default();
    restored.restore(&records).unwrap();
    assert_eq!(restored.list(None, None, 9), (all.to_vec(), false));
    assert_eq!(restored.list(None, Some(&all[0].0), 1), (all[1..2].to_vec(), true));
    assert_eq!(restored.list(Some("b"), None, 1), (all[1..2].to_vec(), true));
    assert_eq!(restored.list(Some("b"), Some(&all[1].0), 1), (all[2..].to_vec(), false));
    assert_eq!(restored.list(Some("a"), Some(&all[2].0), 1), (vec![], false));
    assert_eq!((restored.count(What::Absent), restored.count(What::Silent)), (2, 1));
    assert_eq!((restored.of("é"), restored.of("x")), (vec![("b".into(), What::Absent)], vec![]));
    restored.remove(&all[2].0, &records, &mut host.moment());
    assert_eq!(restored.of("é"), []);
}
