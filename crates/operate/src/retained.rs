//! Retained messages.

use mqtt_codec::{Message, Topic};

/// Which retained messages.
pub struct RetainedQuery<'a> {
    /// Those whose topics come after this one.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
    /// Which of them.
    pub wanted: &'a dyn Fn(&Topic) -> bool,
}

/// A retained message.
#[derive(Clone, Debug)]
pub struct RetainedState {
    /// The message; its payload is shared.
    pub message: Message,
    /// When it is forgotten, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
}
