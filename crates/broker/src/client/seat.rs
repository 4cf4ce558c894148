//! A client's place at the broker.

use std::sync::Arc;

use mqtt_hooks::Reason;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::connection::{Connection, Ending};

/// A client's place at the broker. When it is dropped the client is reported gone, whatever ended the task, a panic
/// included.
pub(crate) struct Seat {
    pub(crate) client: ClientRef,
    pub(crate) connection: Arc<Connection>,
}

impl Seat {
    pub(crate) fn broker(&self) -> &Arc<Broker> {
        self.connection.broker()
    }

    pub(crate) fn leave(&self, ending: Ending) {
        self.connection.stop_timer();
        self.broker().leave(&self.client, &self.connection, ending, None);
        self.connection.stop_listening();
        self.connection.stop_terms();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.connection.is_over() {
            self.leave(Ending::gone(Reason::InternalError));
        }
    }
}
