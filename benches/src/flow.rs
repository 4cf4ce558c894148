//! Messages from publishers to subscribers in a closed loop: a publisher sends the next when one has come through.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use mqtt_codec::Qos;

use crate::door::Door;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::process::Meter;
use crate::wire::{Seen, Template, connect, connect_kept, subscribe};

/// Before measuring.
const WARM_UP: Duration = Duration::from_millis(300);
/// Measuring.
const MEASURE: Duration = Duration::from_millis(1500);

/// Who sends what to whom.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Publishers; each has a topic of its own, `bench/N/data`.
    pub publishers: usize,
    /// Who subscribes to what.
    pub to: Receivers,
    /// Of messages and subscriptions.
    pub qos: Qos,
    /// Bytes.
    pub payload: usize,
    /// Messages of one publisher on their way at once.
    pub outstanding: usize,
    /// The subscribers' sessions outlive their connections.
    pub is_kept: bool,
}

/// Who subscribes to what.
#[derive(Clone, Copy, Debug)]
pub enum Receivers {
    /// So many to each topic.
    Each(usize),
    /// One for all topics, with a wildcard.
    One,
    /// Nobody; a PINGREQ after each round tells that it was taken.
    Nobody,
}

struct Publisher {
    template: Template,
    packet_id: u16,
    sent: usize,
    arrived: usize,
}

/// A flow under way.
struct Running {
    poll: Poll,
    peers: Vec<Peer>,
    publishers: Vec<Publisher>,
    flow: Flow,
    dirty: Vec<usize>,
}

/// Runs the flow and says what a delivery costs (a publish, where nobody subscribes).
pub fn run(door: &Door, pid: u32, flow: Flow) -> Result<Outcome> {
    let mut running = Running::start(door, flow)?;
    running.go(WARM_UP)?;
    let meter = Meter::start(pid)?;
    let count = running.go(MEASURE)? as f64;
    let spent = meter.spent()?;
    if count == 0.0 {
        bail!("nothing arrived");
    }
    Ok(Outcome {
        value: spent.broker_us / count,
        per_second: count / spent.seconds,
        driver_us: spent.own_us / count,
        ..Outcome::default()
    })
}

impl Running {
    fn start(door: &Door, flow: Flow) -> Result<Self> {
        let mut peers = Vec::new();
        let mut publishers = Vec::new();
        for number in 0..flow.publishers {
            let template = Template::new(&format!("bench/{number}/data"), flow.qos, flow.payload, number as u32);
            publishers.push(Publisher { template, packet_id: 1, sent: 0, arrived: 0 });
            peers.push(Peer::connect(door, &[connect(&format!("bench-pub-{number}"))])?);
        }
        let mut subscriber = |name: String, filter: String| -> Result<()> {
            let connect = if flow.is_kept { connect_kept(&name) } else { connect(&name) };
            peers.push(Peer::connect(door, &[connect, subscribe(&[filter], flow.qos)])?);
            Ok(())
        };
        match flow.to {
            Receivers::Each(many) => {
                for number in 0..flow.publishers {
                    for one in 0..many {
                        subscriber(format!("bench-sub-{number}-{one}"), format!("bench/{number}/data"))?;
                    }
                }
            }
            Receivers::One => subscriber("bench-sub".to_owned(), "bench/+/data".to_owned())?,
            Receivers::Nobody => {}
        }
        let poll = Poll::new()?;
        for (index, peer) in peers.iter_mut().enumerate() {
            poll.registry().register(&mut peer.socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(Self { poll, peers, publishers, flow, dirty: Vec::new() })
    }

    /// Keeps it flowing for so long; returns how many deliveries (or publishes) arrived.
    fn go(&mut self, how_long: Duration) -> Result<usize> {
        let until = Instant::now() + how_long;
        let before: usize = self.publishers.iter().map(|publisher| publisher.arrived).sum();
        let mut events = Events::with_capacity(4096);
        (0..self.publishers.len()).try_for_each(|publisher| self.send(publisher))?;
        while Instant::now() < until {
            self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                self.receive(event.token().0)?;
            }
            for publisher in std::mem::take(&mut self.dirty) {
                self.send(publisher)?;
            }
        }
        let arrived: usize = self.publishers.iter().map(|publisher| publisher.arrived).sum();
        Ok(arrived - before)
    }

    fn receive(&mut self, index: usize) -> Result<()> {
        let Self { peers, publishers, dirty, flow, .. } = self;
        let is_ingest = matches!(flow.to, Receivers::Nobody);
        peers[index].read(|seen| match seen {
            Seen::Message { payload, .. } => {
                let tag = [payload[0], payload[1], payload[2], payload[3]];
                let from = u32::from_be_bytes(tag) as usize;
                publishers[from].arrived += 1;
                if dirty.last() != Some(&from) {
                    dirty.push(from);
                }
            }
            Seen::Answer if is_ingest => {
                publishers[index].arrived += flow.outstanding;
                dirty.push(index);
            }
            Seen::Answer | Seen::Acknowledged => {}
        })?;
        peers[index].flush()
    }

    /// Sends as many as may be on their way.
    fn send(&mut self, number: usize) -> Result<()> {
        let Self { peers, publishers, flow, .. } = self;
        let (peer, publisher) = (&mut peers[number], &mut publishers[number]);
        let copies = match flow.to {
            Receivers::Each(many) => many,
            Receivers::One | Receivers::Nobody => 1,
        };
        let through = publisher.arrived / copies;
        while publisher.sent < through + flow.outstanding {
            publisher.template.write(publisher.packet_id, &mut peer.out);
            publisher.packet_id = publisher.packet_id % 65_535 + 1;
            publisher.sent += 1;
            if matches!(flow.to, Receivers::Nobody) && publisher.sent == through + flow.outstanding {
                peer.out.extend_from_slice(&[0xC0, 0]);
            }
        }
        peer.flush()
    }
}
