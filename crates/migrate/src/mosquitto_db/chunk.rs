//! The parts of a file, read with care for what they say of their lengths.

use std::collections::HashMap;

use super::{Owed, Session, Step, Subscription, with_properties};
use crate::state::{Bytes, Retained};

const MAGIC: &[u8; 15] = b"\0\xB5\0mosquitto db";

/// Why a file can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongDatabase {
    /// It is something else.
    #[error("this is no mosquitto.db")]
    Foreign,
    /// It is of another version.
    #[error(
        "it has version {0}, and 5 and 6 are read: let a later mosquitto (1.6 and up) read it and write it again, by stopping in order"
    )]
    Version(u32),
    /// It can't have been written so.
    #[error("byte {offset}: {why}; mosquitto writes the file anew when it is stopped in order")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// Bytes that are still to be read, and where they are in the file.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) const fn wrong(&self, why: &'static str) -> WrongDatabase {
        WrongDatabase::Malformed { offset: self.offset, why }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WrongDatabase> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(|| self.wrong("it ends too early"))?;
        self.bytes = rest;
        self.offset += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WrongDatabase> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WrongDatabase> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, WrongDatabase> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WrongDatabase> {
        self.array().map(u32::from_be_bytes)
    }

    /// As a little-endian machine has it.
    pub(super) fn u64(&mut self) -> Result<u64, WrongDatabase> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self, len: u16) -> Result<&'a str, WrongDatabase> {
        let wrong = self.wrong("a text that is not UTF-8");
        std::str::from_utf8(self.take(len.into())?).map_err(|_| wrong)
    }

    /// With its length before it.
    pub(super) fn text(&mut self) -> Result<String, WrongDatabase> {
        let len = self.u16()?;
        self.string(len).map(str::to_owned)
    }

    /// With its length before it.
    pub(super) fn data(&mut self) -> Result<&'a [u8], WrongDatabase> {
        let len = self.u16()?;
        self.take(len.into())
    }

    pub(super) fn variable(&mut self) -> Result<u32, WrongDatabase> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            number |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.wrong("a number with too many bytes"))
    }

    /// The version that the file says it has.
    pub(super) fn head(&mut self) -> Result<u32, WrongDatabase> {
        let is_ours = self.take(MAGIC.len()).is_ok_and(|magic| magic == MAGIC);
        if !is_ours {
            return Err(WrongDatabase::Foreign);
        }
        // A checksum that no version fills in.
        self.u32()?;
        match self.u32()? {
            version @ (5 | 6) => Ok(version),
            other => Err(WrongDatabase::Version(other)),
        }
    }

    /// The next chunk's kind, and what is in it.
    pub(super) fn chunk(&mut self) -> Result<Option<(u32, Self)>, WrongDatabase> {
        if self.is_empty() {
            return Ok(None);
        }
        let (kind, len) = (self.u32()?, self.u32()?);
        let offset = self.offset;
        let len = usize::try_from(len).map_err(|_| self.wrong("it ends too early"))?;
        Ok(Some((kind, Self { bytes: self.take(len)?, offset })))
    }

    /// It says how wide the numbers of messages are.
    pub(super) fn config(&mut self) -> Result<(), WrongDatabase> {
        self.u64()?;
        let _is_end = self.u8()?;
        if self.u8()? == 8 { Ok(()) } else { Err(self.wrong("numbers of messages that don't have 8 bytes")) }
    }

    /// Its number, and itself.
    pub(super) fn message(&mut self) -> Result<(u64, Retained), WrongDatabase> {
        let (number, expires_at) = (self.u64()?, self.u64()?);
        let payload = self.u32()?;
        let (_packet_id, source, user, topic) = (self.u16()?, self.u16()?, self.u16()?, self.u16()?);
        let _port = self.u16()?;
        let (qos, _retain) = (self.qos()?, self.u8()?);
        self.take(source.into())?;
        self.take(user.into())?;
        let topic = self.string(topic)?.to_owned();
        let len = usize::try_from(payload).map_err(|_| self.wrong("it ends too early"))?;
        let payload = Bytes(self.take(len)?.to_vec());
        let expires_at = (expires_at > 0).then(|| expires_at.saturating_mul(1000));
        let mut message = Retained { topic, qos, payload, expires_at, ..Retained::default() };
        with_properties(&mut message, self.properties()?)?;
        Ok((number, message))
    }

    /// Whose, and what; nothing if it is finished.
    pub(super) fn owed(&mut self, places: &HashMap<u64, usize>) -> Result<(&'a str, Option<Owed>), WrongDatabase> {
        let number = self.u64()?;
        let (packet_id, client) = (self.u16()?, self.u16()?);
        let qos = self.qos()?;
        let (state, retain_dup, direction) = (self.u8()?, self.u8()?, self.u8()?);
        let step = match (direction, state) {
            // From the client, for which PUBREC was sent or is to be sent.
            (0, 7 | 10) => Some(Step::Arrived(packet_id)),
            // It was published, and only PUBCOMP was to be sent.
            (0, _) => None,
            (1, 11) => Some(Step::Queued),
            (1, 6 | 9) => Some(Step::Released(packet_id)),
            (1, 1..=5) if packet_id > 0 && qos > 0 => Some(Step::Sent(packet_id)),
            (1, _) => Some(Step::Queued),
            _ => return Err(self.wrong("a direction that there is not")),
        };
        let client = self.string(client)?;
        let message = *places.get(&number).ok_or_else(|| self.wrong("a message that is not there"))?;
        let mut properties = self.properties()?;
        let mut subscription_id = 0;
        while !properties.is_empty() {
            match properties.u8()? {
                0x0B => subscription_id = properties.variable()?,
                _ => return Err(properties.wrong("a property that no delivery has")),
            }
        }
        let owed = step.map(|step| Owed { message, step, qos, retain: retain_dup >> 4 != 0, subscription_id });
        Ok((client, owed))
    }

    pub(super) fn subscription(&mut self) -> Result<(&'a str, Subscription), WrongDatabase> {
        let id = self.u32()?;
        let (client, filter) = (self.u16()?, self.u16()?);
        let (qos, options) = (self.qos()?, self.u8()?);
        // The compiler's padding is in the file too.
        self.take(2)?;
        let client = self.string(client)?;
        let filter = self.string(filter)?.to_owned();
        Ok((client, Subscription { filter, qos, options, id }))
    }

    pub(super) fn session(&mut self, version: u32) -> Result<Session, WrongDatabase> {
        let expires_at = self.u64()?;
        let expiry_interval = self.u32()?;
        let (_last_packet_id, client) = (self.u16()?, self.u16()?);
        if version > 5 {
            let (_port, _user) = (self.u16()?, self.u16()?);
            // Padding.
            self.take(4)?;
        }
        let client_id = self.string(client)?.to_owned();
        if client_id.is_empty() {
            return Err(self.wrong("a session without a client id"));
        }
        Ok(Session { client_id, expiry_interval, expires_at, ..Session::default() })
    }

    fn qos(&mut self) -> Result<u8, WrongDatabase> {
        match self.u8()? {
            qos @ 0..=2 => Ok(qos),
            _ => Err(self.wrong("a QoS that there is not")),
        }
    }

    /// What is left is properties, with their length before them; or nothing.
    fn properties(&mut self) -> Result<Self, WrongDatabase> {
        if self.is_empty() {
            return Ok(*self);
        }
        let len = usize::try_from(self.variable()?).map_err(|_| self.wrong("it ends too early"))?;
        let offset = self.offset;
        let properties = Self { bytes: self.take(len)?, offset };
        if self.is_empty() { Ok(properties) } else { Err(self.wrong("something behind the end")) }
    }
}
