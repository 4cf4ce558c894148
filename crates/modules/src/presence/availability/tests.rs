use std::collections::BTreeMap;

use mqtt_hooks::Hooks;
use mqtt_hooks::testing::{Recorder, came, foo, went};
use serde_json::{Value, json};

use super::*;
use crate::presence::Presence;
use crate::{ChangeError, MemoryStates, Modules, Registry};

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
}

impl Rig {
    async fn try_new(settings: Value) -> Result<Self, ChangeError> {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(Arc::new(Presence::new(History::new())), settings);
        registry.start("presence").await?;
        // What it was of the connections of foo's.
        host.epoch.store(3, Ordering::Relaxed);
        registry.restart("presence").await?;
        Ok(Self { host, hooks, registry })
    }

    async fn new(rules: Value) -> Self {
        Self::try_new(json!({ "availability": rules })).await.unwrap()
    }

    /// What is told on topics of rules.
    fn told(&self) -> Vec<(String, String)> {
        self.host.take().iter().filter(|message| !message.topic.as_str().starts_with('$')).map(short).collect()
    }

    fn come(&self, client_id: &str) -> Vec<(String, String)> {
        let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
        self.hooks.observe(&came(&client, 1), &mut self.host.moment());
        self.told()
    }

    fn go(&self, client_id: &str, reason: Reason) -> Vec<(String, String)> {
        let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
        self.hooks.observe(&went(&client, reason, 2), &mut self.host.moment());
        self.told()
    }

    /// What a subscriber is sent, in order of topics.
    fn sent(&self, filter: &str, since: u64) -> BTreeMap<String, String> {
        let filter = Filter::new(filter.to_owned()).unwrap();
        let Some(states) = self.hooks.states_about(&filter) else { return BTreeMap::new() };
        let (mut walk, mut names) = (Walk { since, ..Walk::default() }, Vec::new());
        while states.find(&filter, &mut walk, &mut names) {}
        assert_eq!(states.done(&walk), None);
        let sent: Vec<_> = names.iter().map(|name| short(&states.state(name).unwrap())).collect();
        let by_topic: BTreeMap<_, _> = sent.iter().cloned().collect();
        assert_eq!(by_topic.len(), sent.len(), "each once: {sent:?}");
        by_topic
    }

    fn is_reserved(&self, topic: &str) -> bool {
        self.hooks.is_reserved(&Topic::new(topic.to_owned()).unwrap())
    }
}

fn short(message: &Message) -> (String, String) {
    assert_eq!((message.qos, message.retain), (Qos::AtLeastOnce, true));
    (message.topic.to_string(), String::from_utf8(message.payload.to_vec()).unwrap())
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(topic, text)| (topic.to_string(), text.to_string())).collect()
}

#[tokio::test]
async fn who_comes_is_online_and_who_goes_is_not() {
    let rule = json!({"topic": "d/${clientid}/a", "match": "dev-*"});
    let z2m = json!({"topic": "z2m/bridge/state", "match": "z2m", "online": "{\"state\":\"online\"}", "offline": "no"});
    let rig = Rig::new(json!([rule, z2m])).await;
    assert_eq!(rig.come("dev-1"), pairs(&[("d/dev-1/a", "online")]));
    assert_eq!(rig.come("other"), []);
    assert_eq!(rig.come("z2m"), pairs(&[("z2m/bridge/state", "{\"state\":\"online\"}")]));
    assert_eq!(rig.come("dev-2"), pairs(&[("d/dev-2/a", "online")]));
    assert_eq!(rig.go("dev-2", Reason::Kicked), pairs(&[("d/dev-2/a", "offline")]));
    assert_eq!(rig.go("z2m", Reason::NodeDown), pairs(&[("z2m/bridge/state", "no")]));
    let all = [("d/dev-1/a", "online"), ("d/dev-2/a", "offline"), ("z2m/bridge/state", "no")];
    for (filter, expected) in [
        ("#", &all[..]),
        ("d/+/a", &all[..2]),
        ("d/dev-1/a", &all[..1]),
        ("d/dev-2/#", &all[1..2]),
        ("+/bridge/+", &all[2..]),
        ("d/other/a", &[]),
        ("d/dev-3/a", &[]),
        ("$SYS/#", &[]),
    ] {
        assert_eq!(rig.sent(filter, 0), pairs(expected).into_iter().collect(), "{filter}");
    }
}

#[tokio::test]
async fn a_takeover_is_no_offline() {
    let rig = Rig::new(json!([{"topic": "d/${clientid}"}])).await;
    assert_eq!(rig.come("a").len(), 1);
    for reason in [Reason::TakenOver, Reason::Discarded] {
        assert_eq!(rig.go("a", reason), []);
        // In between somebody subscribes.
        assert_eq!(rig.sent("d/a", 0)["d/a"], "online");
        assert_eq!(rig.come("a"), []);
    }
    assert_eq!(rig.go("a", Reason::KeepAliveTimeout), pairs(&[("d/a", "offline")]));
    assert_eq!(rig.come("a"), pairs(&[("d/a", "online")]));
    // The process ends in the middle of it.
    rig.go("a", Reason::TakenOver);
    rig.host.epoch.store(4, Ordering::Relaxed);
    rig.registry.restart("presence").await.unwrap();
    assert_eq!(rig.sent("d/a", 0)["d/a"], "offline");
    assert_eq!(rig.come("a"), pairs(&[("d/a", "online")]));
}

#[tokio::test]
async fn who_misses_a_change_is_sent_what_has_become_of_it() {
    let rig = Rig::new(json!([{"topic": "d/${clientid}"}])).await;
    rig.come("a");
    rig.come("b");
    rig.go("b", Reason::Kicked);
    let topics = |filter, since| rig.sent(filter, since).into_keys().collect::<Vec<_>>();
    // Events 1, 2 and 3.
    for (since, expected) in [(0, &["d/a", "d/b"][..]), (1, &["d/b"]), (2, &["d/b"]), (3, &[])] {
        assert_eq!(topics("#", since), expected);
        assert_eq!(topics("d/b", since), expected.iter().filter(|topic| **topic == "d/b").copied().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_topic_has_one_owner_and_nobody_else_speaks_there() {
    let rules = json!([{"topic": "d/x-${clientid}", "match": "?"}, {"topic": "d/${clientid}"}]);
    let rig = Rig::new(rules).await;
    // By the first rule it is the topic of `a`, whether or not that has ever come.
    assert_eq!(rig.come("x-a"), []);
    assert_eq!(rig.come("a"), pairs(&[("d/x-a", "online"), ("d/a", "online")]));
    assert_eq!(rig.go("x-a", Reason::Kicked), []);
    assert_eq!(rig.sent("d/+", 0).into_iter().collect::<Vec<_>>(), pairs(&[("d/a", "online"), ("d/x-a", "online")]));
    for (topic, expected) in [("d/x-a", true), ("d/anybody", true), ("d/a/b", false), ("d", false), ("e/a", false)] {
        assert_eq!(rig.is_reserved(topic), expected, "{topic}");
    }
    rig.registry.stop("presence").await.unwrap();
    assert!(!rig.is_reserved("d/anybody"));
}

#[tokio::test]
async fn who_can_have_no_topic_is_counted() {
    let rig = Rig::new(json!([{"topic": "${clientid}/a", "match": "*"}, {"topic": "none", "match": "none"}])).await;
    for client_id in ["a/b", "+", "a#", "$SYS", "$x"] {
        assert_eq!(rig.come(client_id), [], "{client_id}");
    }
    assert_eq!(rig.come(&"x".repeat(65_535)), []);
    assert_eq!(rig.sent("#", 0), BTreeMap::new());
    let numbers = rig.registry.numbers().remove(0).numbers;
    let skipped = numbers.iter().find(|number| number.key() == "availability.skipped").unwrap();
    assert!(matches!(skipped.value, mqtt_hooks::Reading::Counter(6)), "{skipped:?}");
}

#[tokio::test]
async fn a_wrong_rule_is_named_with_its_place() {
    for (settings, why) in [
        (
            json!({"availability": [{"topic": "a/${clientid}"}, {"topic": "a"}]}),
            "availability, entry 2: topic: wants ${clientid}",
        ),
        (json!({"availability": [{"topc": "a"}]}), "availability, entry 1: unknown field `topc`"),
        (json!({"availability": [{"topic": 1}]}), "availability, entry 1: invalid type"),
        (
            json!({"known": 0, "availability": [{"topic": "a/${clientid}"}]}),
            "availability: wants modules.presence.known",
        ),
    ] {
        let error = Rig::try_new(settings).await.err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn without_rules_nobody_is_asked() {
    let rig = Rig::new(json!([])).await;
    assert!(!rig.hooks.has_reserved() && rig.come("a").is_empty() && rig.sent("#", 0).is_empty());
}
