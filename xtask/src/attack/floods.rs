//! Clients that send without end, each of which gets its share and no more.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::client::Client;
use super::stage::{Going, Stage};
use super::wire::{Connect, DISCONNECT, PINGREQ, PUBACK, answer, publish, publish_qos1, subscribe, unsubscribe};

/// Before somebody who was sent away knocks again.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// Of the messages.
const PAYLOAD: [u8; 64] = [b'x'; 64];
const TOPIC: &str = "flood/topic";

/// PINGREQ without end.
pub(super) fn pings(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, |_| PINGREQ.repeat(32_768))
}

/// SUBSCRIBE and UNSUBSCRIBE of one filter without end.
pub(super) fn subscriptions(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, |number| {
        let filter = format!("flood/{number}");
        [subscribe([filter.as_str()], 0), unsubscribe(&filter)].concat().repeat(2_000)
    })
}

/// UNSUBSCRIBE of filters that nobody has.
pub(super) fn unsubscriptions(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, |number| {
        (0..2_000).flat_map(|filter| unsubscribe(&format!("flood/{number}/{filter}/unknown"))).collect()
    })
}

/// QoS 0, and nobody subscribes.
pub(super) fn to_nobody(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, |number| publish(&format!("{TOPIC}/{number}"), &PAYLOAD).repeat(1_000))
}

/// QoS 0 to one subscriber, who reads.
pub(super) fn to_one(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let mut subscriber = Client::connect(stage.addr(), &Connect::new("flood-subscriber"))?;
    subscriber.subscribe([TOPIC], 0)?;
    let stream = subscriber.stream().try_clone()?;
    let reader = thread::spawn(move || subscriber.forget());
    let done = flood(stage, clients, |_| publish(TOPIC, &PAYLOAD).repeat(1_000));
    // It may be closed already.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = reader.join();
    done
}

/// QoS 1, and the acknowledgements are not waited for.
pub(super) fn unacknowledged(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, |number| {
        (1..=20_000).flat_map(|id| publish_qos1(&format!("{TOPIC}/{number}"), id, &PAYLOAD)).collect()
    })
}

/// PUBREL of ids the broker never had.
pub(super) fn releases(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, |_| (1..=60_000).flat_map(|id| answer(0x62, id)).collect())
}

/// PUBACK of ids the broker never sent.
pub(super) fn acknowledgements(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, |_| (1..=60_000).flat_map(|id| answer(PUBACK, id)).collect())
}

/// Each comes and goes as fast as it is let in.
pub(super) fn connects(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    crowd(stage, clients, |addr, number, going| {
        let id = format!("flood-{number}");
        while going.goes_on() {
            match Client::connect(addr, &Connect::new(&id)) {
                // Closed right behind it.
                Ok(mut client) => drop(client.send(&DISCONNECT)),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    })
}

/// All have one id, and each comes again as soon as it is in.
pub(super) fn takeovers(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    crowd(stage, clients, |addr, _, going| {
        let mut before = None;
        while going.goes_on() {
            match Client::connect(addr, &Connect::new("flood-one")) {
                // The one before is closed after that: the broker has to find out by itself.
                Ok(client) => drop(before.replace(client)),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    })
}

/// So many clients that send these bytes again and again.
pub(super) fn flood(stage: &mut Stage<'_>, clients: usize, bytes: impl Fn(usize) -> Vec<u8> + Sync) -> Result<()> {
    crowd(stage, clients, |addr, number, going| {
        let bytes = bytes(number);
        while going.goes_on() {
            // Who is sent away comes back.
            match Client::connect(addr, &Connect::new(&format!("flood-{number}"))) {
                Ok(client) => client.storm(&bytes, going),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    })
}

/// So many at once, on a thread each.
pub(super) fn crowd(
    stage: &mut Stage<'_>,
    clients: usize,
    one: impl Fn(SocketAddr, usize, &Going) + Sync,
) -> Result<()> {
    stage.quiet()?;
    let addr = stage.addr();
    stage.under(|going| {
        thread::scope(|scope| {
            for number in 0..clients {
                let one = &one;
                scope.spawn(move || one(addr, number, going));
            }
        });
        Ok(())
    })
}
