//! How it is with a client: of those that are expected, and of those that are known.

use super::absence::What;
use super::roster::Member;

/// How it is with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Online,
    Offline,
    /// It is not there, and missed by a rule.
    Absent,
    /// It is connected and says nothing, and missed by a rule for that.
    Silent,
    /// It has not come as long as it is remembered.
    NeverSeen,
    /// It is not there, and need not be.
    Maintenance,
    /// It is known, and is not on the roster.
    Unexpected,
}

impl Standing {
    pub(super) const NAMES: &'static [&'static str] =
        &["online", "offline", "absent", "silent", "never_seen", "maintenance", "unexpected"];

    pub(super) const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// It is not there, and somebody should look after it.
    pub(super) const fn is_missing(self) -> bool {
        matches!(self, Self::Offline | Self::Absent | Self::NeverSeen)
    }

    /// `missed` are those ways in which it has been told that it is missed. What is known of a client may say that it came, though it
    /// has gone while nobody took notice.
    pub(super) fn of(
        member: Option<&Member>,
        is_online: bool,
        is_known: bool,
        mut missed: impl Iterator<Item = What>,
        now_ms: u64,
    ) -> Self {
        let wanted = if is_online { What::Silent } else { What::Absent };
        let is_missed = missed.any(|what| what == wanted);
        match (is_online, is_missed) {
            (true, true) => Self::Silent,
            (true, false) => Self::Online,
            _ if member.is_some_and(|member| member.is_in_maintenance(now_ms)) => Self::Maintenance,
            (false, true) => Self::Absent,
            _ if is_known => Self::Offline,
            _ => Self::NeverSeen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_stands_in_one_way() {
        let member = |until| Member { maintenance_until: until, ..Member::default() };
        let (plain, served) = (member(None), member(Some(10)));
        let of = |member, online, known, missed: &[What], now| {
            Standing::of(member, online, known, missed.iter().copied(), now).name()
        };
        let both = [What::Absent, What::Silent];
        for (found, expected) in [
            (of(None, true, true, &[], 0), "online"),
            (of(None, true, true, &both, 0), "silent"),
            (of(None, true, true, &[What::Absent], 0), "online"),
            (of(None, false, true, &[], 0), "offline"),
            (of(None, false, true, &both, 0), "absent"),
            (of(None, false, true, &[What::Silent], 0), "offline"),
            (of(Some(&plain), false, false, &[], 0), "never_seen"),
            (of(Some(&served), false, true, &both, 9), "maintenance"),
            (of(Some(&served), false, false, &[], 9), "maintenance"),
            (of(Some(&served), false, true, &both, 10), "absent"),
            (of(Some(&served), true, true, &[], 9), "online"),
        ] {
            assert_eq!(found, expected);
        }
    }
}
