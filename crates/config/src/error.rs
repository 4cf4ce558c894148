//! What can be wrong with a configuration, each as one line.

use std::{fmt, io, path::PathBuf};

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, from 1.
    Line {
        /// Which.
        file: PathBuf,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// `--bind` and the like; `--set` too.
    Flag(&'static str),
    /// Nobody said it.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A file name may hold what would end a line, and a comment with it.
            Self::Line { file, line } => {
                write!(f, "{}:{line}", file.display().to_string().replace(char::is_control, " "))
            }
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("{}: {source}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where it stops making sense.
        place: Place,
        /// Why.
        message: String,
    },
    /// No such key.
    #[error("{place}: unknown key {}; the nearest is {nearest}", .key.escape_debug())]
    Unknown {
        /// Where.
        place: Place,
        /// What was said.
        key: String,
        /// A key or section there is.
        nearest: String,
    },
    /// The key is right, the value is not.
    #[error("{place}: {key}: {why}")]
    Value {
        /// Where.
        place: Place,
        /// A known key or section.
        key: String,
        /// What is wrong, and what is wanted.
        why: String,
    },
    /// An environment variable that is no text.
    #[error("{0}: not UTF-8")]
    NotText(String),
    /// `--set` without `=`.
    #[error("--set {0:?}: wants dotted.key=value")]
    Assignment(String),
}
