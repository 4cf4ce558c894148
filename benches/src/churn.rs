//! Clients that come and go, many at once: what it costs, and whether presence tells it right.

use std::time::Duration;

use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use mqtt_codec::Qos;
use rustls::HandshakeKind;

use crate::door::Door;
use crate::outcome::{Faults, Outcome};
use crate::peer::Peer;
use crate::process::Meter;
use crate::wire::{Seen, connect, connect_as, subscribe};

/// Connections open at once.
const AT_ONCE: usize = 100;
/// Client ids that take turns; each place has two, so that no client takes over from itself.
const IDS: usize = 2 * AT_ONCE;
/// Connections made, answered and closed while it is measured.
const CYCLES: usize = 10_000;
/// The same with a watcher.
const WATCHED_CYCLES: usize = 20_000;
/// Events that may be on their way to the watcher before clients wait: well below the broker's bound for a queue.
const OUTSTANDING: usize = 4000;
/// Comings after which the watcher is read, that it is not slower than its acknowledgements allow.
const WATCH_EVERY: usize = 8;
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// The watcher's token; those of the places are below.
const WATCHER: Token = Token(AT_ONCE);

/// The user that the broker is told of for the case of logins, and its password.
pub const USER: (&str, &str) = ("bench", "an open secret");

/// What comers have to do before CONNACK, beside what their listener asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    /// CONNECT.
    Plain,
    /// CONNECT with a user name and a password.
    Login,
    /// A full handshake of TLS.
    Handshake,
    /// One that resumes the session of the client's last visit.
    Resumption,
}

/// CPU of one connect, CONNACK, DISCONNECT.
pub fn connects(door: &Door, pid: u32, coming: Coming) -> Result<Outcome> {
    let mut crowd = Crowd::new(door, coming)?;
    crowd.cycle(1000)?;
    let meter = Meter::start(pid)?;
    crowd.cycle(CYCLES)?;
    let spent = meter.spent()?;
    let count = CYCLES as f64;
    Ok(Outcome {
        value: spent.broker_us / count,
        per_second: count / spent.seconds,
        driver_us: spent.own_us / count,
        ..Outcome::default()
    })
}

/// The same with a QoS 1 subscriber to all presence events, which are checked: each client id's must alternate.
pub fn presence(door: &Door, pid: u32) -> Result<Outcome> {
    let mut crowd = Crowd::new(door, Coming::Plain)?;
    let filter = "$SYS/brokers/+/clients/#".to_owned();
    let mut peer = Peer::connect(door, &[connect("bench-watcher"), subscribe(&[filter], Qos::AtLeastOnce)])?;
    crowd.poll.registry().register(&mut peer.socket, WATCHER, Interest::READABLE | Interest::WRITABLE)?;
    crowd.watcher = Some(Watcher { peer, streams: vec![Stream::default(); IDS], events: 0, out_of_turn: 0 });
    let meter = Meter::start(pid)?;
    crowd.cycle(WATCHED_CYCLES)?;
    crowd.settle()?;
    let spent = meter.spent()?;
    let count = WATCHED_CYCLES as f64;
    let watcher = crowd.watcher.as_ref().expect("put there above");
    Ok(Outcome {
        value: spent.broker_us / count,
        per_second: watcher.events as f64 / spent.seconds,
        driver_us: spent.own_us / count,
        faults: Some(watcher.faults(&crowd.cycles)),
        ..Outcome::default()
    })
}

/// Places for clients, each with one of its two ids in turn.
struct Crowd {
    /// One for each place.
    doors: Vec<Door>,
    /// How TLS is to begin there, once all have been there.
    handshake: Option<HandshakeKind>,
    poll: Poll,
    frames: Vec<Vec<u8>>,
    places: Vec<Option<Peer>>,
    /// How often each id came and went.
    cycles: Vec<usize>,
    watcher: Option<Watcher>,
}

impl Crowd {
    fn new(door: &Door, coming: Coming) -> Result<Self> {
        let user = (coming == Coming::Login).then_some(USER);
        let frames = (0..IDS).map(|id| connect_as(&format!("bench-cycle-{id}"), user)).collect();
        let places = (0..AT_ONCE).map(|_| None).collect();
        let doors = (0..AT_ONCE).map(|_| door.for_one_client(coming == Coming::Resumption)).collect();
        let handshake = match coming {
            Coming::Plain | Coming::Login => None,
            Coming::Handshake => Some(HandshakeKind::Full),
            Coming::Resumption => Some(HandshakeKind::Resumed),
        };
        Ok(Self { doors, handshake, poll: Poll::new()?, frames, places, cycles: vec![0; IDS], watcher: None })
    }

    /// Lets `count` clients come and go.
    fn cycle(&mut self, count: usize) -> Result<()> {
        let mut events = Events::with_capacity(2 * AT_ONCE);
        let (mut begun, mut done, mut turn) = (0, 0, 0);
        while done < count {
            for place in 0..AT_ONCE {
                if self.places[place].is_none() && begun < count && self.keeps_up() {
                    let id = place + AT_ONCE * (turn / AT_ONCE % 2);
                    self.come(place, id)?;
                    begun += 1;
                    if let Some(watcher) = self.watcher.as_mut().filter(|_| begun.is_multiple_of(WATCH_EVERY)) {
                        watcher.read()?;
                    }
                }
                turn += 1;
            }
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                bail!("{} clients wait for CONNACK in vain", begun - done);
            }
            for event in &events {
                match (event.token(), &mut self.watcher) {
                    (WATCHER, Some(watcher)) => watcher.read()?,
                    (Token(place), _) => done += usize::from(self.go(place)?),
                }
            }
        }
        Ok(())
    }

    /// True unless too many events are on their way to the watcher.
    fn keeps_up(&self) -> bool {
        self.watcher.as_ref().is_none_or(|watcher| 2 * self.begun() < watcher.events + OUTSTANDING)
    }

    fn begun(&self) -> usize {
        self.cycles.iter().sum()
    }

    fn come(&mut self, place: usize, id: usize) -> Result<()> {
        let mut peer = Peer::open(&self.doors[place])?;
        self.poll.registry().register(&mut peer.socket, Token(place), Interest::READABLE)?;
        peer.out.extend_from_slice(&self.frames[id]);
        peer.flush()?;
        self.places[place] = Some(peer);
        self.cycles[id] += 1;
        Ok(())
    }

    /// Leaves, if CONNACK is there.
    fn go(&mut self, place: usize) -> Result<bool> {
        let Some(peer) = &mut self.places[place] else { return Ok(false) };
        let mut accepted = false;
        peer.read(|seen| accepted |= seen == Seen::Answer)?;
        if accepted {
            let is_first = self.cycles[place] + self.cycles[place + AT_ONCE] == 1;
            let (was, wanted) = (peer.handshake(), self.handshake);
            if !is_first && wanted.is_some() && was != wanted {
                bail!("a handshake was {was:?} where {wanted:?} was to be measured");
            }
            peer.out.extend_from_slice(&[0xE0, 0]);
            peer.flush()?;
            self.places[place] = None;
        }
        Ok(accepted)
    }

    /// Waits for the events that are still on their way.
    fn settle(&mut self) -> Result<()> {
        let wanted = 2 * self.begun();
        let mut events = Events::with_capacity(8);
        while let Some(watcher) = self.watcher.as_mut().filter(|watcher| watcher.events < wanted) {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                // What is missing is counted as a fault.
                break;
            }
            watcher.read()?;
        }
        Ok(())
    }
}

/// What the events say about one client id.
#[derive(Clone, Default)]
struct Stream {
    online: bool,
    came: usize,
    gone: usize,
}

struct Watcher {
    peer: Peer,
    streams: Vec<Stream>,
    events: usize,
    out_of_turn: usize,
}

impl Watcher {
    fn read(&mut self) -> Result<()> {
        let Self { peer, streams, events, out_of_turn } = self;
        peer.read(|seen| {
            let Seen::Message { topic, .. } = seen else { return };
            let Some((id, comes)) = event(topic) else { return };
            *events += 1;
            let stream = &mut streams[id];
            *out_of_turn += usize::from(stream.online == comes);
            stream.online = comes;
            *(if comes { &mut stream.came } else { &mut stream.gone }) += 1;
        })?;
        peer.flush()
    }

    fn faults(&self, cycles: &[usize]) -> Faults {
        let mut faults = Faults::default();
        for (stream, &wanted) in self.streams.iter().zip(cycles) {
            for got in [stream.came, stream.gone] {
                faults.missing += wanted.saturating_sub(got);
                faults.doubled += got.saturating_sub(wanted);
            }
        }
        // One that is missing or doubled puts one other out of turn.
        faults.swapped = self.out_of_turn.saturating_sub(faults.missing + faults.doubled);
        faults
    }
}

/// The number of the client and whether it came; `None` for clients that are not of the crowd.
fn event(topic: &[u8]) -> Option<(usize, bool)> {
    let mut levels = topic.rsplit(|&byte| byte == b'/');
    let comes = levels.next()? == b"connected";
    let id = std::str::from_utf8(levels.next()?).ok()?.strip_prefix("bench-cycle-")?;
    Some((id.parse().ok()?, comes))
}
