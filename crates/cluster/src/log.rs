//! What a node needs of a log.

use bytes::Bytes;

/// One order of batches, the same for all who read it. It loses nothing that it has acknowledged.
pub trait Log: Send + Sync + 'static {
    /// Reads it.
    type Reader: Reader;

    /// Appends a batch. Who gets no answer appends it again: it may be there twice then, or later.
    fn append(&self, batch: Bytes) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Reads from a position on, or from the first one that the log still has.
    fn read_from(&self, position: u64) -> impl Future<Output = Result<Self::Reader, LogError>> + Send;

    /// The position of the last batch; 0: there is none. Whatever was acknowledged before this was asked is not behind it.
    fn end(&self) -> impl Future<Output = Result<u64, LogError>> + Send;

    /// Keeps what the log came to at a position, in place of what was kept before: the log need not hold more than comes behind.
    fn save(&self, position: u64, snapshot: Bytes) -> impl Future<Output = Result<(), LogError>> + Send;

    /// What was kept last.
    fn saved(&self) -> impl Future<Output = Result<Option<Bytes>, LogError>> + Send;
}

/// A place in a log.
pub trait Reader: Send + 'static {
    /// The next batch, when it is there.
    fn next(&mut self) -> impl Future<Output = Result<Entry, LogError>> + Send;
}

/// A batch at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1 on, without gaps.
    pub position: u64,
    /// As it was appended.
    pub batch: Bytes,
}

/// Why a log does not do what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It may be there later.
    #[error("the log is away: {0}")]
    Away(String),
    /// It is not fit to be one.
    #[error("{what}; {fix}")]
    Unfit {
        /// What is wrong.
        what: String,
        /// What to do about it.
        fix: String,
    },
}
