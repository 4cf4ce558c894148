//! What an earlier process has left.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mqtt_codec::{Filter, PacketId, SubscribeOptions};
use mqtt_session::{Kept, Publication, Released, Timestamp};
use serde::{Deserialize, Serialize};

use crate::record::{self, OnlineRecord, Owed, SessionRecord, corrupt};
use crate::stage::{ALIVE_KEY, BOUNDS_KEY, SCHEMA_KEY, record_key};
use crate::{Steps, Store, StoreError, Table};

mod unreadable;
mod upgrade;

pub use unreadable::Unreadable;
use unreadable::each;
pub use upgrade::hand_over_events;

/// What this version writes. A store with a later one is not opened; an earlier one is brought here first.
const SCHEMA: u32 = 3;

/// Numbers that may have been given; those above them have not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Of the last start: milliseconds since the Unix epoch, or more.
    pub epoch: u64,
    /// Of connections.
    pub connection: u64,
    /// Of facts of coming and going of any client.
    pub seq: u64,
    /// Of sessions.
    pub session: u64,
}

/// When a broker is known to have lived, by all of its clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alive {
    /// The system's: milliseconds since the Unix epoch. It may be set, forward and back.
    pub wall: u64,
    /// The one that times in records are of. It passes evenly.
    pub clock: Timestamp,
    /// Which start of the system it was; 0: not known.
    pub boot: u128,
    /// Milliseconds since that start, those in which the system slept included.
    pub since_boot: u64,
}

/// What an earlier process has left.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What must not be given again.
    pub bounds: Bounds,
    /// When it was last known to live.
    pub alive: Option<Alive>,
    /// All sessions.
    pub sessions: Vec<LoadedSession>,
    /// Connections that were open, by number, in the order in which they were opened.
    pub online: BTreeMap<u64, OnlineRecord<'static>>,
    /// All retained messages.
    pub retained: Vec<Publication>,
    /// What was kept of modules, by name.
    pub modules: BTreeMap<String, Vec<u8>>,
    /// What other parts of the broker have kept, by name.
    pub notes: BTreeMap<String, Vec<u8>>,
    /// The highest number of a message.
    pub last_message: u64,
    /// What could not be read, and is left out of all this.
    pub unreadable: Vec<Unreadable>,
}

/// A session.
#[derive(Debug)]
pub struct LoadedSession {
    /// Its number.
    pub number: u64,
    /// Whose, until when, and what happened last.
    pub record: SessionRecord<'static>,
    /// What it owes and is owed.
    pub kept: Kept,
    /// When its will is due, if one waits.
    pub will_due: Option<Timestamp>,
    /// What it is subscribed to.
    pub subscriptions: Vec<LoadedSubscription>,
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct LoadedSubscription {
    /// To what.
    pub filter: Filter,
    /// How.
    pub options: SubscribeOptions,
    /// Its identifier.
    pub id: Option<u32>,
    /// Not all that is retained has been sent for it.
    pub owes_retained: bool,
}

impl Loaded {
    /// Reads all of a store; a new one is given its schema version. It is to be the first that is done with it.
    pub fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let mut loaded = Self::default();
        // First: of another schema nothing else can be read, and an earlier one is brought to this one by it.
        let is_new = loaded.read_meta(store)?;
        if is_new {
            return Ok(loaded);
        }
        each(store, Table::Modules, &mut loaded.unreadable, |name, state| {
            loaded.modules.insert(record::text(name)?.to_string(), state.to_vec());
            Ok(())
        })?;
        each(store, Table::Notes, &mut loaded.unreadable, |name, record| {
            loaded.notes.insert(record::text(name)?.to_string(), record.to_vec());
            Ok(())
        })?;
        each(store, Table::Retained, &mut loaded.unreadable, |_, value| {
            loaded.retained.push(record::read_publication(value)?);
            Ok(())
        })?;
        each(store, Table::Online, &mut loaded.unreadable, |number, value| {
            loaded.online.insert(record::read_number(number)?, record::read(value)?);
            Ok(())
        })?;
        // Before deliveries, which are handed to the sessions they belong to.
        loaded.read_sessions(store)?;
        loaded.read_deliveries(store)?;
        // Behind everything: it looks at all that was found.
        loaded.raise_bounds();
        unreadable::warn(&loaded.unreadable);
        Ok(loaded)
    }

    /// Sees to it that no number is given again, also if the record of them is lost or can't be read.
    fn raise_bounds(&mut self) {
        /// More facts than those of clients of whom nothing is left.
        const FACTS: u64 = 1 << 20;
        let unreadable = |table| self.unreadable.iter().filter(move |record| record.table == table);
        let number = |record: &Unreadable| record::read_number(&record.key).unwrap_or(0);
        // What is there was given, whatever the record of bounds says; and of what can't be read the key still tells
        // the number.
        let sessions = self.sessions.iter().map(|session| session.number);
        let session = sessions.chain(unreadable(Table::Sessions).map(number)).max().unwrap_or(0);
        let connections = self.online.keys().copied();
        let connection = connections.chain(unreadable(Table::Online).map(number)).max().unwrap_or(0);
        let message = unreadable(Table::Messages).map(number).max().unwrap_or(0);
        self.last_message = self.last_message.max(message);
        self.bounds.session = self.bounds.session.max(session);
        self.bounds.connection = self.bounds.connection.max(connection);
        // The record is lost. Of clients of whom nothing is left nobody knows how far they were, so far more is left
        // out.
        if self.bounds.seq == 0 {
            let seq = self.sessions.iter().map(|session| session.record.seq);
            let seq = seq.chain(self.online.values().map(|online| online.seq)).max();
            self.bounds.seq = seq.map_or(0, |seq| seq + FACTS);
        }
    }

    /// True if there is nothing in the store yet.
    fn read_meta(&mut self, store: &dyn Store) -> Result<bool, StoreError> {
        let mut schema = None;
        store.read(Table::Meta, &mut |name, value| {
            if name == SCHEMA_KEY {
                schema = Some(value.to_vec());
            }
            Ok(())
        })?;
        let schema = match schema.as_deref().map(<[u8; 4]>::try_from) {
            None => None,
            Some(Ok(schema)) => Some(u32::from_le_bytes(schema)),
            Some(Err(_)) => return Err(StoreError::Foreign("its schema version can't be read".to_owned())),
        };
        // Before anything else is read: a later version may have written the rest in a way that only looks broken here.
        if let Some(other) = schema.filter(|schema| !(1..=SCHEMA).contains(schema)) {
            return Err(StoreError::Schema { found: other.to_string(), expected: SCHEMA });
        }
        each(store, Table::Meta, &mut self.unreadable, |name, value| {
            match name {
                BOUNDS_KEY => self.bounds = record::read(value)?,
                ALIVE_KEY => self.alive = Some(Alive::from_bytes(value).ok_or_else(|| corrupt("alive"))?),
                // Of no use to this version, and harmless.
                _ => {}
            }
            Ok(())
        })?;
        match schema {
            None => {
                // Records without a schema have lost it, and are read.
                let is_new = is_empty(store)?;
                if !is_new {
                    tracing::warn!("the store does not say its schema: it is taken for one of this version");
                }
                let mut steps = Steps::default();
                steps.put(Table::Meta, SCHEMA_KEY, &SCHEMA.to_le_bytes());
                // Before anything else is written: so another version knows whose that is.
                store.write(&steps)?;
                return Ok(is_new);
            }
            Some(1) => upgrade::from_1(store).and_then(|()| upgrade::from_2(store))?,
            Some(2) => upgrade::from_2(store)?,
            Some(_) => {}
        }
        Ok(false)
    }

    /// A session's end is stored before that of each thing it had, if that is much; then this is what was left when the
    /// process ended. What belongs to a session which is there and can't be read stays with it.
    fn remove_orphans(&self, store: &dyn Store, table: Table, orphans: Vec<(u64, Vec<u8>)>) -> Result<(), StoreError> {
        let unreadable = self.unreadable.iter().filter(|record| record.table == Table::Sessions);
        let unreadable: HashSet<_> = unreadable.map(|record| record::read_number(&record.key).unwrap_or(0)).collect();
        let orphans = orphans.into_iter().filter(|(number, _)| !unreadable.contains(number));
        remove_all(store, table, orphans.map(|(_, key)| key))
    }

    fn read_sessions(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        each(store, Table::Sessions, &mut self.unreadable, |number, value| {
            let number = record::read_number(number)?;
            let record = record::read_session(value)?;
            let version = record::version(record.level)?;
            let (will, will_due) = match &record.will {
                Some(will) => (Some(will.will()?), will.due.map(Timestamp)),
                None => (None, None),
            };
            let kept = Kept {
                version,
                session_expiry: record.session_expiry,
                will,
                deliveries: Vec::new(),
                released: Vec::new(),
                received: Vec::new(),
            };
            self.sessions.push(LoadedSession { number, record, kept, will_due, subscriptions: Vec::new() });
            Ok(())
        })?;
        // Both tables come in the order of session numbers, so one walk finds all; nothing is looked up.
        let mut sessions = Cursor::new(&mut self.sessions);
        let mut orphans = Vec::new();
        each(store, Table::Subscriptions, &mut self.unreadable, |key, value| {
            let (number, filter) = key.split_at_checked(8).ok_or_else(|| corrupt("a short key"))?;
            let (options, id, owes_retained) = record::read_subscription(value)?;
            let filter = Filter::new(record::text(filter)?).map_err(|error| corrupt(error.to_string()))?;
            // One whose session can't be read is left where it is: should that be mended, it is there.
            let number = record::read_number(number)?;
            match sessions.find(number) {
                Some(session) => {
                    session.subscriptions.push(LoadedSubscription { filter, options, id, owes_retained });
                }
                None => orphans.push((number, key.to_vec())),
            }
            Ok(())
        })?;
        self.remove_orphans(store, Table::Subscriptions, orphans)?;
        let mut sessions = Cursor::new(&mut self.sessions);
        let mut orphans = Vec::new();
        each(store, Table::Received, &mut self.unreadable, |key, _| {
            let (number, id) = key.split_at_checked(8).ok_or_else(|| corrupt("a short key"))?;
            let id = id.try_into().ok().map(u16::from_be_bytes).and_then(PacketId::new);
            let id = id.ok_or_else(|| corrupt("not a packet id"))?;
            let number = record::read_number(number)?;
            match sessions.find(number) {
                Some(session) => session.kept.received.push(id),
                None => orphans.push((number, key.to_vec())),
            }
            Ok(())
        })?;
        self.remove_orphans(store, Table::Received, orphans)
    }

    fn read_deliveries(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut messages = HashMap::new();
        each(store, Table::Messages, &mut self.unreadable, |number, value| {
            messages.insert(record::read_number(number)?, Arc::new(record::read_publication(value)?));
            Ok(())
        })?;
        let mut last_message = messages.keys().copied().max().unwrap_or(0);
        let mut sent = HashMap::new();
        each(store, Table::Sent, &mut self.unreadable, |key, value| {
            let id = value.try_into().ok().map(u16::from_le_bytes).and_then(PacketId::new);
            sent.insert(record::read_pair(key)?, id.ok_or_else(|| corrupt("not a packet id"))?);
            Ok(())
        })?;
        let mut sessions = Cursor::new(&mut self.sessions);
        let mut orphans = Vec::new();
        each(store, Table::Deliveries, &mut self.unreadable, |key, value| {
            let (session, number) = record::read_pair(key)?;
            let Some(session) = sessions.find(session) else {
                orphans.push((session, key.to_vec()));
                return Ok(());
            };
            let owed = record::read_owed(number, value, |message| {
                // Its number is not given to another, even if it is lost: what was for one would be sent to another.
                last_message = last_message.max(message);
                messages.get(&message).cloned()
            })?;
            match owed {
                Owed::Released(packet_id, order) => {
                    session.kept.released.push(Released { number, order, packet_id });
                }
                Owed::Delivery(mut delivery, message) => {
                    if let Some(message) = message {
                        // One keeper more: the record of the message goes with the last of them.
                        delivery.publication.place.keep(message);
                    }
                    if let Some(&packet_id) = sent.get(&(session.number, number)) {
                        delivery.packet_id = Some(packet_id);
                        // It has a record in `Sent`, which is to go when it is finished.
                        delivery.was_queued = true;
                    }
                    session.kept.deliveries.push(*delivery);
                }
            }
            Ok(())
        })?;
        self.last_message = last_message;
        let sent = orphans.iter().filter_map(|(session, key)| {
            let pair = record::read_pair(key).ok()?;
            sent.contains_key(&pair).then(|| (*session, key.clone()))
        });
        self.remove_orphans(store, Table::Sent, sent.collect())?;
        let had_orphans = !orphans.is_empty();
        self.remove_orphans(store, Table::Deliveries, orphans)?;
        // What can't be read may be what keeps a message.
        let keeps = |record: &Unreadable| matches!(record.table, Table::Sessions | Table::Deliveries);
        if had_orphans && !self.unreadable.iter().any(keeps) {
            let unkept = messages.iter().filter(|(_, publication)| publication.place.number() == 0);
            remove_all(store, Table::Messages, unkept.map(|(number, _)| number.to_be_bytes().to_vec()))?;
        }
        Ok(())
    }
}

fn remove_all(store: &dyn Store, table: Table, keys: impl Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
    let mut steps = Steps::default();
    keys.for_each(|key| steps.remove(table, &key));
    if steps.is_empty() { Ok(()) } else { store.write(&steps) }
}

fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    let mut is_empty = true;
    for table in Table::ALL {
        // Whatever the error, one record is enough.
        let read = store.read(table, &mut |_, _| {
            is_empty = false;
            Err(corrupt("enough"))
        });
        if is_empty {
            read?;
        }
    }
    Ok(is_empty)
}

/// Shows `visit` each record of a module's own with its key, in order of keys; there may be very many.
pub fn read_records(
    store: &dyn Store,
    module: &str,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let prefix = record_key(module, &[]);
    store.read(Table::Records, &mut |key, record| match key.strip_prefix(&prefix[..]) {
        Some(key) => visit(key, record),
        None => Ok(()),
    })
}

impl Alive {
    pub(crate) fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.wall.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.clock.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.since_boot.to_le_bytes());
        bytes[24..].copy_from_slice(&self.boot.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        // Up to schema 2 there was one clock.
        if let Ok(wall) = bytes.try_into().map(u64::from_le_bytes) {
            return Some(Self { wall, clock: Timestamp(wall), ..Self::default() });
        }
        let bytes: &[u8; 40] = bytes.try_into().ok()?;
        let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        Some(Self {
            wall: number(0)?,
            clock: Timestamp(number(8)?),
            since_boot: number(16)?,
            boot: bytes[24..].try_into().ok().map(u128::from_le_bytes)?,
        })
    }
}

/// Walks sessions along records that come in the same order.
struct Cursor<'a> {
    sessions: &'a mut [LoadedSession],
    at: usize,
}

impl<'a> Cursor<'a> {
    const fn new(sessions: &'a mut [LoadedSession]) -> Self {
        Self { sessions, at: 0 }
    }

    /// `number` is never lower than before.
    fn find(&mut self, number: u64) -> Option<&mut LoadedSession> {
        while self.sessions.get(self.at).is_some_and(|session| session.number < number) {
            self.at += 1;
        }
        self.sessions.get_mut(self.at).filter(|session| session.number == number)
    }
}
