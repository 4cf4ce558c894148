//! Where a client is.

use std::sync::Arc;

use mqtt_storage::Position;

use crate::client::connection::Connection;
use crate::watch::memory::by_address::Part;

/// Where a client is. One or the other is known of it, in the room of one: there are many clients.
#[derive(Debug)]
pub(crate) enum Whereabouts {
    Here {
        connection: Arc<Connection>,
        /// Of what is in the outbox: [`Needs`](crate::client::Needs).
        position: Position,
    },
    /// One of those; `None`: it goes with its connection, or that is yet to be seen.
    Away(Option<Arc<Part>>),
}

impl Default for Whereabouts {
    fn default() -> Self {
        Self::Away(None)
    }
}

impl Whereabouts {
    pub(crate) const fn connection(&self) -> Option<&Arc<Connection>> {
        match self {
            Self::Here { connection, .. } => Some(connection),
            Self::Away(_) => None,
        }
    }

    pub(crate) const fn absent(&self) -> Option<&Arc<Part>> {
        match self {
            Self::Here { .. } => None,
            Self::Away(absent) => absent.as_ref(),
        }
    }
}
