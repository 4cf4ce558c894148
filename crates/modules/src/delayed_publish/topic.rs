//! `$delayed/SECONDS/TOPIC`.

use mqtt_codec::Topic;

/// What EMQ X takes at the most: some 49 days.
const MAX_SECONDS: u32 = 4_294_967;

pub(super) const PREFIX: &str = "$delayed/";

/// What a topic asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) seconds: u32,
    pub(super) topic: Topic,
}

/// Why a topic that begins with `$delayed/` asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("no topic after the seconds")]
    NoTopic,
    #[error("the seconds are no whole number")]
    Seconds,
    #[error("more than {MAX_SECONDS} seconds")]
    TooLate,
    #[error("delayed twice")]
    Twice,
    #[error("$SYS is the broker's own")]
    Sys,
    #[error("the topic is a module's own")]
    Reserved,
}

impl Asked {
    /// `None`: it is not about a delay.
    pub(super) fn read(topic: &Topic) -> Option<Result<Self, Wrong>> {
        topic.as_str().strip_prefix(PREFIX).map(Self::read_rest)
    }

    fn read_rest(rest: &str) -> Result<Self, Wrong> {
        let (seconds, topic) = rest.split_once('/').ok_or(Wrong::NoTopic)?;
        if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Wrong::Seconds);
        }
        let seconds = seconds.parse().ok().filter(|seconds| *seconds <= MAX_SECONDS).ok_or(Wrong::TooLate)?;
        if topic.starts_with(PREFIX) {
            return Err(Wrong::Twice);
        }
        if topic == "$SYS" || topic.starts_with("$SYS/") {
            return Err(Wrong::Sys);
        }
        Ok(Self { seconds, topic: Topic::new(topic.to_owned()).map_err(|_| Wrong::NoTopic)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(topic: &str, asked: Option<Result<(u32, &str), Wrong>>) {
        let read = Asked::read(&Topic::new(topic.to_owned()).unwrap());
        let asked = asked
            .map(|asked| asked.map(|(seconds, topic)| Asked { seconds, topic: Topic::new(topic.to_owned()).unwrap() }));
        assert_eq!(read, asked, "{topic}");
    }

    #[test]
    fn seconds_stand_before_the_topic() {
        check("$delayed/5/a", Some(Ok((5, "a"))));
        check("$delayed/0/a/b", Some(Ok((0, "a/b"))));
        check("$delayed/007/a", Some(Ok((7, "a"))));
        check("$delayed/4294967//a", Some(Ok((4_294_967, "/a"))));
        check("$delayed/1/$delayed", Some(Ok((1, "$delayed"))));
        check("$delayed/1/$SYST/a", Some(Ok((1, "$SYST/a"))));
    }

    #[test]
    fn others_are_none_of_it() {
        for topic in ["a", "delayed/5/a", "$delayed", "$delayed5/a", "$DELAYED/5/a", "a/$delayed/5/a"] {
            check(topic, None);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("$delayed/5", Some(Err(Wrong::NoTopic)));
        check("$delayed/5/", Some(Err(Wrong::NoTopic)));
        for seconds in ["", "x", "-5", "1.5", " 5"] {
            check(&format!("$delayed/{seconds}/a"), Some(Err(Wrong::Seconds)));
        }
        check("$delayed/4294968/a", Some(Err(Wrong::TooLate)));
        check("$delayed/99999999999999999999/a", Some(Err(Wrong::TooLate)));
        check("$delayed/5/$delayed/5/a", Some(Err(Wrong::Twice)));
        check("$delayed/5/$SYS/brokers", Some(Err(Wrong::Sys)));
        check("$delayed/5/$SYS", Some(Err(Wrong::Sys)));
    }
}
