//! What one node says to another, as bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use mqtt_codec::Filter;

use super::peer::Peer;

const WANTED: u8 = 1;
const UNWANTED: u8 = 2;
const MESSAGE: u8 = 3;
const ALL: u8 = 4;

/// To be said.
pub(super) enum Piece<'a> {
    /// Send me what this filter matches.
    Wanted(&'a str),
    /// Nobody here wants it any more.
    Unwanted(&'a str),
    /// That was all that is wanted so far.
    All,
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
    Message { is_plain: bool, groups: Vec<Filter>, written: Bytes },
}

impl Piece<'_> {
    pub(super) fn say(&self, peer: &dyn Peer) -> u64 {
        match self {
            Self::Wanted(filter) => peer.say(&[&[WANTED], filter.as_bytes()]),
            Self::Unwanted(filter) => peer.say(&[&[UNWANTED], filter.as_bytes()]),
            Self::All => peer.say(&[&[ALL]]),
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
