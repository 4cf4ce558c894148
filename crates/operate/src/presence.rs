//! What presence tells.

use std::time::Duration;

/// An event as a subscriber saw it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// How long it took to come.
    pub after: Duration,
}
