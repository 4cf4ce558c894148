//! What one client sends and gets.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;
use tokio::sync::mpsc::Receiver;

/// A trace; it ends when this is dropped.
pub struct Trace {
    /// A line for each packet.
    pub lines: Receiver<TraceLine>,
    /// How many were not kept for whoever reads the lines too slowly.
    pub dropped: Arc<AtomicU64>,
    /// Ends the trace when it is dropped.
    pub end: Box<dyn Send + Sync>,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceLine {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Which way it went.
    pub direction: Direction,
    /// For people; passwords are not in it.
    pub packet: String,
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The client sent it.
    In,
    /// The client got it.
    Out,
}
