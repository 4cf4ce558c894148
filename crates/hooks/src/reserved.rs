//! Which topics are the broker's own.

/// Whether a topic, or a filter's pattern, is `$SYS` or below it. Only the broker and modules publish there, and it is opened for reading
/// only by who says so.
pub fn is_sys(text: &str) -> bool {
    text.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
