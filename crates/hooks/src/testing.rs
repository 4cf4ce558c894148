//! For tests of modules: a broker that remembers, and a client that comes and goes.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use mqtt_codec::{Message, Topic, Version};
use parking_lot::Mutex;

use crate::{Acting, ConnectionInfo, Fact, Host, Listener, Moment, Reason, RecordTable, Records};

/// When all of it happens, in milliseconds since the Unix epoch.
pub const NOW: u64 = 1_625_572_213_873;

/// A broker that remembers what modules publish.
pub struct Recorder {
    node: String,
    /// What the system's clock shows; [`NOW`] at first.
    pub now: AtomicU64,
    /// [`Host::clock_ms`]; [`NOW`] at first.
    pub clock: AtomicU64,
    /// [`Host::epoch`]; 0 at first.
    pub epoch: AtomicU64,
    /// Someone subscribes; true at first.
    pub wanted: AtomicBool,
    published: Mutex<Vec<Message>>,
    kept: Mutex<BTreeMap<RecordKey, Vec<u8>>>,
}

/// The name of a table of records, and the key of one.
type RecordKey = (String, Vec<u8>);

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
            clock: AtomicU64::new(NOW),
            epoch: AtomicU64::new(0),
            wanted: AtomicBool::new(true),
            published: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// One of its moments, for an observer.
    pub const fn moment(&self) -> Recording<'_> {
        Recording { recorder: self, acting: Acting::BROKER }
    }

    /// The records of a module.
    pub fn records_of(self: &Arc<Self>, module: &str) -> Records {
        Records::new(module, self.clone())
    }

    /// What a module keeps, with the keys.
    pub fn kept(&self, module: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept = self.kept.lock();
        let of_it = kept.iter().filter(|((of, _), _)| of == module);
        of_it.map(|((_, key), record)| (key.clone(), record.clone())).collect()
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

    fn clock_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn records(&self, table: &RecordTable, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        self.kept(table.name()).iter().for_each(|(key, record)| visit(key, record));
        Ok(())
    }

    fn act(&self, acting: Acting, act: &mut dyn FnMut(&mut dyn Moment)) {
        act(&mut Recording { recorder: self, acting });
    }
}

/// A moment of a [`Recorder`].
pub struct Recording<'a> {
    recorder: &'a Recorder,
    acting: Acting,
}

impl Moment for Recording<'_> {
    fn publish(&mut self, message: Message) {
        self.recorder.published.lock().push(message);
    }

    fn publish_if_wanted(&mut self, _topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool {
        let wanted = self.recorder.wanted.load(Ordering::Relaxed);
        if wanted {
            self.publish(build());
        }
        wanted
    }

    fn keep(&mut self, table: &RecordTable, key: &[u8], record: &[u8]) {
        self.recorder.kept.lock().insert((table.name().to_owned(), key.to_vec()), record.to_vec());
    }

    fn forget(&mut self, table: &RecordTable, key: &[u8]) {
        self.recorder.kept.lock().remove(&(table.name().to_owned(), key.to_vec()));
    }

    fn acting(&self) -> Acting {
        self.acting
    }

    fn set_acting(&mut self, acting: Acting) {
        self.acting = acting;
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
    Fact::Connected { client, told_at: NOW, seq, flaps: 1, noticed: Instant::now() }
}

/// It is gone.
pub fn went(client: &ConnectionInfo, reason: Reason, seq: u64) -> Fact<'_> {
    Fact::Disconnected {
        client,
        reason,
        reason_string: None,
        at: NOW,
        told_at: NOW,
        seq,
        flaps: 1,
        noticed: Instant::now(),
    }
}
