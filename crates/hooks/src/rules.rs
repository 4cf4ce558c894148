//! What a client may do, in plain lines that a broker reads itself.

use std::sync::Arc;

use mqtt_codec::{Filter, ReasonCode, Topic};

use crate::{Access, ConnectionInfo, Verdict};

/// What a client may do: the first rule that is about what it wants decides. If none is, whoever
/// [authorizes](crate::Authorize) is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Option<Arc<[Rule]>>);

/// Allows something, or forbids it.
///
/// A subscription is more than one topic, so the two differ in what they are about. One that allows is about a filter that it
/// *covers*: it matches whatever the filter matches. One that forbids is about each filter that it *overlaps*, be it in a
/// single topic. So no subscription that was allowed brings what a rule before it forbids, and who wants to read `a/#`
/// without `a/secret` asks for less than `a/#`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Or forbids.
    pub allow: bool,
    /// To do what.
    pub action: Action,
    /// With any of these.
    pub topics: Vec<Reach>,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// PUBLISH, and the will.
    Publish,
    /// SUBSCRIBE.
    Subscribe,
    /// Both.
    All,
}

/// Which topics and filters a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The topics that it matches, and filters as [`Rule`] says.
    Matching(Filter),
    /// All topics, also those that begin with `$`, and so no filter is more than it.
    Everything,
    /// This text and no other, the wildcards in it taken as they stand: who may not subscribe with `#` may with `a/#`.
    Exactly(Filter),
}

impl Rules {
    /// In the order in which they are read.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self((!rules.is_empty()).then(|| rules.into()))
    }

    /// True if there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a client may do this. [`Verdict::Ignore`]: no rule is about it.
    pub fn decide(&self, access: Access<'_>) -> Verdict {
        match self.0.iter().flat_map(|rules| rules.iter()).find(|rule| rule.is_about(access)) {
            Some(rule) if rule.allow => Verdict::Allow,
            Some(_) => Verdict::Deny(ReasonCode::NotAuthorized),
            None => Verdict::Ignore,
        }
    }
}

impl Rule {
    fn is_about(&self, access: Access<'_>) -> bool {
        match access {
            Access::Publish(topic) => {
                self.action != Action::Subscribe && self.topics.iter().any(|reach| reach.has_topic(topic))
            }
            Access::Subscribe(filter) => {
                self.action != Action::Publish && self.topics.iter().any(|reach| reach.has_filter(filter, self.allow))
            }
        }
    }
}

impl Reach {
    fn has_topic(&self, topic: &Topic) -> bool {
        match self {
            Self::Everything => true,
            Self::Matching(ours) => ours.matches(topic),
            Self::Exactly(ours) => ours.pattern() == topic.as_str(),
        }
    }

    fn has_filter(&self, filter: &Filter, allow: bool) -> bool {
        match self {
            Self::Everything => true,
            Self::Matching(ours) if allow => ours.covers(filter),
            Self::Matching(ours) => ours.overlaps(filter),
            Self::Exactly(ours) => ours.pattern() == filter.pattern(),
        }
    }
}

/// A filter for one client: `pattern` with its client id for each `%c`, and its user name for each `%u`.
///
/// `None`: there is no such filter, or what would be put in does not stand for one level: it is empty or not there, has
/// a `/`, `+` or `#`, or begins with `$`. Clients choose their ids, and a client called `#` is not to get what all others have. A
/// rule that allows can do without such a filter; where one forbids, the client had better not be let in.
pub fn filter_for(client: &ConnectionInfo, pattern: &str) -> Option<Filter> {
    let mut text = String::new();
    let mut rest = pattern;
    // In one go: what is put in is not looked through again.
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let level = match after.as_bytes().first() {
            Some(b'c') => &client.client_id,
            Some(b'u') => client.username.as_ref()?,
            _ => {
                text.push('%');
                rest = after;
                continue;
            }
        };
        if level.is_empty() || level.starts_with('$') || level.contains(['/', '+', '#']) {
            return None;
        }
        text.push_str(level);
        rest = &after[1..];
    }
    text.push_str(rest);
    Filter::new(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::foo;

    fn filter(text: &str) -> Filter {
        Filter::new(text.to_owned()).unwrap()
    }

    fn topic(text: &str) -> Topic {
        Topic::new(text.to_owned()).unwrap()
    }

    fn rule(allow: bool, action: Action, texts: &[&str]) -> Rule {
        Rule { allow, action, topics: texts.iter().map(|text| Reach::Matching(filter(text))).collect() }
    }

    const DENY: Verdict = Verdict::Deny(ReasonCode::NotAuthorized);

    #[test]
    fn the_first_rule_that_is_about_it_decides() {
        let rules = Rules::new(vec![
            rule(false, Action::Publish, &["a/secret"]),
            rule(true, Action::All, &["b", "a/#"]),
            rule(false, Action::All, &["a/b", "c"]),
        ]);
        let publish = |text| rules.decide(Access::Publish(&topic(text)));
        let subscribe = |text| rules.decide(Access::Subscribe(&filter(text)));
        assert_eq!([publish("a/secret"), subscribe("a/secret")], [DENY, Verdict::Allow]);
        assert_eq!([publish("a/b"), publish("c"), publish("d")], [Verdict::Allow, DENY, Verdict::Ignore]);
        assert_eq!(Rules::default().decide(Access::Publish(&topic("a"))), Verdict::Ignore);
    }

    #[test]
    fn a_subscription_is_allowed_as_a_whole_and_forbidden_for_a_part() {
        let rules = Rules::new(vec![
            rule(false, Action::Subscribe, &["a/secret"]),
            rule(true, Action::Subscribe, &["a/+", "b"]),
        ]);
        for (text, verdict) in [
            ("a/b", Verdict::Allow),
            ("$share/g/a/b", Verdict::Allow),
            ("a/+", DENY),
            ("#", DENY),
            ("$share/g/a/secret", DENY),
            ("b/#", Verdict::Ignore),
            ("b/+", Verdict::Ignore),
        ] {
            assert_eq!(rules.decide(Access::Subscribe(&filter(text))), verdict, "{text}");
        }
    }

    #[test]
    fn an_exact_text_is_no_pattern() {
        let topics = vec![Reach::Exactly(filter("#")), Reach::Exactly(filter("a"))];
        let rules = Rules::new(vec![Rule { allow: false, action: Action::All, topics }]);
        for (text, verdict) in [("#", DENY), ("$share/g/#", DENY), ("a/#", Verdict::Ignore), ("+", Verdict::Ignore)] {
            assert_eq!(rules.decide(Access::Subscribe(&filter(text))), verdict, "{text}");
        }
        assert_eq!(rules.decide(Access::Publish(&topic("a"))), DENY);
        assert_eq!(rules.decide(Access::Publish(&topic("b"))), Verdict::Ignore);
    }

    /// Whatever the rules are, what comes by a subscription is what could have been asked for topic by topic.
    #[test]
    fn no_subscription_brings_what_is_forbidden() {
        let texts = ["#", "a", "a/#", "a/+", "a/b", "+", "+/b", "+/+", "/#"];
        let one = |text: &str| [true, false].map(|allow| rule(allow, Action::All, &[text]));
        let lines: Vec<_> = texts.iter().flat_map(|text| one(text)).collect();
        let topics = ["a", "c", "a/b", "a/c", "c/b", "c/c", "a/b/c", "/b"].map(topic);
        let mut allowed = 0;
        for first in &lines {
            for second in &lines {
                let rules = Rules::new(vec![first.clone(), second.clone()]);
                for filter in texts.map(filter) {
                    let verdict = rules.decide(Access::Subscribe(&filter));
                    allowed += usize::from(verdict == Verdict::Allow);
                    for topic in topics.iter().filter(|topic| filter.matches(topic)) {
                        let of_topic = rules.decide(Access::Publish(topic));
                        match verdict {
                            Verdict::Allow => assert_eq!(of_topic, Verdict::Allow, "{rules:?} {filter} {topic}"),
                            Verdict::Ignore => assert_ne!(of_topic, DENY, "{rules:?} {filter} {topic}"),
                            Verdict::Deny(_) => {}
                        }
                    }
                }
            }
        }
        assert!(allowed > 0);
    }

    #[track_caller]
    fn check_filter(client_id: &str, username: Option<&str>, pattern: &str, expected: Option<&str>) {
        let client =
            ConnectionInfo { client_id: client_id.into(), username: username.map(std::convert::Into::into), ..foo() };
        assert_eq!(filter_for(&client, pattern), expected.map(filter), "{client_id} {pattern}");
    }

    #[test]
    fn a_client_gets_filters_of_its_own() {
        check_filter("c", Some("u"), "a/%c/%u/x-%c/#", Some("a/c/u/x-c/#"));
        check_filter("c", None, "50%/%", Some("50%/%"));
        check_filter("c", None, "%u", None);
        check_filter("%u", Some("other"), "%c", Some("%u"));
        for id in ["#", "+", "a/b", "", "$share", "$SYS"] {
            check_filter(id, None, "%c/g/#", None);
            check_filter("c", Some(id), "%u/g/#", None);
        }
        check_filter("c", None, "a#", None);
    }
}
