//! Those who want no harm: four QoS 1 pairs at 100 messages a second each, and four newcomers a second.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::client::{Client, From};
use super::wire::{Connect, DISCONNECT, PUBACK, PUBLISH, answer, publish_qos1};

const PAIRS: usize = 4;
const MESSAGE_GAP: Duration = Duration::from_millis(10);
const NEWCOMER_GAP: Duration = Duration::from_millis(250);

/// A newcomer who waits still counts with the time so far; so many may wait.
const WAITING: usize = 400;

/// Twelve levels: what others' filters cost a topic grows with its levels.
pub(super) const TOPIC: [&str; 11] =
    ["probe", "site", "hall", "line", "cell", "machine", "unit", "part", "sensor", "kind", "value"];

/// Since the probe's start, and how long it took if it has ended.
#[derive(Clone, Copy)]
struct Trip {
    at: Duration,
    took: Option<Duration>,
}

struct Shared {
    addr: SocketAddr,
    start: Instant,
    is_over: AtomicBool,
    /// Of each pair; the payload is the number here.
    messages: [Mutex<Vec<Trip>>; PAIRS],
    newcomers: Mutex<Vec<Trip>>,
    /// When, and why.
    refused: Mutex<Vec<(Duration, String)>>,
    faults: Mutex<Vec<String>>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Delay {
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// What happened between two moments. What has not arrived counts with the time it has waited so far.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Window {
    /// From PUBLISH to PUBLISH.
    pub(super) messages: Delay,
    /// From connect(2) to CONNACK.
    pub(super) newcomers: Delay,
    pub(super) refused: usize,
    pub(super) why_refused: Option<String>,
}

/// Over the whole time.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) sent: usize,
    pub(super) lost: usize,
    pub(super) faults: Vec<String>,
}

pub(super) struct Probe {
    shared: Arc<Shared>,
    publishers: Vec<JoinHandle<()>>,
    sockets: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    pub(super) fn start(addr: SocketAddr) -> Result<Self> {
        let shared = Arc::new(Shared {
            addr,
            start: Instant::now(),
            is_over: AtomicBool::new(false),
            messages: std::array::from_fn(|_| Mutex::default()),
            newcomers: Mutex::default(),
            refused: Mutex::default(),
            faults: Mutex::default(),
        });
        let mut probe = Self { shared, publishers: Vec::new(), sockets: Vec::new(), threads: Vec::new() };
        for pair in 0..PAIRS {
            let topic = format!("{}/{pair}", TOPIC.join("/"));
            let mut subscriber = Client::connect_from(addr, &Connect::new(&format!("probe-sub-{pair}")), From::Home)?;
            if subscriber.subscribe([topic.as_str()], 1)? != [1] {
                bail!("the probe's own subscription is not granted");
            }
            let publisher = Client::connect_from(addr, &Connect::new(&format!("probe-pub-{pair}")), From::Home)?;
            let writer = publisher.stream().try_clone()?;
            probe.spawn(publisher, pair, |_, _, mut publisher| publisher.forget())?;
            probe.spawn(subscriber, pair, receive)?;
            let shared = Arc::clone(&probe.shared);
            probe.publishers.push(thread::spawn(move || publish(&shared, pair, &topic, writer)));
        }
        let shared = Arc::clone(&probe.shared);
        probe.threads.push(thread::spawn(move || newcomers(&shared)));
        Ok(probe)
    }

    /// A thread that reads until [`Self::finish`] closes its socket.
    fn spawn(&mut self, client: Client, pair: usize, run: fn(&Shared, usize, Client)) -> Result<()> {
        client.be_patient()?;
        self.sockets.push(client.stream().try_clone()?);
        let shared = Arc::clone(&self.shared);
        self.threads.push(thread::spawn(move || run(&shared, pair, client)));
        Ok(())
    }

    /// The time by which [`Self::between`] goes.
    pub(super) fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }

    pub(super) fn between(&self, from: Duration, to: Duration) -> Window {
        let Shared { messages, newcomers, refused, .. } = &*self.shared;
        let messages: Vec<_> = messages.iter().flat_map(|pair| locked(pair).clone()).collect();
        let refused = locked(refused);
        let refused: Vec<_> = refused.iter().filter(|(at, _)| (from..to).contains(at)).collect();
        Window {
            messages: self.delay(&messages, from, to),
            newcomers: self.delay(&locked(newcomers), from, to),
            refused: refused.len(),
            why_refused: refused.first().map(|(_, why)| why.clone()),
        }
    }

    fn delay(&self, trips: &[Trip], from: Duration, to: Duration) -> Delay {
        let now = self.now();
        let within = trips.iter().filter(|trip| (from..to).contains(&trip.at));
        let mut delays: Vec<_> = within.map(|trip| trip.took.unwrap_or(now - trip.at)).collect();
        delays.sort_unstable();
        let at = |share: usize| {
            let index = (delays.len() * share / 100).min(delays.len().saturating_sub(1));
            delays.get(index).map_or(0.0, |delay| delay.as_secs_f64() * 1000.0)
        };
        Delay { count: delays.len(), p50: at(50), p99: at(99), max: at(100) }
    }

    /// Sends no more and waits for what is on its way.
    pub(super) fn finish(mut self, patience: Duration) -> Totals {
        self.shared.is_over.store(true, Relaxed);
        // What the last of them sends is to be waited for too.
        join(&mut self.publishers);
        let deadline = Instant::now() + patience;
        let missing = |shared: &Shared| {
            let missing = |pair: &Mutex<Vec<Trip>>| locked(pair).iter().filter(|trip| trip.took.is_none()).count();
            shared.messages.iter().map(missing).sum::<usize>()
        };
        while missing(&self.shared) > 0 && Instant::now() < deadline {
            thread::sleep(MESSAGE_GAP);
        }
        let sent = self.shared.messages.iter().map(|pair| locked(pair).len()).sum();
        let lost = missing(&self.shared);
        let faults = std::mem::take(&mut *locked(&self.shared.faults));
        self.end();
        Totals { sent, lost, faults }
    }

    fn end(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        for socket in &self.sockets {
            // An error says that it is closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        join(&mut self.publishers);
        join(&mut self.threads);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    fn fault(&self, what: String) {
        if !self.is_over() {
            locked(&self.faults).push(what);
        }
    }

    /// Calls `act` once in each gap, also for those it comes too late for.
    fn each(&self, gap: Duration, mut act: impl FnMut(usize) -> bool) {
        let began = Instant::now();
        let mut number = 0;
        while !self.is_over() {
            let due = began + gap * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if !act(number as usize) {
                return;
            }
            number += 1;
        }
    }
}

fn publish(shared: &Shared, pair: usize, topic: &str, mut writer: TcpStream) {
    shared.each(MESSAGE_GAP, |number| {
        let packet_id = (number % 65_535 + 1) as u16;
        let payload = (number as u32).to_be_bytes();
        locked(&shared.messages[pair]).push(Trip { at: shared.start.elapsed(), took: None });
        let sent = std::io::Write::write_all(&mut writer, &publish_qos1(topic, packet_id, &payload));
        if let Err(error) = &sent {
            shared.fault(format!("the probe's publisher {pair} was cut off: {error}"));
        }
        sent.is_ok()
    });
}

fn receive(shared: &Shared, pair: usize, mut subscriber: Client) {
    loop {
        let packet = match subscriber.read() {
            Ok(packet) => packet,
            Err(error) => return shared.fault(format!("the probe's subscriber {pair} was cut off: {error}")),
        };
        let now = shared.start.elapsed();
        // The packet id stands before the payload, which is four bytes.
        let [.., high, low, a, b, c, d] = packet.body[..] else { continue };
        if packet.kind() != PUBLISH {
            continue;
        }
        if let Some(trip) = locked(&shared.messages[pair]).get_mut(u32::from_be_bytes([a, b, c, d]) as usize) {
            trip.took.get_or_insert(now.saturating_sub(trip.at));
        }
        if let Err(error) = subscriber.send(&answer(PUBACK, u16::from_be_bytes([high, low]))) {
            return shared.fault(format!("the probe's subscriber {pair} was cut off: {error}"));
        }
    }
}

/// Each on a thread of its own: one who waits must not keep the next from coming.
fn newcomers(shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    shared.each(NEWCOMER_GAP, |number| {
        threads.retain(|thread: &JoinHandle<()>| !thread.is_finished());
        if threads.len() < WAITING {
            let shared = Arc::clone(shared);
            threads.push(thread::spawn(move || come(&shared, number)));
        }
        true
    });
    join(&mut threads);
}

fn come(shared: &Shared, number: usize) {
    let at = shared.start.elapsed();
    let index = {
        let mut newcomers = locked(&shared.newcomers);
        newcomers.push(Trip { at, took: None });
        newcomers.len() - 1
    };
    let came = Client::connect_from(shared.addr, &Connect::new(&format!("probe-new-{number}")), From::Home);
    locked(&shared.newcomers)[index].took = Some(shared.start.elapsed() - at);
    match came {
        // It has been let in, which is all that is asked here.
        Ok(mut client) => drop(client.send(&DISCONNECT)),
        Err(why) if !shared.is_over() => locked(&shared.refused).push((at, format!("{why:#}"))),
        Err(_) => {}
    }
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        // One that panicked has said so on stderr.
        let _ = thread.join();
    }
}

/// A thread that panicked has left a list as good as before.
fn locked<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
