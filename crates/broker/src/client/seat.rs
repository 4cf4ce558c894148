//! A client's place at the broker.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::ReasonCode;
use mqtt_hooks::Reason;
use tokio::task::AbortHandle;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::connection::{Connection, Ending};
use crate::watch::refusals::{Kind, Refused};

/// A client's place at the broker. When it is dropped the client is reported gone, whatever ended the task, a panic
/// included.
pub(crate) struct Seat {
    pub(crate) client: ClientRef,
    pub(crate) connection: Arc<Connection>,
    /// Ends the connection when what the client was let in by expires.
    pub(crate) _stay: Option<Stay>,
}

/// How long a client may stay; runs as long as it has its place.
pub(crate) struct Stay(AbortHandle);

impl Stay {
    /// Ends the connection after this long.
    pub(crate) fn start(connection: &Arc<Connection>, left: Duration) -> Self {
        let connection = Arc::clone(connection);
        let end = async move {
            tokio::time::sleep(left).await;
            connection.end(Ending { reason: Reason::AuthExpired, code: Some(ReasonCode::NotAuthorized) });
        };
        Self(tokio::spawn(end).abort_handle())
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Seat {
    pub(crate) fn broker(&self) -> &Arc<Broker> {
        self.connection.broker()
    }

    /// Tells of a refusal that is this client's; see [`Refused`].
    pub(crate) fn tell_refused(&self, kind: Kind, reason: ReasonCode, rule: &dyn Display, about: &str) {
        let (peer, client_id) = (Some(self.connection.info.peer), &*self.client.id);
        self.broker().tell_refused(&Refused { kind, peer, client_id, reason, rule, about });
    }

    pub(crate) fn leave(&self, ending: Ending) {
        self.connection.stop_timer();
        self.broker().leave(&self.client, &self.connection, ending, None);
        self.connection.stop_listening();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.connection.is_over() {
            self.leave(Ending::gone(Reason::InternalError));
        }
    }
}
