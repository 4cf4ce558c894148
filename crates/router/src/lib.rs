//! Who wants a topic: exact, wildcard and shared subscriptions in sharded maps, and retained messages.
//!
//! It knows neither sessions nor sockets: a subscriber is any key. No lock is held while the caller sends.

mod matches;
mod retained;
mod router;

pub use matches::{Group, Match, Matches};
pub use retained::Retained;
pub use router::{Full, Limits, Options, Router};
