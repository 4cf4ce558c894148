//! Clients that come and go: what it costs, and whether presence tells it right.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token};
use mqtt_codec::Qos;

use crate::case::Outcome;
use crate::peer::{Peer, answer, open};
use crate::process::Meter;
use crate::wire::{Seen, connect, subscribe};

/// Connections made, answered and closed while it is measured.
const CYCLES: usize = 4000;
/// Client ids that take turns.
const IDS: usize = 200;

/// CPU of one connect, CONNACK, DISCONNECT.
pub fn connects(addr: SocketAddr, pid: u32) -> Result<Outcome> {
    cycles(addr, 500)?;
    let meter = Meter::start(pid)?;
    cycles(addr, CYCLES)?;
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
pub fn presence(addr: SocketAddr, pid: u32) -> Result<Outcome> {
    let filter = "$SYS/brokers/+/clients/#".to_owned();
    let mut watcher = Peer::connect(addr, &[connect("bench-watcher"), subscribe(&[filter], Qos::AtLeastOnce)])?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut watcher.socket, Token(0), Interest::READABLE)?;
    let meter = Meter::start(pid)?;
    let load = std::thread::spawn(move || cycles(addr, CYCLES));
    let mut events = Events::with_capacity(16);
    let (mut seen, mut faults) = (0, 0);
    let mut online: HashMap<Vec<u8>, bool> = HashMap::new();
    while seen < 2 * CYCLES {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        if events.is_empty() {
            // What is missing is a fault.
            faults += 2 * CYCLES - seen;
            break;
        }
        watcher.read(|what| {
            let Seen::Message { topic, .. } = what else { return };
            let Some((client, comes)) = event(topic) else { return };
            if client == b"bench-watcher" {
                return;
            }
            seen += 1;
            let was = online.insert(client.to_vec(), comes).unwrap_or(false);
            if was == comes {
                faults += 1;
            }
        })?;
        watcher.flush()?;
    }
    let Ok(done) = load.join() else { bail!("the load broke off") };
    done?;
    faults += online.values().filter(|online| **online).count();
    let spent = meter.spent()?;
    Ok(Outcome {
        value: spent.broker_us / CYCLES as f64,
        per_second: seen as f64 / spent.seconds,
        driver_us: spent.own_us / CYCLES as f64,
        faults: Some(faults),
        ..Outcome::default()
    })
}

fn event(topic: &[u8]) -> Option<(&[u8], bool)> {
    let at = topic.iter().rposition(|&byte| byte == b'/')?;
    let (rest, what) = (&topic[..at], &topic[at + 1..]);
    let id = rest.iter().rposition(|&byte| byte == b'/')?;
    Some((&rest[id + 1..], what == b"connected"))
}

/// Connects and disconnects, one after the other.
fn cycles(addr: SocketAddr, count: usize) -> Result<()> {
    let frames: Vec<_> = (0..IDS).map(|id| connect(&format!("bench-cycle-{id}"))).collect();
    for frame in frames.iter().cycle().take(count) {
        let mut socket = open(addr)?;
        socket.write_all(frame)?;
        answer(&mut socket).context("no CONNACK")?;
        socket.write_all(&[0xE0, 0])?;
    }
    Ok(())
}
