//! What clients make the broker hold.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::client::{Client, From, open, repeat};
use super::report::mib;
use super::stage::{Going, Stage};
use super::wire::{Connect, LONGEST, PINGREQ, PUBACK, header, packet, publish_qos1, put_text, subscribe};

/// `limits.memory` of the broker, in MiB: small, so that it does not take long to be reached.
pub(super) const LIMIT: u64 = 256;
/// Over what it had, and beside what it counts: the allocator's share and buffers of threads.
const SLACK: u64 = 64;

/// Threads that connect.
const LANES: usize = 8;

/// Just below the largest packet that is taken by default.
const ALMOST: usize = (1 << 20) - 64;

/// For a write to a broker that takes no more.
const STUCK: Duration = Duration::from_millis(300);

/// What a client holds open.
pub(super) type Held = Result<TcpStream>;

/// CONNECTs of 1 MiB that lack their last byte.
pub(super) fn half_connects(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let mut body = Vec::new();
    put_text("MQTT", &mut body);
    body.extend_from_slice(&[5, 2, 0, 0]);
    // What is left are user properties, which may come as often as one likes.
    let mut property = vec![0x26];
    put_text("name", &mut property);
    put_text(&"x".repeat(60_000), &mut property);
    let properties = property.repeat((ALMOST - 100) / property.len());
    body.extend(header(0, properties.len()).split_off(1));
    body.extend_from_slice(&properties);
    put_text("half", &mut body);
    let mut bytes = packet(0x10, &body);
    bytes.pop();
    attack(stage, clients, move |_, addr| fill(open(addr, From::Crowd)?, &bytes))
}

/// PUBLISHes of 1 MiB that lack their last byte.
pub(super) fn half_publishes(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let mut bytes = header(0x30, ALMOST);
    let payload = ALMOST - bytes.len();
    put_text("half", &mut bytes);
    bytes.resize(bytes.len() + payload - 16, b'x');
    attack(stage, clients, move |number, addr| {
        let client = Client::connect(addr, &Connect::new(&format!("half-{number}")))?;
        fill(client.stream().try_clone()?, &bytes)
    })
}

/// As many topic aliases as are allowed by default, for topics of 65,000 bytes.
pub(super) fn aliases(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    const ALIASES: u8 = 32;
    let topic = "t".repeat(65_000);
    let bytes: Vec<_> = (1..=ALIASES)
        .flat_map(|alias| {
            let mut body = Vec::new();
            put_text(&topic, &mut body);
            body.extend_from_slice(&[3, 0x23, 0, alias]);
            packet(0x30, &body)
        })
        .collect();
    attack(stage, clients, move |number, addr| {
        let id = format!("alias-{number}");
        let client = Client::connect(addr, &Connect { level: 5, ..Connect::new(&id) })?;
        fill(client.stream().try_clone()?, &bytes)
    })
}

/// PINGREQs of clients that read nothing.
pub(super) fn pings_unread(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    unread(stage, clients, &PINGREQ.repeat(32_768))
}

/// SUBSCRIBEs of clients that read nothing.
pub(super) fn subscribes_unread(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    // An answer of 1,000 bytes for 4,000.
    unread(stage, clients, &subscribe(vec!["x"; 1_000], 0))
}

fn unread(stage: &mut Stage<'_>, clients: usize, bytes: &[u8]) -> Result<()> {
    let addr = stage.addr();
    deaf(stage, clients, bytes, |number| Client::connect_deaf(addr, &Connect::new(&format!("unread-{number}"))))
}

/// So many who connect, send these bytes again and again, and read nothing.
pub(super) fn deaf(
    stage: &mut Stage<'_>,
    clients: usize,
    bytes: &[u8],
    connect: impl Fn(usize) -> Result<Client> + Sync + Send,
) -> Result<()> {
    stage.quiet()?;
    let connect = &connect;
    stage.under(|going| {
        thread::scope(|scope| {
            for number in 0..clients {
                scope.spawn(move || {
                    let Ok(client) = connect(number) else { return };
                    // One that is closed is no fault.
                    let _ = repeat(client.stream(), bytes, going);
                });
            }
        });
        Ok(())
    })?;
    close(stage)
}

/// Wills of 64 KiB to topics of 64 KiB.
pub(super) fn wills(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let (topic, payload) = ("w".repeat(LONGEST), "x".repeat(LONGEST));
    attack(stage, clients, move |number, addr| {
        let id = format!("will-{number}");
        let client = Client::connect(addr, &Connect { will: Some((&topic, &payload)), ..Connect::new(&id) })?;
        Ok(client.stream().try_clone()?)
    })
}

/// Fills the queues of so many sessions whose clients are away, 96 MB each if they take it. It is over when the
/// sessions are.
pub(super) fn hogs(stage: &mut Stage<'_>, sessions: usize) -> Result<()> {
    const EACH: u16 = 1_600;
    const AT_ONCE: u16 = 20;
    for session in 0..sessions {
        let mut client = Client::connect(stage.addr(), &Connect::kept(&format!("hog-{session}")))?;
        client.subscribe([format!("hog/{session}").as_str()], 1)?;
    }
    let payload = vec![b'x'; 60_000];
    siege(stage, sessions, move |number, addr| {
        let mut client = Client::connect(addr, &Connect::new(&format!("hog-pub-{number}")))?;
        for first in (1..=EACH).step_by(AT_ONCE.into()) {
            for id in first..first + AT_ONCE {
                client.send(&publish_qos1(&format!("hog/{number}"), id, &payload))?;
            }
            for _ in 0..AT_ONCE {
                client.wait_for(PUBACK)?;
            }
        }
        Ok(client.stream().try_clone()?)
    })?;
    let ended = (0..sessions).filter(|session| {
        let id = format!("hog-{session}");
        // A clean session ends the one before, and itself with its connection.
        Client::connect(stage.addr(), &Connect::new(&id)).is_ok()
    });
    let ended = ended.count();
    if ended < sessions {
        stage.fault(format!("{} of {sessions} who come to drain are refused", sessions - ended));
    }
    close(stage)
}

pub(super) fn attack(
    stage: &mut Stage<'_>,
    clients: usize,
    one: impl Fn(usize, SocketAddr) -> Held + Sync + Send,
) -> Result<()> {
    siege(stage, clients, one)?;
    close(stage)
}

/// So many clients, each of which holds something open until the attack is over.
fn siege(stage: &mut Stage<'_>, clients: usize, one: impl Fn(usize, SocketAddr) -> Held + Sync + Send) -> Result<()> {
    stage.quiet()?;
    let addr = stage.addr();
    let held = stage.under(|going| Ok(hold(going, clients, |number| one(number, addr))))?;
    stage.note(format!("{held} of {clients} took all"));
    Ok(())
}

/// Returns how many were let do what they wanted.
fn hold(going: &Going, clients: usize, one: impl Fn(usize) -> Held + Sync) -> usize {
    let (next, held) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= clients || !going.goes_on() {
                        return;
                    }
                    // Who is refused is no fault.
                    let Ok(socket) = one(number) else { continue };
                    held.lock().expect("nobody panics with it").push(socket);
                }
            });
        }
    });
    let held = held.into_inner().expect("nobody panics with it");
    let count = held.len();
    going.hold(held);
    count
}

/// Writes all of it; fails if the broker does not take it.
pub(super) fn fill(mut stream: TcpStream, bytes: &[u8]) -> Held {
    stream.set_write_timeout(Some(STUCK))?;
    if let Err(error) = stream.write_all(bytes) {
        let _ = stream.shutdown(Shutdown::Both);
        return Err(error.into());
    }
    Ok(stream)
}

/// All have gone: what the broker took is bounded, given back, and newcomers find their way in.
fn close(stage: &mut Stage<'_>) -> Result<()> {
    stage.after(stage.pace.memory_after)?;
    let (before, peak) = (mib(stage.memory_before()), mib(stage.memory_peak()));
    let bound = before + (LIMIT * 5 / 4 + SLACK) as f64;
    if peak > bound && stage.is_limited() {
        stage.fault(format!("{peak:.0} MiB of memory, and {bound:.0} are the bound"));
    }
    let kept = mib(stage.memory_after()) - before;
    // How soon is a matter of time, which the short form does not look at.
    if kept > SLACK as f64 && !stage.pace.is_quick {
        stage.fault(format!("{kept:.0} MiB not given back"));
    }
    Ok(())
}
