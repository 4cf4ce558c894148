//! A frame, as bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;

/// What is not of this version is not understood.
const VERSION: u8 = 1;

/// In front of the sender's name.
const HEAD: usize = 1 + 6 * size_of::<u64>() + 1 + 1;

/// From one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Who has sent it.
    pub(crate) from: ByteString,
    /// Of the sender's life.
    pub(crate) epoch: u64,
    /// Of the life of the node that it is for.
    pub(crate) to_epoch: u64,
    /// Up to there the sender had told what the log came to, before it said this.
    pub(crate) position: u64,
    /// What it has of the other's stream.
    pub(crate) ack: Ack,
    /// Where `data` is in its own.
    pub(crate) offset: u64,
    /// May be nothing: then it is for the ack alone.
    pub(crate) data: Bytes,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// All before that has arrived.
    pub(crate) received: u64,
    /// All pieces that end before that are done with.
    pub(crate) handled: u64,
    /// Something arrived that is further on.
    pub(crate) has_gap: bool,
}

impl Frame {
    pub(crate) fn encode(&self) -> Bytes {
        // Names are bounded by the roll.
        let name = self.from.as_bytes();
        let name = &name[..name.len().min(u8::MAX.into())];
        let mut out = BytesMut::with_capacity(HEAD + name.len() + self.data.len());
        out.put_u8(VERSION);
        for number in [self.epoch, self.to_epoch, self.position, self.ack.received, self.ack.handled, self.offset] {
            out.put_u64(number);
        }
        out.put_u8(self.ack.has_gap.into());
        out.put_u8(name.len() as u8);
        out.put_slice(name);
        out.put_slice(&self.data);
        out.freeze()
    }

    /// `None`: it is no frame, or one of a later version.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEAD || bytes.get_u8() != VERSION {
            return None;
        }
        let (epoch, to_epoch, position) = (bytes.get_u64(), bytes.get_u64(), bytes.get_u64());
        let (received, handled, offset) = (bytes.get_u64(), bytes.get_u64(), bytes.get_u64());
        let (has_gap, name) = (bytes.get_u8() != 0, usize::from(bytes.get_u8()));
        if bytes.len() < name {
            return None;
        }
        let from = ByteString::try_from(bytes.split_to(name)).ok()?;
        Some(Self { from, epoch, to_epoch, position, ack: Ack { received, handled, has_gap }, offset, data: bytes })
    }
}
