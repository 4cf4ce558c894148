//! The values a file may hold: each checks itself while it is read, and says what it wants.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Int<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Int<MIN, MAX> {
    /// As the type the broker counts in; the range must fit.
    pub(crate) fn get<T: TryFrom<u64>>(self) -> T {
        T::try_from(self.0).ok().expect("the range of the key fits its type")
    }
}

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Int<MIN, MAX> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self, E> {
        match u64::try_from(value) {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Int<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Self(MIN))
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Int<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// Bytes, as a whole number or as `"64KiB"`, from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size<const MIN: u64, const MAX: u64>(pub(crate) u64);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    /// As a length in memory; what no memory of this machine could hold is as good as no bound.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Size<MIN, MAX> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a size from {} to {}, as bytes or like \"64KiB\" or \"1MiB\"", InUnits(MIN), InUnits(MAX))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self, E> {
        match u64::try_from(value) {
            Ok(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        match parse_size(value) {
            Some(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = UNITS.iter().find(|(name, _)| unit.trim_start().eq_ignore_ascii_case(name))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Bytes in the largest unit that loses nothing.
pub(crate) struct InUnits(pub(crate) u64);

impl fmt::Display for InUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(MIN))
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Size<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&InUnits(self.0))
    }
}

/// A time like `"30s"`, of at least `MIN` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<const MIN: u64>(pub(crate) Duration);

/// MQTT counts session expiry in 32 bits of seconds, whose last value means never.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64 - 1);

impl<const MIN: u64> Visitor<'_> for Span<MIN> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time like \"500ms\", \"30s\" or \"2h\"")?;
        if MIN > 0 {
            write!(f, ", at least {}", humantime::format_duration(Duration::from_millis(MIN)))?;
        }
        f.write_str(" and at most 136 years")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        match humantime::parse_duration(value) {
            Ok(span) if (Duration::from_millis(MIN)..=LONGEST).contains(&span) => Ok(Self(span)),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<'de, const MIN: u64> Deserialize<'de> for Span<MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self(Duration::ZERO))
    }
}

impl<const MIN: u64> Serialize for Span<MIN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

/// A [`Span`], or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    After(Duration),
}

impl Expiry {
    /// As MQTT says it.
    pub(crate) fn seconds(self) -> u32 {
        match self {
            Self::Never => u32::MAX,
            Self::After(span) => u32::try_from(span.as_secs()).expect("a span is shorter"),
        }
    }
}

impl Visitor<'_> for Expiry {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"never\" or a time like \"30s\" or \"2h\", at most 136 years")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        match humantime::parse_duration(value) {
            _ if value == "never" => Ok(Self::Never),
            Ok(span) if span <= LONGEST => Ok(Self::After(span)),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self::Never)
    }
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_str("never"),
            Self::After(span) => serializer.collect_str(&humantime::format_duration(*span)),
        }
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bind(pub(crate) SocketAddr);

impl Bind {
    pub(crate) fn loopback(port: u16) -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

impl Serialize for Bind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Where to listen, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaybeBind {
    Off,
    On(Bind),
}

impl MaybeBind {
    /// If there is to be one.
    pub(crate) const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::On(Bind(address)) => Some(address),
        }
    }
}

impl Visitor<'_> for MaybeBind {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"off\" or an IP address and a port like \"127.0.0.1:1883\"")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        match value.parse() {
            _ if value == "off" => Ok(Self::Off),
            Ok(address) => Ok(Self::On(Bind(address))),
            Err(_) => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for MaybeBind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self::Off)
    }
}

impl Serialize for MaybeBind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On(bind) => bind.serialize(serializer),
        }
    }
}

/// What a socket's path begins with.
const UNIX: &str = "unix:";

/// Where a listener is, if anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAt {
    Off,
    Ip(Bind),
    /// A path that is not relative to anything, and fits the ready line.
    Unix(String),
}

impl Visitor<'_> for ListenAt {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"off\", an IP address and a port like \"127.0.0.1:1883\", or \"unix:/run/rollcall/mqtt.sock\"")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        /// The system has no room for a longer one.
        const LONGEST: usize = 107;
        let invalid = || E::invalid_value(Unexpected::Str(value), &self);
        let is_path = |path: &str| {
            path.starts_with('/')
                && path.len() <= LONGEST
                && !path.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        match value.strip_prefix(UNIX) {
            Some(path) if is_path(path) => Ok(Self::Unix(path.to_owned())),
            Some(_) => Err(invalid()),
            None => match MaybeBind::Off.visit_str::<E>(value) {
                Ok(MaybeBind::Off) => Ok(Self::Off),
                Ok(MaybeBind::On(bind)) => Ok(Self::Ip(bind)),
                Err(_) => Err(invalid()),
            },
        }
    }
}

impl<'de> Deserialize<'de> for ListenAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self::Off)
    }
}

impl Serialize for ListenAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Ip(bind) => bind.serialize(serializer),
            Self::Unix(path) => serializer.collect_str(&format_args!("{UNIX}{path}")),
        }
    }
}

/// Who may use a file, as `chmod` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl Visitor<'_> for Mode {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("octal digits in quotes, like \"0660\"")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        match u32::from_str_radix(value, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self(0))
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

/// What is not to be shown again: it is read, and never written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Visitor<'_> for Secret {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text that is not empty, in quotes")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        if value.is_empty() { Err(E::invalid_value(Unexpected::Str(value), &self)) } else { Ok(Self(value.to_owned())) }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self(String::new()))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

/// A file, as the system takes it from where the broker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) String);

impl Visitor<'_> for Path {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of a file")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self, E> {
        if value.is_empty() { Err(E::invalid_value(Unexpected::Str(value), &self)) } else { Ok(Self(value.to_owned())) }
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self(String::new()))
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Tables that somebody else knows how to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables(pub(crate) Vec<serde_json::Value>);

impl<'de> Visitor<'de> for Tables {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tables")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut tables: A) -> Result<Self, A::Error> {
        while let Some(table) = tables.next_element::<serde_json::Map<_, _>>()? {
            self.0.push(table.into());
        }
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self::default())
    }
}

impl Serialize for Tables {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
