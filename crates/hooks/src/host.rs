//! The broker as modules see it.

use std::time::Instant;

use mqtt_codec::{Message, Topic};

/// The broker as modules see it.
pub trait Host: Send + Sync + 'static {
    /// The node's name, as it stands in `$SYS/brokers/${node}/...`.
    fn node(&self) -> &str;

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// The clock that never steps back, to see how long something took.
    fn instant(&self) -> Instant {
        Instant::now()
    }

    /// False: nobody subscribes to anything under `$SYS`, so that nothing need be made for it, not even a topic.
    fn is_sys_watched(&self) -> bool {
        true
    }

    /// Publishes a message in the broker's own name: no access rule applies.
    fn publish(&self, message: Message);

    /// Publishes to `topic` if anyone subscribes to it; only then is `build` called. Says whether it was.
    fn publish_if_wanted(&self, topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool;
}
