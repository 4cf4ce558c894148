//! How often a client comes.

const MINUTE_MS: u64 = 60_000;

/// About how often a client came within the last minute, in 8 bytes: it is counted by minutes of the clock, and of the
/// minute before the current one that part counts that is not over for a minute yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flaps {
    minute: u32,
    current: u16,
    before: u16,
}

impl Flaps {
    /// The client comes; this time is counted. Times are milliseconds since the Unix epoch.
    pub(crate) fn come(&mut self, now_ms: u64) -> u32 {
        *self = self.at(now_ms);
        self.current = self.current.saturating_add(1);
        self.count(now_ms)
    }

    pub(crate) fn count(self, now_ms: u64) -> u32 {
        let Self { current, before, .. } = self.at(now_ms);
        let left = (MINUTE_MS - now_ms % MINUTE_MS) as u32;
        u32::from(current) + (u32::from(before) * left).div_ceil(MINUTE_MS as u32)
    }

    fn at(self, now_ms: u64) -> Self {
        let minute = (now_ms / MINUTE_MS) as u32;
        match minute.checked_sub(self.minute) {
            // The clock may have been set back.
            None | Some(0) => self,
            Some(1) => Self { minute, current: 0, before: self.current },
            Some(_) => Self { minute, current: 0, before: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_counts() {
        let start = 1_625_572_213_873 / MINUTE_MS * MINUTE_MS;
        let mut flaps = Flaps::default();
        for n in 1..=10 {
            assert_eq!(flaps.come(start + u64::from(n) * 6_000 - 1), n);
        }
        for (later, count) in [(60_000, 10), (90_000, 5), (119_999, 1), (120_000, 0), (1_000_000, 0)] {
            assert_eq!(flaps.count(start + later), count, "after {later} ms");
        }
        assert_eq!(flaps.come(start + 90_000), 6);
        assert_eq!(flaps.come(start), 12, "the clock was set back");
    }

    #[test]
    fn it_does_not_overflow() {
        let mut flaps = Flaps { minute: 1, current: u16::MAX, before: u16::MAX };
        assert_eq!(flaps.come(MINUTE_MS), 2 * u32::from(u16::MAX));
        assert_eq!(flaps.count(2 * MINUTE_MS), u32::from(u16::MAX));
    }
}
