//! A service that is away is not asked by everybody who comes.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures one after the other after which it is taken to be away.
const FAILURES: u32 = 5;

/// How long it is left alone at first; twice as long each time that one more try fails.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Counts failures, and says when to try again: then one may.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    rest: Option<Rest>,
}

struct Rest {
    until: Instant,
    length: Duration,
    /// Somebody tries whether it is back.
    is_tried: bool,
}

/// It is left alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Away;

/// One may ask, and is to say what came of it; dropped, nothing did.
#[must_use]
pub(super) struct Try<'a> {
    breaker: &'a Breaker,
    /// Whether it is the one that finds out.
    probes: bool,
}

impl Breaker {
    pub(super) fn begin(&self, now: Instant) -> Result<Try<'_>, Away> {
        let mut state = self.0.lock();
        let Some(rest) = &mut state.rest else { return Ok(Try { breaker: self, probes: false }) };
        if rest.is_tried || now < rest.until {
            return Err(Away);
        }
        rest.is_tried = true;
        Ok(Try { breaker: self, probes: true })
    }
}

impl Try<'_> {
    pub(super) fn went_well(self) {
        *self.breaker.0.lock() = State::default();
    }

    /// Says whether it is left alone from now on.
    pub(super) fn failed(self, now: Instant) -> bool {
        let mut state = self.breaker.0.lock();
        state.failures = state.failures.saturating_add(1);
        let length = match &state.rest {
            // Those that were under way when it began tell nothing new.
            Some(_) if !self.probes => return true,
            Some(rest) => (rest.length * 2).min(LONGEST_REST),
            None if state.failures < FAILURES => return false,
            None => FIRST_REST,
        };
        state.rest = Some(Rest { until: now + length, length, is_tried: false });
        true
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        // After a verdict there is nothing to take back: the rest is over or a new one.
        if self.probes
            && let Some(rest) = &mut self.breaker.0.lock().rest
        {
            rest.is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: Instant) -> bool {
        breaker.begin(now).unwrap().failed(now)
    }

    #[test]
    fn after_some_failures_one_tries_at_a_time_and_ever_later() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 1..FAILURES {
            assert!(!fail(&breaker, start));
        }
        breaker.begin(start).unwrap().went_well();
        for _ in 1..FAILURES {
            assert!(!fail(&breaker, start), "counted anew");
        }
        let late = breaker.begin(start).unwrap();
        assert!(fail(&breaker, start));
        assert!(late.failed(start), "and says nothing new");
        let mut now = 0;
        for rest in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(breaker.begin(at(now)).err(), Some(Away), "{rest}");
            now += rest;
            let probe = breaker.begin(at(now)).unwrap();
            assert_eq!(breaker.begin(at(now)).err(), Some(Away), "one is enough");
            drop(probe);
            assert!(fail(&breaker, at(now)), "who gave up has said nothing");
        }
        breaker.begin(at(now + 30)).unwrap().went_well();
        assert!(breaker.begin(at(now + 30)).is_ok() && breaker.begin(at(now + 30)).is_ok());
    }
}
