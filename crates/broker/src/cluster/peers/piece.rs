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
const HEAR_OUT: u8 = 8;
const HAS_SAID: u8 = 9;
const TAKE: u8 = 10;
const TAKE_REST: u8 = 11;
const PARCEL: u8 = 12;
const SETTLE: u8 = 13;
const DRAINING: u8 = 14;
const INQUIRY: u8 = 15;
const REPLY: u8 = 16;

/// To be said.
pub(super) enum Piece<'a> {
    /// Send me what this filter matches.
    Wanted(&'a str),
    /// Nobody here wants it any more.
    Unwanted(&'a str),
    /// That was all that is wanted so far.
    All,
    /// Clients are sent elsewhere from here, or are not any more.
    Draining(bool),
    /// This is retained, or nothing is any more.
    Retained(&'a Stamp, &'a [u8]),
    /// Tell me all that is retained.
    Asked,
    /// That was all of it.
    RetainedAll,
    /// Handle what this connection has said, and tell me whether it has ended.
    HearOut {
        number: u64,
        conn: u64,
        client_id: &'a str,
    },
    HasSaid {
        number: u64,
        has_ended: bool,
    },
    /// The session of this client, which you keep, is to move here.
    Take {
        number: u64,
        client_id: &'a str,
    },
    /// Say when that node has all that you have sent to it so far.
    Settle {
        number: u64,
        node: &'a str,
    },
    /// All that it has, too.
    TakeRest {
        number: u64,
        client_id: &'a str,
    },
    /// A part of it.
    Parcel {
        number: u64,
        written: &'a [u8],
    },
    /// Show me this of yours, in an operator's name.
    Inquiry {
        number: u64,
        path: &'a str,
    },
    Reply {
        number: u64,
        status: u16,
        body: &'a [u8],
    },
    Message {
        /// Which one it is.
        origin: u64,
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
    Draining(bool),
    Retained(Stamp, Bytes),
    Asked,
    RetainedAll,
    HearOut { number: u64, conn: u64, client_id: ByteString },
    HasSaid { number: u64, has_ended: bool },
    Take { number: u64, client_id: ByteString },
    Settle { number: u64, node: ByteString },
    TakeRest { number: u64, client_id: ByteString },
    Parcel { number: u64, written: Bytes },
    Inquiry { number: u64, path: ByteString },
    Reply { number: u64, status: u16, body: Bytes },
    Message { origin: u64, is_plain: bool, groups: Vec<Filter>, written: Bytes },
}

impl Piece<'_> {
    pub(super) fn say(&self, peer: &dyn Peer) -> u64 {
        match self {
            Self::Wanted(filter) => peer.say(&[&[WANTED], filter.as_bytes()]),
            Self::Unwanted(filter) => peer.say(&[&[UNWANTED], filter.as_bytes()]),
            Self::All => peer.say(&[&[ALL]]),
            Self::Draining(is_so) => peer.say(&[&[DRAINING, (*is_so).into()]]),
            Self::Asked => peer.say(&[&[ASKED]]),
            Self::RetainedAll => peer.say(&[&[RETAINED_ALL]]),
            Self::HearOut { number, conn, client_id } => {
                peer.say(&[&[HEAR_OUT], &number.to_be_bytes(), &conn.to_be_bytes(), client_id.as_bytes()])
            }
            Self::HasSaid { number, has_ended } => {
                peer.say(&[&[HAS_SAID], &number.to_be_bytes(), &[(*has_ended).into()]])
            }
            Self::Take { number, client_id } => peer.say(&[&[TAKE], &number.to_be_bytes(), client_id.as_bytes()]),
            Self::Settle { number, node } => peer.say(&[&[SETTLE], &number.to_be_bytes(), node.as_bytes()]),
            Self::TakeRest { number, client_id } => {
                peer.say(&[&[TAKE_REST], &number.to_be_bytes(), client_id.as_bytes()])
            }
            Self::Parcel { number, written } => peer.say(&[&[PARCEL], &number.to_be_bytes(), written]),
            Self::Inquiry { number, path } => peer.say(&[&[INQUIRY], &number.to_be_bytes(), path.as_bytes()]),
            Self::Reply { number, status, body } => {
                peer.say(&[&[REPLY], &number.to_be_bytes(), &status.to_be_bytes(), body])
            }
            Self::Retained((at, node), written) => {
                let mut head = BytesMut::new();
                head.put_u8(RETAINED);
                head.put_u64(*at);
                // Names are bounded by the roll.
                head.put_u8(node.len() as u8);
                peer.say(&[&head, node.as_bytes(), written])
            }
            Self::Message { origin, is_plain, groups, written } => {
                let mut head = BytesMut::new();
                head.put_u8(MESSAGE);
                head.put_u64(*origin);
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
            DRAINING => Some(Self::Draining(piece.try_get_u8().ok()? != 0)),
            ASKED => Some(Self::Asked),
            RETAINED_ALL => Some(Self::RetainedAll),
            HEAR_OUT => {
                let (number, conn) = (piece.try_get_u64().ok()?, piece.try_get_u64().ok()?);
                Some(Self::HearOut { number, conn, client_id: ByteString::try_from(piece).ok()? })
            }
            HAS_SAID => {
                let number = piece.try_get_u64().ok()?;
                Some(Self::HasSaid { number, has_ended: piece.try_get_u8().ok()? != 0 })
            }
            kind @ (TAKE | TAKE_REST) => {
                let number = piece.try_get_u64().ok()?;
                let client_id = ByteString::try_from(piece).ok()?;
                Some(if kind == TAKE { Self::Take { number, client_id } } else { Self::TakeRest { number, client_id } })
            }
            SETTLE => {
                let number = piece.try_get_u64().ok()?;
                Some(Self::Settle { number, node: ByteString::try_from(piece).ok()? })
            }
            INQUIRY => {
                let number = piece.try_get_u64().ok()?;
                Some(Self::Inquiry { number, path: ByteString::try_from(piece).ok()? })
            }
            REPLY => {
                let (number, status) = (piece.try_get_u64().ok()?, piece.try_get_u16().ok()?);
                Some(Self::Reply { number, status, body: piece })
            }
            PARCEL => Some(Self::Parcel { number: piece.try_get_u64().ok()?, written: piece }),
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
                let origin = piece.try_get_u64().ok()?;
                let is_plain = piece.try_get_u8().ok()? != 0;
                let mut groups = Vec::new();
                for _ in 0..piece.try_get_u32().ok()? {
                    let len = usize::from(piece.try_get_u16().ok()?);
                    if piece.len() < len {
                        return None;
                    }
                    groups.push(read_filter(piece.split_to(len))?);
                }
                Some(Self::Message { origin, is_plain, groups, written: piece })
            }
            _ => None,
        }
    }
}

fn read_filter(bytes: Bytes) -> Option<Filter> {
    let text = ByteString::try_from(bytes).ok()?;
    Filter::new(String::from(&*text)).ok()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Other(Mutex<Vec<u8>>);

    impl Peer for Other {
        fn name(&self) -> &str {
            "other"
        }

        fn say(&self, parts: &[&[u8]]) -> u64 {
            *self.0.lock() = parts.concat();
            0
        }

        fn said(&self) -> u64 {
            0
        }

        fn held(&self) -> u64 {
            0
        }

        fn has_handled(&self, _: u64) -> bool {
            true
        }

        fn handled(self: Arc<Self>, _: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async {})
        }
    }

    #[test]
    fn what_is_said_is_heard_and_half_of_it_is_not() {
        let filter = |text: &str| Filter::new(text.to_owned()).unwrap();
        let groups = ["$share/g/a/+".into(), "$queue/b".into()];
        let stamp = (1 << 50, ByteString::from("a@1"));
        let written = Bytes::from_static(b"message");
        let pairs = [
            (Piece::Wanted("a/#"), Heard::Wanted(filter("a/#"))),
            (Piece::Unwanted("+"), Heard::Unwanted(filter("+"))),
            (Piece::All, Heard::All),
            (Piece::Draining(true), Heard::Draining(true)),
            (Piece::Asked, Heard::Asked),
            (Piece::RetainedAll, Heard::RetainedAll),
            (
                Piece::HearOut { number: 1, conn: 2, client_id: "it" },
                Heard::HearOut { number: 1, conn: 2, client_id: "it".into() },
            ),
            (Piece::HasSaid { number: 1, has_ended: true }, Heard::HasSaid { number: 1, has_ended: true }),
            (Piece::Take { number: 1, client_id: "it" }, Heard::Take { number: 1, client_id: "it".into() }),
            (Piece::Settle { number: 1, node: "a@1" }, Heard::Settle { number: 1, node: "a@1".into() }),
            (Piece::TakeRest { number: 1, client_id: "it" }, Heard::TakeRest { number: 1, client_id: "it".into() }),
            (Piece::Parcel { number: 1, written: &written }, Heard::Parcel { number: 1, written: written.clone() }),
            (Piece::Inquiry { number: 1, path: "/a" }, Heard::Inquiry { number: 1, path: "/a".into() }),
            (
                Piece::Reply { number: 1, status: 200, body: &written },
                Heard::Reply { number: 1, status: 200, body: written.clone() },
            ),
            (Piece::Retained(&stamp, &written), Heard::Retained(stamp.clone(), written.clone())),
            (
                Piece::Message { origin: 1 << 63, is_plain: true, groups: &groups, written: &written },
                Heard::Message {
                    origin: 1 << 63,
                    is_plain: true,
                    groups: vec![filter("$share/g/a/+"), filter("$queue/b")],
                    written: written.clone(),
                },
            ),
        ];
        for (piece, wanted) in pairs {
            let other = Other::default();
            piece.say(&other);
            let said = Bytes::from(other.0.into_inner());
            for len in 0..said.len() {
                // What is left of a message or of a filter's text is for who reads that.
                let cut = Heard::read(said.slice(..len));
                assert!(cut.as_ref() != Some(&wanted), "{len} of {wanted:?}");
            }
            assert_eq!(Heard::read(said), Some(wanted));
        }
        assert_eq!(Heard::read(Bytes::new()), None);
        assert_eq!(
            Heard::read(Bytes::from_static(&[MESSAGE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0])),
            None
        );
        assert_eq!(Heard::read(Bytes::from_static(&[99])), None);
        assert_eq!(Heard::read(Bytes::from_static(&[WANTED, 0xff])), None);
    }
}
