//! How the broker was: a day by the minute, a month by the hour, over restarts.
//!
//! It is kept in small records of an hour or a day each, so that a minute costs the store one of them. A place is used again when
//! its time is over.

use std::collections::VecDeque;

use mqtt_operate::Operate;
use parking_lot::Mutex;

use crate::samples::Sample;

const MINUTE: u64 = 60_000;

/// A time that is looked back at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Of its records.
    name: &'static str,
    /// Milliseconds from one sample to the next.
    every: u64,
    /// Samples.
    kept: usize,
    /// Of these in one record.
    in_record: u64,
}

/// Minutes of a day.
const DAY: Span = Span { name: "history.minutes", every: MINUTE, kept: 24 * 60, in_record: 60 };

/// Hours of a month.
const MONTH: Span = Span { name: "history.hours", every: 60 * MINUTE, kept: 30 * 24, in_record: 24 };

impl Span {
    const fn of_record(self) -> u64 {
        self.every * self.in_record
    }

    /// One more than are full, for the one that is being filled.
    const fn records(self) -> u64 {
        self.kept as u64 / self.in_record + 1
    }

    fn record(self, at: u64) -> String {
        format!("{}.{}", self.name, at / self.of_record() % self.records())
    }

    const fn oldest(self, now: u64) -> u64 {
        now.saturating_sub(self.every * self.kept as u64)
    }
}

/// What is kept of a span.
struct Past {
    span: Span,
    samples: Mutex<VecDeque<Sample>>,
}

impl Past {
    fn restore(span: Span, broker: &dyn Operate, now: u64) -> Self {
        let records = (0..span.records()).filter_map(|slot| broker.kept(&format!("{}.{slot}", span.name)));
        // What can't be read is a gap in a chart, no more.
        let samples = records.flat_map(|record| serde_json::from_slice::<Vec<Sample>>(&record).unwrap_or_default());
        let mut samples: Vec<_> = samples.filter(|sample| (span.oldest(now)..=now).contains(&sample.at())).collect();
        samples.sort_unstable_by_key(Sample::at);
        Self { span, samples: Mutex::new(samples.into()) }
    }

    /// Notes a sample if it is the first of its minute or hour, and gives the record it is in.
    fn note(&self, sample: &Sample) -> Option<(String, Vec<Sample>)> {
        let Span { every, kept, .. } = self.span;
        let mut samples = self.samples.lock();
        // Also where the clock was put back: what comes later in the list is later.
        if samples.back().is_some_and(|last| last.at() / every >= sample.at() / every) {
            return None;
        }
        samples.push_back(sample.clone());
        let oldest = self.span.oldest(sample.at());
        while samples.len() > kept || samples.front().is_some_and(|first| first.at() < oldest) {
            samples.pop_front();
        }
        let record = sample.at() / self.span.of_record();
        let of_record = samples.iter().filter(|one| one.at() / self.span.of_record() == record);
        Some((self.span.record(sample.at()), of_record.cloned().collect()))
    }

    fn list(&self) -> Vec<Sample> {
        self.samples.lock().iter().cloned().collect()
    }
}

/// What is kept of all.
pub(crate) struct History {
    day: Past,
    month: Past,
}

impl History {
    /// Takes back what earlier processes have kept.
    pub(crate) fn restore(broker: &dyn Operate, now: u64) -> Self {
        Self { day: Past::restore(DAY, broker, now), month: Past::restore(MONTH, broker, now) }
    }

    /// Notes how it is, and keeps it where there is a store.
    pub(crate) fn note(&self, broker: &dyn Operate, sample: &Sample) {
        for past in [&self.day, &self.month] {
            let Some((name, samples)) = past.note(sample) else { continue };
            if broker.health().store_bytes.is_none() {
                continue;
            }
            let record = serde_json::to_vec(&samples).expect("numbers are JSON");
            if let Err(error) = broker.keep(&name, &record) {
                tracing::debug!(%error, "admin: how the broker was is not kept");
            }
        }
    }

    /// By the minute.
    pub(crate) fn day(&self) -> Vec<Sample> {
        self.day.list()
    }

    /// By the hour.
    pub(crate) fn month(&self) -> Vec<Sample> {
        self.month.list()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past() -> Past {
        Past { span: DAY, samples: Mutex::default() }
    }

    fn times(past: &Past) -> Vec<u64> {
        past.list().iter().map(Sample::at).collect()
    }

    #[test]
    fn of_each_minute_the_first_is_kept_and_none_longer_than_a_day() {
        let past = past();
        for at in [0, 1000, MINUTE - 1, MINUTE + 5, MINUTE, 3 * MINUTE] {
            past.note(&Sample::at_time(at));
        }
        assert_eq!(times(&past), [0, MINUTE + 5, 3 * MINUTE]);
        past.note(&Sample::at_time(24 * 60 * MINUTE + MINUTE + 6));
        assert_eq!(times(&past), [3 * MINUTE, 24 * 60 * MINUTE + MINUTE + 6]);
    }

    #[test]
    fn a_record_has_its_hour_and_its_place_is_another_hours_a_day_later() {
        let past = past();
        let hour = 60 * MINUTE;
        past.note(&Sample::at_time(hour - MINUTE));
        past.note(&Sample::at_time(hour));
        let (name, samples) = past.note(&Sample::at_time(hour + MINUTE)).unwrap();
        assert_eq!((&*name, samples.len()), ("history.minutes.1", 2));
        let (later, samples) = past.note(&Sample::at_time(26 * hour)).unwrap();
        assert_eq!((&*later, samples.len()), ("history.minutes.1", 1));
    }
}
