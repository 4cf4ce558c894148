//! Topics and filters, and which of them match.

use bytestring::ByteString;

mod relation;

/// A topic name: not empty, at most 65,535 bytes, no wildcard, no U+0000, no control character. [MQTT-4.7.0-1] [MQTT-4.7.3-1]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(ByteString);

/// A topic filter, perhaps with `$share/group/` in front, or with `$queue/`, which is EMQ X's short form for a group of its
/// own, `$queue`.
///
/// Wildcards stand only where they may: `+` alone in its level, `#` alone in the last. [MQTT-4.7.1-1] [MQTT-4.7.1-2]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    text: ByteString,
    /// Bytes of the group's name; 0: not shared, [`QUEUE`]: by `$queue/`, [`BAD_SHARE`]: badly so.
    group: u16,
}

/// Why a text is no topic or no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// [MQTT-4.7.3-1]
    #[error("it is empty")]
    Empty,
    /// [MQTT-4.7.3-3]
    #[error("it is longer than 65,535 bytes")]
    TooLong,
    /// [MQTT-4.7.3-2]
    #[error("it has the character U+0000")]
    Null,
    /// U+0001 to U+001F or U+007F to U+009F, which a receiver may refuse (section 1.5.4).
    #[error("it has a control character")]
    Control,
    /// [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT-4.7.1-1] [MQTT-4.7.1-2]
    #[error("`+` or `#` stands where no wildcard may")]
    Wildcard,
    /// [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    #[error("`$share/` needs a group name without wildcards, `/` and a filter")]
    Share,
}

const SHARE: &str = "$share/";
const QUEUE_PREFIX: &str = "$queue/";

/// In place of a length: the text begins with [`QUEUE_PREFIX`].
const QUEUE: u16 = u16::MAX - 1;

/// Longer than any group's name can be.
const BAD_SHARE: u16 = u16::MAX;

impl Topic {
    /// Checks `text`.
    pub fn new(text: impl Into<ByteString>) -> Result<Self, TopicError> {
        let text = text.into();
        check_topic(&text)?;
        Ok(Self(text))
    }

    /// `text` has passed [`check_topic`].
    pub(crate) const fn trusted(text: ByteString) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, sharing its memory.
    pub const fn as_byte_string(&self) -> &ByteString {
        &self.0
    }

    /// A copy in memory of its own: a decoded topic is a slice of the buffer that it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(ByteString::from(&*self.0))
    }

    /// The levels, which may be empty.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }

    /// How many levels there are.
    pub fn levels_len(&self) -> usize {
        levels_len(&self.0)
    }
}

impl Filter {
    /// Checks `text`. `$share/group/filter` and `$queue/filter` are shared filters in every protocol version.
    pub fn new(text: impl Into<ByteString>) -> Result<Self, TopicError> {
        let filter = Self::received(text.into())?;
        if filter.is_bad_share() { Err(TopicError::Share) } else { Ok(filter) }
    }

    /// Like [`Self::new`], but takes a `$share/` without a group or a filter, which is to be answered: see
    /// [`Self::is_bad_share`].
    pub(crate) fn received(text: ByteString) -> Result<Self, TopicError> {
        let marks = check_text(&text)?;
        if let Some(filter) = text.strip_prefix(QUEUE_PREFIX) {
            check_wildcards(filter)?;
            let group = if filter.is_empty() { BAD_SHARE } else { QUEUE };
            return Ok(Self { text, group });
        }
        let Some(rest) = text.strip_prefix(SHARE) else {
            if marks.wildcard {
                check_wildcards(&text)?;
            }
            return Ok(Self { text, group: 0 });
        };
        let group = match rest.split_once('/') {
            Some((name, filter)) if !name.is_empty() && !filter.is_empty() && !name.contains(['+', '#']) => {
                check_wildcards(filter)?;
                name.len() as u16
            }
            _ => BAD_SHARE,
        };
        Ok(Self { text, group })
    }

    /// True for a filter from a SUBSCRIBE or UNSUBSCRIBE that begins with `$share/` or `$queue/` but names no group or no
    /// filter.
    ///
    /// It can't be subscribed with [MQTT-4.8.2-1] [MQTT-4.8.2-2], which a server tells by
    /// [`TopicFilterInvalid`](crate::ReasonCode::TopicFilterInvalid).
    pub const fn is_bad_share(&self) -> bool {
        self.group == BAD_SHARE
    }

    /// The whole text, `$share/group/` or `$queue/` included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A copy in memory of its own: a decoded filter is a slice of the buffer that it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { text: ByteString::from(&*self.text), group: self.group }
    }

    /// The name of the group, if this filter is shared.
    pub fn group(&self) -> Option<&str> {
        match self.group {
            0 | BAD_SHARE => None,
            QUEUE => Some(&self.text[..QUEUE_PREFIX.len() - 1]),
            group => Some(&self.text[SHARE.len()..SHARE.len() + usize::from(group)]),
        }
    }

    /// What topics are matched with: the text without `$share/group/` or `$queue/`.
    pub fn pattern(&self) -> &str {
        match self.group {
            0 | BAD_SHARE => &self.text,
            QUEUE => &self.text[QUEUE_PREFIX.len()..],
            group => &self.text[SHARE.len() + usize::from(group) + 1..],
        }
    }

    /// How many levels its pattern has.
    pub fn levels_len(&self) -> usize {
        levels_len(self.pattern())
    }

    /// True if a `+` or `#` is in the pattern.
    pub fn has_wildcard(&self) -> bool {
        self.pattern().bytes().any(|byte| byte == b'+' || byte == b'#')
    }

    /// The rule itself, without any index: slow, plain, right.
    pub fn matches(&self, topic: &Topic) -> bool {
        let pattern = self.pattern();
        // [MQTT-4.7.2-1]: a leading wildcard does not reach `$` topics.
        if topic.as_str().starts_with('$') && pattern.starts_with(['+', '#']) {
            return false;
        }
        let mut topic_levels = topic.levels();
        for level in pattern.split('/') {
            match (level, topic_levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (level, Some(topic_level)) if level == topic_level => {}
                _ => return false,
            }
        }
        topic_levels.next().is_none()
    }
}

fn levels_len(text: &str) -> usize {
    1 + text.bytes().filter(|&byte| byte == b'/').count()
}

pub(crate) fn check_topic(text: &str) -> Result<(), TopicError> {
    // [MQTT-3.3.2-2]
    if check_text(text)?.wildcard { Err(TopicError::Wildcard) } else { Ok(()) }
}

/// What one look at all bytes of a text finds.
#[derive(Clone, Copy)]
struct Marks {
    wildcard: bool,
}

const NULL: u8 = 1;
const CONTROL: u8 = 2;
const WILDCARD: u8 = 4;
const NOT_ASCII: u8 = 8;

/// What each byte is.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            0 => NULL,
            0x01..=0x1F | 0x7F => CONTROL,
            b'+' | b'#' => WILDCARD,
            0x80.. => NOT_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

fn check_text(text: &str) -> Result<Marks, TopicError> {
    match text.len() {
        0 => return Err(TopicError::Empty),
        65_536.. => return Err(TopicError::TooLong),
        _ => {}
    }
    let classes = if is_plain(text.as_bytes()) { 0 } else { classes(text.as_bytes()) };
    if classes & NULL != 0 {
        return Err(TopicError::Null);
    }
    if classes & CONTROL != 0 || classes & NOT_ASCII != 0 && text.chars().any(char::is_control) {
        return Err(TopicError::Control);
    }
    Ok(Marks { wildcard: classes & WILDCARD != 0 })
}

/// True if no byte has a class: a topic rarely has such a byte, and is looked at for every message.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    let (blocks, _) = bytes.as_chunks::<16>();
    match bytes.last_chunk::<16>() {
        // The last block overlaps the one before.
        Some(last) => blocks.iter().fold(suspects(last), |found, block| found | suspects(block)) == 0,
        None => classes(bytes) == 0,
    }
}

fn classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |classes, &byte| classes | CLASSES[usize::from(byte)])
}

/// Not 0 if one of the bytes has a class; without a table, so that it becomes a few vector instructions.
#[inline]
fn suspects(block: &[u8; 16]) -> u8 {
    block.iter().fold(0, |found, &byte| {
        let control_or_not_ascii = byte.wrapping_sub(0x20) >= 0x7F - 0x20;
        // `#` and `+` differ in one bit.
        let wildcard = byte | 0x08 == b'+';
        found | u8::from(control_or_not_ascii) | u8::from(wildcard)
    })
}

fn check_wildcards(pattern: &str) -> Result<(), TopicError> {
    let mut levels = pattern.split('/').peekable();
    while let Some(level) = levels.next() {
        let fine = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.contains(['+', '#']),
        };
        if !fine {
            return Err(TopicError::Wildcard);
        }
    }
    Ok(())
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, matching: &[&'static str], other: &[&'static str]) {
        let filter = Filter::new(filter.to_owned()).unwrap();
        for &topic in matching {
            assert!(filter.matches(&Topic::new(topic).unwrap()), "{filter} should match {topic}");
        }
        for &topic in other {
            assert!(!filter.matches(&Topic::new(topic).unwrap()), "{filter} should not match {topic}");
        }
    }

    #[test]
    fn hash_matches_its_parent() {
        check("sport/#", &["sport", "sport/", "sport/a/b"], &["sports", "$SYS/sport"]);
    }

    #[test]
    fn plus_matches_one_level_even_an_empty_one() {
        check("+/b", &["a/b", "/b"], &["b", "a/b/c", "$a/b"]);
        check("a/+", &["a/", "a/b"], &["a", "a/b/c"]);
    }

    #[test]
    fn leading_wildcards_do_not_reach_dollar_topics() {
        check("#", &["a", "/"], &["$SYS", "$SYS/a"]);
        check("$SYS/#", &["$SYS", "$SYS/a"], &["a"]);
    }

    #[test]
    fn shared_filters_match_by_their_pattern() {
        check("$share/g/a/+", &["a/b"], &["$share/g/a/b"]);
        let filter = Filter::new("$share/g/a/+").unwrap();
        assert_eq!((filter.group(), filter.pattern()), (Some("g"), "a/+"));
    }

    #[test]
    fn queue_is_a_group_of_its_own() {
        check("$queue/a/+", &["a/b"], &["$queue/a/b"]);
        check("$queue/#", &["a/b"], &["$SYS/a"]);
        let filter = Filter::new("$queue/a/+").unwrap();
        assert_eq!((filter.group(), filter.pattern(), filter.has_wildcard()), (Some("$queue"), "a/+", true));
        for text in ["$queue", "$queued/a", "a/$queue/b"] {
            assert_eq!(Filter::new(text).unwrap().group(), None, "{text}");
        }
        assert!(Filter::received("$queue/".into()).unwrap().is_bad_share());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "$queue/",
            "$queue/a#",
            "",
            "a#",
            "#/a",
            "a/#/b",
            "a+",
            "+a/b",
            "a\0",
            "$share/g",
            "$share//a",
            "$share/g+/a",
            "$share/g/",
        ] {
            assert!(Filter::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_byte_is_classed_alike_wherever_it_stands() {
        for byte in 0..=0xFF {
            for len in [1, 15, 16, 17, 31, 32, 33] {
                for at in 0..len {
                    let mut text = [b'a'; 33];
                    text[at] = byte;
                    let plain = CLASSES[usize::from(byte)] == 0;
                    assert_eq!(is_plain(&text[..len]), plain, "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        for text in ["", "a/+", "#", "a\0b"] {
            assert!(Topic::new(text).is_err(), "{text:?}");
        }
        assert!(Topic::new("a".repeat(65_535)).is_ok());
        assert!(Topic::new("a".repeat(65_536)).is_err());
    }
}
