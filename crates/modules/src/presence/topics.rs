//! The topics of one client.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use mqtt_codec::topic::TopicError;
use mqtt_codec::{Filter, Topic};
use mqtt_hooks::StartError;
use parking_lot::Mutex;

/// Nodes of which topics are told apart from those of nobody: as many as a cluster may have, and some that are gone.
const MAX_NODES: usize = 256;

const BROKERS: &str = "$SYS/brokers/";

pub(super) const CONNECTED: &str = "/connected";
pub(super) const DISCONNECTED: &str = "/disconnected";
pub(super) const STATE: &str = "/state";
pub(super) const SETTLED: &str = "/settled";

/// Makes the topics of clients, and finds whose a topic is.
#[derive(Debug)]
pub(super) struct Topics {
    /// `$SYS/brokers/${node}/`
    node: String,
    /// `$SYS/brokers/${node}/clients/`
    prefix: String,
    /// The names of other nodes of the cluster that clients were seen at.
    others: Mutex<BTreeSet<Box<str>>>,
    has_others: AtomicBool,
}

impl Topics {
    pub(super) fn new(node: &str) -> Result<Self, StartError> {
        let node = format!("$SYS/brokers/{node}/");
        let prefix = format!("{node}clients/");
        if let Err(error) = Topic::new(prefix.clone()) {
            return Err(StartError::Config(format!("the node's name cannot stand in a topic: {error}")));
        }
        Ok(Self { node, prefix, others: Mutex::default(), has_others: AtomicBool::new(false) })
    }

    /// A client was seen at this node; `None`: at this one.
    pub(super) fn note_node(&self, node: Option<&str>) {
        let Some(node) = node else { return };
        let mut others = self.others.lock();
        if others.len() < MAX_NODES && !others.contains(node) {
            others.insert(node.into());
            self.has_others.store(true, Ordering::Relaxed);
        }
    }

    /// Clients were seen at other nodes.
    pub(super) fn has_others(&self) -> bool {
        self.has_others.load(Ordering::Relaxed)
    }

    /// One that is about all clients.
    pub(super) fn of_all(&self, suffix: &str) -> Result<Topic, TopicError> {
        Topic::new(format!("{}presence/{suffix}", self.node))
    }

    /// The states of all.
    pub(super) fn any_state(&self) -> Result<Filter, StartError> {
        Filter::new(format!("{}+{STATE}", self.prefix)).map_err(|error| StartError::Config(error.to_string()))
    }

    /// One on which it is told that a client is missed by a rule.
    pub(super) fn of_absent(&self, rule: &str, client_id: &str) -> Result<Topic, TopicError> {
        Self::made(&format!("{}presence/absent/{rule}/", self.node), client_id, "")
    }

    /// One that is about the clients with a tag.
    pub(super) fn of_group(&self, tag: &str, suffix: &str) -> Result<Topic, TopicError> {
        Topic::new(format!("{}presence/groups/{tag}/{suffix}", self.node))
    }

    /// Whether it names this suffix, and may match such a topic of some tag.
    pub(super) fn is_about_groups(&self, filter: &Filter, suffix: &str) -> bool {
        let Some(before) = filter.pattern().strip_suffix(suffix).and_then(|rest| rest.strip_suffix('/')) else {
            return false;
        };
        let mut levels = before.split('/');
        self.has_own(&mut levels) && ["presence", "groups"].into_iter().all(|own| is_level(own, levels.next()))
            // A tag is one level.
            && levels.next().is_some()
            && levels.next().is_none()
    }

    /// Whether these levels begin with those of the node, and takes them.
    fn has_own<'a>(&self, levels: &mut impl Iterator<Item = &'a str>) -> bool {
        self.node.trim_end_matches('/').split('/').all(|own| is_level(own, levels.next()))
    }

    /// Whether these levels begin with those of a node of the cluster, and takes them.
    fn has_node<'a>(&self, levels: &mut impl Iterator<Item = &'a str>) -> bool {
        let own = self.node.trim_end_matches('/').split('/');
        own.enumerate().all(|(at, own)| {
            let level = levels.next();
            is_level(own, level) || at == 2 && self.has_others() && level.is_some_and(|name| self.is_other(name))
        })
    }

    fn is_other(&self, node: &str) -> bool {
        self.others.lock().contains(node)
    }

    /// Too long if the topic of either event of this client is: one of them alone would break their alternation.
    pub(super) fn of(&self, client_id: &str, suffix: &str) -> Result<Topic, TopicError> {
        self.of_at(None, client_id, suffix)
    }

    /// [`Self::of`], at another node.
    pub(super) fn of_at(&self, node: Option<&str>, client_id: &str, suffix: &str) -> Result<Topic, TopicError> {
        match node {
            None => Self::made(&self.prefix, client_id, suffix),
            Some(node) => Self::made(&format!("{BROKERS}{node}/clients/"), client_id, suffix),
        }
    }

    /// What comes behind `clients/`, at this node or another one of the cluster.
    fn below<'a>(&self, text: &'a str) -> Option<(Option<&'a str>, &'a str)> {
        if let Some(rest) = text.strip_prefix(&*self.prefix) {
            return Some((None, rest));
        }
        if !self.has_others() {
            return None;
        }
        let (node, rest) = text.strip_prefix(BROKERS)?.split_once('/')?;
        Some((Some(node), rest.strip_prefix("clients/")?)).filter(|_| self.is_other(node))
    }

    fn made(prefix: &str, client_id: &str, suffix: &str) -> Result<Topic, TopicError> {
        let is_odd = |byte: u8| matches!(byte, b'+' | b'#' | b'%');
        let escapes = (0..client_id.len()).filter(|&at| escape(&client_id.as_bytes()[at..]).is_some()).count();
        let stem = prefix.len() + client_id.len() + 2 * escapes;
        if stem + DISCONNECTED.len() > usize::from(u16::MAX) {
            return Err(TopicError::TooLong);
        }
        let mut text = String::with_capacity(stem + suffix.len());
        text.push_str(prefix);
        let mut rest = client_id;
        while let Some(at) = rest.bytes().position(is_odd) {
            text.push_str(&rest[..at]);
            text.push_str(escape(&rest.as_bytes()[at..]).unwrap_or("%"));
            rest = &rest[at + 1..];
        }
        text.push_str(rest);
        text.push_str(suffix);
        Topic::new(text)
    }

    pub(super) fn is_event(&self, topic: &Topic) -> bool {
        let rest = self.below(topic.as_str());
        rest.is_some_and(|(_, rest)| rest.ends_with(CONNECTED) || rest.ends_with(DISCONNECTED))
    }

    /// Whether it is one of a client with this suffix.
    pub(super) fn ends_with(&self, topic: &Topic, suffix: &str) -> bool {
        self.below(topic.as_str()).is_some_and(|(_, rest)| rest.ends_with(suffix))
    }

    /// Whether it may match the state of some client.
    pub(super) fn is_about_states(&self, filter: &Filter) -> bool {
        self.is_about(filter, STATE)
    }

    /// Whether it names this suffix, and may match such a topic of some client.
    pub(super) fn is_about(&self, filter: &Filter, suffix: &str) -> bool {
        let Some(before) = filter.pattern().strip_suffix(suffix) else { return false };
        let mut levels = before.split('/');
        self.has_node(&mut levels) && is_level("clients", levels.next()) && levels.next().is_some()
    }

    /// Whose state a filter without wildcards is about.
    pub(super) fn owner(&self, filter: &Filter) -> Option<String> {
        self.owner_of(filter, STATE)
    }

    /// Whose topic with this suffix a filter without wildcards is about.
    pub(super) fn owner_of(&self, filter: &Filter, suffix: &str) -> Option<String> {
        let (node, level) = self.below(filter.pattern())?;
        let level = level.strip_suffix(suffix)?;
        let (mut client_id, mut rest) = (String::with_capacity(level.len()), level);
        while let Some(at) = rest.find('%') {
            client_id.push_str(&rest[..at]);
            let odd = [("%2B", "+"), ("%23", "#"), ("%25", "%")];
            let (escaped, plain) = odd.into_iter().find(|(odd, _)| rest[at..].starts_with(odd)).unwrap_or(("%", "%"));
            client_id.push_str(plain);
            rest = &rest[at + escaped.len()..];
        }
        client_id.push_str(rest);
        // One that is not as it would have been written is nobody's.
        self.of_at(node, &client_id, STATE).is_ok_and(|topic| topic.as_str() == filter.pattern()).then_some(client_id)
    }
}

/// Whether a level of a filter may match this one.
fn is_level(own: &str, level: Option<&str>) -> bool {
    // Nothing but the name itself reaches what begins with `$` [MQTT-4.7.2-1].
    level == Some(own) || level == Some("+") && own != "$SYS"
}

/// What stands in a topic for the first byte, if that can't stand there itself.
///
/// [MQTT-3.3.2-2]: no wildcard may stand in a topic. A `%` goes only where it would be taken for one of these, so that
/// two client ids never have one topic.
const fn escape(rest: &[u8]) -> Option<&'static str> {
    match rest {
        [b'+', ..] => Some("%2B"),
        [b'#', ..] => Some("%23"),
        [b'%', b'2', b'B' | b'3' | b'5', ..] => Some("%25"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_about_groups_if_it_names_their_last_level() {
        let topics = Topics::new("n@1").unwrap();
        for (text, is_about) in [
            ("$SYS/brokers/n@1/presence/groups/a/counts", true),
            ("$SYS/brokers/+/presence/groups/+/counts", true),
            ("$SYS/+/+/+/+/+/counts", true),
            ("$share/g/$SYS/brokers/n@1/presence/groups/+/counts", true),
            ("$SYS/brokers/n@2/presence/groups/a/counts", false),
            ("$SYS/brokers/n@1/presence/groups/counts", false),
            ("$SYS/brokers/n@1/presence/groups/a/b/counts", false),
            ("$SYS/brokers/n@1/presence/groups/+/+", false),
            ("$SYS/brokers/n@1/presence/groups/acounts", false),
            ("$SYS/brokers/n@1/clients/a/counts", false),
            ("+/brokers/n@1/presence/groups/a/counts", false),
        ] {
            assert_eq!(topics.is_about_groups(&Filter::new(text).unwrap(), "counts"), is_about, "{text}");
        }
    }

    #[test]
    fn whose_state_it_is_can_be_read_from_its_topic() {
        let topics = Topics::new("n@1").unwrap();
        for id in [
            "a",
            "a/b",
            "",
            "+",
            "#",
            "%",
            "%2B",
            "%23",
            "%25",
            "%252B",
            "%%2",
            "50%",
            "%2+",
            "日本%é",
            "a/state",
            "%2b",
        ] {
            let filter = Filter::new(topics.of(id, STATE).unwrap().as_str().to_owned()).unwrap();
            assert!(topics.is_about_states(&filter), "{id}");
            assert_eq!(topics.owner(&filter).as_deref(), Some(id));
        }
        for (text, is_about) in [
            ("$SYS/brokers/n@1/clients/%2x%25/state", true),
            ("$SYS/brokers/n@1/clients/+/state", true),
            ("$SYS/brokers/+/clients/+/state", true),
            ("$SYS/+/+/+/a/+/state", true),
            ("$SYS/brokers/n@1/clients/state", false),
            ("$SYS/brokers/other/clients/+/state", false),
            ("$SYS/brokers/n@1/clients/#", false),
            ("$SYS/brokers/n@1/clients/+/+", false),
            ("$SYS/brokers/n@1/clients/a/connected", false),
            ("+/brokers/n@1/clients/+/state", false),
            ("$SYS/brokers/n@1/presence/a/state", false),
        ] {
            let filter = Filter::new(text).unwrap();
            assert_eq!(topics.is_about_states(&filter), is_about, "{text}");
            assert_eq!(topics.owner(&filter), None, "{text}");
        }
    }
}
