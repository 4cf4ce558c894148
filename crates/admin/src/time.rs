//! Times as EMQ X writes them, and the time.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Milliseconds since the Unix epoch as local time, to the second.
pub(crate) fn local_time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    Zoned::new(time, TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time zone of [`local_time`], as browsers know it: a name, or how far it is ahead.
pub(crate) fn time_zone() -> String {
    let zone = TimeZone::system();
    let name = zone.iana_name().map(str::to_owned);
    let name = name.unwrap_or_else(|| Zoned::new(Timestamp::now(), zone).strftime("%:z").to_string());
    // So it is also where the system does not say.
    if matches!(&*name, "+00:00" | "Etc/Unknown") { "UTC".to_owned() } else { name }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
