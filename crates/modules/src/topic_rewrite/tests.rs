use mqtt_codec::{Message, Properties, Qos, Topic};
use mqtt_hooks::testing::{Recorder, foo};
use mqtt_hooks::{Hooks, Publisher, Reading};
use serde_json::json;

use super::*;
use crate::{MemoryStates, Modules, Registry};

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
    module: Arc<TopicRewrite>,
}

impl Rig {
    fn new(rules: &[[&str; 4]]) -> Self {
        let (host, hooks, module) = (Recorder::new(), Hooks::new(), Arc::new(TopicRewrite::default()));
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(module.clone(), settings(rules));
        let rig = Self { host, hooks, registry, module };
        block_on(rig.registry.start("emqx_mod_rewrite")).unwrap();
        rig
    }

    fn published(&self, topic: &str) -> String {
        let (client, mut expires_at) = (foo(), None);
        let topic = Topic::new(topic.to_owned()).unwrap();
        let properties = Properties::EMPTY;
        let mut message = Message { topic, payload: "x".into(), qos: Qos::AtMostOnce, retain: false, properties };
        let publisher = Publisher::Client(&client);
        let mut incoming = Incoming { publisher, message: &mut message, expires_at: &mut expires_at };
        assert_eq!(self.hooks.intercept(&mut incoming, &mut self.host.moment()), Passage::Pass);
        message.topic.as_str().to_owned()
    }

    fn subscribed(&self, text: &str) -> String {
        let mut filter = Filter::new(text.to_owned()).unwrap();
        let mut given_up = filter.clone();
        self.hooks.intercept_subscribe(&foo(), &mut filter, &mut SubscribeOptions::default());
        self.hooks.intercept_unsubscribe(&foo(), &mut given_up);
        assert_eq!(filter, given_up, "what was subscribed with can be given up");
        filter.as_str().to_owned()
    }

    #[track_caller]
    fn check(&self, topic: &str, published: &str, subscribed: &str) {
        assert_eq!((&*self.published(topic), &*self.subscribed(topic)), (published, subscribed), "{topic}");
    }

    fn counts(&self) -> Vec<u64> {
        let numbers = self.module.numbers().into_iter();
        numbers.map(|number| if let Reading::Counter(count) = number.value { count } else { u64::MAX }).collect()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn settings(rules: &[[&str; 4]]) -> Value {
    let rule = |[action, source_topic, re, dest_topic]: &[&str; 4]| json!({"action": action, "source_topic": source_topic, "re": re, "dest_topic": dest_topic});
    json!({"rule": rules.iter().map(rule).collect::<Vec<_>>()})
}

/// Those of EMQ X's manual.
#[test]
fn topics_become_others_by_the_first_rule_that_is_about_them() {
    let rig = Rig::new(&[
        ["all", "y/+/z/#", "^y/(.+)/z/(.+)$", "y/z/$2"],
        ["all", "x/#", "^x/y/(.+)$", "z/y/$1"],
        ["all", "x/y/+", r"^x/y/(\d+)$", "z/y/$1"],
    ]);
    for (from, to) in [
        ("y/a/z/b", "y/z/b"),
        ("y/def", "y/def"),
        ("x/1/2", "x/1/2"),
        ("x/y/2", "z/y/2"),
        ("x/y/z", "z/y/z"),
        ("x", "x"),
        ("other/x/y/2", "other/x/y/2"),
    ] {
        rig.check(from, to, to);
    }
    assert_eq!(rig.counts(), [3, 3, 0]);
}

/// The broker has looked at the topic as it was sent.
#[test]
fn a_topic_does_not_get_more_levels_than_topics_may_have() {
    let rig = Rig::new(&[["pub", "x/#", "^x/(.+)$", "$1/$1"]]);
    let [half, more] = ["1/".repeat(63), "1/".repeat(64)].map(|levels| format!("x/{levels}1"));
    assert_eq!(rig.published(&half), format!("{0}/{0}", &half[2..]));
    assert_eq!(rig.published(&more), more);
    assert_eq!(rig.counts(), [1, 0, 1]);
}

#[test]
fn a_rule_is_for_messages_or_subscriptions_or_both() {
    let rig = Rig::new(&[["pub", "a", "^a$", "p"], ["sub", "a", "^a$", "s"], ["all", "b", "^b$", "c"]]);
    rig.check("a", "p", "s");
    rig.check("b", "c", "c");
}

#[test]
fn filters_keep_their_group_and_their_wildcards() {
    let rig = Rig::new(&[["sub", "x/#", "^x/(.+)$", "z/$1"]]);
    for (from, to) in [
        ("x/+/a", "z/+/a"),
        ("x/#", "z/#"),
        ("$share/g/x/1", "$share/g/z/1"),
        ("$queue/x/1", "$queue/z/1"),
        ("$share/x/y/1", "$share/x/y/1"),
        ("+/1", "+/1"),
        ("#", "#"),
    ] {
        assert_eq!(rig.subscribed(from), to);
    }
}

#[test]
fn what_would_be_no_topic_stays_as_it_was() {
    let rig = Rig::new(&[
        ["all", "in/#", "^in/(.*)$", "$1"],
        ["all", "long/#", "^long/(.*)$", "$1$1"],
        ["pub", "plus/#", "^plus/(.*)$", "$1"],
    ]);
    let long = format!("long/{}", "x".repeat(40_000));
    for topic in ["in/", "in/$SYS/brokers", "in/$SYS", &long] {
        rig.check(topic, topic, topic);
    }
    assert_eq!(rig.subscribed("in/$share/g/a"), "in/$share/g/a");
    assert_eq!(rig.published("in/$SYST/a"), "$SYST/a");
    // Each was looked at when it was given up, too.
    assert_eq!(rig.counts(), [1, 0, 14]);
}

#[test]
fn what_is_below_sys_is_never_looked_at() {
    let rig = Rig::new(&[["all", "#", "^(.*)$", "a/$1"], ["all", "+/x", "^(.*)$", "b/$1"]]);
    for topic in ["$SYS/x", "$SYS/brokers/n/clients/c/connected", "$delayed/x"] {
        rig.check(topic, topic, topic);
    }
    rig.check("x", "a/x", "a/x");
}

#[test]
fn without_rules_no_message_is_looked_at() {
    let rig = Rig::new(&[]);
    assert!(!rig.hooks.has_interceptors());
    block_on(rig.registry.configure("topic_rewrite", settings(&[["all", "a", "^a$", "b"]]))).unwrap();
    rig.check("a", "b", "b");
    block_on(rig.registry.stop("topic_rewrite")).unwrap();
    rig.check("a", "a", "a");
}

#[test]
fn what_is_wrong_with_a_rule_is_said_before_it_is_kept() {
    for (rule, why) in [
        (["all", "", "a", "b"], "source_topic: it is empty"),
        (["all", "a/#/b", "a", "b"], "source_topic: `+` or `#` stands where no wildcard may"),
        (["all", "$share/g/a", "a", "b"], "source_topic: the group of a shared subscription is no part of it"),
        (["all", "$SYS/#", "a", "b"], "source_topic: $SYS is the broker's own"),
        (["all", "a", "(a", "b"], "re: error: unclosed group"),
        (["all", "a", r"(a)\1", "b"], "re: error: backreferences are not supported"),
        (["all", "a", "(a{1000}){1000}", "b"], "re: Compiled regex exceeds size limit of 1048576 bytes."),
        (["all", "a", "(a)", "b/$2"], "dest_topic: $2 stands for no group of re, which has 1"),
        (["all", "a", "a", ""], "dest_topic: \"\" makes no topic that a client may have"),
        (["all", "a", "a", "b/+"], "dest_topic: \"b/+\" makes no topic that a client may have"),
        (["sub", "a", "a", "b+"], "dest_topic: \"b+\" makes no topic that a client may have"),
        (["pub", "a", "(a)", "$SYS/$1"], "dest_topic: \"$SYS/$1\" makes no topic that a client may have"),
    ] {
        let wrong = TopicRewrite::default().check(&settings(&[["sub", "a", "a", "b/+"], rule]));
        assert_eq!(wrong.unwrap_err().to_string(), format!("rule, entry 2: {why}"), "{rule:?}");
    }
}
