//! What a module counts and measures, for whoever watches the broker.

use std::borrow::Cow;

/// One number of a module, or one of several that a label tells apart.
///
/// Its name is words with dots between them, without the module's: `events.skipped` of `presence` is shown as
/// `events.skipped` where modules are listed, and as `rollcall_presence_events_skipped_total` to Prometheus. Numbers of
/// one name differ in their label, follow each other, and have one help and one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// `events.skipped`; a [`Reading::Counter`] is not called a total, one that has a unit ends in it: `latency.seconds`.
    pub name: Cow<'static, str>,
    /// Which one of those that have this name.
    pub label: Option<Label>,
    /// For people: one sentence.
    pub help: Cow<'static, str>,
    /// What it is now.
    pub value: Reading,
    /// While it grows something is wrong: what, for people.
    pub alarm: Option<&'static str>,
}

/// What tells numbers of one name apart: `event="connected"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Letters, digits and underscores.
    pub name: &'static str,
    /// Any text; there are to be few of them.
    pub value: Cow<'static, str>,
}

/// A number as it is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// It grows from 0, at the broker's start or the module's, and never falls.
    Counter(u64),
    /// It rises and falls.
    Gauge(f64),
    /// Many numbers, by their size.
    Histogram(Histogram),
}

/// How many of what size.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Rising sizes, each with how many are above the one before it and not above this one.
    pub buckets: Vec<Bucket>,
    /// How many are above the last size.
    pub above: u64,
    /// All together.
    pub sum: f64,
}

/// How many are up to some size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The size, in the number's unit.
    pub up_to: f64,
    /// How many.
    pub count: u64,
}

impl Number {
    /// A counter.
    pub fn counter(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, value: u64) -> Self {
        Self { name: name.into(), label: None, help: help.into(), value: Reading::Counter(value), alarm: None }
    }

    /// A gauge.
    pub fn gauge(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, value: f64) -> Self {
        Self { name: name.into(), label: None, help: help.into(), value: Reading::Gauge(value), alarm: None }
    }

    /// Numbers by their size.
    pub fn histogram(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, value: Histogram) -> Self {
        Self { name: name.into(), label: None, help: help.into(), value: Reading::Histogram(value), alarm: None }
    }

    /// Which one of those that have this name.
    #[must_use]
    pub fn labelled(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.label = Some(Label { name, value: value.into() });
        self
    }

    /// An alarm begins when it grows, and is over when it has not grown for some time. `events.skipped` of `presence` makes
    /// the alarm `presence_events_skipped`.
    #[must_use]
    pub const fn alarming(mut self, what: &'static str) -> Self {
        self.alarm = Some(what);
        self
    }

    /// Its name, then its label's value: `events.connected`.
    pub fn key(&self) -> String {
        match &self.label {
            Some(label) => format!("{}.{}", self.name, label.value),
            None => self.name.clone().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_tells_numbers_of_one_name_apart() {
        let number = Number::counter("events", "Events.", 3);
        assert_eq!(number.key(), "events");
        assert_eq!(number.labelled("event", "connected").key(), "events.connected");
    }
}
