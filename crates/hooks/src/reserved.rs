//! Which topics are the broker's own, or a module's.

use mqtt_codec::{Filter, Topic};

/// Whether a topic, or a filter's pattern, is `$SYS` or below it. Only the broker and modules publish there, and it is opened for reading
/// only by who says so.
pub fn is_sys(text: &str) -> bool {
    text.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Topics that are a module's own, as `$SYS` is the broker's: no client publishes there, by a will neither, and what was retained there
/// before is sent to nobody. Who tries is refused, and not disconnected for it.
///
/// It is asked on the way of every message, and must be quick.
pub trait Reserve: Send + Sync {
    /// Whether only modules publish to this topic. A panic says that it is so.
    fn owns(&self, topic: &Topic) -> bool;

    /// Whether a filter may match topics that are opened for reading to those alone to whom `$SYS` is. A panic says that it may.
    fn closes(&self, filter: &Filter) -> bool {
        let _ = filter;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::is_sys;

    #[test]
    fn sys_is_its_first_level_only() {
        for (text, expected) in [
            ("$SYS", true),
            ("$SYS/", true),
            ("$SYS/#", true),
            ("$SYST/a", false),
            ("a/$SYS", false),
            ("$sys/a", false),
        ] {
            assert_eq!(is_sys(text), expected, "{text}");
        }
    }
}
