//! The broker as modules see it.

use std::io;
use std::time::Instant;

use mqtt_codec::{Message, Topic};

use crate::RecordTable;

/// The broker as modules see it.
pub trait Host: Send + Sync + 'static {
    /// The node's name, as it stands in `$SYS/brokers/${node}/...`.
    fn node(&self) -> &str;

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// The clock that never steps back, to see how long something took.
    fn instant(&self) -> Instant {
        Instant::now()
    }

    /// False: nobody subscribes to anything under `$SYS`, so that nothing need be made for it, not even a topic.
    fn is_sys_watched(&self) -> bool {
        true
    }

    /// Grows with every start of the broker: milliseconds since the Unix epoch, or more.
    fn epoch(&self) -> u64;

    /// Shows `visit` each record of a table with its key, in order of keys; see [`Records`](crate::Records).
    fn records(&self, table: &RecordTable, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()>;

    /// Makes a moment of its own for what is not about a fact: what `act` publishes and keeps leaves when this returns.
    ///
    /// For a module's start and its tasks. Within a hook it would wait for what waits for the hook: there the hook's own
    /// moment is at hand.
    fn act(&self, act: &mut dyn FnMut(&mut dyn Moment));
}

/// The broker in the middle of something. What is published and kept here leaves together, and gets into the store as a
/// whole or not at all.
pub trait Moment {
    /// Publishes a message in the broker's own name: no access rule applies.
    fn publish(&mut self, message: Message);

    /// Publishes to `topic` if anyone subscribes to it; only then is `build` called. Says whether it was.
    fn publish_if_wanted(&mut self, topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool;

    /// Keeps a record, instead of what has this key; for [`Records`](crate::Records).
    fn keep(&mut self, table: &RecordTable, key: &[u8], record: &[u8]);

    /// The record with this key is not needed any more; for [`Records`](crate::Records).
    fn forget(&mut self, table: &RecordTable, key: &[u8]);
}
