//! What is known of one client, in one piece of memory.

use bytes::{Buf, BufMut};

use crate::Error;
use crate::record::{MAX_CLIENT, MAX_WILL};
use crate::wire::{put_bytes, put_number, take_number, take_up_to};

/// A place in the table of nodes.
pub(super) type Slot = u16;

const ONLINE: u8 = 1;
const WILL: u8 = 2;

/// A client, with what it needs most often in front. In the table and in a snapshot it has the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) id: &'a str,
    pub(super) is_online: bool,
    /// Of its last event; one that has had none has that of the floor.
    pub(super) seq: u64,
    /// Its last one. 0: none.
    pub(super) event: u64,
    /// When that was.
    pub(super) at: u64,
    /// Of the current connection, or of the last.
    pub(super) conn: u64,
    /// Where that is.
    pub(super) node: Slot,
    pub(super) home: Option<Slot>,
    /// Of the current connection, or one that waits: its delay and its message.
    pub(super) will: Option<(u32, &'a [u8])>,
    /// Of the current connection.
    pub(super) info: &'a [u8],
}

impl<'a> Row<'a> {
    /// Of a client that nothing is known of, but that none has counted further than this.
    pub(super) const fn new(id: &'a str, floor: u64) -> Self {
        Self { id, is_online: false, seq: floor, event: 0, at: 0, conn: 0, node: 0, home: None, will: None, info: &[] }
    }

    pub(super) fn read(mut input: &'a [u8]) -> Result<Self, Error> {
        let flags = input.try_get_u8().map_err(|_| Error::Short("a client"))?;
        let id = str::from_utf8(take(&mut input, MAX_CLIENT)?).map_err(|_| Error::Malformed("a client id"))?;
        let mut number = || take_number(&mut input, "a client");
        let (seq, event, at, conn) = (number()?, number()?, number()?, number()?);
        let node = take_slot(&mut input)?;
        // One higher, so that 0 is none.
        let home = match take_up_to(&mut input, Slot::MAX.into(), "a place")? {
            0 => None,
            home => Some(home as Slot - 1),
        };
        let will = match flags & WILL {
            0 => None,
            _ => {
                let delay = take_up_to(&mut input, u32::MAX.into(), "a delay")? as u32;
                Some((delay, take(&mut input, MAX_WILL)?))
            }
        };
        Ok(Self { id, is_online: flags & ONLINE != 0, seq, event, at, conn, node, home, will, info: input })
    }

    /// One that was packed here.
    pub(super) fn of(packed: &'a [u8]) -> Self {
        Self::read(packed).expect("rows are looked through before they come into the table")
    }

    /// Of the client whose packed row this is.
    pub(super) fn id_of(packed: &'a [u8]) -> &'a [u8] {
        let mut rest = &packed[1..];
        take(&mut rest, MAX_CLIENT).expect("rows are looked through before they come into the table")
    }

    pub(super) fn pack(&self) -> Box<[u8]> {
        let mut out = Vec::with_capacity(48 + self.id.len() + self.info.len());
        out.put_u8(if self.is_online { ONLINE } else { 0 } | if self.will.is_some() { WILL } else { 0 });
        put_bytes(self.id.as_bytes(), &mut out);
        for number in [self.seq, self.event, self.at, self.conn, self.node.into()] {
            put_number(number, &mut out);
        }
        put_number(self.home.map_or(0, |home| u64::from(home) + 1), &mut out);
        if let Some((delay, message)) = self.will {
            put_number(delay.into(), &mut out);
            put_bytes(message, &mut out);
        }
        out.put_slice(self.info);
        out.into()
    }

    /// Nothing is lost with it but how far its client has counted.
    pub(super) fn is_trail(&self) -> bool {
        !self.is_online && self.home.is_none() && self.will.is_none()
    }
}

pub(super) fn take_slot(input: &mut impl Buf) -> Result<Slot, Error> {
    take_up_to(input, Slot::MAX.into(), "a place").map(|slot| slot as Slot)
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> Result<&'a [u8], Error> {
    let len = take_up_to(input, most as u64, "a client")? as usize;
    let (bytes, rest) = input.split_at_checked(len).ok_or(Error::Short("a client"))?;
    *input = rest;
    Ok(bytes)
}
