use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt_hooks::testing::{NOW, Recorder, came, foo, went};
use mqtt_hooks::{Hooks, Reason};
use serde_json::{Value, json};

use super::*;
use crate::presence::Presence;
use crate::{MemoryStates, Modules, Registry};

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    _registry: Registry,
}

impl Rig {
    async fn new() -> Self {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        host.named.store(true, std::sync::atomic::Ordering::Relaxed);
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(Arc::new(Presence::new(History::new())), Value::Null);
        registry.start("presence").await.unwrap();
        Self { host, hooks, _registry: registry }
    }

    fn come(&self, client_id: &str, seq: u64) {
        let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
        self.hooks.observe(&came(&client, seq), &mut self.host.moment());
    }

    fn go(&self, client_id: &str, seq: u64) {
        let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
        self.hooks.observe(&went(&client, Reason::TakenOver, seq), &mut self.host.moment());
    }

    /// All that a filter is about, in one walk.
    fn walk(&self, text: &str, since: u64) -> (Vec<Message>, Value) {
        let filter = Filter::new(text.to_owned()).unwrap();
        let states = self.hooks.states_about(&filter).expect("it is about states");
        let (mut walk, mut names) = (Walk { since, ..Walk::default() }, Vec::new());
        while states.find(&filter, &mut walk, &mut names) {}
        let told: Vec<_> = names.iter().map(|name| states.state(name).unwrap()).collect();
        walk.sent = told.len() as u64;
        (told, parse(&states.done(&walk).unwrap()))
    }
}

fn parse(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

#[tokio::test]
async fn what_is_made_for_a_subscriber_is_what_was_published_last() {
    let rig = Rig::new().await;
    rig.come("a", 1);
    rig.come("b/+", 1);
    rig.go("b/+", 2);
    let published = rig.host.take();
    let states: Vec<_> = published.iter().filter(|message| message.topic.as_str().ends_with("/state")).collect();
    let texts: Vec<_> = states.iter().map(|message| std::str::from_utf8(&message.payload).unwrap()).collect();
    let online = format!(
        r#"{{"v":1,"clientid":"a","state":"online","since":{NOW},"seq":1,"event":1,"epoch":3,"conn_id":41,"reason":null,"last_heard":null}}"#
    );
    let offline = format!(
        r#"{{"v":1,"clientid":"b/+","state":"offline","since":{NOW},"seq":2,"event":3,"epoch":3,"conn_id":41,"reason":"takeovered","last_heard":{NOW}}}"#
    );
    assert_eq!((texts[0], texts[2]), (&*online, &*offline));
    // The event comes first.
    assert_eq!(published[1].topic.as_str(), "$SYS/brokers/rollcall@127.0.0.1/clients/a/state");
    for (filter, expected) in [
        ("$SYS/brokers/+/clients/a/state", vec![states[0]]),
        ("$SYS/brokers/rollcall@127.0.0.1/clients/a/state", vec![states[0]]),
        ("$SYS/brokers/rollcall@127.0.0.1/clients/b/%2B/state", vec![states[2]]),
        ("$SYS/brokers/rollcall@127.0.0.1/clients/c/state", vec![]),
        ("$SYS/brokers/+/clients/+/+/state", vec![states[2]]),
    ] {
        let (told, done) = rig.walk(filter, 0);
        assert_eq!(told.iter().collect::<Vec<_>>(), expected, "{filter}");
        assert_eq!(done, json!({"count": expected.len(), "event": 3}), "{filter}");
    }
    let filter = Filter::new("$SYS/brokers/+/clients/#").unwrap();
    assert!(rig.hooks.states_about(&filter).is_none());
}

#[tokio::test]
async fn a_walk_finds_all_or_those_that_have_changed_since() {
    let rig = Rig::new().await;
    (0..1_000).for_each(|n| rig.come(&format!("c{n}"), 1));
    (0..100).for_each(|n| rig.go(&format!("c{n}"), 2));
    let ids = |told: &[Message]| {
        told.iter().map(|message| parse(message)["clientid"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let (all, done) = rig.walk("$SYS/brokers/+/clients/+/state", 0);
    assert_eq!((all.len(), ids(&all).len(), &done["event"]), (1_000, 1_000, &json!(1_100)));
    assert_eq!(all.iter().filter(|message| parse(message)["state"] == "offline").count(), 100);
    let (changed, _) = rig.walk("$SYS/brokers/+/clients/+/state", 1_050);
    assert_eq!(ids(&changed), (50..100).map(|n| format!("c{n}")).collect());
    assert!(rig.walk("$SYS/brokers/rollcall@127.0.0.1/clients/c1/state", 1_050).0.is_empty());
    assert_eq!(rig.walk("$SYS/brokers/rollcall@127.0.0.1/clients/c60/state", 1_050).0.len(), 1);
}
