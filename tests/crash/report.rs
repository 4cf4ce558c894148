//! What was checked, and what was found wrong.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// So many faults are described; the others are counted.
const DESCRIBED: usize = 40;

/// Something that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Count {
    AcknowledgedQos1,
    AcknowledgedQos2,
    Delivered,
    /// QoS 1 messages that came more than once, which they may.
    Duplicates,
    Retained,
    SessionsResumed,
    Events,
    NodeDown,
    /// Events that came again with DUP, which they may.
    Repeated,
    Wills,
    /// Acknowledged messages of which a node that was lost was part.
    LostWithNode,
}

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// An acknowledged message did not come.
    Lost,
    /// A QoS 2 message came twice.
    Doubled,
    /// A message came before an earlier one.
    Swapped,
    /// A message came that nobody published or nobody asked for.
    Unasked,
    /// A retained message is not the last one.
    Retained,
    /// A session is gone, or one is there that had ended.
    Session,
    /// The broker closed a connection, was silent or broke a rule of MQTT.
    Protocol,
    EventMissing,
    EventDoubled,
    EventSwapped,
    /// A number of an event is wrong.
    EventNumber,
    /// The last event of a client does not tell where it is.
    EventState,
    /// Nodes do not tell the same.
    Different,
    /// A will came not once, or not before the event that tells why.
    Will,
    /// It takes more and more.
    Memory,
}

/// Shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: Mutex<BTreeMap<Count, u64>>,
    faults: Mutex<BTreeMap<Fault, u64>>,
}

impl Report {
    pub(crate) fn add(&self, count: Count, more: u64) {
        *lock(&self.counts).entry(count).or_default() += more;
    }

    pub(crate) fn count(&self, count: Count) -> u64 {
        lock(&self.counts).get(&count).copied().unwrap_or(0)
    }

    pub(crate) fn fault(&self, fault: Fault, what: &str) {
        let mut faults = lock(&self.faults);
        if faults.values().sum::<u64>() < DESCRIBED as u64 {
            eprintln!("{fault:?}: {what}");
        }
        *faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn faults(&self, fault: Fault) -> u64 {
        lock(&self.faults).get(&fault).copied().unwrap_or(0)
    }

    pub(crate) fn is_clean(&self) -> bool {
        lock(&self.faults).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with the report in hand")
}

/// The order of what all threads do: greater is later.
pub(crate) fn tick() -> u64 {
    static TICK: AtomicU64 = AtomicU64::new(1);
    TICK.fetch_add(1, SeqCst)
}

/// What the clients know of the broker's process.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) addr: std::net::SocketAddr,
    /// The number of this start.
    pub(crate) start: u32,
    pub(crate) report: &'a Report,
    /// It lives for so long that who gets messages has to keep up with who sends them: what waits is not to be what its memory shows.
    pub(crate) lives_long: bool,
    is_ending: AtomicBool,
}

impl<'a> World<'a> {
    pub(crate) const fn new(addr: std::net::SocketAddr, start: u32, report: &'a Report, lives_long: bool) -> Self {
        Self { addr, start, report, lives_long, is_ending: AtomicBool::new(false) }
    }

    /// Called before the broker is killed: from now on a broken connection is no fault.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, SeqCst);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(SeqCst)
    }
}
