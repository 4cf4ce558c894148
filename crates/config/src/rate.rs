//! How much may come in how long: `"100/s"`, `"1000/1m"`, `"64KiB/s"`.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Unexpected, Visitor},
};

use crate::{
    config,
    value::{InUnits, parse_size},
};

/// So much within a time. What of it was not used is there at once, and no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate<const IN_BYTES: bool>(pub(crate) config::Rate);

/// Of things that are counted.
pub(crate) type Count = Rate<false>;
pub(crate) type Bytes = Rate<true>;

const SECOND: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// So few bytes that a read may have them would be no rate.
const LEAST_BYTES: u64 = 1 << 10;
const MOST: u64 = 1 << 40;

impl<const IN_BYTES: bool> Rate<IN_BYTES> {
    fn new(amount: u64, per: Duration) -> Option<Self> {
        let least = if IN_BYTES { LEAST_BYTES } else { 1 };
        let fits = (least..=MOST).contains(&amount) && (SHORTEST..=LONGEST).contains(&per);
        fits.then_some(Self(config::Rate { amount, per }))
    }

    fn parse(text: &str) -> Option<Self> {
        let (amount, per) = text.split_once('/').unwrap_or((text, "s"));
        let (amount, per) = (amount.trim(), per.trim());
        let amount = match amount.parse() {
            Ok(amount) => amount,
            Err(_) if IN_BYTES => parse_size(amount)?,
            Err(_) => return None,
        };
        // "s" is one second, as people write it.
        let is_unit = per.starts_with(|c: char| c.is_ascii_alphabetic());
        let per = if is_unit { humantime::parse_duration(&format!("1{per}")) } else { humantime::parse_duration(per) };
        Self::new(amount, per.ok()?)
    }
}

impl<const IN_BYTES: bool> Visitor<'_> for Rate<IN_BYTES> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if IN_BYTES {
            f.write_str("bytes within a time of at most a day, at least a KiB, like \"64KiB/s\" or \"10MiB/1m\"")
        } else {
            f.write_str("a number within a time of at most a day like \"100/s\" or \"1000/1m\"")
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self, E> {
        let rate = u64::try_from(value).ok().and_then(|amount| Self::new(amount, SECOND));
        rate.ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        Self::parse(value).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

impl<'de, const IN_BYTES: bool> Deserialize<'de> for Rate<IN_BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(config::Rate { amount: 0, per: SECOND }))
    }
}

impl<const IN_BYTES: bool> Serialize for Rate<IN_BYTES> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let config::Rate { amount, per } = self.0;
        let per = if per == SECOND { "s".to_owned() } else { humantime::format_duration(per).to_string() };
        if IN_BYTES {
            serializer.collect_str(&format_args!("{}/{per}", InUnits(amount)))
        } else {
            serializer.collect_str(&format_args!("{amount}/{per}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::tests::{reads, reads_error, with_watch};

    #[test]
    fn a_rate_is_an_amount_within_a_time() {
        let minute = Duration::from_secs(60);
        for (said, amount, per, printed) in [
            ("100", 100, Duration::from_secs(1), "100/s"),
            ("\"100/s\"", 100, Duration::from_secs(1), "100/s"),
            ("\"1000/1m\"", 1000, minute, "1000/1m"),
            ("\"1000 / 60s\"", 1000, minute, "1000/1m"),
        ] {
            let config = reads(&format!("[limits]\nmessage_rate = {said}"));
            let rate = config.limits.message_rate.unwrap();
            assert_eq!((rate.amount, rate.per), (amount, per), "{said}");
            let mut layers = with_watch();
            layers.add_assignment(&format!("limits.message_rate={}", said.trim_matches('"'))).unwrap();
            let print = layers.print().unwrap();
            assert!(print.contains(&format!("message_rate = \"{printed}\"")), "{said}: {print}");
        }
        let rate = reads("[limits]\nbyte_rate = \"64KiB/s\"").limits.byte_rate.unwrap();
        assert_eq!((rate.amount, rate.per), (64 << 10, Duration::from_secs(1)));
    }

    #[test]
    fn what_is_no_rate_is_told_so() {
        for wrong in ["0", "-1", "\"\"", "\"x/s\"", "\"1KiB/s\"", "\"5/\"", "\"5/0s\"", "\"5/25h\"", "\"5/x\"", "1.5"] {
            let error = reads_error(&format!("[limits]\nmessage_rate = {wrong}"));
            assert!(error.starts_with("r.toml:2: limits.message_rate: "), "{wrong}: {error}");
        }
        let error = reads_error("[limits]\nbyte_rate = \"1B/s\"");
        assert!(error.contains("64KiB/s"), "{error}");
    }
}
