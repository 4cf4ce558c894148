//! One rule: whose availability is on which topic.

use bytes::Bytes;
use mqtt_codec::{Filter, Topic};
use mqtt_hooks::StartError;

use super::Settings;
use crate::presence::glob::Glob;

/// What stands for the client id.
const PLACE: &str = "${clientid}";

/// Bytes of what is told, at the most.
const MAX_TEXT: usize = 4096;

/// Clients, and the topic of each. No two of them have one topic.
#[derive(Debug)]
pub(super) struct Rule {
    pattern: Pattern,
    levels: Box<[Level]>,
    clients: Glob,
    pub(super) online: Bytes,
    pub(super) offline: Bytes,
}

/// A topic with a place for a client id.
#[derive(Debug)]
struct Pattern {
    /// All of it where it has no place.
    before: Box<str>,
    /// `None`: it has no place, and is of one client.
    after: Option<Box<str>>,
}

/// A level of the pattern.
#[derive(Debug)]
enum Level {
    Text(Box<str>),
    Place { before: Box<str>, after: Box<str> },
}

impl Level {
    fn of(text: &str) -> Self {
        match text.split_once(PLACE) {
            Some((before, after)) => Self::Place { before: before.into(), after: after.into() },
            None => Self::Text(text.into()),
        }
    }
}

/// Whose topics a filter may match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach<'a> {
    None,
    /// Those of this client, if it is one of the rule's.
    One(&'a str),
    All,
}

impl Rule {
    pub(super) fn new(settings: &Settings) -> Result<Self, StartError> {
        let wrong = |key: &str, why: &str| Err(StartError::Config(format!("{key}: {why}")));
        let Settings { topic, online, offline, r#match } = settings;
        let pattern = match topic.split_once(PLACE) {
            Some((_, after)) if after.contains("${") => {
                return wrong("topic", "wants ${clientid} once, and no other ${..}");
            }
            Some((before, after)) => Pattern { before: before.into(), after: Some(after.into()) },
            None => Pattern { before: topic.as_str().into(), after: None },
        };
        if pattern.before.contains("${") {
            return wrong("topic", "wants ${clientid} once, and no other ${..}");
        }
        if pattern.before.starts_with('$') {
            return wrong("topic", "begins with $, and such topics are not for devices");
        }
        if let Err(why) = Topic::new(topic.replace(PLACE, "a")) {
            return wrong("topic", &format!("{topic:?}: {why}"));
        }
        let clients = Glob::new(r#match);
        if r#match.is_empty() {
            return wrong("match", "is empty; wants a client id, with * for any text and ? for any character");
        }
        if pattern.after.is_none() && clients.exact().is_none() {
            return wrong("topic", "wants ${clientid}, or a match of a single client: two clients can't share a topic");
        }
        for (key, text) in [("online", online), ("offline", offline)] {
            if text.is_empty() || text.len() > MAX_TEXT {
                // An empty one removes what is retained [MQTT-3.3.1-6].
                return wrong(key, &format!("wants a text of 1 to {MAX_TEXT} bytes"));
            }
        }
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let levels = topic.split('/').map(Level::of).collect();
        Ok(Self { pattern, levels, clients, online: bytes(online), offline: bytes(offline) })
    }

    /// Whether it is about this client.
    pub(super) fn is_about(&self, client_id: &str) -> bool {
        self.clients.matches(client_id)
    }

    /// The topic of a client that it is about. `None`: there can be none.
    pub(super) fn topic_of(&self, client_id: &str) -> Option<Topic> {
        let Some(after) = &self.pattern.after else { return Topic::new(self.pattern.before.to_string()).ok() };
        if !self.fits(client_id) {
            return None;
        }
        Topic::new([&self.pattern.before, client_id, after].concat()).ok()
    }

    /// Whose a topic is.
    pub(super) fn owner<'a>(&'a self, topic: &'a str) -> Option<&'a str> {
        let client_id = match &self.pattern.after {
            None => self.clients.exact().filter(|_| topic == &*self.pattern.before)?,
            Some(after) => {
                let client_id = topic.strip_prefix(&*self.pattern.before)?.strip_suffix(&**after)?;
                self.fits(client_id).then_some(client_id)?
            }
        };
        self.is_about(client_id).then_some(client_id)
    }

    /// A client id stays within its level, so that it can neither reach another's topic nor `$SYS`. [MQTT-3.3.2-2]: no wildcard stands
    /// in a topic.
    fn fits(&self, client_id: &str) -> bool {
        let is_a_level = !client_id.is_empty() && !client_id.contains(['/', '+', '#']);
        let leads_to_dollar = self.pattern.before.is_empty() && client_id.starts_with('$');
        is_a_level && !leads_to_dollar
    }

    /// Whose topics a filter may match: level by level, so that a filter that names the client's costs no look at others.
    pub(super) fn reach<'a>(&'a self, filter: &'a Filter) -> Reach<'a> {
        let mut reach = self.clients.exact().map_or(Reach::All, Reach::One);
        let mut levels = filter.pattern().split('/');
        for own in &self.levels {
            match (levels.next(), own) {
                (Some("#"), _) => return reach,
                (Some("+"), _) => {}
                (Some(level), Level::Text(text)) if level == &**text => {}
                (Some(level), Level::Place { before, after }) => {
                    match level.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after)) {
                        Some(client_id) => reach = Reach::One(client_id),
                        None => return Reach::None,
                    }
                }
                _ => return Reach::None,
            }
        }
        // `a/#` matches `a` too.
        match levels.next() {
            None | Some("#") => reach,
            Some(_) => Reach::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(topic: &str, r#match: &str) -> Rule {
        Rule::new(&Settings { topic: topic.to_owned(), r#match: r#match.to_owned(), ..Settings::default() }).unwrap()
    }

    #[track_caller]
    fn fails(settings: &Settings, why: &str) {
        let error = Rule::new(settings).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }

    #[test]
    fn a_rule_that_can_t_be_kept_is_refused_with_its_key() {
        let topic = |topic: &str| Settings { topic: topic.to_owned(), ..Settings::default() };
        let fine = || topic("a/${clientid}");
        for text in [
            "",
            "a/#",
            "+/${clientid}",
            "a/b",
            "a/${clientid}/${clientid}",
            "a/${username}",
            "$SYS/${clientid}",
            "${x}/${clientid}",
        ] {
            fails(&topic(text), "topic: ");
        }
        fails(&Settings { r#match: String::new(), ..fine() }, "match: ");
        fails(&Settings { online: String::new(), ..fine() }, "online: ");
        fails(&Settings { offline: "x".repeat(MAX_TEXT + 1), ..fine() }, "offline: ");
        Rule::new(&fine()).unwrap();
        Rule::new(&Settings { r#match: "z2m".to_owned(), ..topic("z2m/bridge/state") }).unwrap();
    }

    #[test]
    fn whose_a_topic_is_can_be_read_from_it() {
        let rule = rule("d/x-${clientid}.y/state", "dev-*");
        for client_id in ["dev-1", "dev-", "dev-.y", "dev-日本", "dev-%2B"] {
            let topic = rule.topic_of(client_id).unwrap();
            assert_eq!(rule.owner(topic.as_str()), Some(client_id));
        }
        for client_id in ["", "dev-a/b", "dev-+", "dev-#"] {
            assert_eq!(rule.topic_of(client_id), None, "{client_id}");
        }
        for topic in
            ["d/x-1.y/state", "d/x-dev-1/state", "d/x-dev-1.y/state/", "d/x-dev-a/b.y/state", "x-dev-1.y/state"]
        {
            assert_eq!(rule.owner(topic), None, "{topic}");
        }
        assert_eq!(rule.topic_of(&format!("dev-{}", "x".repeat(65_520))), None, "too long");
    }

    #[test]
    fn no_client_id_leads_below_sys() {
        let rule = rule("${clientid}/state", "*");
        assert_eq!((rule.topic_of("$SYS"), rule.owner("$SYS/state")), (None, None));
        assert_eq!(rule.topic_of("a$SYS").unwrap().as_str(), "a$SYS/state");
    }

    #[test]
    fn a_filter_reaches_whose_topics_it_may_match() {
        let (of_all, of_one) = (rule("d/x-${clientid}/state", "*"), rule("z2m/bridge/state", "z2m"));
        for (filter, all, one) in [
            ("#", Reach::All, Reach::One("z2m")),
            ("+/+/state", Reach::All, Reach::One("z2m")),
            ("d/#", Reach::All, Reach::None),
            ("d/+/state", Reach::All, Reach::None),
            ("d/+/state/#", Reach::All, Reach::None),
            ("d/x-a/#", Reach::One("a"), Reach::None),
            ("d/x-a/+", Reach::One("a"), Reach::None),
            ("+/x-a/state", Reach::One("a"), Reach::None),
            ("d/y-a/#", Reach::None, Reach::None),
            ("d/+", Reach::None, Reach::None),
            ("d", Reach::None, Reach::None),
            ("d/+/+/+", Reach::None, Reach::None),
            ("z2m/bridge/state", Reach::None, Reach::One("z2m")),
            ("z2m/#", Reach::None, Reach::One("z2m")),
            ("$SYS/#", Reach::None, Reach::None),
        ] {
            let filter = Filter::new(filter).unwrap();
            assert_eq!((of_all.reach(&filter), of_one.reach(&filter)), (all, one), "{filter:?}");
        }
    }
}
