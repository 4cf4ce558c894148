//! Why a command could not be done.

use std::io::{self, ErrorKind};

/// Why a command could not be done, in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The broker says no.
    #[error("{0}")]
    Refused(String),
    /// It makes no sense, or a setting is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is nobody to ask.
    #[error("{0}")]
    Unreachable(String),
    /// Nobody reads what is printed, or it can't be printed.
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The process ends with this; `None`: quietly and well, for who has read enough.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => None,
            Self::Refused(_) | Self::Output(_) => Some(1),
            Self::Usage(_) => Some(2),
            Self::Unreachable(_) => Some(3),
        }
    }
}
