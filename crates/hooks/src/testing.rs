//! For tests of modules: a broker that remembers, and a client that comes and goes.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use mqtt_codec::{Message, Properties, ReasonCode, Topic, Version};
use parking_lot::Mutex;

use crate::{Acting, ConnectionInfo, Fact, Host, Listener, Moment, Reason, RecordTable, Records, Stop, Task};

/// When all of it happens, in milliseconds since the Unix epoch.
pub const NOW: u64 = 1_625_572_213_873;

/// A broker that remembers what modules publish. Its clients may not publish to topics that begin with `forbidden`.
pub struct Recorder {
    node: String,
    /// What the system's clock shows; [`NOW`] at first.
    pub now: AtomicU64,
    /// [`Host::clock_ms`]; [`NOW`] at first.
    pub clock: Arc<AtomicU64>,
    /// [`Host::epoch`]; 0 at first.
    pub epoch: AtomicU64,
    /// Someone subscribes; true at first.
    pub wanted: AtomicBool,
    /// Someone subscribes by filters whose last level is a name; false at first.
    pub named: AtomicBool,
    /// Clients that are online, for [`Host::quiet_ms`], and for how long each says nothing.
    pub quiet: Mutex<BTreeMap<String, u64>>,
    published: Mutex<Vec<Message>>,
    tasks: Arc<Mutex<Tasks>>,
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
            clock: Arc::new(AtomicU64::new(NOW)),
            epoch: AtomicU64::new(0),
            wanted: AtomicBool::new(true),
            named: AtomicBool::new(false),
            quiet: Mutex::default(),
            published: Mutex::default(),
            tasks: Arc::default(),
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

    /// Polls the tasks of modules until each waits for something else. Whatever they wait for, this is the only way in which
    /// they go on.
    pub fn run_tasks(&self) {
        let ids: Vec<_> = self.tasks.lock().running.keys().copied().collect();
        for id in ids {
            // Taken out meanwhile, so that the task may be stopped by what it does.
            let Some(mut task) = self.tasks.lock().running.get_mut(&id).and_then(Option::take) else { continue };
            let woken = Arc::new(Woken(AtomicBool::new(true)));
            let waker = Waker::from(woken.clone());
            let mut is_over = false;
            while woken.0.swap(false, Ordering::Relaxed) && !is_over {
                is_over = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            }
            let mut tasks = self.tasks.lock();
            if is_over {
                tasks.running.remove(&id);
            } else if let Some(place) = tasks.running.get_mut(&id) {
                *place = Some(task);
            }
        }
    }

    /// How many tasks of modules run.
    pub fn tasks(&self) -> usize {
        self.tasks.lock().running.len()
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

    /// As of a broker that was told nothing.
    fn max_topic_levels(&self) -> usize {
        128
    }

    fn is_sys_named(&self) -> bool {
        self.named.load(Ordering::Relaxed)
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

    fn may_publish(&self, _client: &ConnectionInfo, topic: &Topic) -> Result<(), ReasonCode> {
        if topic.as_str().starts_with("forbidden") { Err(ReasonCode::NotAuthorized) } else { Ok(()) }
    }

    fn quiet_ms(&self, client_id: &str) -> Option<u64> {
        self.quiet.lock().get(client_id).copied()
    }

    fn act(&self, acting: Acting, act: &mut dyn FnMut(&mut dyn Moment)) {
        act(&mut Recording { recorder: self, acting });
    }

    fn spawn(&self, task: Task) -> Box<dyn Stop> {
        let mut tasks = self.tasks.lock();
        tasks.last += 1;
        let id = tasks.last;
        tasks.running.insert(id, Some(task));
        Box::new(Spawned { tasks: self.tasks.clone(), id })
    }

    fn sleep_until(&self, clock_ms: u64) -> Task {
        let clock = self.clock.clone();
        Box::pin(poll_fn(
            move |_| {
                if clock.load(Ordering::Relaxed) >= clock_ms { Poll::Ready(()) } else { Poll::Pending }
            },
        ))
    }
}

/// Tasks of modules by number; `None`: it is being polled.
#[derive(Default)]
struct Tasks {
    last: u64,
    running: BTreeMap<u64, Option<Task>>,
}

struct Spawned {
    tasks: Arc<Mutex<Tasks>>,
    id: u64,
}

impl Stop for Spawned {
    fn stop(&self) {
        // Dropped without the lock: it may have others to stop.
        let task = self.tasks.lock().running.remove(&self.id);
        drop(task);
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
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

    fn publish_state(&mut self, _topic: &Topic, _number: u64, build: &mut dyn FnMut() -> Message) -> bool {
        let named = self.recorder.is_sys_named();
        if named {
            self.publish(build());
        }
        named
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
        is_bridge: false,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_123)),
        listener: Arc::new(Listener::new("mqtt", 1883)),
        keep_alive: 60,
        clean_start: true,
        expiry_interval: 0,
        connected_at: NOW,
        session_present: false,
        epoch: 3,
        conn_id: 41,
    }
}

static NO_PROPERTIES: Properties = Properties::EMPTY;

/// A fact about a client that is about to be told: `Told { seq: 2, ..Told::of(&client) }.came()`.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Who.
    pub client: &'a ConnectionInfo,
    /// When it happens and is told: milliseconds since the Unix epoch.
    pub at: u64,
    /// Counts the facts of this client id.
    pub seq: u64,
    /// About how often it came within the last minute.
    pub flaps: u32,
}

impl<'a> Told<'a> {
    /// The first of a client, at [`NOW`].
    pub const fn of(client: &'a ConnectionInfo) -> Self {
        Self { client, at: NOW, seq: 1, flaps: 1 }
    }

    /// It is in.
    pub fn came(self) -> Fact<'a> {
        let Self { client, at: told_at, seq, flaps } = self;
        let (properties, receive_maximum) = (&NO_PROPERTIES, 100);
        Fact::Connected { client, told_at, seq, flaps, properties, receive_maximum, noticed: Instant::now() }
    }

    /// It is gone.
    pub fn went(self, reason: Reason) -> Fact<'a> {
        let Self { client, at, seq, flaps } = self;
        Fact::Disconnected {
            client,
            reason,
            reason_string: None,
            properties: &NO_PROPERTIES,
            at,
            told_at: at,
            seq,
            flaps,
            last_heard: at,
            noticed: Instant::now(),
        }
    }
}

/// It is in.
pub fn came(client: &ConnectionInfo, seq: u64) -> Fact<'_> {
    Told { seq, ..Told::of(client) }.came()
}

/// It is gone.
pub fn went(client: &ConnectionInfo, reason: Reason, seq: u64) -> Fact<'_> {
    Told { seq, ..Told::of(client) }.went(reason)
}
