//! Client ids by a pattern.

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

    /// It takes no longer than the pattern times the text: only the last `*` is gone back to, for what those before it have taken
    /// can stay as short as it is.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut text) = (&*self.0, text);
        let mut star = None;
        loop {
            let mut rest = pattern.chars();
            let is_met = match (rest.next(), text.chars().next()) {
                (Some('*'), _) => {
                    pattern = rest.as_str();
                    star = Some((pattern, text));
                    continue;
                }
                (None, None) => return true,
                (Some('?'), Some(_)) => true,
                (wanted, found) => wanted == found,
            };
            if is_met {
                (pattern, text) = (rest.as_str(), after_first(text));
                continue;
            }
            // The last `*` takes one more.
            match star {
                Some((after, taken)) if !taken.is_empty() => {
                    (pattern, text) = (after, after_first(taken));
                    star = Some((pattern, text));
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
