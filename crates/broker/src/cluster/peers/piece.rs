//! What one node says to another, as bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use mqtt_codec::Filter;

use super::peer::Peer;
use super::stamps::Stamp;

const WANTED: u8 = 1;
const UNWANTED: u8 = 2;
const MESSAGE: u8 = 3;
const ALL: u8 = 4;
const RETAINED: u8 = 5;
const ASKED: u8 = 6;
const RETAINED_ALL: u8 = 7;

/// To be said.
pub(super) enum Piece<'a> {
    /// Send me what this filter matches.
    Wanted(&'a str),
    /// Nobody here wants it any more.
    Unwanted(&'a str),
    /// That was all that is wanted so far.
    All,
    /// This is retained, or nothing is any more.
    Retained(&'a Stamp, &'a [u8]),
    /// Tell me all that is retained.
    Asked,
    /// That was all of it.
    RetainedAll,
    Message {
        /// For all whose filters match, but members of shared subscriptions.
        is_plain: bool,
        /// And for one member of each of these.
        groups: &'a [ByteString],
        written: &'a [u8],
    },
}

/// As it was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Wanted(Filter),
    Unwanted(Filter),
    All,
    Retained(Stamp, Bytes),
    Asked,
    RetainedAll,
    Message { is_plain: bool, groups: Vec<Filter>, written: Bytes },
}

impl Piece<'_> {
    pub(super) fn say(&self, peer: &dyn Peer) -> u64 {
        match self {
            Self::Wanted(filter) => peer.say(&[&[WANTED], filter.as_bytes()]),
            Self::Unwanted(filter) => peer.say(&[&[UNWANTED], filter.as_bytes()]),
            Self::All => peer.say(&[&[ALL]]),
            Self::Asked => peer.say(&[&[ASKED]]),
            Self::RetainedAll => peer.say(&[&[RETAINED_ALL]]),
            Self::Retained((at, node), written) => {
                let mut head = BytesMut::new();
                head.put_u8(RETAINED);
                head.put_u64(*at);
                // Names are bounded by the roll.
                head.put_u8(node.len() as u8);
                peer.say(&[&head, node.as_bytes(), written])
            }
            Self::Message { is_plain, groups, written } => {
                let mut head = BytesMut::new();
                head.put_u8(MESSAGE);
                head.put_u8((*is_plain).into());
                // No filter is longer than a string of MQTT.
                head.put_u32(groups.len() as u32);
                for group in *groups {
                    head.put_u16(group.len() as u16);
                    head.put_slice(group.as_bytes());
                }
                peer.say(&[&head, written])
            }
        }
    }
}

impl Heard {
    /// `None`: it can't be read.
    pub(super) fn read(mut piece: Bytes) -> Option<Self> {
        match piece.try_get_u8().ok()? {
            WANTED => read_filter(piece).map(Self::Wanted),
            UNWANTED => read_filter(piece).map(Self::Unwanted),
            ALL => Some(Self::All),
            ASKED => Some(Self::Asked),
            RETAINED_ALL => Some(Self::RetainedAll),
            RETAINED => {
                let at = piece.try_get_u64().ok()?;
                let len = usize::from(piece.try_get_u8().ok()?);
                if piece.len() < len {
                    return None;
                }
                let node = ByteString::try_from(piece.split_to(len)).ok()?;
                Some(Self::Retained((at, node), piece))
            }
            MESSAGE => {
                let is_plain = piece.try_get_u8().ok()? != 0;
                let mut groups = Vec::new();
                for _ in 0..piece.try_get_u32().ok()? {
                    let len = usize::from(piece.try_get_u16().ok()?);
                    if piece.len() < len {
                        return None;
                    }
                    groups.push(read_filter(piece.split_to(len))?);
                }
                Some(Self::Message { is_plain, groups, written: piece })
            }
            _ => None,
        }
    }
}

fn read_filter(bytes: Bytes) -> Option<Filter> {
    let text = ByteString::try_from(bytes).ok()?;
    Filter::new(String::from(&*text)).ok()
}
