//! `mosquitto.db`, versions 5 (mosquitto 1.6) and 6 (2.x): retained messages, and sessions with what they subscribe to and are
//! owed.
//!
//! A file is a head, then chunks with their kind and length. Numbers are in network order but for those of 64 bits, which are as
//! the machine has them: little-endian is what is read here. Whatever is in a file, no more memory is taken than some times its
//! length, and what makes no sense is an error with its place.

use std::collections::HashMap;

use crate::state::{Bytes, Retained};

mod chunk;
#[cfg(test)]
mod tests;

use chunk::Reader;
pub use chunk::WrongDatabase;

/// What is in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// 5 or 6.
    pub version: u32,
    /// Messages that are retained, or owed to somebody.
    pub messages: Vec<Retained>,
    /// Places in `messages` of those that are retained.
    pub retained: Vec<usize>,
    /// Sessions, in the order of the file.
    pub sessions: Vec<Session>,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub client_id: String,
    /// Seconds that it outlives its connection; `u32::MAX`: for ever, or as mosquitto is set for MQTT 3.
    pub expiry_interval: u32,
    /// When it ends: seconds since the Unix epoch; 0: not known.
    pub expires_at: u64,
    /// What it is subscribed to.
    pub subscriptions: Vec<Subscription>,
    /// What is owed, in its order.
    pub owed: Vec<Owed>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// To what; it may begin with `$share/`.
    pub filter: String,
    /// 0 to 2.
    pub qos: u8,
    /// The other options of MQTT 5, as in the packet.
    pub options: u8,
    /// Its identifier; 0: none.
    pub id: u32,
}

/// A message that is on its way to a client, or from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its place among the messages.
    pub message: usize,
    /// How far it is.
    pub step: Step,
    /// On the wire.
    pub qos: u8,
    /// On the wire.
    pub retain: bool,
    /// Identifiers of the subscriptions; 0: none.
    pub subscription_id: u32,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was not sent.
    Queued,
    /// Sent by this packet id, and not answered.
    Sent(u16),
    /// QoS 2: the client has it, and the packet id is still to be freed.
    Released(u16),
    /// QoS 2, from the client: it has come, and is published when the client says so.
    Arrived(u16),
}

impl Database {
    /// Reads a file.
    ///
    /// # Errors
    /// Nothing of it is to be used then.
    pub fn read(bytes: &[u8]) -> Result<Self, WrongDatabase> {
        let mut reader = Reader::new(bytes);
        let version = reader.head()?;
        let mut database = Self { version, ..Self::default() };
        let mut places = HashMap::new();
        let mut sessions: HashMap<String, usize> = HashMap::new();
        while let Some((kind, mut chunk)) = reader.chunk()? {
            match kind {
                // What the program had given, and how wide its numbers are.
                1 => chunk.config()?,
                2 => {
                    let (number, message) = chunk.message()?;
                    if places.insert(number, database.messages.len()).is_some() {
                        return Err(chunk.wrong("a second message of this number"));
                    }
                    database.messages.push(message);
                }
                3 => {
                    let (client, owed) = chunk.owed(&places)?;
                    let at =
                        *sessions.get(client).ok_or_else(|| chunk.wrong("a message for a client that is not there"))?;
                    database.sessions[at].owed.extend(owed);
                }
                4 => {
                    let number = chunk.u64()?;
                    let place =
                        places.get(&number).ok_or_else(|| chunk.wrong("a retained message that is not there"))?;
                    database.retained.push(*place);
                }
                5 => {
                    let (client, subscription) = chunk.subscription()?;
                    let at = *sessions
                        .get(client)
                        .ok_or_else(|| chunk.wrong("a subscription of a client that is not there"))?;
                    database.sessions[at].subscriptions.push(subscription);
                }
                6 => {
                    let session = chunk.session(version)?;
                    if sessions.insert(session.client_id.clone(), database.sessions.len()).is_some() {
                        return Err(chunk.wrong("a second session of this client"));
                    }
                    database.sessions.push(session);
                }
                _ => return Err(chunk.wrong("a chunk of a kind that is not known")),
            }
        }
        Ok(database)
    }
}

/// For the fuzzer: nothing panics, and nothing takes more memory than it should.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    if let Ok(database) = Database::read(bytes) {
        let payloads: usize = database.messages.iter().map(|message| message.payload.0.len()).sum();
        assert!(payloads <= bytes.len() && database.sessions.len() <= bytes.len());
    }
}

/// What a message's own properties say.
fn with_properties(message: &mut Retained, mut chunk: Reader<'_>) -> Result<(), WrongDatabase> {
    while !chunk.is_empty() {
        match chunk.u8()? {
            0x01 => message.payload_is_text = Some(chunk.u8()? == 1),
            // Its end has a field of its own.
            0x02 => drop(chunk.u32()?),
            0x03 => message.content_type = Some(chunk.text()?),
            0x08 => message.response_topic = Some(chunk.text()?),
            0x09 => message.correlation_data = Some(Bytes(chunk.data()?.to_vec())),
            0x0B => drop(chunk.variable()?),
            0x26 => message.user_properties.push((chunk.text()?, chunk.text()?)),
            _ => return Err(chunk.wrong("a property that no message has")),
        }
    }
    Ok(())
}
