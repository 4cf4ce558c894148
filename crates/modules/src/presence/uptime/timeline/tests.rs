use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600_000;
/// A midnight.
const START: u64 = 20_000 * DAY_MS;

/// All visits, kept as they were: what the days are held to.
#[derive(Clone, Debug, Default)]
struct Oracle {
    visits: Vec<(u64, u64)>,
}

/// In seconds, by looking at each.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    len: u64,
    online: u64,
    longest: u64,
    outages: u32,
    comings: u32,
}

impl Oracle {
    fn over(&self, from: u64, to: u64) -> Seen {
        let first = self.visits[0].0.max(from);
        let is_online = |at: u64| self.visits.iter().any(|(came, went)| (*came..*went).contains(&at));
        let mut seen = Seen { len: to.saturating_sub(first) / UNIT, online: 0, longest: 0, outages: 0, comings: 0 };
        let mut away = 0;
        for at in (first..to).step_by(UNIT as usize) {
            if is_online(at) {
                seen.online += 1;
                away = 0;
            } else {
                away += 1;
                seen.outages += u32::from(away == 1);
                seen.longest = seen.longest.max(away);
            }
        }
        seen.comings = self.visits.iter().filter(|(came, _)| *came >= first).count() as u32;
        seen
    }
}

/// All times are multiples of this, so that each can be looked at.
const UNIT: u64 = HOUR / 2;

fn in_units(stretch: Stretch) -> Seen {
    let Stretch { len, online, longest, outages, comings, .. } = stretch;
    assert!([len, online, longest].iter().all(|ms| ms % UNIT == 0));
    Seen { len: len / UNIT, online: online / UNIT, longest: longest / UNIT, outages, comings }
}

proptest! {
    /// Visits and what is between them, in half hours; some are none at all, some are for days.
    #[test]
    fn days_say_what_the_visits_do(
        at in 0..60_u64,
        steps in prop::collection::vec((prop_oneof![0..4_u64, 0..200_u64], prop_oneof![0..4_u64, 0..200_u64]), 1..12),
        ahead in 0..100_u64,
        keep in 1..40_u64,
        window in 1..40_u64,
    ) {
        let mut now = START + at * UNIT;
        let mut oracle = Oracle::default();
        let mut timeline = Timeline::new(now);
        for (away, stay) in steps {
            if !oracle.visits.is_empty() {
                now += away * UNIT;
            }
            let came = now;
            now += stay * UNIT;
            oracle.visits.push((came, now));
            timeline.visit(came, now, keep);
            // By what is kept alone.
            prop_assert_eq!(Timeline::read(&timeline.write()), Some(timeline.clone()));
        }
        now += ahead * UNIT;
        let mut shown = timeline.clone();
        shown.stay_away(now, keep);
        let from = first_day(now, window.min(keep));
        let (since, whole) = shown.over(from);
        prop_assert_eq!(since, oracle.visits[0].0.max(from));
        prop_assert_eq!(in_units(whole), oracle.over(from, now));
        prop_assert!(shown.days().count() as u64 <= keep && shown.write().len() < 64 + 30 * keep as usize);
    }

    #[test]
    fn no_record_is_too_odd_to_be_refused(record in prop::collection::vec(any::<u8>(), 0..80), cut in 0..80_usize) {
        drop(Timeline::read(&record));
        let mut timeline = Timeline::new(START);
        timeline.visit(START, START + HOUR, 30);
        timeline.visit(START + 5 * DAY_MS, START + 9 * DAY_MS, 30);
        let mut whole = timeline.write();
        whole.truncate(cut);
        whole.extend(record);
        if let Some(mut read) = Timeline::read(&whole) {
            // What it says may be anything, and is never more than can be counted.
            read.visit(START + 20 * DAY_MS, START + 21 * DAY_MS, 30);
            drop((read.over(0), read.days().count(), read.write()));
        }
    }
}

#[test]
fn a_stay_over_midnights_counts_in_each_day_to_the_millisecond() {
    let mut timeline = Timeline::new(START + 1);
    timeline.visit(START + 1, START + 3 * DAY_MS + 5, 30);
    let days: Vec<_> =
        timeline.days().map(|(start, day)| ((start - START) / DAY_MS, day.online, day.comings)).collect();
    assert_eq!(days, [(0, DAY_MS - 1, 1), (1, DAY_MS, 0), (2, DAY_MS, 0), (3, 5, 0)]);
    assert_eq!(timeline.over(0).1.percent(), Some(100.0));
    assert!(timeline.write().len() < 50, "whole days take no room");
}

#[test]
fn an_outage_over_midnight_is_one() {
    let mut timeline = Timeline::new(START);
    timeline.visit(START, START + 23 * HOUR, 30);
    timeline.visit(START + 26 * HOUR, START + 27 * HOUR, 30);
    let (_, whole) = timeline.over(0);
    assert_eq!((whole.outages, whole.longest, whole.comings), (1, 3 * HOUR, 2));
    // Within a window that begins between, it is as long as it was there.
    let (since, last) = timeline.over(START + DAY_MS);
    assert_eq!((since, last.outages, last.longest, last.online), (START + DAY_MS, 1, 2 * HOUR, HOUR));
}

#[test]
fn a_takeover_is_no_outage() {
    let mut timeline = Timeline::new(START);
    timeline.visit(START, START + HOUR, 30);
    timeline.visit(START + HOUR, START + 2 * HOUR, 30);
    let (_, whole) = timeline.over(0);
    assert_eq!((whole.outages, whole.comings, whole.online), (0, 2, 2 * HOUR));
}

#[test]
fn a_clock_that_is_set_back_counts_no_time_twice() {
    let mut timeline = Timeline::new(START);
    timeline.visit(START, START + 3 * HOUR, 30);
    timeline.visit(START + HOUR, START + 2 * HOUR, 30);
    timeline.visit(START + 2 * HOUR, START + 4 * HOUR, 30);
    let (_, whole) = timeline.over(0);
    assert_eq!((whole.len, whole.online, whole.comings, whole.outages), (4 * HOUR, 4 * HOUR, 3, 0));
}
