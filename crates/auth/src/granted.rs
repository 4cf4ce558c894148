//! Rules that come with a grant, as tokens and services say them.

use mqtt_hooks::{Action, ConnectionInfo, Reach, Rule, Rules, filter_for};
use serde::Deserialize;

use crate::acl::{self, Pattern, RuleText, Topics};

/// Filters and rules of one grant.
const MAX_RULES: usize = 1_000;

/// What a client may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Granted {
    /// As in `[[auth.rules]]`.
    Rules(Vec<RuleText>),
    /// As EMQX 5 has them.
    Permissions(Vec<Permission>),
    /// As tokens for EMQ X have them: beyond these nothing is allowed.
    Lists(Lists),
}

/// One rule of EMQX 5.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Permission {
    permission: Allowance,
    #[serde(default = "all")]
    action: acl::Action,
    topic: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Allowance {
    Allow,
    Deny,
}

const fn all() -> acl::Action {
    acl::Action::All
}

/// Filters by what they are for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lists {
    r#pub: Vec<String>,
    sub: Vec<String>,
    all: Vec<String>,
}

/// Why they can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// They are none.
    Rules,
    /// For what this client is called.
    Client,
}

impl Granted {
    /// Those of one client.
    pub(crate) fn rules(&self, client: &ConnectionInfo) -> Result<Rules, Wrong> {
        let rules = match self {
            Self::Rules(texts) => texts.iter().map(|text| of_text(text, client)).collect::<Result<Vec<_>, _>>()?,
            Self::Permissions(all) => all.iter().map(|one| one.rule(client)).collect::<Result<_, _>>()?,
            Self::Lists(Lists { r#pub, sub, all }) => {
                let lists = [(Action::Publish, r#pub), (Action::Subscribe, sub), (Action::All, all)];
                let allowed = lists.into_iter().map(|(action, texts)| allowed(action, texts, client));
                let rest = Rule { allow: false, action: Action::All, topics: vec![Reach::Everything] };
                allowed.chain([Ok(rest)]).collect::<Result<_, _>>()?
            }
        };
        if rules.iter().map(|rule| rule.topics.len()).sum::<usize>() > MAX_RULES {
            return Err(Wrong::Rules);
        }
        Ok(Rules::new(rules))
    }
}

impl Permission {
    fn rule(&self, client: &ConnectionInfo) -> Result<Rule, Wrong> {
        let text = ours(&self.topic);
        let pattern = text.strip_prefix("eq ").map_or_else(|| Pattern::new(&text), Pattern::exactly);
        let pattern = pattern.map_err(|_| Wrong::Rules)?;
        of_patterns(self.permission == Allowance::Allow, of_action(self.action), &[pattern], client)
    }
}

/// With our placeholders, where it has those of EMQX 5.
fn ours(text: &str) -> String {
    text.replace("${clientid}", "%c").replace("${username}", "%u")
}

/// A filter that a client can't have, for what it is called, is not allowed.
fn allowed(action: Action, texts: &[String], client: &ConnectionInfo) -> Result<Rule, Wrong> {
    let patterns = texts.iter().map(|text| Pattern::new(&ours(text))).collect::<Result<Vec<_>, _>>();
    of_patterns(true, action, &patterns.map_err(|_| Wrong::Rules)?, client)
}

fn of_text(text: &RuleText, client: &ConnectionInfo) -> Result<Rule, Wrong> {
    let rule = text.rule(String::new()).map_err(|_| Wrong::Rules)?;
    // It is about its client: whom else a rule is about makes no sense.
    if rule.who != acl::Who::All {
        return Err(Wrong::Rules);
    }
    let action = of_action(rule.action);
    match &rule.topics {
        Topics::All => Ok(Rule { allow: rule.allow, action, topics: vec![Reach::Everything] }),
        Topics::Any(patterns) => of_patterns(rule.allow, action, patterns, client),
    }
}

fn of_patterns(allow: bool, action: Action, patterns: &[Pattern], client: &ConnectionInfo) -> Result<Rule, Wrong> {
    let topics: Vec<_> = patterns.iter().filter_map(|pattern| reach(pattern, client)).collect();
    // What is forbidden with a placeholder that has no meaning would be allowed.
    if !allow && topics.len() < patterns.len() {
        return Err(Wrong::Client);
    }
    Ok(Rule { allow, action, topics })
}

const fn of_action(action: acl::Action) -> Action {
    match action {
        acl::Action::Publish => Action::Publish,
        acl::Action::Subscribe => Action::Subscribe,
        acl::Action::All => Action::All,
    }
}

fn reach(pattern: &Pattern, client: &ConnectionInfo) -> Option<Reach> {
    match pattern {
        Pattern::Matching(filter) => Some(Reach::Matching(filter.clone())),
        Pattern::Exactly(filter) => Some(Reach::Exactly(filter.clone())),
        Pattern::OfClient(text) => filter_for(client, text).map(Reach::Matching),
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Filter, Topic};
    use mqtt_hooks::testing::foo;
    use mqtt_hooks::{Access, Verdict};

    use super::*;

    #[test]
    fn rules_of_emqx_5_are_read() {
        let granted: Granted = serde_json::from_str(
            r#"[{"permission": "deny", "action": "publish", "topic": "own/${clientid}/x"},
                {"permission": "allow", "topic": "own/${clientid}/#"},
                {"permission": "allow", "action": "subscribe", "topic": "eq #"}]"#,
        )
        .unwrap();
        let rules = granted.rules(&ConnectionInfo { client_id: "foo".into(), ..foo() }).unwrap();
        let (topic, filter) = (|text: &str| Topic::new(text.to_owned()), |text: &str| Filter::new(text.to_owned()));
        let publish = |text| rules.decide(Access::Publish(&topic(text).unwrap()));
        let subscribe = |text| rules.decide(Access::Subscribe(&filter(text).unwrap()));
        assert_eq!([publish("own/foo/a"), subscribe("own/foo/x"), subscribe("#")], [Verdict::Allow; 3]);
        assert_eq!([publish("own/bar/a"), publish("other"), subscribe("+")], [Verdict::Ignore; 3]);
        assert!(matches!(publish("own/foo/x"), Verdict::Deny(_)));
        let odd = ConnectionInfo { client_id: "#".into(), ..foo() };
        assert_eq!(granted.rules(&odd), Err(Wrong::Client), "what is forbidden to it can't be said");
    }

    #[test]
    fn lists_have_the_placeholders_of_both() {
        for text in ["own/%c", "own/${clientid}"] {
            let granted: Granted = serde_json::from_value(serde_json::json!({ "pub": [text] })).unwrap();
            let rules = granted.rules(&ConnectionInfo { client_id: "foo".into(), ..foo() }).unwrap();
            let publish = |text: &str| rules.decide(Access::Publish(&Topic::new(text.to_owned()).unwrap()));
            assert_eq!(publish("own/foo"), Verdict::Allow, "{text}");
            assert!(matches!(publish("own/bar"), Verdict::Deny(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_not_passed_over() {
        for text in [
            r#"[{"permission": "no", "topic": "a"}]"#,
            r#"[{"permission": "allow"}]"#,
            r#"[{"permission": "allow", "topic": "a", "qos": [1]}]"#,
            r#"{"publish": ["a"]}"#,
        ] {
            assert!(serde_json::from_str::<Granted>(text).is_err(), "{text}");
        }
        for text in [r#"[{"permission": "allow", "topic": "a/#/b"}]"#, r#"{"all": ["a/#/b"]}"#] {
            assert_eq!(serde_json::from_str::<Granted>(text).unwrap().rules(&foo()), Err(Wrong::Rules), "{text}");
        }
    }
}
