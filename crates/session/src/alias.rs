//! Topic aliases, one direction each. Both end with the connection. [MQTT-3.3.2-7]

use foldhash::{HashMap, HashMapExt};
use mqtt_codec::Topic;

use crate::Violation;

/// Bytes that the aliases towards one client may take: it is others who choose the topics.
const MAX_LEARNED: usize = 64 * 1024;

/// What an alias takes beside its topic.
const PER_ALIAS: usize = 64;

/// Both directions.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    pub(crate) incoming: IncomingAliases,
    pub(crate) outgoing: OutgoingAliases,
}

impl Aliases {
    /// Bytes that they take.
    pub(crate) const fn held(&self) -> usize {
        self.incoming.held + self.outgoing.held
    }
}

/// Bytes that an alias for this topic takes.
pub(crate) fn held(topic: &Topic) -> usize {
    PER_ALIAS + topic.as_str().len()
}

/// What a client's aliases stand for.
#[derive(Debug)]
pub(crate) struct IncomingAliases {
    topics: HashMap<u16, Topic>,
    /// Bytes that they take.
    held: usize,
}

impl Default for IncomingAliases {
    fn default() -> Self {
        Self { topics: HashMap::new(), held: 0 }
    }
}

impl IncomingAliases {
    /// Whether a PUBLISH with this alias and topic changes nothing.
    pub(crate) fn is_known(&self, alias: u16, topic: &Topic) -> bool {
        self.topics.get(&alias) == Some(topic)
    }

    /// The topic of a PUBLISH that has an alias and perhaps a topic; a topic gives the alias its meaning.
    pub(crate) fn resolve(&mut self, alias: u16, topic: Option<Topic>) -> Result<Topic, Violation> {
        match topic {
            Some(topic) => {
                // The client says it again with every message while it does not know it is understood.
                if !self.is_known(alias, &topic) {
                    // In memory of its own: an alias lasts as long as the connection, and a read buffer should not.
                    let old = self.topics.insert(alias, topic.detached());
                    self.held = self.held + held(&topic) - old.as_ref().map_or(0, held);
                }
                Ok(topic)
            }
            None => self.topics.get(&alias).cloned().ok_or(Violation::UnknownTopicAlias(alias)),
        }
    }
}

/// The aliases used towards a client: the first topics sent get them and keep them.
#[derive(Debug)]
pub(crate) struct OutgoingAliases {
    aliases: HashMap<Topic, u16>,
    /// Bytes that they take.
    held: usize,
}

impl Default for OutgoingAliases {
    fn default() -> Self {
        Self { aliases: HashMap::new(), held: 0 }
    }
}

/// How a topic is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alias {
    /// The client knows it.
    Known(u16),
    /// To be sent with the topic, then [`OutgoingAliases::learn`]ed.
    New(u16),
    /// All are taken.
    None,
}

impl OutgoingAliases {
    pub(crate) fn of(&self, topic: &Topic, maximum: u16) -> Alias {
        match self.aliases.get(topic) {
            Some(&alias) => Alias::Known(alias),
            None if self.aliases.len() >= usize::from(maximum) || self.held + held(topic) > MAX_LEARNED => Alias::None,
            // None is ever taken away, so the next number is one more than there are.
            None => Alias::New(self.aliases.len() as u16 + 1),
        }
    }

    /// The client was sent `topic` with `alias`.
    pub(crate) fn learn(&mut self, topic: &Topic, alias: u16) {
        self.held += held(topic);
        self.aliases.insert(topic.detached(), alias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &'static str) -> Topic {
        Topic::new(text).unwrap()
    }

    #[test]
    fn an_incoming_alias_is_set_used_and_changed() {
        let mut aliases = IncomingAliases::default();
        assert_eq!(aliases.resolve(7, None), Err(Violation::UnknownTopicAlias(7)));
        assert_eq!(aliases.resolve(7, Some(topic("a"))), Ok(topic("a")));
        assert_eq!(aliases.resolve(7, None), Ok(topic("a")));
        assert_eq!(aliases.resolve(7, Some(topic("b"))), Ok(topic("b")));
        assert_eq!(aliases.resolve(7, None), Ok(topic("b")));
        assert_eq!(aliases.resolve(8, None), Err(Violation::UnknownTopicAlias(8)));
    }

    #[test]
    fn outgoing_aliases_go_to_the_first_topics() {
        let mut aliases = OutgoingAliases::default();
        assert_eq!(aliases.of(&topic("a"), 0), Alias::None);
        assert_eq!(aliases.of(&topic("a"), 2), Alias::New(1));
        // Not learned (the packet was too large): the number is still free.
        assert_eq!(aliases.of(&topic("b"), 2), Alias::New(1));
        aliases.learn(&topic("b"), 1);
        aliases.learn(&topic("a"), 2);
        assert_eq!(aliases.of(&topic("b"), 2), Alias::Known(1));
        assert_eq!(aliases.of(&topic("c"), 2), Alias::None);
    }
}
