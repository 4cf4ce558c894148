//! A file of rules, of either kind.

use super::{MAX_RULES, Rule, emqx, erlang, mosquitto};
use crate::WrongLine;

/// Rules of a file.
#[derive(Clone, Debug)]
pub struct AclFile {
    kind: Kind,
    pub(crate) rules: Vec<Rule>,
}

/// Whose form a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{allow, all}.`
    Emqx,
    /// `topic read a/#`
    Mosquitto,
}

/// What is wrong with a file of rules.
pub type WrongAcl = WrongLine;

impl AclFile {
    /// Reads a file's text, whose kind shows in it: what begins with a tuple, after blanks and comments with `%`, is EMQ X's.
    /// `name` says where each rule stands.
    ///
    /// # Errors
    /// The first line that is wrong; nothing of the file is to be used then. A file without any line says of neither kind what
    /// it is, and one of mosquitto's forbids everything: that is an error too.
    pub fn parse(text: &str, name: &str) -> Result<Self, WrongAcl> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let (kind, rules) = if erlang::begins_with_a_tuple(text) {
            (Kind::Emqx, emqx::read(text, name)?)
        } else if text.lines().all(is_blank) {
            let why =
                "there is no rule; wants lines like {allow, all}. (EMQ X's acl.conf) or topic read a/# (mosquitto's)";
            return Err(WrongLine { line: 1, why: why.to_owned() });
        } else {
            (Kind::Mosquitto, mosquitto::read(text, name)?)
        };
        if rules.len() > MAX_RULES {
            return Err(WrongLine { line: 1, why: format!("more than {MAX_RULES} rules") });
        }
        Ok(Self { kind, rules })
    }

    /// Whose form it has.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How many rules it has; one of mosquitto's has one more, that forbids the rest.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kind_shows_in_the_text() {
        for (text, kind, len) in [
            ("%% x\n\n{allow, all}.", Kind::Emqx, 1),
            ("{allow, all}.", Kind::Emqx, 1),
            ("\u{feff}{allow, all}.", Kind::Emqx, 1),
            ("# {allow, all}.\ntopic a", Kind::Mosquitto, 2),
            ("user a", Kind::Mosquitto, 1),
        ] {
            let file = AclFile::parse(text, "f").unwrap();
            assert_eq!((file.kind(), file.len()), (kind, len), "{text:?}");
        }
        for nothing in ["", "\n \n", "# comment\n"] {
            assert!(AclFile::parse(nothing, "f").is_err(), "{nothing:?}");
        }
    }

    fn tokens() -> impl Strategy<Value = String> {
        let tokens = [
            "{", "}", "[", "]", "<<", ">>", "\"", "'", "\\", "%", ".", ",", "\n", " ", "allow", "deny", "all", "user",
            "and", "a/#", "eq", "topic", "pattern", "read", "#", "%c", "é", "publish",
        ];
        prop::collection::vec(prop::sample::select(tokens.to_vec()), 0..40).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_its_wrong_line_is_named(text in tokens()) {
            let lines = text.lines().count() + 1;
            let tuple = format!("{{allow, {text}}}.");
            for text in [&text, &tuple] {
                if let Err(wrong) = AclFile::parse(text, "f") {
                    prop_assert!((1..=lines).contains(&wrong.line) && !wrong.why.is_empty(), "{}", wrong);
                }
            }
        }
    }
}
