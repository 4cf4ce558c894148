//! What nodes write into the log.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::wire::{put_bytes, put_number, take_bytes, take_number, take_text, take_up_to};
use crate::{Digest, Error};

/// A node's name, an address or the key of a setting: bytes.
pub const MAX_NAME: usize = 255;
/// A client id: bytes, as MQTT has them.
pub const MAX_CLIENT: usize = 65_535;
/// What is said of a connection: bytes.
pub const MAX_INFO: usize = 128 * 1024;
/// A will that travels in the log: bytes.
pub const MAX_WILL: usize = 4096;
/// What is said of an end: bytes.
pub const MAX_REASON: usize = 64 * 1024;
/// A setting: bytes.
pub const MAX_SETTING: usize = 64 * 1024;

/// Kinds from here on may be passed over by who does not know them.
const PASSABLE: u8 = 0x80;

/// One thing that a node tells all.
///
/// What a connection is, why it ended and what a will says are bytes here: whoever writes them reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A node comes, or comes again: the first record of the first batch of an epoch, and nowhere else.
    Join(Join),
    /// A client is in at this node. It always wins.
    Up(Up),
    /// A connection of this node has ended. It counts only if that is the client's current one.
    Down(Down),
    /// A node is silent. It counts only if that one has appended nothing since.
    Dead(Dead),
    /// This node goes, and all its clients with it.
    Left {
        /// For them.
        reason: Bytes,
    },
    /// The delay of a will that [waits](crate::Effect::WillWaits) is over.
    WillDue {
        /// Whose.
        client: ByteString,
        /// Of the end that the will waits since.
        event: u64,
    },
    /// This node keeps the client's session from now on, or it did and nobody does any more. Who has moved one here says so when all of
    /// it is stored; it does not count if the client has come elsewhere since.
    Home {
        /// Whose.
        client: ByteString,
        /// False: it has ended, and the client is away.
        is_here: bool,
    },
    /// What holds in the whole cluster.
    Setting {
        /// Its name.
        key: ByteString,
        /// `None`: it is taken back.
        value: Option<Bytes>,
    },
    /// What this node has read so far.
    Check {
        /// Up to and with this one.
        position: u64,
        /// Of all of it.
        digest: Digest,
    },
    /// From here on records of this version may be written.
    Gate(u16),
    /// A node that does not live will not come back: nobody waits for the sessions that it keeps.
    Forget {
        /// Which.
        node: ByteString,
    },
}

/// A node comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// By which it knows this record for its own.
    pub nonce: u64,
    /// Where clients find it, if it says so.
    pub addr: ByteString,
    /// The lowest and the highest version of records that it reads.
    pub versions: Versions,
}

/// A range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub from: u16,
    /// The highest.
    pub to: u16,
}

/// A client is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// Its id.
    pub client: ByteString,
    /// No other connection of the node's epoch has this number.
    pub conn: u64,
    /// It ends the session that is there.
    pub is_clean: bool,
    /// Its session outlives the connection, and is kept at this node unless another has it.
    pub is_kept: bool,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// What else is to be known of it.
    pub info: Bytes,
    /// To be published when it ends without saying otherwise.
    pub will: Option<Will>,
}

/// A will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Seconds.
    pub delay: u32,
    /// What to publish.
    pub message: Bytes,
}

/// A connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Whose.
    pub client: ByteString,
    /// Which.
    pub conn: u64,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// The will that came with [`Up`] is to be published.
    pub with_will: bool,
    /// Why.
    pub reason: Bytes,
}

/// A node is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Which.
    pub node: ByteString,
    /// Of the life that is over.
    pub epoch: u64,
    /// The position of its last batch that is known.
    pub last: u64,
}

impl Versions {
    /// Whether it reads records of this version.
    pub const fn includes(self, version: u16) -> bool {
        self.from <= version && version <= self.to
    }
}

impl Record {
    const fn kind(&self) -> u8 {
        match self {
            Self::Join(_) => 1,
            Self::Up(_) => 2,
            Self::Down(_) => 3,
            Self::Dead(_) => 4,
            Self::Left { .. } => 5,
            Self::WillDue { .. } => 6,
            Self::Home { .. } => 7,
            Self::Setting { .. } => 8,
            Self::Check { .. } => 9,
            Self::Gate(_) => 10,
            Self::Forget { .. } => 11,
        }
    }

    /// Adds it to a batch: its kind, how long it is, and its fields. Later versions add fields at the end.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut body = BytesMut::new();
        self.put_fields(&mut body);
        out.put_u8(self.kind());
        put_bytes(&body, out);
    }

    fn put_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Join(Join { nonce, addr, versions }) => {
                put_number(*nonce, out);
                put_bytes(addr.as_bytes(), out);
                put_number(versions.from.into(), out);
                put_number(versions.to.into(), out);
            }
            Self::Up(Up { client, conn, is_clean, is_kept, at, info, will }) => {
                put_bytes(client.as_bytes(), out);
                put_number(*conn, out);
                out.put_u8(u8::from(*is_clean) | u8::from(will.is_some()) << 1 | u8::from(*is_kept) << 2);
                put_number(*at, out);
                put_bytes(info, out);
                if let Some(Will { delay, message }) = will {
                    put_number((*delay).into(), out);
                    put_bytes(message, out);
                }
            }
            Self::Down(Down { client, conn, at, with_will, reason }) => {
                put_bytes(client.as_bytes(), out);
                put_number(*conn, out);
                out.put_u8(u8::from(*with_will));
                put_number(*at, out);
                put_bytes(reason, out);
            }
            Self::Dead(Dead { node, epoch, last }) => {
                put_bytes(node.as_bytes(), out);
                put_number(*epoch, out);
                put_number(*last, out);
            }
            Self::Left { reason } => put_bytes(reason, out),
            Self::WillDue { client, event } => {
                put_bytes(client.as_bytes(), out);
                put_number(*event, out);
            }
            Self::Home { client, is_here } => {
                put_bytes(client.as_bytes(), out);
                out.put_u8(u8::from(*is_here));
            }
            Self::Setting { key, value } => {
                put_bytes(key.as_bytes(), out);
                out.put_u8(u8::from(value.is_some()));
                put_bytes(value.as_deref().unwrap_or_default(), out);
            }
            Self::Check { position, digest } => {
                put_number(*position, out);
                out.put_u64_le(digest.as_u64());
            }
            Self::Gate(version) => put_number((*version).into(), out),
            Self::Forget { node } => put_bytes(node.as_bytes(), out),
        }
    }

    /// Takes the next one. `None`: it is of a kind that may be passed over.
    pub(crate) fn take(input: &mut Bytes) -> Result<Option<Self>, Error> {
        let [kind] = take_array(input, "a record")?;
        let mut body = take_bytes(input, usize::MAX, "a record")?;
        match kind {
            1..PASSABLE => Self::take_fields(kind, &mut body).map(Some),
            PASSABLE.. => Ok(None),
            0 => Err(Error::Malformed("a record of kind 0")),
        }
    }

    /// What is left of the body belongs to a later version.
    fn take_fields(kind: u8, body: &mut Bytes) -> Result<Self, Error> {
        Ok(match kind {
            1 => Self::Join(Join {
                nonce: take_number(body, "a nonce")?,
                addr: take_text(body, MAX_NAME, "an address")?,
                versions: Versions { from: take_u16(body, "a version")?, to: take_u16(body, "a version")? },
            }),
            2 => {
                let client = take_client(body)?;
                let conn = take_number(body, "a connection's number")?;
                let [flags] = take_array(body, "flags")?;
                let at = take_number(body, "a time")?;
                let info = take_bytes(body, MAX_INFO, "what is said of a connection")?;
                let will = if flags & 2 == 0 { None } else { Some(Will::take(body)?) };
                let (is_clean, is_kept) = (flags & 1 != 0, flags & 4 != 0);
                Self::Up(Up { client, conn, is_clean, is_kept, at, info, will })
            }
            3 => {
                let client = take_client(body)?;
                let conn = take_number(body, "a connection's number")?;
                let [flags] = take_array(body, "flags")?;
                let at = take_number(body, "a time")?;
                let reason = take_bytes(body, MAX_REASON, "a reason")?;
                Self::Down(Down { client, conn, at, with_will: flags & 1 != 0, reason })
            }
            4 => Self::Dead(Dead {
                node: take_text(body, MAX_NAME, "a node's name")?,
                epoch: take_number(body, "an epoch")?,
                last: take_number(body, "a position")?,
            }),
            5 => Self::Left { reason: take_bytes(body, MAX_REASON, "a reason")? },
            6 => Self::WillDue { client: take_client(body)?, event: take_number(body, "an event's number")? },
            7 => {
                let client = take_client(body)?;
                let [is_here] = take_array(body, "flags")?;
                Self::Home { client, is_here: is_here & 1 != 0 }
            }
            8 => {
                let key = take_text(body, MAX_NAME, "a setting's name")?;
                let [is_set] = take_array(body, "flags")?;
                let value = take_bytes(body, MAX_SETTING, "a setting")?;
                Self::Setting { key, value: (is_set & 1 != 0).then_some(value) }
            }
            9 => Self::Check {
                position: take_number(body, "a position")?,
                digest: Digest::new(u64::from_le_bytes(take_array(body, "a digest")?)),
            },
            10 => Self::Gate(take_u16(body, "a version")?),
            11 => Self::Forget { node: take_text(body, MAX_NAME, "a node's name")? },
            _ => return Err(Error::Kind(kind)),
        })
    }
}

impl Will {
    fn take(input: &mut Bytes) -> Result<Self, Error> {
        Ok(Self {
            delay: take_up_to(input, u32::MAX.into(), "a delay")? as u32,
            message: take_bytes(input, MAX_WILL, "a will")?,
        })
    }
}

fn take_client(input: &mut Bytes) -> Result<ByteString, Error> {
    take_text(input, MAX_CLIENT, "a client id")
}

fn take_u16(input: &mut Bytes, what: &'static str) -> Result<u16, Error> {
    take_up_to(input, u16::MAX.into(), what).map(|number| number as u16)
}

fn take_array<const N: usize>(input: &mut Bytes, what: &'static str) -> Result<[u8; N], Error> {
    let (array, _) = input.split_first_chunk::<N>().ok_or(Error::Short(what))?;
    let array = *array;
    input.advance(N);
    Ok(array)
}
