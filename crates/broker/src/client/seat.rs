//! A client's place at the broker.

use std::fmt::Display;
use std::sync::Arc;

use mqtt_codec::{Properties, ReasonCode};
use mqtt_hooks::Reason;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::watch::refusals::{Kind, Refused};

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

    /// Tells of a refusal that is this client's; see [`Refused`].
    pub(crate) fn tell_refused(&self, kind: Kind, reason: ReasonCode, rule: &dyn Display, about: &str) {
        let (peer, client_id) = (Some(self.connection.info.peer), &*self.client.id);
        self.broker().tell_refused(&Refused { kind, peer, client_id, reason, rule, about });
    }

    pub(crate) fn leave(&self, ending: Ending) {
        self.connection.stop_timer();
        self.broker().leave(&self.client, &self.connection, ending, &Properties::EMPTY);
        self.connection.stop_listening();
        self.connection.stop_terms();
    }
}

impl Connection {
    /// The client is gone from it, and its place is free, though its socket may be open for a while.
    pub(crate) fn note_left(&self) {
        self.shared.lock().is_left = true;
        self.broker().doors.note_gone(&self.info);
    }
}

/// Its socket is closed with it, and gives up its place.
impl Drop for Connection {
    fn drop(&mut self) {
        let is_left = self.shared.lock().is_left;
        self.broker().doors.note_closed(&self.info, is_left);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.connection.is_over() {
            self.leave(Ending::gone(Reason::InternalError));
        }
    }
}
