//! Wrong guesses, and when somebody must wait before the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::source::Source;

/// Wrong guesses within [`WINDOW`] before the next is not looked at.
pub(crate) const MAX_WRONG: u32 = 10;

/// From the first wrong guess on.
const WINDOW: Duration = Duration::from_secs(60);

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
    /// How long this pair must wait before its next guess is looked at, if it must.
    pub(crate) fn wait(&self, pair: &Pair, now: Instant) -> Option<Duration> {
        let wrong = self.0.lock();
        let wrong = wrong.get(pair).filter(|wrong| wrong.count >= MAX_WRONG)?;
        (wrong.since + WINDOW).checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Counts a guess before it is known whether it is wrong, so that who goes away meanwhile has guessed all the same;
    /// or says how long to wait.
    pub(crate) fn begin(self: &Arc<Self>, pair: &Pair, now: Instant) -> Result<Attempt, Duration> {
        if let Some(wait) = self.wait(pair, now) {
            return Err(wait);
        }
        self.note_wrong(pair, now);
        Ok(Attempt { attempts: Arc::clone(self), pair: pair.clone() })
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
        let wrong = all.entry(pair.clone()).or_insert(Wrong { since: now, count: 0 });
        if wrong.is_over(now) {
            *wrong = Wrong { since: now, count: 0 };
        }
        wrong.count += 1;
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
    fn ten_wrong_guesses_of_a_pair_make_it_wait_and_nobody_else() {
        let attempts = Attempts::default();
        let (start, here) = (Instant::now(), pair(Source::Loopback, "admin", true));
        for _ in 0..MAX_WRONG {
            assert_eq!(attempts.wait(&here, start), None);
            attempts.note_wrong(&here, start);
        }
        assert_eq!(attempts.wait(&here, start), Some(WINDOW));
        for other in [
            pair(Source::V4([192, 0, 2, 1].into()), "admin", true),
            pair(Source::Loopback, "key", true),
            pair(Source::Loopback, "admin", false),
        ] {
            assert_eq!(attempts.wait(&other, start), None, "{other:?}");
        }
        assert_eq!(attempts.wait(&here, start + WINDOW), None);
        attempts.note_wrong(&here, start + WINDOW);
        assert_eq!(attempts.wait(&here, start + WINDOW), None, "counted anew");
    }

    #[test]
    fn a_right_guess_does_not_count_and_one_that_is_given_up_does() {
        let (attempts, now) = (Arc::new(Attempts::default()), Instant::now());
        let here = pair(Source::Loopback, "admin", true);
        for _ in 0..MAX_WRONG * 2 {
            attempts.begin(&here, now).expect("nothing was wrong").was_right();
        }
        for _ in 0..MAX_WRONG {
            drop(attempts.begin(&here, now));
        }
        assert_eq!(attempts.begin(&here, now).err(), Some(WINDOW));
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
        assert!(attempts.wait(&of(0), now).is_none() && attempts.wait(&of(1), now).is_some());
    }
}
