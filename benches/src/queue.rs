//! Messages to sessions whose clients are away, and the clients that come back for them.

use std::time::Duration;

use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use mqtt_codec::Qos;

use crate::door::Door;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::process::{Meter, Spent};
use crate::wire::{Seen, Template, connect, connect_kept, subscribe};

/// Kept sessions, each with a publisher of its own: so none has more than it may have by default (10,000).
const SESSIONS: usize = 100;
/// Bytes.
const PAYLOAD: usize = 64;
/// Messages of one publisher that wait for PUBACK at once.
const OUTSTANDING: usize = 100;
/// Messages to each session before it is measured.
const WARM_UP: usize = 500;
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(30);
const DISCONNECT: [u8; 2] = [0xE0, 0];

/// What a message costs that is acknowledged and kept, `each` of them to every session.
pub fn queue(door: &Door, pid: u32, each: usize) -> Result<Outcome> {
    begin_sessions(door)?;
    let mut publishers = Publishers::start(door)?;
    publishers.publish(WARM_UP)?;
    let meter = Meter::start(pid)?;
    publishers.publish(each)?;
    Ok(outcome(meter.spent()?, each * SESSIONS))
}

/// What it costs to hand over what was kept: `each` to every session, until all are acknowledged.
pub fn drain(door: &Door, pid: u32, each: usize) -> Result<Outcome> {
    begin_sessions(door)?;
    Publishers::start(door)?.publish(each)?;
    let mut crowd = Crowd::new()?;
    let meter = Meter::start(pid)?;
    for number in 0..SESSIONS {
        let mut peer = Peer::open(door)?;
        peer.out.extend_from_slice(&connect_kept(&session(number)));
        crowd.add(peer)?;
    }
    let mut left = vec![each; SESSIONS];
    // CONNACK, and a PINGRESP that tells that the last acknowledgement was heard.
    let mut answers = 2 * SESSIONS;
    crowd.run(|number, peer| {
        let was = left[number];
        peer.read(|seen| match seen {
            Seen::Message { .. } => left[number] = left[number].saturating_sub(1),
            Seen::Answer => answers -= 1,
            Seen::Acknowledged => {}
        })?;
        if was > 0 && left[number] == 0 {
            peer.out.extend_from_slice(&[0xC0, 0]);
        }
        Ok(answers > 0)
    })?;
    Ok(outcome(meter.spent()?, each * SESSIONS))
}

fn outcome(spent: Spent, messages: usize) -> Outcome {
    let count = messages as f64;
    Outcome {
        value: spent.broker_us / count,
        per_second: count / spent.seconds,
        driver_us: spent.own_us / count,
        ..Outcome::default()
    }
}

/// Each client connects, subscribes and leaves.
fn begin_sessions(door: &Door) -> Result<()> {
    for number in 0..SESSIONS {
        let mut peer =
            Peer::connect(door, &[connect_kept(&session(number)), subscribe(&[topic(number)], Qos::AtLeastOnce)])?;
        peer.out.extend_from_slice(&DISCONNECT);
        peer.flush()?;
    }
    Ok(())
}

fn session(number: usize) -> String {
    format!("bench-kept-{number}")
}

fn topic(number: usize) -> String {
    format!("bench/{number}/kept")
}

/// One for each session.
struct Publishers {
    crowd: Crowd,
    templates: Vec<Template>,
    packet_ids: Vec<u16>,
}

impl Publishers {
    fn start(door: &Door) -> Result<Self> {
        let mut crowd = Crowd::new()?;
        for number in 0..SESSIONS {
            crowd.add(Peer::connect(door, &[connect(&format!("bench-pub-{number}"))])?)?;
        }
        let template = |number| Template::new(&topic(number), Qos::AtLeastOnce, PAYLOAD, number as u32);
        Ok(Self { crowd, templates: (0..SESSIONS).map(template).collect(), packet_ids: vec![1; SESSIONS] })
    }

    /// Each publishes so many; back when all are acknowledged.
    fn publish(&mut self, each: usize) -> Result<()> {
        let Self { crowd, templates, packet_ids } = self;
        let mut unsent = vec![each; SESSIONS];
        let mut unacknowledged = each * SESSIONS;
        let mut send = |number: usize, count: usize, out: &mut Vec<u8>| {
            let count = count.min(unsent[number]);
            for _ in 0..count {
                templates[number].write(packet_ids[number], out);
                packet_ids[number] = packet_ids[number] % 65_535 + 1;
            }
            unsent[number] -= count;
        };
        for (number, peer) in crowd.peers.iter_mut().enumerate() {
            send(number, OUTSTANDING, &mut peer.out);
            peer.flush()?;
        }
        crowd.run(|number, peer| {
            let mut acknowledged = 0;
            peer.read(|seen| acknowledged += usize::from(seen == Seen::Acknowledged))?;
            unacknowledged -= acknowledged;
            send(number, acknowledged, &mut peer.out);
            Ok(unacknowledged > 0)
        })
    }
}

/// Clients, by number.
struct Crowd {
    poll: Poll,
    peers: Vec<Peer>,
}

impl Crowd {
    fn new() -> Result<Self> {
        Ok(Self { poll: Poll::new()?, peers: Vec::new() })
    }

    fn add(&mut self, mut peer: Peer) -> Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut peer.socket, Token(self.peers.len()), interest)?;
        self.peers.push(peer);
        Ok(())
    }

    /// Lets `react` read what came, until it says that there is nothing to wait for.
    fn run(&mut self, mut react: impl FnMut(usize, &mut Peer) -> Result<bool>) -> Result<()> {
        let mut events = Events::with_capacity(2 * SESSIONS);
        loop {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                bail!("nothing came for {PATIENCE:?}, and not all had");
            }
            for event in &events {
                let Token(number) = event.token();
                let peer = &mut self.peers[number];
                let goes_on = react(number, peer)?;
                peer.flush()?;
                if !goes_on {
                    return Ok(());
                }
            }
        }
    }
}
