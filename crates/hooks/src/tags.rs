//! Tags of clients: words that put them into groups.

use std::fmt;
use std::sync::Arc;

use mqtt_codec::Properties;

use crate::ConnectionInfo;

/// Tags of a client; more are left out.
const MOST: usize = 16;

/// Characters of a tag.
const LONGEST: usize = 64;

/// Gives clients tags.
pub trait Tagging: Send + Sync {
    /// Which tags a client has, added to `tags`. Asked once per CONNECT, when it is known as whom the client comes in and before what it
    /// may do is looked at. One that panics gives none.
    fn tags(&self, client: &ConnectionInfo, said: &Said<'_>, tags: &mut Vec<Tag>);
}

/// What is known of a client besides its [`ConnectionInfo`] while it comes in.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Of its CONNECT; none before version 5.
    pub properties: &'a Properties,
    /// A JSON object with what who let it in knows of it: [`Grant::claims`](crate::Grant::claims).
    pub claims: Option<&'a str>,
    /// Of its certificate, which was found good.
    pub subject: &'a [Attribute],
}

/// A part of the subject of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// As RFC 4514 writes it: `OU`.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// A word that puts a client into a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// It [fits](Tag::fits).
    pub name: Box<str>,
    /// How far it can be trusted.
    pub origin: Origin,
}

/// Who says that a client has a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody but itself.
    Said,
    /// What it has proven: its token, its certificate, or the names by which it was let in.
    Proven,
    /// An operator, who has listed the client.
    Listed,
}

impl Origin {
    const fn mark(self) -> char {
        match self {
            Self::Said => '?',
            Self::Proven => '=',
            Self::Listed => '*',
        }
    }

    fn of(mark: char) -> Option<Self> {
        [Self::Said, Self::Proven, Self::Listed].into_iter().find(|origin| origin.mark() == mark)
    }
}

impl Tag {
    /// Whether a text may be a tag: 1 to 64 characters, none of which would end a level of a topic or an entry of a list.
    pub fn fits(name: &str) -> bool {
        let is_odd = |c: char| c.is_control() || matches!(c, '/' | '+' | '#' | ',' | ';');
        !name.is_empty() && name.chars().nth(LONGEST).is_none() && !name.contains(is_odd)
    }
}

/// The tags of a client; none take no memory of their own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<str>>);

impl Tags {
    /// No tags.
    pub const NONE: Self = Self(None);

    /// In the order in which they stand there, each once, by who is to be trusted most. Those that [don't fit](Tag::fits), and more than
    /// 16, are left out.
    pub fn new(tags: Vec<Tag>) -> Self {
        let mut kept = Vec::<Tag>::new();
        for tag in tags.into_iter().filter(|tag| Tag::fits(&tag.name)) {
            if let Some(other) = kept.iter_mut().find(|other| other.name == tag.name) {
                other.origin = other.origin.max(tag.origin);
            } else if kept.len() < MOST {
                kept.push(tag);
            }
        }
        // No tag has a control character, so a line is one.
        let lines: Vec<_> = kept.iter().map(|tag| format!("{}{}", tag.origin.mark(), tag.name)).collect();
        Self((!lines.is_empty()).then(|| lines.join("\n").into()))
    }

    /// As they are stored.
    pub fn as_record(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// From [`Self::as_record`].
    pub fn from_record(record: Option<&str>) -> Self {
        Self(record.filter(|record| !record.is_empty()).map(Into::into))
    }

    /// True if there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All of them, and who says so.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.0.iter().flat_map(|lines| lines.split('\n')).filter_map(|line| {
            let mut rest = line.chars();
            let origin = Origin::of(rest.next()?)?;
            Some((rest.as_str(), origin))
        })
    }

    /// Whether it is among them, whoever says so.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(own, _)| own == name)
    }

    /// Whether it is among them, and not only because the client says so.
    pub fn has_proven(&self, name: &str) -> bool {
        self.iter().any(|(own, origin)| own == name && origin > Origin::Said)
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, origin: Origin) -> Tag {
        Tag { name: name.into(), origin }
    }

    #[test]
    fn each_tag_is_there_once_by_who_is_to_be_trusted_most() {
        let tags = Tags::new(vec![
            tag("b", Origin::Said),
            tag("a", Origin::Proven),
            tag("b", Origin::Listed),
            tag("a", Origin::Said),
            tag("c", Origin::Said),
            tag("x/y", Origin::Listed),
        ]);
        let all = [("b", Origin::Listed), ("a", Origin::Proven), ("c", Origin::Said)];
        assert_eq!(tags.iter().collect::<Vec<_>>(), all);
        assert_eq!(["a", "b", "c", "d"].map(|name| tags.has(name)), [true, true, true, false]);
        assert_eq!(["a", "b", "c", "d"].map(|name| tags.has_proven(name)), [true, true, false, false]);
        assert_eq!(Tags::from_record(tags.as_record()), tags);
    }

    #[test]
    fn what_a_client_can_have_is_bounded() {
        let many = Tags::new((0..100).map(|n| tag(&"x".repeat(n), Origin::Said)).collect());
        assert_eq!(many.iter().count(), 16);
        for odd in ["", "a/b", "+", "#", "a,b", "a;b", "a\nb", &"x".repeat(65)] {
            assert!(!Tag::fits(odd) && Tags::new(vec![tag(odd, Origin::Proven)]).is_empty(), "{odd:?}");
        }
        assert!(Tag::fits(&"日".repeat(64)));
        assert_eq!(Tags::from_record(Some("nobody wrote this")).iter().count(), 0);
    }
}
