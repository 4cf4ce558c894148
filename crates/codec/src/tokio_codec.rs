//! Packets for `tokio_util::codec::Framed`.

use std::io;

use bytes::BytesMut;
use tokio_util::codec;

use crate::{DecodeError, Decoder, Packet, Role, TooLarge, Version};

/// A [`Decoder`] and the writers, as a frame codec of `tokio_util`.
///
/// Until the version of the connection is known, packets are written in MQTT 3.1.1, whose CONNACK every client
/// understands; a CONNECT is always in the version it names.
#[derive(Clone, Debug)]
pub struct PacketCodec {
    decoder: Decoder,
}

/// What ends a stream of packets.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The peer sent what is no packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A packet too large to be written.
    #[error(transparent)]
    Encode(#[from] TooLarge),
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl PacketCodec {
    /// `max_packet_size` is what is accepted, in bytes, fixed header included.
    pub const fn new(role: Role, max_packet_size: u32) -> Self {
        Self { decoder: Decoder::new(role, max_packet_size) }
    }

    /// The version of the connection, once known.
    pub const fn version(&self) -> Option<Version> {
        self.decoder.version()
    }
}

impl codec::Decoder for PacketCodec {
    type Item = Packet;
    type Error = CodecError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, CodecError> {
        Ok(self.decoder.decode(input)?)
    }
}

impl codec::Encoder<Packet> for PacketCodec {
    type Error = CodecError;

    fn encode(&mut self, packet: Packet, out: &mut BytesMut) -> Result<(), CodecError> {
        Ok(packet.encode(self.version().unwrap_or(Version::V3_1_1), out)?)
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::codec::{Decoder as _, Encoder as _};

    use super::*;
    use crate::Connect;

    #[test]
    fn two_ends_talk_in_the_version_of_the_connect() {
        let mut client = PacketCodec::new(Role::Client(Version::V5), 1000);
        let mut server = PacketCodec::new(Role::Server, 1000);
        let mut wire = BytesMut::new();
        client.encode(Packet::Connect(Box::new(Connect::new(Version::V5, "c"))), &mut wire).unwrap();
        client.encode(Packet::PingReq, &mut wire).unwrap();
        assert!(matches!(server.decode(&mut wire), Ok(Some(Packet::Connect(_)))));
        assert_eq!(server.version(), Some(Version::V5));
        assert!(matches!(server.decode(&mut wire), Ok(Some(Packet::PingReq))));
        server.encode(Packet::PingResp, &mut wire).unwrap();
        assert!(matches!(client.decode(&mut wire), Ok(Some(Packet::PingResp))));
        assert!(matches!(server.decode(&mut BytesMut::from(&[0][..])), Err(CodecError::Decode(_))));
    }
}
