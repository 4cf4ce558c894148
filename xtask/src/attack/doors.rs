//! What stands before MQTT: hellos of TLS here, whole connections of it in [`tls`], WebSocket in [`web`], PROXY headers in [`proxy`].

mod hello;
pub(super) mod proxy;
pub(super) mod tls;
pub(super) mod web;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use anyhow::Result;

use self::hello::{hello, in_small_records};
use super::client::{From, open};
use super::floods::{PAUSE, crowd};
use super::memory;
use super::stage::{Going, Stage};
use crate::certificate::Certificate;

/// The names of the listeners.
const TLS: &str = "tls";
const WEB: &str = "web";
const PROXY: &str = "proxy";

/// Settings of a listener for TLS, whose certificate is put into the folder, of one for WebSocket, and of one behind proxies.
pub(super) fn listeners(folder: &Path) -> Result<Vec<String>> {
    let mut settings = Certificate::made(folder)?.listener(TLS, "mqtts");
    settings.extend([
        format!("listeners.{WEB}.kind=ws"),
        format!("listeners.{WEB}.bind=127.0.0.1:0"),
        format!("listeners.{PROXY}.kind=mqtt"),
        format!("listeners.{PROXY}.bind=127.0.0.1:0"),
        format!("listeners.{PROXY}.proxy_from=127.0.0.0/8"),
    ]);
    Ok(settings)
}

/// So many who send half a hello and stay.
pub(super) fn half_hellos(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let (addr, mut bytes) = (stage.listener(TLS)?, hello());
    bytes.truncate(bytes.len() / 2);
    memory::attack(stage, clients, move |_, _| memory::fill(open(addr, From::Crowd)?, &bytes))
}

/// So many who send hellos a byte at a time, again and again; every other one cuts its hello into records of a byte.
pub(super) fn slow_hellos(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let (whole, cut) = (hello(), in_small_records(&hello()));
    shake(stage, clients, |number, mut socket, going| {
        for byte in if number % 2 == 0 { &whole } else { &cut } {
            if !going.goes_on() {
                return Ok(());
            }
            socket.write_all(&[*byte])?;
        }
        Ok(socket.read_exact(&mut [0])?)
    })
}

/// So many who let the broker do its part of a handshake and leave, again and again.
pub(super) fn handshakes(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let bytes = hello();
    shake(stage, clients, |_, mut socket, _| {
        socket.write_all(&bytes)?;
        // The broker has signed its answer by then.
        Ok(socket.read_exact(&mut [0])?)
    })
}

/// Connects again and again; `one` ends well if it was answered.
fn shake(
    stage: &mut Stage<'_>,
    clients: usize,
    one: impl Fn(usize, TcpStream, &Going) -> Result<()> + Sync,
) -> Result<()> {
    let (addr, answered) = (stage.listener(TLS)?, AtomicUsize::new(0));
    visits(stage, clients, addr, |number, socket, going| {
        one(number, socket, going)?;
        answered.fetch_add(1, Relaxed);
        Ok(())
    })?;
    let answered = answered.into_inner();
    stage.note(format!("{answered} answered"));
    // Else it was no handshake that was flooded.
    if answered == 0 {
        stage.fault("no hello was answered");
    }
    Ok(())
}

/// So many who connect to this listener again and again.
fn visits(
    stage: &mut Stage<'_>,
    clients: usize,
    addr: SocketAddr,
    one: impl Fn(usize, TcpStream, &Going) -> Result<()> + Sync,
) -> Result<()> {
    crowd(stage, clients, |_, number, going| {
        while going.goes_on() {
            // Who is sent away comes back.
            if open(addr, From::Crowd).and_then(|socket| one(number, socket, going)).is_err() {
                thread::sleep(PAUSE);
            }
        }
    })
}
