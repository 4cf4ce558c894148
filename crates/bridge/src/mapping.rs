//! Topics here and there.

use mqtt_codec::{Filter, Qos, Topic};

use crate::settings::Carried;

/// What is carried in one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping(Vec<Rule>);

/// What one entry of the settings says.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// At the broker where it comes from.
    pub(crate) from: Filter,
    /// At the broker where it goes to.
    pub(crate) to: Filter,
    /// The highest.
    pub(crate) qos: Qos,
    /// Bytes that topics lose in front.
    cut: usize,
    /// What they get instead.
    prefix: String,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Out,
    In,
}

/// A message for which there is no topic at the other broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmapped {
    /// Nothing that is carried matches.
    NotCarried,
    /// It would be too long.
    TooLong,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

impl Mapping {
    /// What these entries say.
    ///
    /// # Errors
    /// It names the entry.
    pub(crate) fn new(entries: &[Carried], way: Way) -> Result<Self, String> {
        let rule = |(at, entry): (usize, &Carried)| {
            Rule::new(entry, way).map_err(|why| format!("{}, entry {}: {why}", way.name(), at + 1))
        };
        let rules = entries.iter().enumerate().map(rule).collect::<Result<Vec<_>, _>>()?;
        // A message that two match would come once or twice, by one topic or the other, as the broker likes.
        for (at, one) in rules.iter().enumerate() {
            if let Some(before) = rules[..at].iter().position(|before| before.from.overlaps(&one.from)) {
                return Err(format!(
                    "{}, entry {}: {:?} has topics that entry {} has too: {:?}",
                    way.name(),
                    at + 1,
                    one.from.as_str(),
                    before + 1,
                    rules[before].from.as_str()
                ));
            }
        }
        Ok(Self(rules))
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Some of it is carried with this quality of service.
    pub(crate) fn has(&self, qos: Qos) -> bool {
        self.0.iter().any(|rule| rule.qos >= qos)
    }

    /// What a topic is at the other broker.
    pub(crate) fn map(&self, topic: &Topic) -> Result<Topic, Unmapped> {
        let rule = self.0.iter().find(|rule| rule.from.matches(topic)).ok_or(Unmapped::NotCarried)?;
        if rule.cut == 0 && rule.prefix.is_empty() {
            return Ok(topic.clone());
        }
        // The prefix has no wildcard, so what the filter matches begins with it, on a boundary of characters.
        let rest = topic.as_str().get(rule.cut..).ok_or(Unmapped::NotCarried)?;
        // Nothing but its length can be wrong, or that nothing is left of it.
        Topic::new(format!("{}{rest}", rule.prefix)).map_err(|_| Unmapped::TooLong)
    }
}

impl Rule {
    fn new(entry: &Carried, way: Way) -> Result<Self, String> {
        let Carried { topic, qos, local_prefix, remote_prefix } = entry;
        for (key, prefix) in [("local_prefix", local_prefix), ("remote_prefix", remote_prefix)] {
            if prefix.contains(['+', '#']) {
                return Err(format!("{key}: {prefix:?}: wildcards have no place in a prefix"));
            }
        }
        let filter = |prefix: &str| {
            let text = format!("{prefix}{topic}");
            let filter = Filter::new(text.clone()).map_err(|why| format!("topic: {text:?}: {why}"))?;
            if filter.group().is_some() {
                return Err(format!("topic: {text:?}: a bridge takes part in no shared subscription"));
            }
            Ok(filter)
        };
        let (local, remote) = (filter(local_prefix)?, filter(remote_prefix)?);
        if way == Way::In && mqtt_hooks::is_sys(local.as_str()) {
            return Err(format!("topic: {:?}: only this broker publishes below $SYS", local.as_str()));
        }
        let (from, to, cut, prefix) = match way {
            Way::Out => (local, remote, local_prefix.len(), remote_prefix),
            Way::In => (remote, local, remote_prefix.len(), local_prefix),
        };
        let qos = Qos::from_u8(*qos).ok_or("qos: wants 0, 1 or 2")?;
        Ok(Self { from, to, qos, cut, prefix: prefix.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(topic: &str, local_prefix: &str, remote_prefix: &str) -> Carried {
        let [topic, local_prefix, remote_prefix] = [topic, local_prefix, remote_prefix].map(str::to_owned);
        Carried { topic, local_prefix, remote_prefix, ..Carried::default() }
    }

    #[track_caller]
    fn check(entry: Carried, way: Way, from: &str, to: Result<&str, Unmapped>) {
        let mapping = Mapping::new(&[entry], way).unwrap();
        let mapped = mapping.map(&Topic::new(from.to_owned()).unwrap());
        assert_eq!(mapped.as_ref().map(Topic::as_str).map_err(|why| *why), to);
    }

    #[test]
    fn prefixes_are_changed_and_what_follows_stays() {
        check(carried("#", "", ""), Way::Out, "a/b", Ok("a/b"));
        check(carried("a/#", "", "site1/"), Way::Out, "a/b", Ok("site1/a/b"));
        check(carried("a/#", "", "site1/"), Way::In, "site1/a", Ok("a"));
        check(carried("+/b", "here/", "there/"), Way::Out, "here/a/b", Ok("there/a/b"));
        check(carried("+/b", "here/", "there/"), Way::In, "there/a/b", Ok("here/a/b"));
        check(carried("", "here", "there"), Way::In, "there", Ok("here"));
        check(carried("ü/#", "ä/", "öö/"), Way::In, "öö/ü/ß", Ok("ä/ü/ß"));
    }

    #[test]
    fn what_is_not_carried_or_gets_too_long_has_no_topic() {
        check(carried("a/#", "", ""), Way::Out, "b", Err(Unmapped::NotCarried));
        check(carried("#", "", ""), Way::Out, "$SYS/x", Err(Unmapped::NotCarried));
        let long = "a/".repeat(32_000);
        check(carried("#", "", &"b/".repeat(1_000)), Way::Out, &long, Err(Unmapped::TooLong));
        // `a/#` matches `a`, of which nothing is left.
        check(carried("#", "a/", ""), Way::Out, "a", Err(Unmapped::NotCarried));
    }

    #[test]
    fn entries_that_cannot_be_carried_are_named() {
        let wrong = |entries: &[Carried], way| Mapping::new(entries, way).unwrap_err();
        for (entry, why) in [
            (carried("a#", "", ""), "in, entry 1: topic: \"a#\": `+` or `#` stands where no wildcard may"),
            (carried("", "", ""), "in, entry 1: topic: \"\": it is empty"),
            (carried("a", "+/", ""), "in, entry 1: local_prefix: \"+/\": wildcards have no place in a prefix"),
            (carried("#", "$SYS/", "x/"), "in, entry 1: topic: \"$SYS/#\": only this broker publishes below $SYS"),
            (
                carried("$share/g/a", "", ""),
                "in, entry 1: topic: \"$share/g/a\": a bridge takes part in no shared subscription",
            ),
        ] {
            assert_eq!(wrong(&[entry], Way::In), why);
        }
        assert_eq!(
            wrong(&[carried("a/#", "", ""), carried("b", "", ""), carried("+/c", "", "x/")], Way::Out),
            "out, entry 3: \"+/c\" has topics that entry 1 has too: \"a/#\""
        );
    }
}
