//! What a subscriber that reads nothing costs the others.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use mqtt_codec::Qos;
use serde::Serialize;

use crate::door::Door;
use crate::peer::Peer;
use crate::process::resident;
use crate::wire::{Seen, Template, connect, subscribe};

/// Healthy pairs; each sends one message at QoS 1 in turn, two a millisecond in all.
const PAIRS: usize = 20;
const PER_TICK: usize = 2;
const TICK: Duration = Duration::from_millis(1);

/// How long the pairs are measured alone, and what is left out before that.
const ALONE: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);

/// The flood: 200 MB in 4 seconds.
const PAYLOAD: usize = 16 * 1024;
const FLOOD: usize = 200_000_000 / PAYLOAD;
const FLOOD_TIME: Duration = Duration::from_secs(4);
/// At QoS 1, so many are not yet acknowledged.
const OUTSTANDING: usize = 50;
/// More than any broker may take for it.
const FLOOD_LIMIT: Duration = Duration::from_secs(60);

/// From the beginning of a flood until a stuck subscriber looks whether it is still connected: longer than the
/// `limits.slow_consumer_timeout` of 8 seconds that `cargo xtask bench` sets for this case.
const LOOK_AFTER: Duration = Duration::from_secs(11);
/// Nothing came for so long: nothing more comes.
const IDLE: Duration = Duration::from_millis(500);

/// What the healthy pairs saw, and what became of the flood.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Slow {
    /// Nobody else there.
    pub alone: Delay,
    /// While 200 MB are published at QoS 0 to a subscriber that reads them.
    pub reading: Delay,
    /// The same to one that reads nothing.
    pub qos0: Stuck,
    /// The same at QoS 1.
    pub qos1: Stuck,
}

/// From PUBLISH to PUBLISH, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Delay {
    /// Of 100, the 50th.
    pub median: f64,
    /// Of 100, the 99th.
    pub p99: f64,
}

/// What became of a flood to a subscriber that reads nothing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stuck {
    /// Of the healthy pairs, meanwhile.
    pub delay: Delay,
    /// The broker's resident memory before, in bytes.
    pub memory_before: u64,
    /// The most of it meanwhile.
    pub memory_most: u64,
    /// Messages published.
    pub published: usize,
    /// Those the subscriber never got, though it read at last.
    pub lost: usize,
    /// The broker had closed its connection.
    pub closed: bool,
}

/// Runs all of it, one after the other.
pub fn run(door: &Door, pid: u32) -> Result<Slow> {
    let mut healthy = Healthy::start(door)?;
    healthy.alone(WARM_UP)?;
    let alone = healthy.alone(ALONE)?;
    let mut flood = Flood::start(door, pid, "read", Qos::AtMostOnce)?;
    let reading = healthy.during(|| flood.run(true))?;
    let mut stuck = |name, qos, wait: Duration| -> Result<Stuck> {
        let mut flood = Flood::start(door, pid, name, qos)?;
        let (memory_before, start) = (resident(pid)?, Instant::now());
        let delay = healthy.during(|| flood.run(false))?;
        // The healthy go on meanwhile.
        healthy.alone(wait.saturating_sub(start.elapsed()))?;
        let closed = flood.drain()?;
        let lost = flood.sent - flood.received;
        Ok(Stuck { delay, memory_before, memory_most: flood.memory_most, published: flood.sent, lost, closed })
    };
    let qos0 = stuck("stuck-0", Qos::AtMostOnce, LOOK_AFTER)?;
    let qos1 = stuck("stuck-1", Qos::AtLeastOnce, Duration::ZERO)?;
    Ok(Slow { alone, reading, qos0, qos1 })
}

/// The pairs, all on one thread.
struct Healthy {
    poll: Poll,
    events: Events,
    /// Publishers, then subscribers.
    peers: Vec<Peer>,
    templates: Vec<Template>,
    /// Stamps count from here, in nanoseconds.
    start: Instant,
    sent: usize,
    /// Of messages stamped since this one, in nanoseconds.
    delays: Vec<u64>,
    since: u64,
}

impl Healthy {
    fn start(door: &Door) -> Result<Self> {
        let topic = |pair: usize| format!("healthy/{pair}");
        let publisher = |pair| Peer::connect(door, &[connect(&format!("healthy-pub-{pair}"))]);
        let subscriber = |pair| {
            let frames = [connect(&format!("healthy-sub-{pair}")), subscribe(&[topic(pair)], Qos::AtLeastOnce)];
            Peer::connect(door, &frames)
        };
        let peers = (0..PAIRS).map(publisher).chain((0..PAIRS).map(subscriber));
        let mut peers = peers.collect::<Result<Vec<_>>>()?;
        let poll = Poll::new()?;
        for (index, peer) in peers.iter_mut().enumerate() {
            poll.registry().register(&mut peer.socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        }
        let templates = (0..PAIRS).map(|pair| Template::new(&topic(pair), Qos::AtLeastOnce, 64, 0)).collect();
        let events = Events::with_capacity(2 * PAIRS);
        Ok(Self { poll, events, peers, templates, start: Instant::now(), sent: 0, delays: Vec::new(), since: 0 })
    }

    fn alone(&mut self, how_long: Duration) -> Result<Delay> {
        self.during(|| {
            thread::sleep(how_long);
            Ok(())
        })
    }

    /// Measures while `other` runs on another thread.
    fn during(&mut self, other: impl FnOnce() -> Result<()> + Send) -> Result<Delay> {
        self.delays.clear();
        // What came while nobody looked was not late.
        self.since = self.start.elapsed().as_nanos() as u64;
        thread::scope(|scope| {
            let other = scope.spawn(other);
            let mut next = Instant::now();
            while !other.is_finished() {
                if Instant::now() >= next {
                    next += TICK;
                    self.send()?;
                }
                self.receive(TICK)?;
            }
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        self.delays.sort_unstable();
        let at = |share| self.delays.get(self.delays.len() * share / 100).map_or(0.0, |&ns| ns as f64 / 1000.0);
        Ok(Delay { median: at(50), p99: at(99) })
    }

    fn send(&mut self) -> Result<()> {
        for _ in 0..PER_TICK {
            let (pair, packet_id) = (self.sent % PAIRS, (self.sent / PAIRS % 65_535 + 1) as u16);
            self.templates[pair].stamp(self.start.elapsed().as_nanos() as u64);
            self.templates[pair].write(packet_id, &mut self.peers[pair].out);
            self.peers[pair].flush()?;
            self.sent += 1;
        }
        Ok(())
    }

    fn receive(&mut self, wait: Duration) -> Result<()> {
        self.poll.poll(&mut self.events, Some(wait))?;
        let Self { events, peers, start, delays, since, .. } = self;
        for event in &*events {
            let peer = &mut peers[event.token().0];
            peer.read(|seen| {
                if let Seen::Message { payload, .. } = seen {
                    let stamp = Template::stamped(payload);
                    if stamp >= *since {
                        delays.push(start.elapsed().as_nanos() as u64 - stamp);
                    }
                }
            })?;
            peer.flush()?;
        }
        Ok(())
    }
}

/// One publisher and its one subscriber.
struct Flood {
    publisher: Peer,
    subscriber: Peer,
    template: Template,
    qos: Qos,
    pid: u32,
    sent: usize,
    acknowledged: usize,
    received: usize,
    memory_most: u64,
}

impl Flood {
    fn start(door: &Door, pid: u32, name: &str, qos: Qos) -> Result<Self> {
        let topic = format!("flood/{name}");
        let frames = [connect(name), subscribe(std::slice::from_ref(&topic), qos)];
        Ok(Self {
            publisher: Peer::connect(door, &[connect(&format!("flood-{name}"))])?,
            subscriber: Peer::connect(door, &frames)?,
            template: Template::new(&topic, qos, PAYLOAD, 0),
            qos,
            pid,
            sent: 0,
            acknowledged: 0,
            received: 0,
            memory_most: 0,
        })
    }

    /// Publishes all of it at a steady rate, or slower if the broker takes it slower.
    fn run(&mut self, is_read: bool) -> Result<()> {
        let mut poll = Poll::new()?;
        poll.registry().register(&mut self.publisher.socket, Token(0), Interest::READABLE | Interest::WRITABLE)?;
        if is_read {
            poll.registry().register(&mut self.subscriber.socket, Token(1), Interest::READABLE)?;
        }
        let mut events = Events::with_capacity(16);
        let start = Instant::now();
        while self.sent < FLOOD || self.wanting() > 0 {
            if start.elapsed() > FLOOD_LIMIT {
                bail!("the broker took {} of {FLOOD} messages in {FLOOD_LIMIT:?}", self.sent);
            }
            let due = (start.elapsed().as_secs_f64() / FLOOD_TIME.as_secs_f64() * FLOOD as f64) as usize;
            while self.sent < due.min(FLOOD) && self.publisher.out.is_empty() && self.wanting() < OUTSTANDING {
                self.template.write((self.sent % 65_535 + 1) as u16, &mut self.publisher.out);
                self.sent += 1;
                self.publisher.flush()?;
            }
            self.memory_most = self.memory_most.max(resident(self.pid)?);
            poll.poll(&mut events, Some(TICK))?;
            let acknowledged = &mut self.acknowledged;
            self.publisher.read(|seen| *acknowledged += usize::from(seen == Seen::Acknowledged))?;
            self.publisher.flush()?;
            if is_read {
                self.take()?;
            }
        }
        poll.registry().deregister(&mut self.publisher.socket)?;
        Ok(())
    }

    /// Messages that the broker has not answered for.
    const fn wanting(&self) -> usize {
        if matches!(self.qos, Qos::AtMostOnce) { 0 } else { self.sent - self.acknowledged }
    }

    fn take(&mut self) -> Result<()> {
        let received = &mut self.received;
        self.subscriber.read(|seen| *received += usize::from(matches!(seen, Seen::Message { .. })))?;
        self.subscriber.flush()
    }

    /// The subscriber reads at last, all that still comes; true if the broker had closed.
    fn drain(&mut self) -> Result<bool> {
        let mut poll = Poll::new()?;
        poll.registry().register(&mut self.subscriber.socket, Token(0), Interest::READABLE | Interest::WRITABLE)?;
        let mut events = Events::with_capacity(4);
        loop {
            poll.poll(&mut events, Some(IDLE))?;
            if events.is_empty() {
                return Ok(false);
            }
            if self.take().is_err() {
                return Ok(true);
            }
        }
    }
}
