//! What becomes of another broker's files.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::state::State;
use crate::{Files, Settings};

/// What becomes of another broker's files.
#[derive(Debug, Default)]
pub struct Migration {
    /// The settings that are made of them.
    pub settings: Settings,
    /// Files that the settings name.
    pub beside: Vec<Beside>,
    /// What there is beside settings, for `rollcall import rollcall`.
    pub state: State,
    /// Each line, in the order in which they were read.
    pub lines: Vec<Line>,
    /// If there are any, nothing is to be written.
    pub problems: Vec<Problem>,
    /// What else there is to do, for people.
    pub next: Vec<String>,
}

/// A file that is made beside the settings. It has secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which file, or which part of one.
    pub file: String,
    /// From 1; 0: somewhere in it.
    pub line: usize,
}

/// A line of a foreign file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub said: String,
    /// What became of it.
    pub fate: Fate,
}

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// This is what it is here.
    Carried(String),
    /// It needs nothing here, because of this.
    Needless(String),
    /// It could not be carried over, because of this.
    Left(String),
}

/// Why nothing is to be made of it at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong, and what to do about it.
    pub why: String,
}

/// Where the settings are going to be.
#[derive(Clone, Debug)]
pub struct Target {
    /// Their file.
    pub file: PathBuf,
    /// The data folder they name.
    pub data_dir: PathBuf,
}

impl Target {
    /// With the data folder beside the file.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        let data_dir = file.with_file_name("data");
        Self { file, data_dir }
    }

    /// A file beside the settings, by its extension.
    pub(crate) fn beside(&self, extension: &str) -> PathBuf {
        self.file.with_extension(extension)
    }
}

impl Place {
    pub(crate) fn new(file: &Path, line: usize) -> Self {
        Self { file: file.display().to_string(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What ends a line in a file's name would forge one of the report.
        let file = self.file.replace(char::is_control, " ");
        if self.line == 0 { f.write_str(&file) } else { write!(f, "{file}:{}", self.line) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl Migration {
    /// What could not be carried over.
    pub fn left(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| matches!(line.fate, Fate::Left(_)))
    }

    pub(crate) fn carried(&mut self, place: &Place, said: impl Into<String>, to: impl Into<String>) {
        self.note(place, said, Fate::Carried(to.into()));
    }

    pub(crate) fn needless(&mut self, place: &Place, said: impl Into<String>, why: impl Into<String>) {
        self.note(place, said, Fate::Needless(why.into()));
    }

    pub(crate) fn left_out(&mut self, place: &Place, said: impl Into<String>, why: impl Into<String>) {
        self.note(place, said, Fate::Left(why.into()));
    }

    pub(crate) fn problem(&mut self, place: &Place, why: impl Into<String>) {
        self.problems.push(Problem { place: place.clone(), why: why.into() });
    }

    fn note(&mut self, place: &Place, said: impl Into<String>, fate: Fate) {
        self.lines.push(Line { place: place.clone(), said: said.into(), fate });
    }

    /// The text of a file that has to be there and to be UTF-8; `None`: it is a problem now.
    pub(crate) fn read(&mut self, files: &dyn Files, path: &Path, named_at: Option<&Place>) -> Option<String> {
        let named_at = named_at.cloned().unwrap_or(Place::new(path, 0));
        let read = files.read(path).map_err(|error| error.to_string());
        let text = read.and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        });
        match text {
            // As some editors begin a file.
            Ok(text) => Some(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned)),
            Err(why) => {
                self.problem(&named_at, format!("{}: {why}", path.display()));
                None
            }
        }
    }
}
