//! The broker as modules see it.

use std::io;
use std::time::Instant;

use mqtt_codec::{Message, Topic};

use crate::{Client, Lookup, Online};

/// The broker as modules see it.
#[async_trait::async_trait]
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

    /// Shows `visit` each record that a module has kept, with its key, in order of keys.
    fn records(&self, module: &str, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()>;

    /// Makes a moment of its own for what is not about a fact: what `act` publishes and keeps leaves when this returns.
    ///
    /// For a module's start and its tasks. Within a hook it would wait for what waits for the hook: there the hook's own
    /// moment is at hand.
    fn act(&self, act: &mut dyn FnMut(&mut dyn Moment));

    /// Who is online. It may block for as long as it takes to look at every client: for what answers a request, and not
    /// for hooks.
    fn online(&self, lookup: &Lookup<'_>) -> Online {
        let _ = lookup;
        Online::default()
    }

    /// Connects a client of a module's own.
    async fn connect(&self, client_id: &str) -> Result<Box<dyn Client>, String> {
        let _ = client_id;
        Err("this broker has no clients".to_owned())
    }
}

/// The broker in the middle of something. What is published and kept here leaves together, and gets into the store as a
/// whole or not at all.
pub trait Moment {
    /// Publishes a message in the broker's own name: no access rule applies.
    fn publish(&mut self, message: Message);

    /// Publishes to `topic` if anyone subscribes to it; only then is `build` called.
    fn publish_if_wanted(&mut self, topic: &Topic, build: &mut dyn FnMut() -> Message) -> Published;

    /// Keeps a record of a module's own, instead of what has this key.
    fn keep(&mut self, module: &'static str, key: &[u8], record: &[u8]);

    /// A module's record with this key is not needed any more.
    fn forget(&mut self, module: &'static str, key: &[u8]);
}

/// What became of a message that was offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Someone subscribes, so it was made.
    pub wanted: bool,
    /// So many of those who subscribe and are not away, or have a session, did not get it: their queue or their socket was
    /// full, or it was too large for them.
    pub dropped: u64,
}
