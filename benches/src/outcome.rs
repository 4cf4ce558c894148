//! What a case gives.

use serde::Serialize;

use crate::slow::Slow;

/// What one run of a case gave.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Outcome {
    /// In the case's unit; less is better.
    pub value: f64,
    /// Of what the case counts; 0 where it counts nothing.
    pub per_second: f64,
    /// Microseconds of CPU that the driver itself spent on each.
    pub driver_us: f64,
    /// Where `value` is the 99th of 100, the median.
    pub median: Option<f64>,
    /// What was wrong with presence events.
    pub faults: Option<Faults>,
    /// All that the case of the slow subscriber found.
    pub slow: Option<Slow>,
}

/// What was wrong with presence events.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Faults {
    /// Never came.
    pub missing: usize,
    /// Came more often than what they tell happened.
    pub doubled: usize,
    /// Came out of turn.
    pub swapped: usize,
}
