//! Questions of clients to a module.

use mqtt_codec::{Message, ReasonCode};

use crate::{ConnectionInfo, Moment};

/// Takes what clients publish to a topic that is a module's own, which goes nowhere else: for answers over MQTT, by the question's
/// *Response Topic*.
pub trait Asked: Send + Sync {
    /// The topic; it begins with `$`, so that no wildcard of a subscriber reaches it.
    fn topic(&self) -> &str;

    /// A client, which may publish to the topic, has; it is acknowledged with what this returns. It must not block: what takes long is for
    /// a task. A panic refuses.
    fn asked(&self, client: &ConnectionInfo, question: &Message, moment: &mut dyn Moment) -> ReasonCode;
}
