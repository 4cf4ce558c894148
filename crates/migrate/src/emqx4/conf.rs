//! The lines of a `.conf`: `key = value`, comments with `#`, and `include FILE`.

use std::path::Path;

use crate::{Files, Migration, Place};

/// Lines of all files together.
const MAX_LINES: usize = 100_000;

const MAX_DEPTH: usize = 8;

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) value: String,
}

impl Entry {
    /// For people: without what is secret.
    pub(super) fn shown(&self) -> String {
        let is_secret = ["secret", "password", "cookie", "token"].iter().any(|word| self.key.contains(word));
        format!("{} = {}", self.key, if is_secret { "********" } else { &self.value })
    }
}

pub(super) fn read(files: &dyn Files, path: &Path, migration: &mut Migration) -> Vec<Entry> {
    let mut found = Vec::new();
    read_file(files, path, None, 0, &mut found, migration);
    found
}

fn read_file(
    files: &dyn Files,
    path: &Path,
    named_at: Option<&Place>,
    depth: usize,
    found: &mut Vec<Entry>,
    migration: &mut Migration,
) {
    let Some(text) = migration.read(files, path, named_at) else { return };
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let place = Place::new(path, line);
        if found.len() >= MAX_LINES {
            return migration.problem(&place, format!("more than {MAX_LINES} lines"));
        }
        if let Some(file) = text.strip_prefix("include ") {
            if depth >= MAX_DEPTH {
                return migration.problem(&place, format!("more than {MAX_DEPTH} files include each other"));
            }
            let file = super::keys::resolved(path, Path::new(file.trim()));
            read_file(files, &file, Some(&place), depth + 1, found, migration);
            continue;
        }
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let value = value.trim();
                let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
                found.push(Entry { place, key: key.trim().to_owned(), value: bare.to_owned() });
            }
            _ => migration.problem(&place, format!("{text}: wants KEY = VALUE")),
        }
    }
}
