//! Where a client is.

use std::sync::Arc;

use mqtt_storage::Position;

use crate::watch::memory::by_address::Part;

/// Where a client is. One or the other is known of it, in the room of one: there are many clients.
#[derive(Debug)]
pub(super) enum Whereabouts<C> {
    Here {
        connection: Arc<C>,
        /// So far the store must be before what is in the outbox may leave.
        position: Position,
    },
    /// One of those; `None`: it goes with its connection, or that is yet to be seen.
    Away(Option<Arc<Part>>),
}

impl<C> Default for Whereabouts<C> {
    fn default() -> Self {
        Self::Away(None)
    }
}

impl<C> Whereabouts<C> {
    pub(super) const fn connection(&self) -> Option<&Arc<C>> {
        match self {
            Self::Here { connection, .. } => Some(connection),
            Self::Away(_) => None,
        }
    }

    pub(super) const fn absent(&self) -> Option<&Arc<Part>> {
        match self {
            Self::Here { .. } => None,
            Self::Away(absent) => absent.as_ref(),
        }
    }
}
