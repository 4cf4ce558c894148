//! Bytes to packets.

use bytes::BytesMut;

use crate::{DecodeError, Packet, Version};

/// Which end of the connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads what clients send; the first packet must be CONNECT and sets the version.
    Server,
    /// Reads what a server sends, in this version.
    Client(Version),
}

/// The first byte and the remaining length of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// Packet type and flags.
    pub first: u8,
    /// Bytes this header takes: 2 to 5.
    pub len: usize,
    /// Bytes that follow the header.
    pub remaining: usize,
}

impl FixedHeader {
    /// `None`: more bytes are needed.
    pub fn read(input: &[u8]) -> Result<Option<Self>, DecodeError> {
        let _ = input;
        todo!()
    }
}

/// Takes packets off a buffer.
#[derive(Clone, Debug)]
pub struct Decoder {
    role: Role,
    version: Option<Version>,
    max_packet_size: u32,
}

impl Decoder {
    /// `max_packet_size` is in bytes and counts the fixed header.
    pub const fn new(role: Role, max_packet_size: u32) -> Self {
        let version = match role {
            Role::Server => None,
            Role::Client(version) => Some(version),
        };
        Self { role, version, max_packet_size }
    }

    /// The version of the connection, once known.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes one packet off the front of `input`; `None` leaves `input` as it is: more bytes are needed.
    ///
    /// Payloads and strings are slices of `input`'s memory.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let _ = (self.role, self.max_packet_size, input);
        todo!()
    }
}
