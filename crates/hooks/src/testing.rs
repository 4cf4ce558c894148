//! For tests of modules: a broker that remembers, and a client that comes and goes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use mqtt_codec::{Message, Topic, Version};
use parking_lot::Mutex;

use crate::{ConnectionInfo, Fact, Host, Listener, Reason};

/// When all of it happens, in milliseconds since the Unix epoch.
pub const NOW: u64 = 1_625_572_213_873;

/// A broker that remembers what modules publish.
pub struct Recorder {
    node: String,
    /// What its clock shows; [`NOW`] at first.
    pub now: AtomicU64,
    /// Someone subscribes; true at first.
    pub wanted: AtomicBool,
    published: Mutex<Vec<Message>>,
}

impl Recorder {
    /// One that is called `rollcall@127.0.0.1`.
    pub fn new() -> Arc<Self> {
        Self::with_node("rollcall@127.0.0.1")
    }

    /// One with this name.
    pub fn with_node(node: &str) -> Arc<Self> {
        Arc::new(Self {
            node: node.to_owned(),
            now: AtomicU64::new(NOW),
            wanted: AtomicBool::new(true),
            published: Mutex::default(),
        })
    }

    /// What was published since the last time.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.published.lock())
    }
}

impl Host for Recorder {
    fn node(&self) -> &str {
        &self.node
    }

    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn publish(&self, message: Message) {
        self.published.lock().push(message);
    }

    fn publish_if_wanted(&self, _topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted {
            self.publish(build());
        }
        wanted
    }
}

/// The client of the example in EMQ X's manual.
pub fn foo() -> ConnectionInfo {
    ConnectionInfo {
        client_id: "emqtt-8348fe27a87976ad4db3".into(),
        username: Some("foo".into()),
        version: Version::V3_1_1,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_123)),
        listener: Arc::new(Listener { name: "tcp".into(), port: 1883 }),
        keep_alive: 60,
        clean_start: true,
        expiry_interval: 0,
        connected_at: NOW,
        session_present: false,
        epoch: 3,
        conn_id: 41,
    }
}

/// It is in.
pub fn came(client: &ConnectionInfo, seq: u64) -> Fact<'_> {
    Fact::Connected { client, seq, flaps: 1, noticed: Instant::now() }
}

/// It is gone.
pub fn went(client: &ConnectionInfo, reason: Reason, seq: u64) -> Fact<'_> {
    Fact::Disconnected { client, reason, reason_string: None, at: NOW, seq, flaps: 1, noticed: Instant::now() }
}
