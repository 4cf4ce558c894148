//! The will of a connection, before and after the connection ends.

use mqtt_codec::{Message, Topic, Will};

use crate::publication::{detached, size};
use crate::{Publication, Timestamp};

/// Told in CONNECT; published if the connection does not end well.
#[derive(Debug)]
pub(crate) struct SessionWill {
    message: Message,
    /// Seconds.
    delay: u32,
    /// Set while it waits, after the end of the connection.
    due: Option<Timestamp>,
}

impl SessionWill {
    pub(crate) fn new(will: &Will) -> Self {
        Self { message: detached(&will.message), delay: will.delay, due: None }
    }

    /// As a store kept it.
    pub(crate) fn restored(will: &Will, due: Option<Timestamp>) -> Self {
        Self { due, ..Self::new(will) }
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        size(&self.message) + size_of::<Self>()
    }

    /// As a store keeps it.
    pub(crate) fn as_will(&self) -> Will {
        Will { message: self.message.clone(), delay: self.delay }
    }

    /// The connection is gone: when this is to be published if the client does not come back before.
    ///
    /// Section 3.1.3.2.2: at the end of the delay or of the session, whichever is first.
    pub(crate) fn wait(&mut self, now: Timestamp, session_expiry: u32) -> Timestamp {
        // [MQTT-3.1.2-8]
        let due = now.plus_seconds(self.delay.min(session_expiry));
        self.due = Some(due);
        due
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(crate) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        self.due.is_some()
    }

    pub(crate) const fn topic(&self) -> &Topic {
        &self.message.topic
    }

    /// Its message expiry, if any, starts now.
    pub(crate) fn into_publication(self, now: Timestamp) -> Publication {
        Publication::new(self.message, now)
    }
}
