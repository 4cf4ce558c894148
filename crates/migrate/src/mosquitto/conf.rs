//! The lines of a `mosquitto.conf`, with those of the folders it includes.

use std::path::Path;

use crate::{Files, Migration, Place};

/// Lines of all files together.
const MAX_LINES: usize = 100_000;

/// Folders in folders.
const MAX_DEPTH: usize = 8;

/// A line that says something.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) place: Place,
    pub(super) word: String,
    pub(super) rest: String,
}

/// Words whose values are secrets.
const SECRETS: [&str; 5] = ["password", "remote_password", "bridge_psk", "psk", "bridge_identity"];

impl Directive {
    /// For people.
    pub(super) fn shown(&self) -> String {
        if SECRETS.contains(&self.word.as_str()) || self.word.ends_with("_password") {
            return format!("{} ********", self.word);
        }
        if self.rest.is_empty() { self.word.clone() } else { format!("{} {}", self.word, self.rest) }
    }
}

/// All of them, in the order in which mosquitto takes them.
pub(super) fn read(files: &dyn Files, path: &Path, migration: &mut Migration) -> Vec<Directive> {
    let mut found = Vec::new();
    read_file(files, path, None, 0, &mut found, migration);
    found
}

fn read_file(
    files: &dyn Files,
    path: &Path,
    named_at: Option<&Place>,
    depth: usize,
    found: &mut Vec<Directive>,
    migration: &mut Migration,
) {
    let Some(text) = migration.read(files, path, named_at) else { return };
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let place = Place::new(path, line);
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let directive = Directive { place, word: word.to_owned(), rest: rest.trim().to_owned() };
        if found.len() >= MAX_LINES {
            return migration.problem(&directive.place, format!("more than {MAX_LINES} lines"));
        }
        if word == "include_dir" {
            include(files, &directive, depth, found, migration);
        } else {
            found.push(directive);
        }
    }
}

/// `*.conf`, in the order of their names.
fn include(
    files: &dyn Files,
    directive: &Directive,
    depth: usize,
    found: &mut Vec<Directive>,
    migration: &mut Migration,
) {
    let folder = Path::new(&directive.rest);
    if depth >= MAX_DEPTH {
        return migration.problem(&directive.place, format!("more than {MAX_DEPTH} folders include each other"));
    }
    match files.list(folder) {
        Ok(paths) => {
            let count = paths.len();
            for path in paths.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "conf")) {
                read_file(files, &path, Some(&directive.place), depth + 1, found, migration);
            }
            migration.needless(&directive.place, directive.shown(), format!("its files are read ({count} in it)"));
        }
        Err(error) => migration.problem(&directive.place, format!("{}: {error}", folder.display())),
    }
}
