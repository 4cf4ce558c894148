//! How a wildcard filter goes through ordered topics: from match to match, skipping what lies between.

use std::cmp::Ordering;
use std::ops::Bound;

/// How far a walk over the retained messages that a filter matches has come, see
/// [`Retained::next_slice`](crate::Retained::next_slice). The default is its beginning.
///
/// It is a place in the order of topics and holds on to nothing, so a walk may be kept for as long as one likes, go on
/// whatever has changed meanwhile, or be given up at any time. It belongs to one filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Everything before it has been looked at or can't match.
    at: String,
    /// What is there has been looked at, too.
    seen: bool,
    pub(crate) is_over: bool,
}

impl Cursor {
    /// Nothing is left to be found.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes it has allocated: at most some 128 KiB, usually a topic's length.
    pub fn allocated(&self) -> usize {
        self.at.capacity()
    }
}

/// What to do after looking at a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onward {
    /// It matches; go on with the next.
    Found,
    /// It does not; go on at [`Seeker::bound`].
    Seek,
    /// Neither it nor any after it matches.
    End,
}

/// A filter's way through topics that are ordered and have U+0000 for `/`.
#[derive(Debug)]
pub(crate) struct Seeker<'a> {
    /// The pattern without `#`; `None` if it is nothing else.
    levels: Option<&'a str>,
    hash: bool,
    /// Begins with a wildcard, so it does not reach `$` topics. [MQTT-4.7.2-1]
    leads: bool,
    cursor: &'a mut Cursor,
}

impl<'a> Seeker<'a> {
    pub(crate) fn new(pattern: &'a str, cursor: &'a mut Cursor) -> Self {
        let (levels, hash) = match pattern.strip_suffix('#') {
            Some(levels) => (levels.strip_suffix('/'), true),
            None => (Some(pattern), false),
        };
        Self { levels, hash, leads: pattern.starts_with(['+', '#']), cursor }
    }

    /// Where the topics begin that have not been looked at and may match.
    pub(crate) fn bound(&self) -> Bound<&str> {
        if self.cursor.seen { Bound::Excluded(&self.cursor.at) } else { Bound::Included(&self.cursor.at) }
    }

    /// Looks at the first topic within the bound, and moves the bound past it.
    pub(crate) fn look_at(&mut self, topic: &str) -> Onward {
        // [MQTT-4.7.2-1]. `%` is what follows `$`: all of those are skipped at once.
        if self.leads && topic.starts_with('$') {
            return self.seek("%", "");
        }
        // Where the topic's next level begins: past its end once all are used up.
        let mut start = 0;
        // Where the last level ends that a `+` took.
        let mut plus = None;
        for level in self.levels.iter().flat_map(|levels| levels.split('/')) {
            let Some(rest) = topic.get(start..) else {
                // The first that may match is below this topic.
                self.seek(topic, "\0");
                if level != "+" {
                    self.cursor.at.push_str(level);
                }
                return Onward::Seek;
            };
            let end = start + rest.find('\0').unwrap_or(rest.len());
            if level == "+" {
                plus = Some(end);
            } else {
                match topic[start..end].cmp(level) {
                    Ordering::Equal => {}
                    // What may match is further on, where this level has the filter's text.
                    Ordering::Less => return self.seek(&topic[..start], level),
                    // Behind it none of this part can match any more; only another text for the last `+` brings a new
                    // one.
                    Ordering::Greater => return self.seek_past(topic, plus),
                }
            }
            start = end + 1;
        }
        if !self.hash && start <= topic.len() {
            return self.seek_past(topic, plus);
        }
        self.seek(topic, "");
        self.cursor.seen = true;
        Onward::Found
    }

    /// Skips the rest of what has the same text up to the end of the last `+`. Without `+` nothing is left.
    fn seek_past(&mut self, topic: &str, plus: Option<usize>) -> Onward {
        match plus {
            // The lowest text that is neither this level nor below it.
            Some(end) => self.seek(&topic[..end], "\x01"),
            None => Onward::End,
        }
    }

    fn seek(&mut self, start: &str, rest: &str) -> Onward {
        let Cursor { at, seen, .. } = &mut *self.cursor;
        at.clear();
        at.push_str(start);
        at.push_str(rest);
        *seen = false;
        Onward::Seek
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The topics looked at on the way, those that match in capitals.
    fn way(pattern: &str, topics: &[&str]) -> String {
        let topics: BTreeSet<String> = topics.iter().map(|topic| topic.replace('/', "\0")).collect();
        let mut cursor = Cursor::default();
        let mut seeker = Seeker::new(pattern, &mut cursor);
        let mut way = Vec::new();
        loop {
            let bound = (seeker.bound().map(str::to_owned), Bound::Unbounded);
            let Some(topic) = topics.range::<String, _>(bound).next() else { break };
            let text = topic.replace('\0', "/");
            match seeker.look_at(topic) {
                Onward::Found => way.push(text.to_uppercase()),
                Onward::Seek => way.push(text),
                Onward::End => break,
            }
        }
        way.join(" ")
    }

    #[test]
    fn a_subtree_is_walked_without_what_is_outside() {
        assert_eq!(way("b/#", &["a", "a/x", "b", "b/", "b/x/y", "b-", "c"]), "a B B/ B/X/Y");
        assert_eq!(way("#", &["$a", "$b/c", "%", "/", "a"]), "/ $a % A");
    }

    #[test]
    fn plus_skips_from_one_level_to_the_next() {
        let topics = ["a/1", "a/2", "a/s", "a/t", "a/u", "b/1", "b/s/x", "c/t", "d"];
        assert_eq!(way("+/s", &topics), "a/1 A/S a/t b/1 b/s/x c/t d");
        assert_eq!(way("+", &["a", "a/b", "a/c", "d"]), "A a/b D");
        assert_eq!(way("a/+/x", &["a", "a/", "a//x", "b"]), "a a/ A//X");
    }
}
