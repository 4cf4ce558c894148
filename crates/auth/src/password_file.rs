//! Password files as mosquitto has them: a line `NAME:HASH` for each user.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hash::{Hash, Wrong};

/// Larger ones are taken for a mistake.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// Bytes of a name.
const MAX_NAME: usize = 65_535;

/// The users of a file.
#[derive(Debug, Default)]
pub struct PasswordFile {
    users: HashMap<Box<str>, Arc<Hash>>,
    /// Of one of them: others most likely cost the same.
    nobody: Option<Arc<Hash>>,
}

/// A line that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct WrongLine {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what to do about it.
    pub why: String,
}

impl PasswordFile {
    /// Reads a file's text: empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// The first line that is wrong; nothing of the file is to be used then.
    pub fn parse(text: &str) -> Result<Self, WrongLine> {
        let mut users = HashMap::new();
        let mut nobody = None;
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim_end();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let wrong = |why: String| WrongLine { line, why };
            let Some((name, hash)) = text.split_once(':') else {
                return Err(wrong("wants NAME:HASH, as mosquitto_passwd writes it".to_owned()));
            };
            if name.is_empty() || name.len() > MAX_NAME {
                return Err(wrong("there is no user name before the colon".to_owned()));
            }
            let hash = Hash::parse(hash).map_err(|why: Wrong| wrong(why.to_string()))?;
            nobody.get_or_insert_with(|| Arc::new(hash.nobody_like()));
            if users.insert(name.into(), Arc::new(hash)).is_some() {
                return Err(wrong(format!("{name:?} stands in a line before this one: remove one of the two")));
            }
        }
        Ok(Self { users, nobody })
    }

    /// Users in it.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub(crate) fn hash(&self, name: &str) -> Option<Arc<Hash>> {
        self.users.get(name).cloned()
    }

    /// Of nobody in it.
    pub(crate) fn nobody(&self) -> Option<Arc<Hash>> {
        self.nobody.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$6$VlkC7ZHaTbd0wkw6$367GPFpeTP8NIzeX+he4saCIQGJOH4PN3BYopztLTutpuyR6GEjXmq+ddCaA1H1JeKLRjrZ4NGjXJUvRq3CT/g==";

    #[track_caller]
    fn check_wrong(text: &str, line: usize, needle: &str) {
        let wrong = PasswordFile::parse(&text.replace('H', HASH)).unwrap_err();
        assert!(wrong.line == line && wrong.why.contains(needle), "{wrong}");
    }

    #[test]
    fn each_line_is_a_user() {
        let text = format!("# made by hand\n\nalice:{HASH}\r\nb c:{HASH}\n");
        let file = PasswordFile::parse(&text).unwrap();
        assert_eq!(file.len(), 2);
        for (name, is_there) in [("alice", true), ("b c", true), ("# made by hand", false), ("", false)] {
            assert_eq!(file.hash(name).is_some(), is_there, "{name}");
        }
        assert!(file.hash("alice").is_some_and(|hash| hash.is_of(b"secret")));
        assert!(PasswordFile::parse("").is_ok_and(|file| file.is_empty() && file.nobody().is_none()));
    }

    #[test]
    fn a_wrong_line_is_named_with_what_to_do() {
        check_wrong("a:H\nb\n", 2, "wants NAME:HASH");
        check_wrong("a:H\n\nb:secret\n", 3, "mosquitto_passwd -U");
        check_wrong(":H", 1, "no user name");
        check_wrong("a:H\n# a\na:H", 3, "remove one");
        check_wrong("a:$1$x", 1, "not known");
        check_wrong("a:$6$x", 1, "not whole");
    }
}
