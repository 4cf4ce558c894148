//! On whose behalf something is done.

/// The module on whose behalf something is done, and those that have had a part in what led to it.
///
/// Only this crate makes one for a module. A [`Moment`](crate::Moment) carries it, so that what a module publishes is
/// shown neither to itself nor to whoever led to it, and no two modules answer each other for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acting {
    module: Option<&'static str>,
    /// A bit for each place, in order of registration; all from the 64th on share one.
    passed: u64,
}

impl Acting {
    /// The broker itself.
    pub const BROKER: Self = Self { module: None, passed: 0 };

    /// `None`: the broker itself.
    pub const fn module(self) -> Option<&'static str> {
        self.module
    }

    pub(crate) const fn of(module: &'static str, place: usize) -> Self {
        Self::BROKER.then(module, place)
    }

    /// What this module does about what was done on behalf of `self`.
    pub(crate) const fn then(self, module: &'static str, place: usize) -> Self {
        Self { module: Some(module), passed: self.passed | bit(place) }
    }

    pub(crate) const fn has_passed(self, place: usize) -> bool {
        self.passed & bit(place) != 0
    }
}

const fn bit(place: usize) -> u64 {
    1 << if place < 63 { place } else { 63 }
}
