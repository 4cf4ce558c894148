//! What a broker holds: idle connections, filters.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use mio::{Events, Interest, Poll, Token};
use mqtt_codec::Qos;

use crate::case::Outcome;
use crate::peer::{Peer, answer, open};
use crate::process::{Meter, resident};
use crate::wire::{Template, connect, subscribe};

/// Idle connections opened.
const IDLE: usize = 5000;
/// Filters in one SUBSCRIBE.
const FILTERS_AT_ONCE: usize = 500;
/// Publishes measured, and how many are sent between two looks at whether they were taken.
const PUBLISHES: usize = 60_000;
const ROUND: usize = 500;

/// Bytes of memory of one idle connection with one subscription.
pub fn idle(addr: SocketAddr, pid: u32) -> Result<Outcome> {
    let mut idle = Vec::with_capacity(IDLE + 200);
    let mut add = |number: usize| -> Result<()> {
        let filter = [format!("idle/{number:05}/cmd")];
        let frames = [connect(&format!("idle-{number:05}")), subscribe(&filter, Qos::AtMostOnce)];
        idle.push(Peer::connect(addr, &frames)?);
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
pub fn filter_memory(addr: SocketAddr, pid: u32, filters: usize) -> Result<Outcome> {
    let clients = holders(addr)?;
    settle();
    let before = resident(pid)?;
    let clients = fill(clients, filters)?;
    settle();
    let after = resident(pid)?;
    drop(clients);
    Ok(Outcome { value: after.saturating_sub(before) as f64 / filters as f64, ..Outcome::default() })
}

/// CPU of a publish that matches one exact filter among so many.
pub fn among_filters(addr: SocketAddr, pid: u32, filters: usize) -> Result<Outcome> {
    let _clients = fill(holders(addr)?, filters)?;
    let mut templates: Vec<_> = (0..filters)
        .step_by(1 + filters / 4096)
        // The exact ones, and each but once: what is measured is finding them.
        .filter(|number| number % 5 != 0)
        .map(|number| Template::new(&topic(number), Qos::AtMostOnce, 64, 0))
        .collect();
    let mut publisher = Peer::connect(addr, &[connect("bench-pub")])?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut publisher.socket, Token(0), Interest::READABLE | Interest::WRITABLE)?;
    let mut next = 0;
    let mut run = |publishes: usize| -> Result<()> {
        let mut events = Events::with_capacity(4);
        for _ in 0..publishes / ROUND {
            for _ in 0..ROUND {
                let at = next % templates.len();
                templates[at].write(0, &mut publisher.out);
                next += 7;
            }
            publisher.out.extend_from_slice(&[0xC0, 0]);
            let mut answered = false;
            publisher.flush()?;
            while !answered {
                poll.poll(&mut events, Some(Duration::from_secs(5)))?;
                publisher.read(|_| answered = true)?;
                publisher.flush()?;
            }
        }
        Ok(())
    };
    run(ROUND * 10)?;
    let meter = Meter::start(pid)?;
    run(PUBLISHES)?;
    let spent = meter.spent()?;
    let count = PUBLISHES as f64;
    Ok(Outcome {
        value: spent.broker_us / count,
        per_second: count / spent.seconds,
        driver_us: spent.own_us / count,
        ..Outcome::default()
    })
}

/// Delay of QoS 1 messages at a steady 2,000 a second: the median and the 99th of 100, in microseconds.
pub fn latency(addr: SocketAddr) -> Result<Outcome> {
    const COUNT: u64 = 6000;
    const GAP: Duration = Duration::from_micros(500);
    let filter = ["bench/delay".to_owned()];
    let mut peers = [
        Peer::connect(addr, &[connect("bench-pub")])?,
        Peer::connect(addr, &[connect("bench-sub"), subscribe(&filter, Qos::AtLeastOnce)])?,
    ];
    let mut poll = Poll::new()?;
    for (index, peer) in peers.iter_mut().enumerate() {
        poll.registry().register(&mut peer.socket, Token(index), Interest::READABLE)?;
    }
    let mut template = Template::new("bench/delay", Qos::AtLeastOnce, 64, 0);
    let start = Instant::now();
    let mut delays = Vec::with_capacity(COUNT as usize);
    let (mut events, mut sent) = (Events::with_capacity(16), 0);
    while (delays.len() as u64) < COUNT {
        let now = start.elapsed();
        let due = GAP * sent as u32;
        if sent < COUNT && due <= now {
            template.stamp(now.as_nanos() as u64);
            template.write((sent % 65_535 + 1) as u16, &mut peers[0].out);
            peers[0].flush()?;
            sent += 1;
            continue;
        }
        // It polls without waiting: the delay is to be the broker's, not the timer's of this process.
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            let peer = &mut peers[event.token().0];
            peer.read(|seen| {
                if let crate::wire::Seen::Message { payload, .. } = seen {
                    let mut stamp = [0; 8];
                    stamp.copy_from_slice(&payload[4..12]);
                    delays.push(start.elapsed().as_nanos() as u64 - u64::from_be_bytes(stamp));
                }
            })?;
            peer.flush()?;
        }
    }
    delays.sort_unstable();
    let at = |share: f64| delays[(delays.len() as f64 * share) as usize] as f64 / 1000.0;
    Ok(Outcome { value: at(0.99), median: Some(at(0.5)), ..Outcome::default() })
}

fn holders(addr: SocketAddr) -> Result<Vec<std::net::TcpStream>> {
    (0..100)
        .map(|number| {
            let mut socket = open(addr)?;
            socket.write_all(&connect(&format!("bench-holder-{number}")))?;
            answer(&mut socket)?;
            Ok(socket)
        })
        .collect()
}

fn fill(mut clients: Vec<std::net::TcpStream>, filters: usize) -> Result<Vec<std::net::TcpStream>> {
    let names: Vec<_> = (0..filters).map(filter).collect();
    for (chunk, number) in names.chunks(FILTERS_AT_ONCE).zip(0..) {
        let at = number % clients.len();
        clients[at].write_all(&subscribe(chunk, Qos::AtMostOnce))?;
        answer(&mut clients[at])?;
    }
    Ok(clients)
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
