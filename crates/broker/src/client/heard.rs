//! When something came from a client.

use crate::time::patience::Patient;

/// When something came, in one number, for a connection has no room for two: in the lower bits the [`Patient`] moment of the
/// last byte, for which they suffice 34 years, and above them the second in which something else than a ping came last, which comes
/// round after half a year.
#[derive(Clone, Copy)]
pub(super) struct Heard(pub(super) u64);

impl Heard {
    const BITS: u32 = 40;
    const BYTE: u64 = (1 << Self::BITS) - 1;

    pub(super) const fn all(now: Patient) -> Self {
        Self(((now.0 / 1000) << Self::BITS) | (now.0 & Self::BYTE))
    }

    pub(super) const fn byte(self, now: Patient) -> Self {
        Self((self.0 & !Self::BYTE) | (now.0 & Self::BYTE))
    }

    pub(super) const fn byte_at(self) -> u64 {
        self.0 & Self::BYTE
    }

    /// For how long nothing but pings came, at the least.
    pub(super) const fn quiet_ms(self, now: Patient) -> u64 {
        let seconds = (now.0 / 1000).wrapping_sub(self.0 >> Self::BITS) & (u64::MAX >> Self::BITS);
        // As if it had come at the end of its second.
        (seconds * 1000 + now.0 % 1000).saturating_sub(999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_heard_and_says_nothing() {
        let came = Heard::all(Patient(5_200));
        assert_eq!((came.byte_at(), came.quiet_ms(Patient(5_200))), (5_200, 0));
        let pinged = came.byte(Patient(65_100)).byte(Patient(125_000));
        assert_eq!((pinged.byte_at(), pinged.quiet_ms(Patient(126_500))), (125_000, 120_501));
        assert_eq!(Heard::all(Patient(126_000)).quiet_ms(Patient(126_999)), 0);
        // Round the end of what there are bits for.
        let late = Heard::all(Patient(((1 << 24) - 1) * 1000));
        assert_eq!(late.quiet_ms(Patient(((1 << 24) + 9) * 1000)), 9_001);
    }
}
