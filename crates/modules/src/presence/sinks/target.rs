//! Where events go.

use std::time::Duration;

use super::batch::Batch;

/// Where the events of a sink go.
#[async_trait::async_trait]
pub(super) trait Target: Send + Sync {
    /// Tells a batch, and says what came of it. It may have been told before, in part or as a whole. Dropped on the way, it may
    /// have been told or not.
    async fn tell(&self, batch: &Batch) -> Outcome;
}

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there for good.
    Taken,
    /// It can't be taken as it is, now or later.
    Refused {
        /// For people.
        why: String,
        /// It may be for one event in it: the others are to be told alone.
        is_for_content: bool,
    },
    /// It is to be told again.
    NotNow {
        /// For people.
        why: String,
        /// Not before so long.
        after: Option<Duration>,
    },
}
