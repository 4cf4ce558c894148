//! Wrong guesses, and when somebody must wait before the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::source::Source;

/// Wrong guesses within [`WINDOW`] before each further one is slowed down.
pub(crate) const MAX_WRONG: u32 = 10;

/// From the first wrong guess on.
const WINDOW: Duration = Duration::from_secs(60);

/// After so many, one guess of the pair is looked at in this time: the right one is let in, and nobody finds it by trying.
const SLOWED: Duration = Duration::from_secs(1);

/// Pairs that are remembered. When there are more, those whose time is over are forgotten, or else the oldest.
const MAX_PAIRS: usize = 10_000;

/// Who guesses at what. One pair's guesses say nothing about another's: nobody is locked out by others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) source: Source,
    /// An account's name; empty for all names that nobody has, so that they don't fill the table.
    pub(crate) name: String,
    /// It came under a name of ours. A page that another site has brought to us by its own name counts apart from who
    /// sits at the same machine.
    pub(crate) known_host: bool,
}

/// Wrong guesses by pair.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Pair, Wrong>>);

struct Wrong {
    since: Instant,
    count: u32,
    /// When the next is looked at, once they are slowed down.
    next_look: Instant,
}

/// When a guess is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Now,
    /// The caller is to wait for so long.
    Soon(Duration),
    /// Not at all: another waits already. It may be tried again after this.
    Later(Duration),
}

impl Wrong {
    fn is_over(&self, now: Instant) -> bool {
        self.since + WINDOW <= now
    }
}

/// A guess that counts as wrong unless it turns out to be right.
pub(crate) struct Attempt {
    attempts: Arc<Attempts>,
    pair: Pair,
}

impl Attempt {
    pub(crate) fn was_right(self) {
        if let Some(wrong) = self.attempts.0.lock().get_mut(&self.pair) {
            wrong.count = wrong.count.saturating_sub(1);
        }
    }
}

impl Attempts {
    /// When this pair's next guess is looked at. Who is told [`Look::Soon`] has that place.
    pub(crate) fn look(&self, pair: &Pair, now: Instant) -> Look {
        let mut all = self.0.lock();
        let Some(wrong) = all.get_mut(pair).filter(|wrong| wrong.count >= MAX_WRONG && !wrong.is_over(now)) else {
            return Look::Now;
        };
        let wait = wrong.next_look.saturating_duration_since(now);
        if wait > SLOWED {
            return Look::Later(wait);
        }
        wrong.next_look = now + wait + SLOWED;
        if wait.is_zero() { Look::Now } else { Look::Soon(wait) }
    }

    /// Counts a guess before it is known whether it is wrong, so that who goes away meanwhile has guessed all the same.
    pub(crate) fn begin(self: &Arc<Self>, pair: &Pair, now: Instant) -> Attempt {
        self.note_wrong(pair, now);
        Attempt { attempts: Arc::clone(self), pair: pair.clone() }
    }

    /// How many there were of this pair lately.
    pub(crate) fn count(&self, pair: &Pair) -> u32 {
        self.0.lock().get(pair).map_or(0, |wrong| wrong.count)
    }

    /// Returns how many there were of this pair.
    pub(crate) fn note_wrong(&self, pair: &Pair, now: Instant) -> u32 {
        let mut all = self.0.lock();
        if all.len() >= MAX_PAIRS && !all.contains_key(pair) {
            all.retain(|_, wrong| !wrong.is_over(now));
            if all.len() >= MAX_PAIRS {
                let oldest = all.iter().min_by_key(|(_, wrong)| wrong.since).map(|(pair, _)| pair.clone());
                oldest.and_then(|oldest| all.remove(&oldest));
            }
        }
        let wrong = all.entry(pair.clone()).or_insert(Wrong { since: now, count: 0, next_look: now });
        if wrong.is_over(now) {
            *wrong = Wrong { since: now, count: 0, next_look: now };
        }
        wrong.count += 1;
        wrong.next_look = wrong.next_look.max(now + SLOWED);
        wrong.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(source: Source, name: &str, known_host: bool) -> Pair {
        Pair { source, name: name.to_owned(), known_host }
    }

    #[test]
    fn ten_wrong_guesses_of_a_pair_slow_it_down_and_nobody_else() {
        let attempts = Attempts::default();
        let (start, here) = (Instant::now(), pair(Source::Loopback, "admin", true));
        for _ in 0..MAX_WRONG {
            assert_eq!(attempts.look(&here, start), Look::Now);
            attempts.note_wrong(&here, start);
        }
        for other in [
            pair(Source::V4([192, 0, 2, 1].into()), "admin", true),
            pair(Source::Loopback, "key", true),
            pair(Source::Loopback, "admin", false),
        ] {
            assert_eq!(attempts.look(&other, start), Look::Now, "{other:?}");
        }
        assert_eq!(attempts.look(&here, start), Look::Soon(SLOWED), "one may wait");
        assert_eq!(attempts.look(&here, start), Look::Later(SLOWED * 2), "and no second one");
        assert_eq!(attempts.look(&here, start + SLOWED), Look::Soon(SLOWED), "one a second");
        assert_eq!(attempts.look(&here, start + SLOWED * 5), Look::Now);
        assert_eq!(attempts.look(&here, start + WINDOW), Look::Now);
        attempts.note_wrong(&here, start + WINDOW);
        assert_eq!(attempts.look(&here, start + WINDOW), Look::Now, "counted anew");
    }

    #[test]
    fn a_right_guess_does_not_count_and_one_that_is_given_up_does() {
        let (attempts, now) = (Arc::new(Attempts::default()), Instant::now());
        let here = pair(Source::Loopback, "admin", true);
        for _ in 0..MAX_WRONG * 2 {
            attempts.begin(&here, now).was_right();
        }
        for _ in 0..MAX_WRONG {
            assert_eq!(attempts.look(&here, now), Look::Now);
            drop(attempts.begin(&here, now));
        }
        assert_eq!(attempts.look(&here, now), Look::Soon(SLOWED));
    }

    #[test]
    fn the_oldest_pair_is_forgotten_when_there_are_too_many() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let of = |n: u32| pair(Source::V4(n.into()), "admin", true);
        for n in 0..=MAX_PAIRS as u32 {
            for _ in 0..MAX_WRONG {
                attempts.note_wrong(&of(n), start + Duration::from_millis(n.into()));
            }
        }
        let now = start + Duration::from_secs(11);
        assert_eq!(attempts.0.lock().len(), MAX_PAIRS);
        let wrong = |n| attempts.0.lock().contains_key(&of(n));
        assert!(!wrong(0) && wrong(1) && attempts.look(&of(0), now) == Look::Now);
    }
}
