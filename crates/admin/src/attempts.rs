//! How often an address may guess.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Wrong guesses within [`WINDOW`] before an address is not listened to.
const MAX_WRONG: u32 = 10;

/// From its first wrong guess on.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered. When there are more, those whose time is over are forgotten, and then all.
const MAX_ADDRESSES: usize = 10_000;

/// Wrong guesses by address.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<IpAddr, Wrong>>);

struct Wrong {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// How long this address must wait before it may guess again, if it must.
    pub(crate) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let wrong = self.0.lock();
        let wrong = wrong.get(&address).filter(|wrong| wrong.count >= MAX_WRONG)?;
        (wrong.since + WINDOW).checked_duration_since(now).filter(|left| !left.is_zero())
    }

    pub(crate) fn note_wrong(&self, address: IpAddr, now: Instant) {
        let mut all = self.0.lock();
        if all.len() >= MAX_ADDRESSES {
            all.retain(|_, wrong| wrong.since + WINDOW > now);
            if all.len() >= MAX_ADDRESSES {
                all.clear();
            }
        }
        let wrong = all.entry(address).or_insert(Wrong { since: now, count: 0 });
        if wrong.since + WINDOW <= now {
            *wrong = Wrong { since: now, count: 0 };
        }
        wrong.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_guesses_close_the_door_for_a_minute() {
        let attempts = Attempts::default();
        let (start, here) = (Instant::now(), IpAddr::from([127, 0, 0, 1]));
        for _ in 0..MAX_WRONG {
            assert_eq!(attempts.wait(here, start), None);
            attempts.note_wrong(here, start);
        }
        assert_eq!(attempts.wait(here, start), Some(WINDOW));
        assert_eq!(attempts.wait(IpAddr::from([127, 0, 0, 2]), start), None, "another address");
        assert_eq!(attempts.wait(here, start + WINDOW), None);
        attempts.note_wrong(here, start + WINDOW);
        assert_eq!(attempts.wait(here, start + WINDOW), None, "counted anew");
    }

    #[test]
    fn there_is_a_bound_on_addresses() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..=MAX_ADDRESSES as u32 {
            attempts.note_wrong(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(attempts.0.lock().len() <= MAX_ADDRESSES);
    }
}
