//! Packets to bytes.

use bytes::BytesMut;

use crate::{Packet, Version};

/// The packet has more than the 268,435,455 bytes that MQTT allows after the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {0} bytes is over MQTT's limit")]
pub struct TooLarge(pub usize);

impl Packet {
    /// Appends this packet to `out`; on error `out` is as it was.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), TooLarge> {
        let _ = (version, out);
        todo!()
    }

    /// The bytes [`Self::encode`] appends, fixed header included.
    pub fn encoded_len(&self, version: Version) -> usize {
        let _ = version;
        todo!()
    }
}
