//! Client ids, and other texts, by a pattern.

use std::ops::Range;

/// `*` stands for any text, also none, and `?` for one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Box<str>);

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// The only text that matches, if there is but one.
    pub(super) fn exact(&self) -> Option<&str> {
        (!self.0.contains(['*', '?'])).then_some(&self.0)
    }

    /// How many wildcards it has.
    pub(super) fn wildcards(&self) -> usize {
        self.0.matches(['*', '?']).count()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.scan(text, None)
    }

    /// What each wildcard stands for, if it matches; each `*` but the last for as little as it can.
    pub(super) fn captures<'a>(&self, text: &'a str) -> Option<Vec<&'a str>> {
        let mut taken = Vec::new();
        self.scan(text, Some(&mut taken)).then(|| taken.into_iter().map(|range| &text[range]).collect())
    }

    /// It takes no longer than the pattern times the text: only the last `*` is gone back to, for what those before it have taken
    /// can stay as short as it is.
    fn scan(&self, whole: &str, mut taken: Option<&mut Vec<Range<usize>>>) -> bool {
        let (mut pattern, mut text) = (&*self.0, whole);
        let at = |text: &str| whole.len() - text.len();
        // What follows the last `*`, what it has not taken, and how many wildcards are before it.
        let mut star = None;
        loop {
            let mut rest = pattern.chars();
            let is_met = match (rest.next(), text.chars().next()) {
                (Some('*'), _) => {
                    pattern = rest.as_str();
                    star = Some((pattern, text, taken.as_ref().map_or(0, |taken| taken.len())));
                    if let Some(taken) = &mut taken {
                        taken.push(at(text)..at(text));
                    }
                    continue;
                }
                (None, None) => return true,
                (Some('?'), Some(one)) => {
                    if let Some(taken) = &mut taken {
                        taken.push(at(text)..at(text) + one.len_utf8());
                    }
                    true
                }
                (wanted, found) => wanted == found,
            };
            if is_met {
                (pattern, text) = (rest.as_str(), after_first(text));
                continue;
            }
            // The last `*` takes one more.
            match star {
                Some((after, left, before)) if !left.is_empty() => {
                    (pattern, text) = (after, after_first(left));
                    star = Some((pattern, text, before));
                    if let Some(taken) = &mut taken {
                        taken.truncate(before + 1);
                        taken[before].end = at(text);
                    }
                }
                _ => return false,
            }
        }
    }
}

fn after_first(text: &str) -> &str {
    let mut rest = text.chars();
    rest.next();
    rest.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let glob = Glob::new(pattern);
        for (texts, expected) in [(matching, true), (other, false)] {
            for text in texts {
                assert_eq!(glob.matches(text), expected, "{pattern} {text}");
            }
        }
    }

    #[test]
    fn stars_and_question_marks_match() {
        check("*", &["", "a", "日本"], &[]);
        check("dev-*", &["dev-", "dev-1", "dev-*"], &["de", "xdev-1", "Dev-1"]);
        check("*-x", &["-x", "a-x", "-x-x"], &["x", "a-x-"]);
        check("a*b*c", &["abc", "aXbYc", "abbbcc", "abcbc"], &["ab", "acb", "abcd"]);
        check("?", &["a", "日"], &["", "ab"]);
        check("a?c*", &["abc", "aXcd"], &["ac", "ab"]);
        check("", &[""], &["a"]);
        check("a", &["a"], &["", "aa"]);
        check("**a", &["a", "ba"], &["", "b"]);
    }

    #[test]
    fn what_wildcards_stand_for_can_be_taken() {
        for (pattern, text, expected) in [
            ("dev-*-*", "dev-rome-7", &["rome", "7"][..]),
            ("dev-*-*", "dev-rome-7-b", &["rome", "7-b"]),
            ("*-??-*x", "a-b-cd-xyx", &["a-b", "c", "d", "xy"]),
            ("*", "日本", &["日本"]),
            ("*?", "日本", &["日", "本"]),
            ("**a", "ba", &["", "b"]),
            ("a", "a", &[]),
        ] {
            let glob = Glob::new(pattern);
            assert_eq!(glob.captures(text).as_deref(), Some(expected), "{pattern} {text}");
            assert_eq!(glob.wildcards(), expected.len());
        }
        assert_eq!(Glob::new("a*b").captures("ac"), None);
    }

    #[test]
    fn many_stars_take_no_long() {
        let glob = Glob::new(&"a*".repeat(200));
        assert!(!glob.matches(&"ab".repeat(50)));
        assert!(!Glob::new(&format!("{}b", "*a".repeat(500))).matches(&"a".repeat(5000)));
    }

    #[test]
    fn what_has_no_wildcard_names_one() {
        assert_eq!(Glob::new("a.b").exact(), Some("a.b"));
        assert_eq!(Glob::new("a*").exact(), None);
        assert_eq!(Glob::new("a?").exact(), None);
    }
}
