//! Records that can't be read are left out, and stay where they are.

use std::fmt;

use crate::{Store, StoreError, Table};

/// A record that nobody can have written. It is left out, and stays in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where.
    pub table: Table,
    /// Under which key.
    pub key: Vec<u8>,
    /// What is wrong with it.
    pub why: String,
}

/// A key as people read it: text if it is that, else hexadecimal digits; the beginning of it if it is long.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONG: usize = 48;
        let text = std::str::from_utf8(self.0).ok().filter(|text| !text.chars().any(char::is_control));
        let shown: String = match text {
            Some(text) => text.chars().take(LONG).collect(),
            None => self.0.iter().take(LONG / 2).map(|byte| format!("{byte:02x}")).collect(),
        };
        let is_all = match text {
            Some(text) => shown.len() == text.len(),
            None => shown.len() == 2 * self.0.len(),
        };
        write!(f, "\"{shown}{}\"", if is_all { "" } else { ".." })
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}, key {}: {}", self.table.name(), Shown(&self.key), self.why)
    }
}

/// Reads a table but for what can't be read of it.
pub(super) fn each(
    store: &dyn Store,
    table: Table,
    unreadable: &mut Vec<Unreadable>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    store.read(table, &mut |key, value| match visit(key, value) {
        Err(StoreError::Corrupt { why, .. }) => {
            unreadable.push(Unreadable { table, key: key.to_vec(), why });
            Ok(())
        }
        visited => visited,
    })
}

/// Tells of them, however many they are, in one line.
pub(super) fn warn(unreadable: &[Unreadable]) {
    if let Some(first) = unreadable.first() {
        tracing::warn!(
            records = unreadable.len(), %first,
            "records of the store can't be read: they are left out and stay where they are, see `rollcall store check`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &[u8], shown: &str) {
        assert_eq!(Shown(key).to_string(), shown);
    }

    #[test]
    fn keys_are_shown_as_people_read_them() {
        check(b"a/b", "\"a/b\"");
        check(&[0, 1, 0xFF], "\"0001ff\"");
        check(&[b'x'; 60], &format!("\"{}..\"", "x".repeat(48)));
        check(&[7; 25], &format!("\"{}..\"", "07".repeat(24)));
    }
}
