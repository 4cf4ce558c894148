//! When a client was online and when it was not, day by day.

use std::collections::VecDeque;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use super::super::DAY_MS;

/// Days that a record may speak of; more than may be kept.
const MAX_DAYS: u64 = 400;

/// No record speaks of a time after this: the year 10,000.
const MAX_TIME: u64 = 253_402_300_800_000;

/// A piece of time, and how long a client was there in it. Two that follow each other make one, so days say of a month what the month
/// itself would: an outage over midnight is one outage, and as long as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::presence) struct Stretch {
    /// Milliseconds, as all of these.
    pub(in crate::presence) len: u64,
    pub(in crate::presence) online: u64,
    /// For how long it was away at its beginning.
    away_first: u64,
    /// For how long it was away at its end.
    away_last: u64,
    /// For how long it was away at a time, at the most.
    pub(in crate::presence) longest: u64,
    /// How often it was away.
    pub(in crate::presence) outages: u32,
    /// How often it came.
    pub(in crate::presence) comings: u32,
}

impl Stretch {
    fn online(len: u64) -> Self {
        Self { len, online: len, ..Self::default() }
    }

    fn away(len: u64) -> Self {
        Self { len, away_first: len, away_last: len, longest: len, outages: u32::from(len > 0), ..Self::default() }
    }

    /// Both as one.
    fn then(self, next: Self) -> Self {
        let is_one_outage = self.away_last > 0 && next.away_first > 0;
        Self {
            len: self.len + next.len,
            online: self.online + next.online,
            away_first: self.away_first + if self.away_first == self.len { next.away_first } else { 0 },
            away_last: next.away_last + if next.away_last == next.len { self.away_last } else { 0 },
            longest: self.longest.max(next.longest).max(self.away_last + next.away_first),
            outages: self.outages.saturating_add(next.outages).saturating_sub(is_one_outage.into()),
            comings: self.comings.saturating_add(next.comings),
        }
    }

    /// Percent of the time, if there was any.
    pub(in crate::presence) fn percent(self) -> Option<f64> {
        (self.len > 0).then(|| self.online as f64 * 100.0 / self.len as f64)
    }
}

/// A client's time without a gap, from when it came first, or from the first day that is kept, until it went last. The days are UTC's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::presence) struct Timeline {
    since: u64,
    until: u64,
    /// The first is that of `since`.
    days: VecDeque<Stretch>,
}

impl Timeline {
    /// Nothing yet.
    pub(in crate::presence) fn new(since: u64) -> Self {
        Self { since, until: since, days: VecDeque::new() }
    }

    pub(in crate::presence) const fn until(&self) -> u64 {
        self.until
    }

    /// It came and went. What was before the last `keep` days is forgotten.
    pub(in crate::presence) fn visit(&mut self, came: u64, went: u64, keep: u64) {
        self.extend(came, keep, Stretch::away);
        // By a clock that was set back it may have come before it went last: no time is counted twice.
        self.add(Stretch { comings: 1, ..Stretch::default() });
        self.extend(went, keep, Stretch::online);
    }

    /// It was away until then.
    pub(in crate::presence) fn stay_away(&mut self, until: u64, keep: u64) {
        self.extend(until, keep, Stretch::away);
    }

    /// All of it, from the beginning of this day on, and when that begins.
    pub(in crate::presence) fn over(&self, from: u64) -> (u64, Stretch) {
        let whole =
            self.days().filter(|(start, _)| *start >= from).fold(Stretch::default(), |all, (_, day)| all.then(day));
        (self.since.max(from), whole)
    }

    /// The days, each with when it begins.
    pub(in crate::presence) fn days(&self) -> impl Iterator<Item = (u64, Stretch)> {
        let first = day_of(self.since);
        self.days.iter().zip(first..).map(|(day, number)| (number * DAY_MS, *day))
    }

    fn extend(&mut self, to: u64, keep: u64, stretch: fn(u64) -> Stretch) {
        let first = first_day(to, keep);
        if self.until < first {
            // Nothing that is kept; so the steps below are no more than the days that are.
            *self = Self::new(first);
        }
        while self.until < to {
            let end = to.min((day_of(self.until) + 1) * DAY_MS);
            self.add(stretch(end - self.until));
            self.until = end;
        }
        while self.since < first {
            self.days.pop_front();
            self.since = (day_of(self.since) + 1) * DAY_MS;
        }
    }

    /// At the end; it is within a day.
    fn add(&mut self, stretch: Stretch) {
        let at = (day_of(self.until) - day_of(self.since)) as usize;
        while self.days.len() <= at {
            self.days.push_back(Stretch::default());
        }
        self.days[at] = self.days[at].then(stretch);
    }

    /// As it is kept: a day on which nothing happened takes nothing but its part of a count.
    pub(in crate::presence) fn write(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(64);
        self.write_to(&mut Encoder::new(&mut record)).expect("a Vec takes all bytes");
        record
    }

    fn write_to(
        &self,
        out: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        out.u64(self.since)?.u64(self.until)?;
        let mut days = self.days.iter().peekable();
        while let Some(day) = days.next() {
            let mut same = 1;
            while days.next_if_eq(&day).is_some() {
                same += 1;
            }
            if *day == Stretch::online(DAY_MS) {
                out.i64(same)?;
            } else if *day == Stretch::away(DAY_MS) {
                out.i64(-same)?;
            } else {
                for _ in 0..same {
                    let Stretch { len: _, online, away_first, away_last, longest, outages, comings } = *day;
                    out.array(6)?
                        .u64(online)?
                        .u64(away_first)?
                        .u64(away_last)?
                        .u64(longest)?
                        .u32(outages)?
                        .u32(comings)?;
                }
            }
        }
        Ok(())
    }

    /// `None`: it can't be read.
    pub(in crate::presence) fn read(record: &[u8]) -> Option<Self> {
        let input = &mut Decoder::new(record);
        let (since, until) = (input.u64().ok()?, input.u64().ok().filter(|until| *until <= MAX_TIME)?);
        let mut timeline = Self::new(since);
        let most = day_of(until).checked_sub(day_of(since)).filter(|days| *days < MAX_DAYS)? as usize + 1;
        timeline.until = until;
        while input.position() < record.len() {
            let start = (day_of(since) + timeline.days.len() as u64) * DAY_MS;
            // The first and the last are shorter.
            let len = until.min(start + DAY_MS).checked_sub(since.max(start))?;
            let (day, count) = match input.datatype().ok()? {
                Type::Array => {
                    input.array().ok().flatten().filter(|len| *len == 6)?;
                    let mut word = || input.u64().ok().filter(|word| *word <= len);
                    let (online, away_first, away_last, longest) = (word()?, word()?, word()?, word()?);
                    let (outages, comings) = (input.u32().ok()?, input.u32().ok()?);
                    (Stretch { len, online, away_first, away_last, longest, outages, comings }, 1)
                }
                _ => match input.i64().ok()? {
                    same @ 1.. => (Stretch::online(DAY_MS), same.unsigned_abs() as usize),
                    same => (Stretch::away(DAY_MS), same.unsigned_abs() as usize),
                },
            };
            if count == 0 || count > most - timeline.days.len().min(most) {
                return None;
            }
            timeline.days.extend(std::iter::repeat_n(day, count));
        }
        Some(timeline)
    }
}

/// When the first of `keep` days begins, the last of which is that of `now`.
pub(in crate::presence) fn first_day(now: u64, keep: u64) -> u64 {
    (day_of(now) + 1).saturating_sub(keep.max(1)) * DAY_MS
}

const fn day_of(at: u64) -> u64 {
    at / DAY_MS
}

#[cfg(test)]
mod tests;
