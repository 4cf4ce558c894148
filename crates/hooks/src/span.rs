//! A time as it is set.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{ListOf, Listed};

/// A time like `"30s"`, for a field of [`settings!`](crate::settings!) or a list there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// What MQTT can count in seconds.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64 - 1);

impl Span {
    /// What this text says; for [`settings!`](crate::settings!).
    ///
    /// # Panics
    /// If it says no time.
    #[doc(hidden)]
    pub fn of(text: &str) -> Self {
        Self(humantime::parse_duration(text).expect("the default of a setting is a time"))
    }

    /// In milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0.as_millis() as u64
    }
}

impl Visitor<'_> for Span {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time like \"500ms\", \"30s\" or \"2h\", at most 136 years")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        match humantime::parse_duration(value) {
            Ok(span) if span <= LONGEST => Ok(Self(span)),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self::default())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Listed for Span {
    const OF: ListOf = ListOf::Texts;
}
