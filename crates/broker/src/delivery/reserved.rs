//! Topics that no client publishes to.

use mqtt_codec::Topic;
use mqtt_hooks::{Hooks, is_sys};

/// The rule by which no client publishes to a topic, if none does.
pub(crate) fn rule(hooks: &Hooks, topic: &Topic) -> Option<&'static str> {
    if is_sys(topic.as_str()) {
        Some("$SYS is the broker's own")
    } else if hooks.is_reserved(topic) {
        Some("the topic is a module's own")
    } else {
        None
    }
}
