//! What is wrong with bytes that were read.

/// Why a batch or a snapshot can't be read. The fold is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Written by a later version, which must have been let in by a [`Gate`](crate::Record::Gate): there is no going on.
    #[error("written in version {0}, which is not known here")]
    Version(u8),
    /// A record that has to be understood.
    #[error("a record of kind {0}, which is not known here")]
    Kind(u8),
    /// It ends too early.
    #[error("it ends in the middle of {0}")]
    Short(&'static str),
    /// Nobody writes such.
    #[error("{0} is not well formed")]
    Malformed(&'static str),
    /// Longer than what may be of it.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// The log has lost a part, or this is of another log.
    #[error("position {found} instead of {expected}")]
    Position {
        /// The one after the last.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Effects of the batch before have not been polled.
    #[error("the batch before is not finished")]
    Unfinished,
    /// A snapshot that was changed since.
    #[error("its digest is another")]
    Digest,
}
