//! Messages the broker accepted.

use std::sync::Arc;

use mqtt_codec::{Message, Publish};

/// Milliseconds since the Unix epoch, as the driver's clock has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// A message the broker accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Its properties have neither a topic alias nor a message expiry; all others are as the publisher sent them.
    pub message: Message,
    /// From the message expiry: not delivered at or after this moment.
    pub expires_at: Option<Timestamp>,
}

impl Publication {
    /// Takes the message expiry out of the properties.
    pub fn new(message: Message, now: Timestamp) -> Self {
        let _ = (message, now);
        todo!()
    }

    /// For a PUBLISH whose topic is spelled out; `None` if it has only an alias.
    pub fn from_publish(publish: Publish, now: Timestamp) -> Option<Self> {
        let _ = (publish, now);
        todo!()
    }

    /// A copy that shares no memory with the read buffer, for what is kept long (retained, queued).
    #[must_use]
    pub fn detached(&self) -> Self {
        todo!()
    }
}

/// One publication on its way to many sessions: its QoS 0 frame is encoded once per protocol version, and a copy
/// that sessions may queue is made once, when the first needs it.
#[derive(Debug)]
pub struct Fanout<'a> {
    publication: &'a Publication,
    shared: Option<Arc<Publication>>,
}

impl<'a> Fanout<'a> {
    /// Nothing is encoded or copied yet.
    pub const fn new(publication: &'a Publication) -> Self {
        Self { publication, shared: None }
    }

    /// For a publication that is shared already: queueing it costs no copy.
    pub fn with_shared(publication: &'a Arc<Publication>) -> Self {
        Self { publication, shared: Some(Arc::clone(publication)) }
    }

    /// What is on its way.
    pub const fn publication(&self) -> &'a Publication {
        self.publication
    }

    /// The copy that may be kept.
    pub fn shared(&mut self) -> &Arc<Publication> {
        self.shared.get_or_insert_with(|| Arc::new(self.publication.detached()))
    }
}
