//! Rules about what clients may do: the first that is about what a client wants decides.
//!
//! A subscription is more than one topic, so a rule that allows is about a filter that it *covers* (it matches whatever the
//! filter matches), and one that forbids about each filter that it *overlaps*, be it in a single topic. So no subscription
//! brings what a rule before the one that allowed it forbids: `#` does not get at `secret/a` past a rule that denies
//! `secret/#`. EMQ X 4.3 compares the filter as if it were a topic, and mosquitto lets everybody subscribe and looks at
//! each delivery; here a subscription is refused as a whole, and what it may bring is known when it is made.
//!
//! What is below `$SYS` is allowed only by a rule that says `$SYS`: neither `#` nor a rule about everything opens it.

use std::fmt;

use mqtt_codec::{Filter, Topic};
use mqtt_hooks::{Access, ConnectionInfo, filter_for, is_sys};

mod emqx;
mod erlang;
mod file;
mod mosquitto;
mod network;
mod text;

pub use file::{AclFile, Kind, WrongAcl};
pub(crate) use network::Network;
pub(crate) use text::RuleText;

/// Rules of all sources together.
pub(crate) const MAX_RULES: usize = 10_000;

/// Allows something to somebody, or forbids it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) who: Who,
    pub(crate) action: Action,
    pub(crate) topics: Topics,
    /// Where it stands, for people.
    pub(crate) origin: String,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// PUBLISH, and the will.
    Publish,
    Subscribe,
    All,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    All,
    User(Box<str>),
    /// Who has given no user name.
    NoUser,
    ClientId(Box<str>),
    Address(Network),
    Listener(Box<str>),
    /// Who has this tag, and has not only said so itself.
    Tag(Box<str>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// Which topics and filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topics {
    All,
    Any(Vec<Pattern>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Matching(Filter),
    /// This text and no other, the wildcards in it taken as they stand.
    Exactly(Filter),
    /// With `%c` for the client id and `%u` for the user name. What is not one level by itself never matches: a client called
    /// `#` does not get what all others have.
    OfClient(Box<str>),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no topic filter")]
pub(crate) struct NoPattern(String);

/// The rules and what holds where none is about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acl {
    pub(crate) rules: Vec<Rule>,
    pub(crate) denies_others: bool,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision<'a> {
    Allowed(&'a Rule),
    Denied(&'a Rule),
    /// No rule is about it.
    Default {
        denied: bool,
    },
    /// The rule that allows it is not about `$SYS`, where the broker's own rule holds.
    Sys(Option<&'a Rule>),
}

impl Acl {
    /// True if it says nothing about anybody.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.denies_others
    }

    pub(crate) fn decide(&self, client: &ConnectionInfo, access: Access<'_>) -> Decision<'_> {
        let is_sys = match access {
            Access::Publish(topic) => is_sys(topic.as_str()),
            Access::Subscribe(filter) => is_sys(filter.pattern()),
        };
        match self.rules.iter().find(|rule| rule.is_about(client, access)) {
            Some(rule) if !rule.allow => Decision::Denied(rule),
            Some(rule) if is_sys && !rule.topics.say_sys() => Decision::Sys(Some(rule)),
            Some(rule) => Decision::Allowed(rule),
            None if is_sys && !self.denies_others => Decision::Sys(None),
            None => Decision::Default { denied: self.denies_others },
        }
    }
}

impl Rule {
    fn is_about(&self, client: &ConnectionInfo, access: Access<'_>) -> bool {
        let is_the_action = match access {
            Access::Publish(_) => self.action != Action::Subscribe,
            Access::Subscribe(_) => self.action != Action::Publish,
        };
        is_the_action && self.who.is(client) && self.topics.have(client, access, self.allow)
    }
}

impl Who {
    pub(crate) fn is(&self, client: &ConnectionInfo) -> bool {
        match self {
            Self::All => true,
            Self::User(name) => client.username.as_deref() == Some(name),
            Self::NoUser => client.username.is_none(),
            Self::ClientId(id) => *client.client_id == **id,
            Self::Address(network) => network.has(client.peer.ip()),
            Self::Listener(name) => client.listener.name == *name,
            Self::Tag(tag) => client.tags().has_proven(tag),
            Self::And(all) => all.iter().all(|who| who.is(client)),
            Self::Or(any) => any.iter().any(|who| who.is(client)),
        }
    }
}

impl Topics {
    fn have(&self, client: &ConnectionInfo, access: Access<'_>, allow: bool) -> bool {
        match self {
            Self::All => true,
            Self::Any(patterns) => patterns.iter().any(|pattern| pattern.has(client, access, allow)),
        }
    }

    /// Something in it begins with `$SYS`. Since only such a pattern can be about what is below `$SYS`, it is the one that is.
    fn say_sys(&self) -> bool {
        match self {
            Self::All => false,
            Self::Any(patterns) => patterns.iter().any(|pattern| is_sys(pattern.text())),
        }
    }
}

impl Pattern {
    /// A filter, with placeholders where it has some.
    pub(crate) fn new(text: &str) -> Result<Self, NoPattern> {
        if text.contains("%c") || text.contains("%u") {
            // Whatever is put in is a level or a part of one.
            filter(&text.replace("%c", "x").replace("%u", "x")).map_err(|_| NoPattern(text.to_owned()))?;
            return Ok(Self::OfClient(text.into()));
        }
        Self::literal(text)
    }

    /// A filter in which `%c` is no more than that.
    pub(crate) fn literal(text: &str) -> Result<Self, NoPattern> {
        filter(text).map(Self::Matching)
    }

    pub(crate) fn exactly(text: &str) -> Result<Self, NoPattern> {
        filter(text).map(Self::Exactly)
    }

    fn text(&self) -> &str {
        match self {
            Self::Matching(filter) | Self::Exactly(filter) => filter.as_str(),
            Self::OfClient(text) => text,
        }
    }

    fn has(&self, client: &ConnectionInfo, access: Access<'_>, allow: bool) -> bool {
        self.may_have(client, access, allow) && self.really_has(client, access, allow)
    }

    /// Quick, for most rules begin unlike what is wanted: false if it has not, true if that is still to be found out.
    fn may_have(&self, client: &ConnectionInfo, access: Access<'_>, allow: bool) -> bool {
        let wanted = match access {
            Access::Publish(topic) => topic.as_str(),
            Access::Subscribe(filter) if allow => filter.pattern(),
            // What overlaps may begin with a wildcard.
            Access::Subscribe(_) => return true,
        };
        match self {
            Self::Matching(ours) => begins_alike(ours.as_str(), None, wanted),
            Self::Exactly(_) => true,
            Self::OfClient(text) => begins_alike(text, Some(client), wanted),
        }
    }

    fn really_has(&self, client: &ConnectionInfo, access: Access<'_>, allow: bool) -> bool {
        match self {
            Self::Matching(ours) => reaches(ours, access, allow),
            Self::Exactly(ours) => match access {
                Access::Publish(topic) => ours.as_str() == topic.as_str(),
                Access::Subscribe(filter) => ours.as_str() == filter.pattern(),
            },
            Self::OfClient(text) => filter_for(client, text).is_some_and(|ours| reaches(&ours, access, allow)),
        }
    }
}

/// Whether `wanted` is like a pattern up to where that has its first wildcard. With a client, placeholders stand for its names.
fn begins_alike(pattern: &str, client: Option<&ConnectionInfo>, wanted: &str) -> bool {
    let (mut rest, mut wanted) = (pattern.as_bytes(), wanted.as_bytes());
    loop {
        let name = match (rest, client) {
            ([], _) => return wanted.is_empty(),
            ([b'+' | b'#', ..], _) => return true,
            // `a/#` has `a`, too.
            ([b'/', b'#'], _) => return matches!(wanted, [] | [b'/', ..]),
            ([b'%', b'c', ..], Some(client)) => Some(&*client.client_id),
            ([b'%', b'u', ..], Some(client)) => Some(client.username.as_deref().unwrap_or_default()),
            _ => None,
        };
        let (of_pattern, alike) = name.map_or((1, &rest[..1]), |name| (2, name.as_bytes()));
        let Some(after) = wanted.strip_prefix(alike) else { return false };
        (rest, wanted) = (&rest[of_pattern..], after);
    }
}

fn reaches(ours: &Filter, access: Access<'_>, allow: bool) -> bool {
    match access {
        Access::Publish(topic) => ours.matches(topic),
        Access::Subscribe(filter) if allow => ours.covers(filter),
        Access::Subscribe(filter) => ours.overlaps(filter),
    }
}

/// No shared one: rules are about what is subscribed to, in whatever group.
fn filter(text: &str) -> Result<Filter, NoPattern> {
    let wrong = || NoPattern(text.to_owned());
    let filter = Filter::new(text.to_owned()).map_err(|_| wrong())?;
    if filter.group().is_some() || filter.is_bad_share() { Err(wrong()) } else { Ok(filter) }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(filter) => write!(f, "eq {filter}"),
            pattern => f.write_str(pattern.text()),
        }
    }
}

/// What somebody asks about, for [`Acl::decide`].
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Publish(Topic),
    Subscribe(Filter),
}

impl Wanted {
    pub(crate) const fn access(&self) -> Access<'_> {
        match self {
            Self::Publish(topic) => Access::Publish(topic),
            Self::Subscribe(filter) => Access::Subscribe(filter),
        }
    }

    /// Nobody may, whatever the rules are.
    pub(crate) fn is_to_sys(&self) -> bool {
        matches!(self, Self::Publish(topic) if is_sys(topic.as_str()))
    }
}

#[cfg(test)]
mod tests;
