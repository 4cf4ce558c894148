//! What a broker holds: idle connections, filters.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use mqtt_codec::Qos;

use crate::door::Door;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::process::{Meter, resident};
use crate::wire::{Seen, Template, connect, subscribe};

/// Idle connections opened: so many that 2 MiB more or less is little, and not right after tables have doubled.
const IDLE: usize = 10_000;
/// Clients that hold filters.
const HOLDERS: usize = 100;
/// Filters in one SUBSCRIBE.
const FILTERS_AT_ONCE: usize = 500;
/// Publishes measured, and how many of them are on their way at once.
const PUBLISHES: usize = 60_000;
const ROUND: usize = 500;
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of memory of one idle connection with one subscription.
pub fn idle(door: &Door, pid: u32) -> Result<Outcome> {
    let mut idle = Vec::with_capacity(IDLE + 200);
    let mut add = |number: usize| -> Result<()> {
        let filter = [format!("idle/{number:05}/cmd")];
        let frames = [connect(&format!("idle-{number:05}")), subscribe(&filter, Qos::AtMostOnce)];
        idle.push(Peer::connect(door, &frames)?);
        Ok(())
    };
    (0..200).try_for_each(&mut add)?;
    settle();
    let before = resident(pid)?;
    (200..200 + IDLE).try_for_each(&mut add)?;
    settle();
    let after = resident(pid)?;
    Ok(Outcome { value: after.saturating_sub(before) as f64 / IDLE as f64, ..Outcome::default() })
}

/// Bytes of memory of one filter, held by 100 clients; a fifth of them have a wildcard.
pub fn filter_memory(door: &Door, pid: u32, filters: usize) -> Result<Outcome> {
    let before = {
        // The connections' own memory is not the filters'.
        let _same = holders(door, 0)?;
        settle();
        resident(pid)?
    };
    let _holders = holders(door, filters)?;
    settle();
    let after = resident(pid)?;
    Ok(Outcome { value: after.saturating_sub(before) as f64 / filters as f64, ..Outcome::default() })
}

/// CPU of a publish that matches one exact filter among so many.
pub fn among_filters(door: &Door, pid: u32, filters: usize) -> Result<Outcome> {
    let mut among = Among::start(door, filters)?;
    among.run(ROUND * 10)?;
    let meter = Meter::start(pid)?;
    among.run(PUBLISHES)?;
    let spent = meter.spent()?;
    let count = PUBLISHES as f64;
    Ok(Outcome {
        value: spent.broker_us / count,
        per_second: count / spent.seconds,
        driver_us: spent.own_us / count,
        ..Outcome::default()
    })
}

/// One publisher among many filters.
struct Among {
    poll: Poll,
    /// The holders of filters, then the publisher.
    peers: Vec<Peer>,
    templates: Vec<Template>,
    next: usize,
}

impl Among {
    fn start(door: &Door, filters: usize) -> Result<Self> {
        let mut peers = holders(door, filters)?;
        peers.push(Peer::connect(door, &[connect("bench-pub")])?);
        let poll = Poll::new()?;
        for (index, peer) in peers.iter_mut().enumerate() {
            poll.registry().register(&mut peer.socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        }
        let templates = (0..filters.min(4096))
            // Spread over all of them by a prime.
            .map(|number| number * 7919 % filters)
            // The exact ones: what is measured is finding them.
            .filter(|number| number % 5 != 0)
            .map(|number| Template::new(&topic(number), Qos::AtMostOnce, 64, 0))
            .collect();
        Ok(Self { poll, peers, templates, next: 0 })
    }

    /// Publishes so many, a round at a time: the next begins when all of one have arrived.
    fn run(&mut self, publishes: usize) -> Result<()> {
        let mut events = Events::with_capacity(2 * HOLDERS);
        for _ in 0..publishes / ROUND {
            let publisher = self.peers.last_mut().expect("put there at the start");
            for _ in 0..ROUND {
                let at = self.next % self.templates.len();
                self.templates[at].write(0, &mut publisher.out);
                self.next += 1;
            }
            publisher.flush()?;
            let mut arrived = 0;
            while arrived < ROUND {
                self.poll.poll(&mut events, Some(PATIENCE))?;
                if events.is_empty() {
                    bail!("{} of {ROUND} messages did not arrive", ROUND - arrived);
                }
                for event in &events {
                    let peer = &mut self.peers[event.token().0];
                    peer.read(|_| arrived += 1)?;
                    peer.flush()?;
                }
            }
        }
        Ok(())
    }
}

/// Delay of QoS 1 messages at a steady 2,000 a second: the median and the 99th of 100, in microseconds.
pub fn latency(door: &Door) -> Result<Outcome> {
    const COUNT: usize = 6000;
    let mut pair = Pair::start(door)?;
    while pair.delays.len() < COUNT {
        pair.turn(pair.sent < COUNT)?;
    }
    Ok(pair.outcome())
}

/// The same while sessions end, from the moment at which some have until none is left but the driver's own. Its
/// broker tells the number every second.
pub fn expire(door: &Door) -> Result<Outcome> {
    const OWN: usize = 3;
    /// Many times what it takes.
    const PATIENCE: Duration = Duration::from_secs(300);
    let filter = ["$SYS/brokers/+/stats/sessions.count".to_owned()];
    let mut watcher = Peer::connect(door, &[connect("bench-watcher"), subscribe(&filter, Qos::AtMostOnce)])?;
    let mut pair = Pair::start(door)?;
    let (mut most, mut left) = (0, usize::MAX);
    let mut since = Instant::now();
    while left > OWN {
        if pair.start.elapsed() > PATIENCE {
            bail!("{left} sessions are left after {PATIENCE:?}");
        }
        (0..100).try_for_each(|_| pair.turn(true))?;
        watcher.read(|seen| {
            let Seen::Message { payload, .. } = seen else { return };
            let number = std::str::from_utf8(payload).ok().and_then(|number| number.parse().ok());
            left = number.unwrap_or(usize::MAX);
        })?;
        if left == usize::MAX || left >= most {
            // None has ended yet.
            most = if left == usize::MAX { 0 } else { left };
            pair.delays.clear();
            since = Instant::now();
        }
    }
    Ok(Outcome { per_second: most as f64 / since.elapsed().as_secs_f64(), ..pair.outcome() })
}

/// A publisher and its subscriber; the next message is sent when its time has come.
struct Pair {
    poll: Poll,
    events: Events,
    peers: [Peer; 2],
    template: Template,
    start: Instant,
    sent: usize,
    /// Nanoseconds.
    delays: Vec<u64>,
}

impl Pair {
    const GAP: Duration = Duration::from_micros(500);

    fn start(door: &Door) -> Result<Self> {
        let filter = ["bench/delay".to_owned()];
        let mut peers = [
            Peer::connect(door, &[connect("bench-pub")])?,
            Peer::connect(door, &[connect("bench-sub"), subscribe(&filter, Qos::AtLeastOnce)])?,
        ];
        let poll = Poll::new()?;
        for (index, peer) in peers.iter_mut().enumerate() {
            poll.registry().register(&mut peer.socket, Token(index), Interest::READABLE)?;
        }
        let template = Template::new("bench/delay", Qos::AtLeastOnce, 64, 0);
        let (events, start) = (Events::with_capacity(16), Instant::now());
        Ok(Self { poll, events, peers, template, start, sent: 0, delays: Vec::new() })
    }

    /// Sends if one `is_due`, else looks what has come.
    fn turn(&mut self, goes_on: bool) -> Result<()> {
        let Self { poll, events, peers, template, start, sent, delays } = self;
        let now = start.elapsed();
        if goes_on && Self::GAP * *sent as u32 <= now {
            template.stamp(now.as_nanos() as u64);
            template.write((*sent % 65_535 + 1) as u16, &mut peers[0].out);
            *sent += 1;
            return peers[0].flush();
        }
        // It polls without waiting: the delay is to be the broker's, not the timer's of this process.
        poll.poll(events, Some(Duration::ZERO))?;
        for event in &*events {
            let peer = &mut peers[event.token().0];
            peer.read(|seen| {
                if let Seen::Message { payload, .. } = seen {
                    delays.push(start.elapsed().as_nanos() as u64 - Template::stamped(payload));
                }
            })?;
            peer.flush()?;
        }
        Ok(())
    }

    fn outcome(&mut self) -> Outcome {
        self.delays.sort_unstable();
        let at = |share: f64| self.delays[(self.delays.len() as f64 * share) as usize] as f64 / 1000.0;
        Outcome { value: at(0.99), median: Some(at(0.5)), ..Outcome::default() }
    }
}

/// Clients that share so many filters evenly.
fn holders(door: &Door, filters: usize) -> Result<Vec<Peer>> {
    let holder = |number: usize| {
        let mut frames = vec![connect(&format!("bench-holder-{number}"))];
        let mine: Vec<_> = (number..filters).step_by(HOLDERS).map(filter).collect();
        frames.extend(mine.chunks(FILTERS_AT_ONCE).map(|chunk| subscribe(chunk, Qos::AtMostOnce)));
        Peer::connect(door, &frames)
    };
    (0..HOLDERS).map(holder).collect()
}

fn filter(number: usize) -> String {
    match number % 5 {
        0 if number.is_multiple_of(2) => format!("plant/{}/+/{number}/state", number % 97),
        0 => format!("fleet/{}/unit/{number}/#", number % 97),
        _ => topic(number),
    }
}

fn topic(number: usize) -> String {
    format!("fleet/{}/unit/{number}/temperature", number % 97)
}

/// Until the broker's memory is what it stays at.
fn settle() {
    std::thread::sleep(Duration::from_millis(700));
}
