//! A rule as the configuration and the REST API have it.

use mqtt_hooks::Tag;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, Pattern, Rule, Topics, Who};

/// `{ allow = false, who = { user = "alice" }, action = "publish", topics = ["a/#"] }`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleText {
    allow: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<WhoText>,
    #[serde(default = "all")]
    action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topics: Option<Vec<String>>,
}

/// All that is said must be so; of each list one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct WhoText {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clientid: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<OneOrMore>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

const fn all() -> Action {
    Action::All
}

impl RuleText {
    /// The rule that stands there; a text says what is wrong with it.
    pub(crate) fn rule(&self, origin: String) -> Result<Rule, String> {
        let who = self.who.as_ref().map_or(Ok(Who::All), WhoText::who)?;
        let topics = match &self.topics {
            None => Topics::All,
            Some(texts) if texts.is_empty() => {
                return Err("topics: an empty list; leave it out for all topics".to_owned());
            }
            Some(texts) => Topics::Any(texts.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?),
        };
        Ok(Rule { allow: self.allow, who, action: self.action, topics, origin })
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let pattern = text.strip_prefix("eq ").map_or_else(|| Pattern::new(text), Pattern::exactly);
    pattern.map_err(|error| format!("topics: {error}"))
}

impl WhoText {
    fn who(&self) -> Result<Who, String> {
        let network = |text: &str| text.parse().map(Who::Address).map_err(|error| format!("who.address: {error}"));
        let tag = |text: &str| match Tag::fits(text) {
            true => Ok(Who::Tag(text.into())),
            false => Err(format!("who.tag: {text:?} can be no tag")),
        };
        let conditions = [
            any(self.user.as_ref(), |name| Ok(Who::User(name.into())))?,
            any(self.clientid.as_ref(), |id| Ok(Who::ClientId(id.into())))?,
            any(self.address.as_ref(), network)?,
            any(self.listener.as_ref(), |name| Ok(Who::Listener(name.into())))?,
            any(self.tag.as_ref(), tag)?,
        ];
        let mut conditions: Vec<_> = conditions.into_iter().flatten().collect();
        match conditions.len() {
            0 => Err("who: says nobody; leave it out for everybody".to_owned()),
            1 => Ok(conditions.remove(0)),
            _ => Ok(Who::And(conditions)),
        }
    }
}

fn any(said: Option<&OneOrMore>, who: impl Fn(&str) -> Result<Who, String>) -> Result<Option<Who>, String> {
    match said {
        None => Ok(None),
        Some(OneOrMore::One(text)) => who(text).map(Some),
        Some(OneOrMore::More(texts)) => {
            let any = texts.iter().map(|text| who(text)).collect::<Result<_, _>>()?;
            Ok(Some(Who::Or(any)))
        }
    }
}

impl Rule {
    /// For people and programs, with where it stands.
    pub(crate) fn shown(&self) -> Value {
        let topics = match &self.topics {
            Topics::All => Value::Null,
            Topics::Any(patterns) => patterns.iter().map(|pattern| Value::String(pattern.to_string())).collect(),
        };
        json!({
            "allow": self.allow,
            "who": self.who.shown(),
            "action": self.action,
            "topics": topics,
            "origin": self.origin,
        })
    }
}

impl Who {
    fn shown(&self) -> Value {
        let list = |all: &[Self]| all.iter().map(Self::shown).collect::<Value>();
        match self {
            Self::All => Value::Null,
            Self::User(name) => json!({ "user": name }),
            Self::NoUser => json!({ "user": null }),
            Self::ClientId(id) => json!({ "clientid": id }),
            Self::Address(network) => json!({ "address": network.to_string() }),
            Self::Listener(name) => json!({ "listener": name }),
            Self::Tag(tag) => json!({ "tag": tag }),
            Self::And(all) => json!({ "and": list(all) }),
            Self::Or(any) => json!({ "or": list(any) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Rule, String> {
        let text: RuleText = serde_json::from_value(value).map_err(|error| error.to_string())?;
        text.rule("here".to_owned())
    }

    #[test]
    fn a_rule_is_read_as_it_stands() {
        let rule = read(json!({
            "allow": false,
            "who": {"user": ["alice", "bob"], "address": "192.0.2.0/24"},
            "action": "publish",
            "topics": ["a/%c/#", "eq #"],
        }));
        let user = |name: &str| Who::User(name.into());
        let expected = Rule {
            allow: false,
            who: Who::And(vec![
                Who::Or(vec![user("alice"), user("bob")]),
                Who::Address("192.0.2.0/24".parse().unwrap()),
            ]),
            action: Action::Publish,
            topics: Topics::Any(vec![Pattern::new("a/%c/#").unwrap(), Pattern::exactly("#").unwrap()]),
            origin: "here".to_owned(),
        };
        assert_eq!(rule, Ok(expected));
        let short = read(json!({"allow": true})).unwrap();
        assert_eq!((short.who, short.action, short.topics), (Who::All, Action::All, Topics::All));
    }

    #[test]
    fn a_wrong_rule_says_what_is_wrong() {
        for (value, needle) in [
            (json!({}), "missing field `allow`"),
            (json!({"allow": true, "topcs": []}), "unknown field `topcs`"),
            (json!({"allow": true, "topics": []}), "topics: an empty list"),
            (json!({"allow": true, "topics": ["a#"]}), "topics: \"a#\" is no topic filter"),
            (json!({"allow": true, "topics": ["a/%c#"]}), "topics: \"a/%c#\" is no topic filter"),
            (json!({"allow": true, "topics": ["$share/g/a"]}), "is no topic filter"),
            (json!({"allow": true, "action": "read"}), "unknown variant `read`"),
            (json!({"allow": true, "who": {}}), "who: says nobody"),
            (json!({"allow": true, "who": {"usr": "a"}}), "unknown field `usr`"),
            (json!({"allow": true, "who": {"address": "x"}}), "who.address: \"x\" is no address"),
            (json!({"allow": true, "who": {"tag": "a/b"}}), "who.tag: \"a/b\" can be no tag"),
        ] {
            let error = read(value.clone()).unwrap_err();
            assert!(error.contains(needle), "{value}: {error}");
        }
    }
}
