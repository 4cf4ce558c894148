//! What `fuzz/` calls of what is not to be seen from outside. It is no part of the interface.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use bytes::BytesMut;

use crate::tls::Named;
use crate::web::frame::Close;
use crate::web::{Upgrade, frame};

/// What WebSocket's frames have brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Of MQTT.
    pub bytes: usize,
    /// Pings.
    pub pings: usize,
    /// The code of the Close that answers, if it ends.
    pub end: Option<u16>,
}

/// Takes what a client sends out of its frames.
#[derive(Debug, Default)]
pub struct Frames(frame::Frames);

impl Frames {
    /// Puts in place of what stands in `input` from `start` on what of MQTT is in it.
    pub fn take(&mut self, input: &mut BytesMut, start: usize) -> Heard {
        let frame::Heard { bytes, pings, end } = self.0.take(input, start);
        Heard { bytes, pings, end: end.map(Close::code) }
    }
}

/// The length of a request for WebSocket, and whom it speaks for. `None`: it is not whole.
///
/// # Errors
/// What is wrong with it.
pub fn request(
    input: &[u8],
    wanted: &Upgrade,
    peer: IpAddr,
) -> Result<Option<(usize, Option<SocketAddr>)>, &'static str> {
    crate::web::request(input, wanted, peer)
}

/// Reads a line of the PROXY protocol's version 1.
///
/// # Errors
/// What is wrong with it.
pub fn first(line: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    crate::proxy::first(line)
}

/// Reads what stands behind the signature of version 2.
///
/// # Errors
/// What is wrong with it.
pub fn second(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    crate::proxy::second(command, family, rest)
}

/// Reads a name out of a certificate, DER.
pub fn name_of(certificate: &[u8], named: Named) -> Option<String> {
    crate::tls::name_of(certificate, named)
}

/// When a certificate is no longer good.
pub fn end_of(certificate: &[u8]) -> Option<SystemTime> {
    crate::tls::end_of(certificate)
}
