//! A line of the log for each login that is refused, as programs like fail2ban read it, and not more than so many.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines in a while; what is beyond is counted.
const MAX_LINES: u32 = 100;

const WHILE: Duration = Duration::from_secs(10);

/// Writes the lines.
pub(crate) struct Complaints(Mutex<Told>);

struct Told {
    since: Instant,
    lines: u32,
    untold: u64,
}

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Say {
    /// The line itself.
    line: bool,
    /// How many there were without one.
    untold: u64,
}

impl Complaints {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Told { since: now, lines: 0, untold: 0 }))
    }

    /// The form of the line is a promise: `auth: login refused user="NAME" address=ADDRESS reason=WORD`, a quote in the name
    /// with a backslash before it.
    pub(crate) fn tell(&self, user: &str, address: IpAddr, reason: &'static str, now: Instant) {
        let Say { line, untold } = self.0.lock().say(now);
        if untold > 0 {
            tracing::warn!(untold, "auth: logins refused without a line each");
        }
        if line {
            let user: String = user.chars().take(128).collect();
            tracing::warn!(user = ?user, address = %address.to_canonical(), reason = %reason, "auth: login refused");
        }
    }
}

impl Told {
    fn say(&mut self, now: Instant) -> Say {
        let mut untold = 0;
        if now.saturating_duration_since(self.since) >= WHILE {
            untold = self.untold;
            *self = Self { since: now, lines: 0, untold: 0 };
        }
        let line = self.lines < MAX_LINES;
        if line {
            self.lines += 1;
        } else {
            self.untold += 1;
        }
        Say { line, untold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut told = Told { since: start, lines: 0, untold: 0 };
        for _ in 0..MAX_LINES {
            assert_eq!(told.say(start), Say { line: true, untold: 0 });
        }
        for _ in 0..7 {
            assert_eq!(told.say(start), Say { line: false, untold: 0 });
        }
        assert_eq!(told.say(start + WHILE), Say { line: true, untold: 7 });
        assert_eq!(told.say(start + WHILE), Say { line: true, untold: 0 });
    }
}
