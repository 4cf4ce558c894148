//! Tags of clients by rules: from their ids, user names, certificates and tokens, and from user properties that are allowed to.
//!
//! ```toml
//! [[modules.presence.tags]]
//! match = "dev-*-*"
//! tag = "site-$1"
//!
//! [[modules.presence.tags]]
//! from = "claim"
//! name = "groups"
//! ```
//!
//! A client has its tags from when it comes in, those of the roster among them, and keeps them until it comes anew; of what is known of
//! clients they are a part, so they outlive it. What a client says of itself in a user property groups it, and opens nothing to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_codec::Property;
use mqtt_hooks::{ConnectionInfo, Ctx, Origin, Said, StartError, Tag, Tagging, Tags};
use serde_json::{Map, Value};

use super::glob::Glob;
use super::roster::Roster;

/// Bytes of a pattern, and of a text that is held against one: longer ones match none.
const PATTERN: usize = 256;
const TEXT: usize = 1024;

/// Texts that one rule looks at, of one client.
const TEXTS: usize = 64;

mqtt_hooks::choice! {
    /// What a tag is made of.
    pub enum Source {
        /// The client id.
        ClientId = "client_id",
        /// The user name, as authenticated.
        Username = "username",
        /// A claim of a token: a text, or a list of some.
        Claim = "claim",
        /// A part of the subject of a certificate.
        Certificate = "certificate",
        /// A user property of CONNECT: the client says so itself.
        UserProperty = "user_property",
    }
}

mqtt_hooks::settings! {
    /// A rule about tags.
    pub struct Settings {
        /// From
        ///
        /// What the tag is made of: the client id, the user name, a claim of a token, a part of a certificate's subject, or a user
        /// property of CONNECT. The last is what the client says itself, so no rule about what clients may do is about such tags.
        pub from: Source = ClientId,
        /// Name
        ///
        /// Of the claim, of the part (CN, OU, O, L, ST, C, DC or UID), or of the user property.
        pub name: String = "",
        /// Pattern
        ///
        /// What it must be like: * stands for any text, ? for one character.
        pub r#match: String = "*",
        /// Tag
        ///
        /// In it $1 to $9 are what the first to the ninth wildcard of the pattern stands for.
        pub tag: String = "$1",
    }
}

#[derive(Debug)]
struct Rule {
    source: Source,
    name: Box<str>,
    pattern: Glob,
    tag: Box<[Part]>,
}

/// A part of a tag.
#[derive(Debug)]
enum Part {
    Text(Box<str>),
    /// What the wildcard of this number stands for, from 0.
    Taken(usize),
}

/// All rules.
#[derive(Debug)]
pub(super) struct Rules(Box<[Rule]>);

impl Rules {
    pub(super) fn new(settings: &[Settings]) -> Result<Self, StartError> {
        let rule = |(at, one): (usize, &Settings)| {
            Rule::new(one).map_err(|why| StartError::Config(format!("tags, entry {at}: {why}")))
        };
        (1..).zip(settings).map(rule).collect::<Result<_, _>>().map(Self)
    }
}

impl Rule {
    fn new(settings: &Settings) -> Result<Self, String> {
        let Settings { from, name, r#match, tag } = settings;
        let needs_name = matches!(from, Source::Claim | Source::Certificate | Source::UserProperty);
        if needs_name == name.is_empty() {
            return Err(match needs_name {
                true => "name: is missing",
                false => "name: means nothing for the client id and the user name",
            }
            .to_owned());
        }
        if r#match.is_empty() || r#match.len() > PATTERN {
            return Err(format!("match: wants 1 to {PATTERN} bytes"));
        }
        let pattern = Glob::new(r#match);
        let parts = parts_of(tag);
        let highest =
            parts.iter().filter_map(|part| if let Part::Taken(at) = part { Some(at + 1) } else { None }).max();
        if let Some(highest) = highest.filter(|highest| *highest > pattern.wildcards()) {
            return Err(format!("tag: ${highest} stands for nothing: match has {} wildcards", pattern.wildcards()));
        }
        // With what is put in it has a character more for each.
        if !Tag::fits(tag) {
            return Err(format!("tag: {tag:?} can be no tag"));
        }
        Ok(Self { source: *from, name: name.as_str().into(), pattern, tag: parts })
    }

    /// `None`: the text does not match.
    fn tag_of(&self, text: &str) -> Option<String> {
        if text.len() > TEXT {
            return None;
        }
        let taken = self.pattern.captures(text)?;
        let parts = self.tag.iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Taken(at) => taken[*at],
        });
        Some(parts.collect())
    }

    fn give(&self, texts: &mut dyn Iterator<Item = &str>, give: &mut dyn FnMut(String, Origin)) {
        let origin = if self.source == Source::UserProperty { Origin::Said } else { Origin::Proven };
        for tag in texts.take(TEXTS).filter_map(|text| self.tag_of(text)) {
            give(tag, origin);
        }
    }
}

fn parts_of(tag: &str) -> Box<[Part]> {
    let (mut parts, mut rest) = (Vec::new(), tag);
    while let Some(at) = rest.match_indices('$').map(|(at, _)| at).find(|at| digit_at(rest, at + 1).is_some()) {
        let number = digit_at(rest, at + 1).expect("it was found by it");
        if at > 0 {
            parts.push(Part::Text(rest[..at].into()));
        }
        parts.push(Part::Taken(number - 1));
        rest = &rest[at + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    parts.into()
}

/// 1 to 9.
fn digit_at(text: &str, at: usize) -> Option<usize> {
    let digit = text.as_bytes().get(at)?;
    digit.is_ascii_digit().then(|| usize::from(digit - b'0')).filter(|digit| *digit > 0)
}

/// Gives clients the tags of rules, and of the roster.
pub(super) struct Tagger {
    rules: Rules,
    roster: Arc<Roster>,
    /// Texts that match and make no tag.
    unfit: Arc<AtomicU64>,
}

impl Tagger {
    /// While there are neither rules nor tags on the roster, nobody is asked.
    pub(super) fn register(ctx: &Ctx, rules: Rules, roster: &Arc<Roster>, unfit: &Arc<AtomicU64>) {
        let has_rules = !rules.0.is_empty();
        let standby = ctx.tag_when(Arc::new(Self { rules, roster: Arc::clone(roster), unfit: Arc::clone(unfit) }));
        standby.set(has_rules);
        if !has_rules {
            roster.turn_on(standby);
        }
    }
}

impl Tagging for Tagger {
    fn tags(&self, client: &ConnectionInfo, said: &Said<'_>, tags: &mut Vec<Tag>) {
        // The roster's come first: where there are too many, they stay.
        tags.extend(
            self.roster.tags_of(&client.client_id).into_iter().map(|name| Tag { name, origin: Origin::Listed }),
        );
        let mut give = |tag: String, origin| {
            if Tag::fits(&tag) {
                tags.push(Tag { name: tag.into(), origin });
            } else {
                self.unfit.fetch_add(1, Relaxed);
            }
        };
        // Read where a rule wants it.
        let mut claims = None;
        for rule in &self.rules.0 {
            match rule.source {
                Source::ClientId => rule.give(&mut [&*client.client_id].into_iter(), &mut give),
                Source::Username => rule.give(&mut client.username.as_deref().into_iter(), &mut give),
                Source::Certificate => {
                    let named = said.subject.iter().filter(|attribute| *attribute.name == *rule.name);
                    rule.give(&mut named.map(|attribute| &*attribute.value), &mut give);
                }
                Source::Claim => {
                    let claims = claims.get_or_insert_with(|| read(said.claims));
                    rule.give(&mut texts_of(claims.get(&*rule.name)), &mut give);
                }
                Source::UserProperty => {
                    let values: Vec<_> = said
                        .properties
                        .iter()
                        .filter_map(|property| match property {
                            Property::UserProperty(name, value) if *name == *rule.name => Some(value),
                            _ => None,
                        })
                        .take(TEXTS)
                        .collect();
                    rule.give(&mut values.iter().map(|value| &**value), &mut give);
                }
            }
        }
    }
}

fn read(claims: Option<&str>) -> Map<String, Value> {
    claims.and_then(|claims| serde_json::from_str(claims).ok()).unwrap_or_default()
}

fn texts_of(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, list) = match claim {
        Some(Value::String(text)) => (Some(&**text), None),
        Some(Value::Array(list)) => (None, Some(list)),
        _ => (None, None),
    };
    one.into_iter().chain(list.into_iter().flatten().filter_map(Value::as_str))
}

/// The tags of a client by name: those that it came in with, and those of the roster as it is by now.
pub(super) fn names(tags: &Tags, client_id: &str, roster: &Roster) -> Vec<Box<str>> {
    let mut names = roster.tags_of(client_id);
    for (name, _) in own(tags) {
        if !names.iter().any(|other| **other == *name) {
            names.push(name.into());
        }
    }
    names
}

/// Whether a client has a tag, as [`names`] has it.
pub(super) fn has(tags: &Tags, client_id: &str, roster: &Roster, tag: &str) -> bool {
    own(tags).any(|(name, _)| name == tag) || roster.is_tagged(client_id, tag)
}

/// As [`names`], without those that only the client says it has.
pub(super) fn proven(tags: &Tags, client_id: &str, roster: &Roster) -> Vec<Box<str>> {
    let mut names = names(tags, client_id, roster);
    names.retain(|name| tags.has_proven(name) || roster.is_tagged(client_id, name));
    names
}

/// Those that it has by itself, whatever the roster says.
fn own(tags: &Tags) -> impl Iterator<Item = (&str, Origin)> {
    tags.iter().filter(|(_, origin)| *origin != Origin::Listed)
}

#[cfg(test)]
mod tests;
