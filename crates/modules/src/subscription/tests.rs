use mqtt_hooks::testing::{Recorder, foo};
use mqtt_hooks::{Hooks, Reading};
use serde_json::json;

use super::*;
use crate::{MemoryStates, Modules, Registry};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What each of these clients is subscribed to, with so much made and left out.
#[track_caller]
fn check(topics: Value, clients: &[ConnectionInfo], expected: &[&str], counts: [u64; 2]) {
    let (hooks, module) = (Hooks::new(), Arc::new(Subscription::default()));
    let registry = Registry::new(Recorder::new(), hooks.clone(), Arc::new(MemoryStates::default()));
    registry.register(module.clone(), json!({"topics": topics}));
    block_on(registry.start("emqx_mod_subscription")).unwrap();
    let made = clients.iter().flat_map(|client| hooks.subscriptions_on_entry(client)).map(|wish| {
        let SubscribeOptions { qos, no_local, retain_as_published, retain_handling } = wish.options;
        let [nl, rap] = [no_local, retain_as_published].map(u8::from);
        format!("{} {}{nl}{rap}{}", wish.filter.as_str(), qos as u8, retain_handling as u8)
    });
    assert_eq!(made.collect::<Vec<_>>(), expected);
    let numbers = module.numbers().into_iter().map(|number| number.value);
    assert_eq!(numbers.collect::<Vec<_>>(), counts.map(Reading::Counter));
    block_on(registry.stop("subscription")).unwrap();
    assert!(hooks.subscriptions_on_entry(&foo()).is_empty());
}

fn client(client_id: &str, username: Option<&str>, version: Version) -> ConnectionInfo {
    ConnectionInfo { client_id: client_id.into(), username: username.map(Into::into), version, ..foo() }
}

#[test]
fn names_stand_in_filters_and_options_are_for_version_5() {
    let topics = json!([
        {"topic": "to/%c/#", "qos": 1, "nl": 1, "rap": 1, "rh": 2},
        {"topic": "%u/news", "qos": 2, "rh": 1},
        {"topic": "$share/g/all"},
    ]);
    let clients = [client("c", Some("u"), Version::V5), client("d", None, Version::V3_1_1)];
    let expected = ["to/c/# 1112", "u/news 2001", "$share/g/all 0000", "to/d/# 1000", "$share/g/all 0000"];
    check(topics, &clients, &expected, [5, 1]);
}

#[test]
fn nobody_gets_more_by_what_it_is_called() {
    let topics = json!([{"topic": "to/%c"}, {"topic": "%u/%c"}]);
    let clients = ["#", "+", "a/b", "$SYS"].map(|name| client(name, Some(name), Version::V5));
    check(topics, &clients, &[], [0, 8]);
}

#[test]
fn without_subscriptions_nobody_is_looked_at() {
    check(json!([]), &[client("c", None, Version::V5)], &[], [0, 0]);
}

#[test]
fn what_is_wrong_is_said_before_it_is_kept() {
    for (topic, why) in [
        (json!({}), "topic: it is empty"),
        (json!({"topic": "a/#/%c"}), "topic: `+` or `#` stands where no wildcard may"),
        (json!({"topic": "a%c#"}), "topic: `+` or `#` stands where no wildcard may"),
        (
            json!({"topic": "$share/g/a", "nl": 1}),
            "nl: a shared subscription can't be without what its client publishes",
        ),
        (json!({"topic": "a", "qos": 3}), "qos: 3 is not from 0 to 2"),
    ] {
        let wrong = Subscription::default().check(&json!({"topics": [{"topic": "a"}, topic]})).unwrap_err();
        assert_eq!(wrong.to_string(), format!("topics, entry 2: {why}"));
    }
}
