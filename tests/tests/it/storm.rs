//! Very many clients that come, go, vanish and take over, many at once; and every event is checked.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use mqtt_codec::{Connect, Disconnect, Packet, Properties, Property, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, will},
    events::{Event, Watcher},
};

/// Clients in the storm unless the environment says otherwise.
const CLIENTS: usize = 2000;
const AT_ONCE: usize = 100;
const STEPS: u64 = 6;

/// What is known of one client id from its own side.
#[derive(Debug, Default)]
struct Tally {
    /// CONNACKs received: as many `connected` at least.
    certain: usize,
    /// Connections cut before any answer.
    unsure: usize,
}

/// Plain xorshift; the seed is the client's number, so that a storm can be had again.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

struct Life {
    addr: SocketAddr,
    source: Ipv4Addr,
    client_id: String,
    dice: Dice,
    tally: Tally,
}

impl Life {
    fn connect(&mut self) -> Connect {
        let version = VERSIONS[self.dice.throw(3) as usize];
        let clean_start = self.dice.throw(2) == 0;
        let properties = match version {
            Version::V5 if self.dice.throw(2) == 0 => [Property::SessionExpiry(1000)].into(),
            _ => Properties::EMPTY,
        };
        let will = (self.dice.throw(4) == 0).then(|| will("storm/will", "x"));
        Connect { clean_start, properties, will, ..connect(version, &self.client_id) }
    }

    /// Sends CONNECT and waits for nothing.
    async fn begin(&mut self) -> Client {
        let connect = self.connect();
        let mut client = Client::open_from(self.addr, connect.version, self.source).await;
        client.send(Packet::Connect(Box::new(connect))).await;
        client
    }

    /// Waits for CONNACK; whoever is taken over meanwhile may never see it.
    async fn finish(&mut self, client: &mut Client) {
        match client.receive_or_end().await {
            Some(Packet::ConnAck(connack)) => {
                assert_eq!(connack.reason, ReasonCode::Success);
                self.tally.certain += 1;
            }
            None => self.tally.unsure += 1,
            Some(other) => panic!("{other:?} in place of CONNACK"),
        }
    }

    async fn come(&mut self) -> Client {
        let mut client = self.begin().await;
        self.finish(&mut client).await;
        client
    }

    async fn step(&mut self) {
        match self.dice.throw(8) {
            0 => self.come().await.leave().await,
            1 => drop(self.come().await),
            2 => self.come().await.reset(),
            3 => self.come().await.cut().await,
            4 => {
                // Back at once after a farewell nobody may have read yet.
                let mut client = self.come().await;
                let bye = Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
                client.send(Packet::Disconnect(bye)).await;
            }
            5 => {
                // A chain of takeovers.
                let first = self.come().await;
                let second = self.come().await;
                let third = self.come().await;
                first.reset();
                third.leave().await;
                drop(second);
            }
            6 => {
                // Several at the same moment.
                let mut one = self.begin().await;
                let mut two = self.begin().await;
                let mut three = self.begin().await;
                self.finish(&mut three).await;
                self.finish(&mut one).await;
                self.finish(&mut two).await;
            }
            _ => {
                // Gone before the answer.
                let client = self.begin().await;
                self.tally.unsure += 1;
                if self.dice.throw(2) == 0 {
                    client.reset();
                }
            }
        }
    }
}

async fn rage(addr: SocketAddr, clients: usize) -> HashMap<String, Tally> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut tallies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= clients {
                    return tallies;
                }
                // More addresses, for one alone runs out of ports.
                let source = Ipv4Addr::new(127, 0, 1, 1 + (number % 200) as u8);
                let dice = Dice((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let client_id = format!("s{number}");
                let mut life = Life { addr, source, client_id, dice, tally: Tally::default() };
                for _ in 0..STEPS {
                    life.step().await;
                }
                tallies.push((life.client_id, life.tally));
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// What the events have said of one client id so far.
#[derive(Default)]
struct Seen {
    connected: usize,
    is_online: bool,
    last: u64,
}

fn note(seen: &mut HashMap<String, Seen>, event: &Event, faults: &mut Vec<String>) {
    let state = seen.entry(event.client_id.clone()).or_default();
    let at = event.object.number(if event.is_connected { "connected_at" } else { "disconnected_at" });
    if state.is_online == event.is_connected {
        faults.push(format!("out of turn: {event:?}"));
    }
    if at < state.last {
        faults.push(format!("{at} after {}: {event:?}", state.last));
    }
    if event.object.text("clientid") != event.client_id {
        faults.push(format!("another's: {event:?}"));
    }
    state.connected += usize::from(event.is_connected);
    state.is_online = event.is_connected;
    state.last = at;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_clients_events_alternate_through_a_storm() {
    let clients = std::env::var("ROLLCALL_STORM").map_or(CLIENTS, |text| text.parse().expect("a number"));
    let Some(broker) = Broker::with(|config| {
        config.session.max_queued = 10_000_000;
        config.session.max_queued_bytes = 1 << 30;
    })
    .await
    else {
        return;
    };
    let addr = broker.addr;
    let mut watcher = Watcher::start(addr).await;
    let watching = tokio::spawn(async move {
        let mut seen = HashMap::new();
        let mut faults = Vec::new();
        loop {
            let event = watcher.event().await;
            if event.client_id == "after-the-storm" {
                return (watcher, seen, faults);
            }
            note(&mut seen, &event, &mut faults);
        }
    });
    let tallies = rage(addr, clients).await;
    let _marker = Client::connect(addr, Version::V5, "after-the-storm").await;
    let (mut watcher, mut seen, mut faults) = watching.await.unwrap();
    let ((), rest) = tokio::join!(broker.shutdown(), watcher.read_to_end());
    for packet in rest {
        let Packet::Publish(publish) = packet else { continue };
        let event = Event::read(publish).unwrap();
        if event.client_id.starts_with('s') {
            note(&mut seen, &event, &mut faults);
        }
    }
    assert_eq!(tallies.len(), clients);
    for (client_id, tally) in &tallies {
        let state = seen.remove(client_id).unwrap_or_default();
        if state.is_online {
            faults.push(format!("{client_id} is never said to be gone"));
        }
        if !(tally.certain..=tally.certain + tally.unsure).contains(&state.connected) {
            faults.push(format!("{client_id}: {tally:?}, but {} events", state.connected));
        }
    }
    faults.extend(seen.keys().map(|client_id| format!("{client_id} never was")));
    assert!(faults.is_empty(), "{} faults, such as\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
}
