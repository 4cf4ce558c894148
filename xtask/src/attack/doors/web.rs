//! WebSocket (RFC 6455): requests and frames by hand, so that they can be wrong too.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use anyhow::{Result, bail};

use super::super::client::{Client, From, NARROW, dial, open};
use super::super::floods::{PAUSE, crowd};
use super::super::memory;
use super::super::stage::Stage;
use super::super::wire::{Connect, PINGREQ};
use super::{WEB, visits};

/// The kinds of frames.
const CONTINUED: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
/// It is the last frame of its message.
const FINAL: u8 = 0x80;
/// It has a mask, as those of clients have to.
const MASKED: u8 = 0x80;

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n";

/// More than a request may have.
const TOO_LONG: usize = 16 << 10;

/// So many who send requests with a header that goes on and on, every other one a byte at a time.
pub(in crate::attack) fn requests(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let addr = stage.listener(WEB)?;
    let long = [REQUEST, "X-Long: ", &"x".repeat(TOO_LONG)].concat();
    let at_a_time = |number| if number % 2 == 0 { 1 } else { TOO_LONG };
    visits(stage, clients, addr, |number, mut socket, going| {
        for some in long.as_bytes().chunks(at_a_time(number)) {
            if !going.goes_on() {
                return Ok(());
            }
            socket.write_all(some)?;
        }
        Ok(())
    })
}

/// So many who send pings without end and read the answers.
pub(in crate::attack) fn pings(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, &[], &frame(FINAL | PING, b"ping").repeat(8_000))
}

/// So many who send pings without end and read no answer.
pub(in crate::attack) fn pings_unread(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let addr = stage.listener(WEB)?;
    let bytes = frame(FINAL | PING, &[b'x'; 125]).repeat(500);
    memory::deaf(stage, clients, &bytes, |number| enter(dial(addr, From::Abroad, Some(NARROW))?, number))
}

/// So many who send PINGREQ without end, each byte in a frame of its own.
pub(in crate::attack) fn bytes(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let bytes: Vec<_> = PINGREQ.iter().flat_map(|byte| frame(FINAL | BINARY, &[*byte])).collect();
    flood(stage, clients, &[], &bytes.repeat(4_000))
}

/// So many whose one message goes on and on, and nothing is in it.
pub(in crate::attack) fn fragments(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    flood(stage, clients, &frame(BINARY, &[]), &frame(CONTINUED, &[]).repeat(8_000))
}

/// So many who announce as much as can be announced and send little of it; every other one more than that.
pub(in crate::attack) fn announced(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let addr = stage.listener(WEB)?;
    memory::attack(stage, clients, move |number, _| {
        let client = enter(open(addr, From::Crowd)?, number)?;
        let mut bytes = announcement(if number % 2 == 0 { 1 << 62 } else { 1 << 63 });
        bytes.extend(PINGREQ);
        memory::fill(client.stream().try_clone()?, &bytes)
    })
}

/// So many who are sent away for a frame that is wrong, each time for the next reason.
pub(in crate::attack) fn malformed(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let addr = stage.listener(WEB)?;
    let wrong = [
        frame(FINAL | CONTINUED, b"x"),
        frame(FINAL | TEXT, b"x"),
        frame(FINAL | 3, b"x"),
        frame(FINAL | 0x40 | BINARY, b"x"),
        frame(PING, b"x"),
        frame(FINAL | PING, &[b'x'; 126]),
        frame(FINAL | CLOSE, &[3]),
        frame(FINAL | CLOSE, &1005_u16.to_be_bytes()),
        // Without a mask.
        vec![FINAL | BINARY, 1, b'x'],
        // A length that a shorter form has room for.
        vec![FINAL | BINARY, MASKED | 126, 0, 1, 0, 0, 0, 0, b'x'],
        [frame(BINARY, b"x"), frame(FINAL | BINARY, b"x")].concat(),
        announcement(1 << 63),
    ];
    let (told, untold) = (AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(stage, clients, |_, number, going| {
        for wrong in wrong.iter().cycle().skip(number) {
            if !going.goes_on() {
                return;
            }
            match offend(addr, wrong) {
                Ok(true) => told.fetch_add(1, Relaxed),
                Ok(false) => untold.fetch_add(1, Relaxed),
                Err(_) => {
                    thread::sleep(PAUSE);
                    continue;
                }
            };
        }
    })?;
    let (told, untold) = (told.into_inner(), untold.into_inner());
    stage.note(format!("{told} sent away"));
    if untold > 0 || told == 0 {
        stage.fault(format!("{untold} were not told by a Close"));
    }
    Ok(())
}

/// Sends this and waits for the end; whether that begins with a Close.
fn offend(addr: SocketAddr, wrong: &[u8]) -> Result<bool> {
    let mut socket = open(addr, From::Crowd)?;
    upgrade(&mut socket)?;
    socket.write_all(wrong)?;
    let mut heard = [0];
    Ok(socket.read(&mut heard)? == 1 && heard == [FINAL | CLOSE])
}

/// So many clients that send first the one and then the other again and again.
fn flood(stage: &mut Stage<'_>, clients: usize, first: &[u8], then: &[u8]) -> Result<()> {
    let addr = stage.listener(WEB)?;
    crowd(stage, clients, |_, number, going| {
        while going.goes_on() {
            // Who is sent away comes back.
            let came = open(addr, From::Abroad).and_then(|socket| enter(socket, number));
            match came.and_then(|mut client| Ok(client.send(first).map(|()| client)?)) {
                Ok(client) => client.storm(then, going),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    })
}

/// Comes in, and is a client with a CONNACK.
fn enter(mut socket: TcpStream, number: usize) -> Result<Client> {
    upgrade(&mut socket)?;
    socket.write_all(&frame(FINAL | BINARY, &Connect::new(&format!("web-{number}")).bytes()))?;
    let mut answer = [0; 6];
    socket.read_exact(&mut answer)?;
    match answer {
        [_, 4, 0x20, 2, _, 0] => Ok(Client::of_another_kind(socket)),
        _ => bail!("{answer:?} in place of CONNACK"),
    }
}

fn upgrade(socket: &mut TcpStream) -> Result<()> {
    socket.write_all(REQUEST.as_bytes())?;
    socket.write_all(b"\r\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        bail!("{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// The mask is zero, so that what is sent is what stands here.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ ..=125) => frame.push(MASKED | length),
        _ => {
            let length = u16::try_from(payload.len()).expect("no frame of these attacks is longer");
            frame.push(MASKED | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The head of a frame of so many bytes.
fn announcement(length: u64) -> Vec<u8> {
    let mut head = vec![FINAL | BINARY, MASKED | 127];
    head.extend(length.to_be_bytes());
    head.extend([0; 4]);
    head
}
