//! Clocks, what is due by them, and the tasks that look after it.

pub(crate) mod beat;
pub(crate) mod bucket;
pub(crate) mod clock;
pub(crate) mod deadlines;
pub(crate) mod due;
pub(crate) mod faults;
pub(crate) mod patience;
pub(crate) mod timers;
pub(crate) mod watched;
