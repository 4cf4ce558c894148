//! When an alarm begins, and when it is over.

/// Looks, one a second, at which nothing may be wrong before an alarm is over.
const CALM_LOOKS: u8 = 10;

/// How wrong something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// It is wrong.
    High,
    /// Not as wrong as to begin an alarm, nor as right as to end one.
    Between,
    /// It is right.
    Low,
}

impl Level {
    /// High from `high`, low below 95 % of it.
    pub(super) const fn of(value: usize, high: usize) -> Self {
        if value >= high {
            Self::High
        } else if value >= high - high / 20 {
            Self::Between
        } else {
            Self::Low
        }
    }

    /// High if something has happened since the last look.
    pub(super) const fn of_event(happened: bool) -> Self {
        if happened { Self::High } else { Self::Low }
    }
}

/// What is to be done about an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Activate,
    Deactivate,
}

/// One alarm's hysteresis: it begins at once and is over when all has been right for some time.
///
/// An operator may declare it over before that; it does not come back while its cause lasts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    is_high: bool,
    calm: u8,
}

impl Watch {
    pub(super) fn look(&mut self, level: Level) -> Option<Change> {
        match (self.is_high, level) {
            (false, Level::High) => {
                *self = Self { is_high: true, calm: 0 };
                Some(Change::Activate)
            }
            (true, Level::Low) => {
                self.calm += 1;
                if self.calm < CALM_LOOKS {
                    return None;
                }
                self.is_high = false;
                Some(Change::Deactivate)
            }
            _ => {
                self.calm = 0;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_once_and_ends_after_calm() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(Level::Low), None);
        assert_eq!(watch.look(Level::Between), None);
        assert_eq!(watch.look(Level::High), Some(Change::Activate));
        // What comes and goes is one alarm.
        for level in [Level::Low, Level::High, Level::Low, Level::Between] {
            assert_eq!(watch.look(level), None);
        }
        for _ in 1..CALM_LOOKS {
            assert_eq!(watch.look(Level::Low), None);
        }
        assert_eq!(watch.look(Level::Low), Some(Change::Deactivate));
        assert_eq!(watch.look(Level::Low), None);
        assert_eq!(watch.look(Level::High), Some(Change::Activate));
    }

    #[test]
    fn levels_leave_room_between_them() {
        for (value, level) in [(0, Level::Low), (94, Level::Low), (95, Level::Between), (100, Level::High)] {
            assert_eq!(Level::of(value, 100), level, "{value}");
        }
        assert_eq!((Level::of(0, 1), Level::of(1, 1)), (Level::Low, Level::High));
    }
}
