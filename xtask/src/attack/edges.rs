//! What is not MQTT's own: files, the log, the admin port, the disk.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::client::{Client, From, open};
use super::report::mib;
use super::stage::{Going, Stage};
use super::wire::{Connect, DISCONNECT, LONGEST, PUBACK, publish_qos1, subscribe};

/// File descriptors of a broker that is to run out of them.
pub(super) const FILES: usize = 512;

/// The broker's password, and HTTP Basic with it and with a wrong one.
pub(super) const PASSWORD: &str = "attack-me-not";
const RIGHT: &str = "authorization: Basic YWRtaW46YXR0YWNrLW1lLW5vdA==\r\n";
const WRONG: &str = "authorization: Basic YWRtaW46d3JvbmctZ3Vlc3M=\r\n";

/// Within which an answer of the admin port is one.
const SOON: Duration = Duration::from_secs(5);

/// Of log for an attack, in bytes: a line for each kind and address now and then.
const LOG: u64 = 256 << 10;

/// The memory that may be staged while the disk is full, in MiB.
const STAGED: u64 = 128;

/// The size of the disk that is full, in MiB.
pub(super) const DISK: u64 = 64;

/// Takes all files there are; whoever is connected can still store what has to be, and the admin port answers.
pub(super) fn files(stage: &mut Stage<'_>, sockets: usize) -> Result<()> {
    // More than a segment of the store.
    const MESSAGES: u16 = 400;
    let addr = stage.addr();
    let mut absent = Client::connect(addr, &Connect::kept("absent"))?;
    absent.subscribe(["files"], 1)?;
    drop(absent);
    let mut publisher = Client::connect(addr, &Connect::new("publisher"))?;
    stage.quiet()?;
    let admin = stage.admin()?;
    let (taken, stored, answered) = stage.under(|going| {
        let mut held = Vec::new();
        // No more than what is open and what waits in the listener's backlog of 1,024: the next would hang.
        for number in 0..sockets {
            // One that is refused stays refused: the next may not be.
            let Ok(mut socket) = open(addr, From::Crowd) else { continue };
            let _ = socket.write_all(&Connect::new(&format!("file-{number}")).bytes());
            held.push(socket);
        }
        // Some of the last are not even accepted.
        thread::sleep(Duration::from_millis(300));
        let payload = vec![b'x'; 60_000];
        publisher.stream().set_read_timeout(Some(SOON))?;
        let mut store =
            |id| publisher.send(&publish_qos1("files", id, &payload)).is_ok() && publisher.wait_for(PUBACK).is_ok();
        let stored = (1..=MESSAGES).take_while(|&id| store(id)).count();
        let answered = ask(admin, "/ready", "");
        let taken = held.len();
        going.hold(held);
        Ok((taken, stored, answered))
    })?;
    stage.note(format!("{taken} sockets on {FILES} files"));
    if stored < usize::from(MESSAGES) {
        stage.fault(format!("{stored} of {MESSAGES} messages of a connected client were acknowledged"));
    }
    match answered {
        Ok(200) => {}
        Ok(status) => stage.fault(format!("/ready says {status}")),
        Err(why) => stage.fault(format!("/ready is silent: {why:#}")),
    }
    Ok(())
}

/// What is refused, as fast as it can be said, with the longest names there are.
pub(super) fn log(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    stage.quiet()?;
    let addr = stage.addr();
    let long = "i".repeat(LONGEST);
    let will = Connect { will: Some(("$SYS/forged", "x")), ..Connect::new(&long) }.bytes();
    let level = Connect { level: 0x7F, ..Connect::new(&long) }.bytes();
    let id = Connect::new(&long).bytes();
    let filter =
        [Connect::new("log").bytes(), subscribe([&*format!("$SYS/{}", "f/".repeat(32_000)), &*"+/".repeat(32_000)], 0)]
            .concat();
    let kinds = [will, level, id, filter, b"GET / HTTP/1.1\r\n\r\n".to_vec()];
    let tried = AtomicUsize::new(0);
    stage.under(|going| {
        thread::scope(|scope| {
            for lane in 0..clients {
                let (kinds, tried) = (&kinds, &tried);
                scope.spawn(move || {
                    for kind in kinds.iter().cycle().skip(lane) {
                        if !going.goes_on() {
                            return;
                        }
                        // Refused is what it wants to be.
                        let _ = say(addr, kind);
                        tried.fetch_add(1, Relaxed);
                    }
                });
            }
        });
        Ok(())
    })?;
    stage.note(format!("{} tries", tried.into_inner()));
    let log = stage.log();
    if log > LOG {
        stage.fault(format!("{:.1} MiB of log", mib(log)));
    }
    Ok(())
}

/// Says this, and waits for the first of the answer or the end.
fn say(addr: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut socket = open(addr, From::Abroad)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.write_all(bytes)?;
    let _ = socket.read(&mut [0; 64])?;
    Ok(())
}

/// So many that ask the admin port for much and read nothing; others are answered.
pub(super) fn admin_sockets(stage: &mut Stage<'_>, sockets: usize) -> Result<()> {
    stage.quiet()?;
    let admin = stage.admin()?;
    let answers = stage.under(|going| {
        let request = format!("GET /api/v4/openapi.json HTTP/1.1\r\nhost: {admin}\r\n{RIGHT}\r\n").repeat(400);
        let mut held = Vec::new();
        for _ in 0..sockets {
            let Ok(mut socket) = open(admin, From::Abroad) else { continue };
            socket.set_write_timeout(Some(Duration::from_millis(20)))?;
            // What does not fit is not asked.
            let _ = socket.write_all(request.as_bytes());
            held.push(socket);
        }
        let answers = ["/status", "/ready", "/metrics"].map(|path| (path, ask(admin, path, RIGHT)));
        going.hold(held);
        Ok(answers)
    })?;
    for (path, answer) in answers {
        expect(stage, path, answer);
    }
    Ok(())
}

/// So many wrong guesses; the right password from the same address is let in.
pub(super) fn admin_guesses(stage: &mut Stage<'_>, guesses: usize) -> Result<()> {
    stage.quiet()?;
    let admin = stage.admin()?;
    let answer = stage.under(|_| {
        for _ in 0..guesses {
            ask(admin, "/api/v4/brokers", WRONG)?;
        }
        Ok(ask(admin, "/api/v4/brokers", RIGHT))
    })?;
    expect(stage, "the right password", answer);
    Ok(())
}

fn expect(stage: &mut Stage<'_>, what: &str, answer: Result<u16>) {
    match answer {
        Ok(200) => {}
        Ok(status) => stage.fault(format!("{what}: {status}")),
        Err(why) => stage.fault(format!("{what}: {why:#}")),
    }
}

/// The status of the answer.
fn ask(admin: SocketAddr, path: &str, headers: &str) -> Result<u16> {
    let mut socket = TcpStream::connect_timeout(&admin, SOON)?;
    socket.set_read_timeout(Some(SOON))?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n{headers}\r\n")?;
    // "HTTP/1.1 200"
    let mut head = [0; 12];
    socket.read_exact(&mut head).context("no answer")?;
    match std::str::from_utf8(&head[9..]).map(str::parse) {
        Ok(Ok(status)) => Ok(status),
        _ => bail!("{head:?} is no answer"),
    }
}

/// The disk is full while clients with a will come and go; those inside stay, and it goes on when there is room.
pub(super) fn disk(stage: &mut Stage<'_>, clients: usize, folder: &Path) -> Result<()> {
    let addr = stage.addr();
    let mut inside = Client::connect(addr, &Connect::new("inside"))?;
    stage.quiet()?;
    let filler = folder.join("filler");
    let came = AtomicUsize::new(0);
    stage.under(|going| {
        fill(&filler)?;
        let will = "x".repeat(LONGEST);
        thread::scope(|scope| {
            for lane in 0..clients {
                let (will, came) = (&will, &came);
                scope.spawn(move || come_and_go(addr, lane, will, going, came));
            }
        });
        Ok(())
    })?;
    if let Err(why) = inside.ping() {
        stage.fault(format!("one who stores nothing was cut off: {why}"));
    }
    std::fs::remove_file(&filler)?;
    stage.note(format!("{} came and went", came.into_inner()));
    stage.after(stage.pace.memory_after)?;
    let staged = stage.memory_peak() - stage.memory_before();
    if staged > STAGED << 20 {
        stage.fault(format!("{:.0} MiB staged", mib(staged)));
    }
    Ok(())
}

fn come_and_go(addr: SocketAddr, lane: usize, will: &str, going: &Going, came: &AtomicUsize) {
    let id = format!("will-{lane}");
    while going.goes_on() {
        match Client::connect(addr, &Connect { will: Some(("will", will)), ..Connect::kept(&id) }) {
            Ok(mut client) => {
                came.fetch_add(1, Relaxed);
                let _ = client.send(&DISCONNECT);
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Until there is no room.
fn fill(file: &Path) -> Result<()> {
    let mut file = File::create(file)?;
    for size in [1 << 20, 1 << 12] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    Ok(())
}
