//! Which clients a rule is about, and after how long they are missed.

use std::sync::Arc;

use mqtt_hooks::{Span, StartError};

use crate::presence::DAY_MS;
use crate::presence::glob::Glob;

/// A silence is counted in this many days at the most.
const MOST_SILENT_DAYS: u64 = 90;

/// Bytes of a name.
const NAME: usize = 64;

mqtt_hooks::settings! {
    /// A rule about clients that are missed.
    pub struct Settings {
        /// Name
        ///
        /// In the topics on which it is told, and in lists: letters, digits, `-`, `_` and `.`.
        pub name: String = "",
        /// Clients
        ///
        /// Their ids: `*` stands for any text, `?` for one character.
        pub r#match: String = "*",
        /// Absent after
        ///
        /// Times like `10m` for which a client is away when that is told, the shortest first.
        pub after: Vec<Span> = [] in 0..=16,
        /// Silent after
        ///
        /// A client that is connected is told silent when nothing but pings has come from it for so long; 0s: never.
        pub silent_after: Span = "0s",
    }
}

/// A rule; times are milliseconds.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    clients: Glob,
    pub(super) after: Box<[u64]>,
    pub(super) silent_after: Option<u64>,
}

/// All rules.
#[derive(Debug)]
pub(in crate::presence) struct Rules(Box<[Rule]>);

impl Rules {
    pub(in crate::presence) fn new(settings: &[Settings]) -> Result<Self, StartError> {
        let mut rules = Vec::<Rule>::new();
        for (at, one) in settings.iter().enumerate() {
            let rule = Rule::new(one).and_then(|rule| {
                let is_known = rules.iter().any(|known| known.name == rule.name);
                if is_known { Err("name: another rule has it".to_owned()) } else { Ok(rule) }
            });
            rules.push(rule.map_err(|why| StartError::Config(format!("absence, entry {}: {why}", at + 1)))?);
        }
        Ok(Self(rules.into()))
    }

    pub(super) const fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are about a client.
    pub(super) fn of(&self, client_id: &str) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter(move |rule| rule.clients.matches(client_id))
    }

    /// The shortest of all times.
    pub(super) fn shortest(&self) -> u64 {
        let times = self.0.iter().flat_map(|rule| rule.after.iter().copied().chain(rule.silent_after));
        times.min().unwrap_or(u64::MAX)
    }
}

impl Rule {
    fn new(settings: &Settings) -> Result<Self, String> {
        let Settings { name, r#match, after, silent_after } = settings;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME || !name.bytes().all(is_plain) {
            return Err(format!("name: {name:?} is not 1 to {NAME} letters, digits, `-`, `_` and `.`"));
        }
        if after.iter().any(|after| after.as_ms() == 0) || !after.is_sorted_by(|one, other| one < other) {
            return Err("after: the times are not above 0 and each longer than the one before".to_owned());
        }
        let silent_after = Some(silent_after.as_ms()).filter(|after| *after > 0);
        if silent_after.is_some_and(|after| after > MOST_SILENT_DAYS * DAY_MS) {
            return Err(format!("silent_after: is over {MOST_SILENT_DAYS} days"));
        }
        if after.is_empty() && silent_after.is_none() {
            return Err("neither after nor silent_after says when a client is missed".to_owned());
        }
        Ok(Self {
            name: name.as_str().into(),
            clients: Glob::new(r#match),
            after: after.iter().map(|after| after.as_ms()).collect(),
            silent_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::read_settings;
    use serde_json::{Value, json};

    use super::*;

    fn read(rules: Value) -> Result<Rules, String> {
        let settings = read_settings::<crate::presence::Settings>(&json!({ "absence": rules }));
        settings.and_then(|settings| Rules::new(&settings.absence)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_is_about_those_who_match() {
        let rules = read(json!([
            {"name": "meters", "match": "meter-*", "after": ["10m", "24h"], "silent_after": "1h"},
            {"name": "all", "after": ["90s"]},
        ]))
        .unwrap();
        let of = |id| rules.of(id).map(|rule| &*rule.name).collect::<Vec<_>>();
        assert_eq!((of("meter-1"), of("meter")), (vec!["meters", "all"], vec!["all"]));
        let meters = rules.of("meter-1").next().unwrap();
        assert_eq!((&*meters.after, meters.silent_after), (&[600_000, 86_400_000][..], Some(3_600_000)));
        assert_eq!(rules.shortest(), 90_000);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (rule, why) in [
            (json!({"after": ["1s"]}), "name: \"\" is not"),
            (json!({"name": "a/b", "after": ["1s"]}), "name: \"a/b\" is not"),
            (json!({"name": "a"}), "neither after nor silent_after"),
            (json!({"name": "a", "after": ["2s", "1s"]}), "after: the times are not"),
            (json!({"name": "a", "after": ["0s"]}), "after: the times are not"),
            (json!({"name": "a", "silent_after": "91d"}), "silent_after: is over 90 days"),
            (json!({"name": "good", "after": ["1s"]}), "name: another rule has it"),
            (json!({"name": "a", "after": ["soon"]}), "expected a time like"),
        ] {
            let error = read(json!([{"name": "good", "after": ["1s"]}, rule])).unwrap_err();
            assert!(error.contains(why) && error.starts_with("absence"), "{error}");
        }
    }
}
