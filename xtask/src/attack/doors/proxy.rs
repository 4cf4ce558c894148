//! Headers of the PROXY protocol, and what is no such header.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::Result;

use super::super::client::{From, open};
use super::super::memory;
use super::super::stage::Stage;
use super::super::wire::Connect;
use super::{PROXY, visits};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest that version 2 may have after its first 16 bytes here.
const LONGEST: usize = 2048;

/// So many who send headers a byte at a time, of both versions, and in the end too long or not whole.
pub(in crate::attack) fn drip(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let first = [b"PROXY TCP4 ", &[b'1'; 200][..]].concat();
    let second = second([192, 0, 2, 1], 40_000, LONGEST);
    let addr = stage.listener(PROXY)?;
    visits(stage, clients, addr, |number, mut socket, going| {
        for byte in if number % 2 == 0 { &first } else { &second } {
            if !going.goes_on() {
                return Ok(());
            }
            socket.write_all(&[*byte])?;
        }
        Ok(())
    })
}

/// So many who send half a header and stay.
pub(in crate::attack) fn half(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let mut bytes = second([192, 0, 2, 1], 40_000, LONGEST);
    bytes.pop();
    let addr = stage.listener(PROXY)?;
    memory::attack(stage, clients, move |_, _| memory::fill(open(addr, From::Crowd)?, &bytes))
}

/// So many who come and go, each time as another address, with headers that are right, and with some that are wrong.
pub(in crate::attack) fn flood(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let (addr, addresses, entered) = (stage.listener(PROXY)?, AtomicUsize::new(0), AtomicUsize::new(0));
    visits(stage, clients, addr, |_, mut socket, _| {
        let number = addresses.fetch_add(1, Relaxed);
        let [.., a, b, c] = (number as u32).to_be_bytes();
        match number % 4 {
            0 => socket.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 1883\r\n")?,
            1 => socket.write_all(&[SIGNATURE, &[0x21, 0x11, 0, 1, 0]].concat())?,
            _ => {
                let header = second([10, a, b, c], 40_000, 12);
                let id = format!("proxied-{number}");
                socket.write_all(&[header, Connect::new(&id).bytes()].concat())?;
                if connack(&mut socket)? {
                    entered.fetch_add(1, Relaxed);
                }
                return Ok(());
            }
        }
        // Whoever is wrong is closed on.
        let _ = socket.read(&mut [0]);
        Ok(())
    })?;
    let (tried, entered) = (addresses.into_inner(), entered.into_inner());
    stage.note(format!("{tried} headers, {entered} let in"));
    if entered == 0 {
        stage.fault("nobody with a right header was let in");
    }
    Ok(())
}

fn connack(socket: &mut TcpStream) -> Result<bool> {
    let mut answer = [0; 4];
    socket.read_exact(&mut answer)?;
    Ok(answer == [0x20, 2, 0, 0])
}

/// Version 2, from this address, with so many bytes after the first 16.
fn second(address: [u8; 4], port: u16, length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(length).expect("a header's length has two bytes").to_be_bytes();
    let mut header = [SIGNATURE, &[0x21, 0x11, high, low], &address, &[127, 0, 0, 1]].concat();
    header.extend(port.to_be_bytes());
    header.extend(1883_u16.to_be_bytes());
    header.resize(16 + length, 0);
    header
}
