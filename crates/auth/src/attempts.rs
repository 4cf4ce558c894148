//! Wrong logins, and how long somebody must wait before the next.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::digest::Digest;
use crate::forgetful::Forgetful;

/// Wrong logins that cost nothing.
const FREE: u32 = 3;

/// After the first that does; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long they count, from the last one on.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Pairs that are remembered.
const MAX_PAIRS: usize = 20_000;

/// Who tries to log in as whom: an address and a digest of the user name. One pair's attempts say nothing about another's, so
/// that a script with an old password locks out nobody behind the same proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    address: IpAddr,
    user: Digest,
}

impl Pair {
    pub(crate) fn new(address: IpAddr, user: Digest) -> Self {
        Self { address: network(address), user }
    }
}

/// Who comes from there: who has one address of version 6 has mostly 2^64 of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

/// Wrong logins by pair.
pub(crate) struct Attempts(Mutex<Forgetful<Pair, Wrong>>);

#[derive(Clone, Copy)]
struct Wrong {
    count: u32,
    /// When the next is looked at.
    next: Instant,
}

/// It is too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Early;

impl Attempts {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Forgetful::new(MAX_PAIRS, WINDOW, now)))
    }

    /// Counts an attempt as wrong before that is known, so that many at once are not looked at as one.
    pub(crate) fn begin(&self, pair: Pair, now: Instant) -> Result<(), Early> {
        let mut all = self.0.lock();
        let before = all.get(&pair, now).copied().unwrap_or(Wrong { count: 0, next: now });
        if now < before.next {
            return Err(Early);
        }
        let count = before.count.saturating_add(1);
        let wait = match count.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(1 << more.min(16)).min(LONGEST_WAIT),
        };
        all.insert(pair, Wrong { count, next: now + wait }, now);
        Ok(())
    }

    /// It was right: what was wrong before is forgotten.
    pub(crate) fn was_right(&self, pair: &Pair) {
        self.0.lock().remove(pair);
    }

    /// It was not looked at after all.
    pub(crate) fn take_back(&self, pair: &Pair, now: Instant) {
        let mut all = self.0.lock();
        if let Some(wrong) = all.get(pair, now).copied() {
            all.insert(*pair, Wrong { count: wrong.count.saturating_sub(1), next: now }, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Key;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_wrong_login_of_a_pair_doubles_the_wait_and_no_other_pair_waits() {
        let (key, start) = (Key::random(), Instant::now());
        let attempts = Attempts::new(start);
        let pair = |address: &str, user: &str| Pair::new(address.parse().unwrap(), key.digest(&[user.as_bytes()]));
        let here = pair("192.0.2.1", "alice");
        for _ in 0..FREE {
            assert_eq!(attempts.begin(here, start), Ok(()));
        }
        let mut now = start;
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(attempts.begin(here, now), Ok(()));
            assert_eq!(attempts.begin(here, now + secs(wait) - Duration::from_millis(1)), Err(Early), "{wait}");
            now += secs(wait);
        }
        for other in [pair("192.0.2.1", "bob"), pair("192.0.2.2", "alice")] {
            assert_eq!(attempts.begin(other, start), Ok(()));
        }
        attempts.was_right(&here);
        for _ in 0..=FREE {
            assert_eq!(attempts.begin(here, now), Ok(()), "counted anew");
        }
        assert_eq!(attempts.begin(here, now), Err(Early));
        assert_eq!(attempts.begin(here, now + WINDOW), Ok(()));
    }

    #[test]
    fn what_was_not_looked_at_does_not_count() {
        let (key, now) = (Key::random(), Instant::now());
        let attempts = Attempts::new(now);
        let here = Pair::new([192, 0, 2, 1].into(), key.digest(&[]));
        for _ in 0..20 {
            assert_eq!(attempts.begin(here, now), Ok(()));
            attempts.take_back(&here, now);
        }
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        let digest = Key::random().digest(&[]);
        let pair = |address: &str| Pair::new(address.parse().unwrap(), digest);
        assert_eq!(pair("2001:db8::1"), pair("2001:db8::ffff:1"));
        assert_ne!(pair("2001:db8::1"), pair("2001:db8:0:1::1"));
        assert_eq!(pair("::ffff:192.0.2.1"), pair("192.0.2.1"));
    }
}
