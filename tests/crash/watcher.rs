//! Follows presence with a kept session, and compares what it was told with what the clients did.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use mqtt_codec::{Ack, Packet, Publish, Qos, ReasonCode, Version};
use serde::Deserialize;

use crate::client::{Client, End, Visit};
use crate::random::Random;
use crate::report::{Count, Fault, Report, World};
use crate::socket::Gone;

/// Events may be late when the broker is busy, but not so late.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an extended event says, as far as it is checked.
#[derive(Clone, Debug, Deserialize)]
struct Event {
    #[serde(skip)]
    is_connected: bool,
    clientid: String,
    peerport: u16,
    epoch: u64,
    conn_id: u64,
    seq: u64,
    reason: Option<String>,
    connected_at: u64,
    disconnected_at: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) client: Client,
    random: Random,
    events: HashMap<String, Vec<Event>>,
}

impl Watcher {
    pub(crate) fn new(number: u8, random: Random) -> Self {
        let client = Client::new("watcher".to_owned(), number, Version::V5);
        Self { client, random, events: HashMap::new() }
    }

    /// The first connection, before any other client comes.
    pub(crate) fn begin(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.client.come(world, false)?;
        self.client.subscribe(&["$SYS/brokers/+/clients/#"], Qos::AtLeastOnce)?;
        Ok(())
    }

    /// Reads until the broker is gone, or is away.
    pub(crate) fn load(&mut self, world: &World<'_>) {
        if let Err(why) = self.watch(world) {
            self.client.broke(world, &why);
        }
    }

    fn watch(&mut self, world: &World<'_>) -> Result<(), Gone> {
        let turns = if world.lives_long || self.random.once_in(2) { u64::MAX } else { self.random.below(20) };
        for turn in 0..turns {
            if turn == 0 || self.random.once_in(100) {
                self.client.leave(End::any(&mut self.random));
                self.client.come(world, false)?;
            }
            self.hear(world, Duration::from_millis(10))?;
        }
        self.client.leave(End::Disconnect);
        Ok(())
    }

    fn hear(&mut self, world: &World<'_>, wait: Duration) -> Result<bool, Gone> {
        self.client.read(wait)?;
        let mut heard = false;
        while let Some(packet) = self.client.poll()? {
            heard = true;
            let Packet::Publish(publish) = packet else { return Err(Gone::new(format!("{packet:?} for the watcher"))) };
            let packet_id = publish.packet_id.ok_or_else(|| Gone::new("an event at QoS 0"))?;
            self.note(world.report, &publish);
            self.client.push(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)));
        }
        self.client.flush()?;
        Ok(heard)
    }

    fn note(&mut self, report: &Report, publish: &Publish) {
        let Ok(mut event) = serde_json::from_slice::<Event>(&publish.payload) else {
            report.fault(Fault::EventNumber, &format!("{publish:?} is no event"));
            return;
        };
        let topic = publish.topic.as_ref().map_or("", |topic| topic.as_str());
        event.is_connected = topic.ends_with("/connected");
        let events = self.events.entry(event.clientid.clone()).or_default();
        match events.last() {
            Some(last) if event.seq > last.seq => {}
            Some(_) if publish.dup && events.iter().any(|old| old.seq == event.seq && old.conn_id == event.conn_id) => {
                report.add(Count::Repeated, 1);
                return;
            }
            Some(last) if event.seq == last.seq => {
                report.fault(Fault::EventDoubled, &format!("{event:?} after {last:?}"))
            }
            Some(last) => report.fault(Fault::EventNumber, &format!("{event:?} after {last:?}")),
            None => {}
        }
        report.add(Count::Events, 1);
        if event.reason.as_deref() == Some("node_down") {
            report.add(Count::NodeDown, 1);
        }
        events.push(event);
    }

    /// Reads until it has been told of everything that `others` did, and reports what it was not.
    pub(crate) fn settle(&mut self, world: &World<'_>, others: &[&Client]) {
        if let Err(why) = self.catch_up(world, others) {
            self.client.broke(world, &why);
        }
        for (fault, what) in self.faults(others) {
            world.report.fault(fault, &what);
        }
    }

    fn catch_up(&mut self, world: &World<'_>, others: &[&Client]) -> Result<(), Gone> {
        self.client.come(world, false)?;
        let started = Instant::now();
        loop {
            let heard = self.hear(world, Duration::from_millis(200))?;
            if !heard && (self.faults(others).is_empty() || started.elapsed() > PATIENCE) {
                break;
            }
        }
        Ok(())
    }

    fn faults(&self, others: &[&Client]) -> Vec<(Fault, String)> {
        let mut faults = Vec::new();
        let mut starts = BTreeMap::new();
        let mut connections = HashSet::new();
        for client in others.iter().copied().chain([&self.client]) {
            let mut events = self.events.get(&client.id).map_or(&[][..], Vec::as_slice);
            let mut visits = &client.visits[..];
            if client.id == self.client.id {
                // It was not told that it came to subscribe, only that it went.
                events = events.get(1..).unwrap_or_default();
                visits = visits.get(1..).unwrap_or_default();
            }
            alternate(events, &mut faults);
            let Some(visits) = pair(&client.id, visits, events, &mut faults) else { continue };
            for (event, visit) in events.iter().filter(|event| event.is_connected).zip(visits) {
                if !connections.insert(event.conn_id) {
                    faults.push((Fault::EventNumber, format!("{event:?}: another connection has this conn_id")));
                }
                if *starts.entry(visit.start).or_insert(event.epoch) != event.epoch {
                    faults.push((Fault::EventNumber, format!("{event:?}: two epochs of start {}", visit.start)));
                }
            }
            let is_online = events.last().is_some_and(|event| event.is_connected);
            if is_online != client.is_online() {
                let what = format!("{} is {}, last told: {:?}", client.id, client.is_online(), events.last());
                faults.push((Fault::EventState, what));
            }
        }
        let epochs: Vec<u64> = starts.into_values().collect();
        if !epochs.is_sorted_by(|one, next| one < next) {
            faults.push((Fault::EventNumber, format!("epochs {epochs:?}")));
        }
        faults
    }
}

/// Connected, disconnected, connected, and so on, none earlier than the one before.
fn alternate(events: &[Event], faults: &mut Vec<(Fault, String)>) {
    let mut last: Option<&Event> = None;
    for event in events {
        let was_connected = last.is_some_and(|last| last.is_connected);
        let [at, before] =
            [Some(event), last].map(|event| event.map(|event| event.disconnected_at.unwrap_or(event.connected_at)));
        if at < before {
            faults.push((Fault::EventNumber, format!("{event:?} is earlier than {last:?}")));
        }
        match last {
            _ if event.is_connected == was_connected => {
                faults.push((Fault::EventSwapped, format!("{event:?} after {last:?}")));
            }
            Some(last) if was_connected && last.conn_id != event.conn_id => {
                faults.push((Fault::EventNumber, format!("{event:?} ends {last:?}")));
            }
            // Who is reported gone because the broker died does not come to the same process again.
            Some(last) if last.reason.as_deref() == Some("node_down") && last.epoch >= event.epoch => {
                faults.push((Fault::EventNumber, format!("{event:?} after {last:?}")));
            }
            _ => {}
        }
        last = Some(event);
    }
}

/// The visits that the client was told to have made: all that were answered, and any of those that were not.
fn pair(id: &str, visits: &[Visit], events: &[Event], faults: &mut Vec<(Fault, String)>) -> Option<Vec<Visit>> {
    let mut paired = Vec::new();
    let mut visits = visits.iter();
    let missing = |visit: &Visit, faults: &mut Vec<(Fault, String)>| {
        if visit.answered {
            faults.push((Fault::EventMissing, format!("{id}: no event of {visit:?}")));
        }
        !visit.answered
    };
    for (at, event) in events.iter().enumerate().filter(|(_, event)| event.is_connected) {
        let visit = loop {
            let Some(visit) = visits.next() else {
                faults.push((Fault::EventDoubled, format!("{id} did not come as often: {event:?}")));
                return None;
            };
            if visit.port == event.peerport {
                break visit;
            }
            if !missing(visit, faults) {
                return None;
            }
        };
        if visit.fell && events.get(at + 1).is_some_and(|next| next.reason.as_deref() != Some("node_down")) {
            faults.push((Fault::EventState, format!("{id} was there at the end: {visit:?}, {:?}", events[at + 1])));
        }
        paired.push(*visit);
    }
    visits.all(|visit| missing(visit, faults)).then_some(paired)
}
