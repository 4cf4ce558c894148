//! Steps that are taken together or not at all.

use bytes::BytesMut;

/// Where a record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Single facts about the store and the broker, by name.
    Meta,
    /// Sessions by number.
    Sessions,
    /// Subscriptions by session number and filter.
    Subscriptions,
    /// Messages that several sessions keep, by number.
    Messages,
    /// What sessions owe their clients, by session number and delivery number.
    Deliveries,
    /// Packet ids of deliveries that had waited, by the same key.
    Sent,
    /// Packet ids of QoS 2 messages from clients, by session number and packet id.
    Received,
    /// Retained messages by topic.
    Retained,
    /// Connections that are open, by their number.
    Online,
    /// Wanted states and settings of modules, by name.
    Modules,
    /// What [`hand_over_events`](crate::hand_over_events) moves to [`Self::Records`]; nothing comes here since schema 3.
    Retired,
    /// Small records of other parts of the broker, by name.
    Notes,
    /// Records of modules' own, by module and key.
    Records,
}

impl Table {
    /// All tables. On disk a table is its place in this list: what is new goes to the end.
    pub const ALL: [Self; 13] = [
        Self::Meta,
        Self::Sessions,
        Self::Subscriptions,
        Self::Messages,
        Self::Deliveries,
        Self::Sent,
        Self::Received,
        Self::Retained,
        Self::Online,
        Self::Modules,
        Self::Retired,
        Self::Notes,
        Self::Records,
    ];

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// As it is called in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Sessions => "sessions",
            Self::Subscriptions => "subscriptions",
            Self::Messages => "messages",
            Self::Deliveries => "deliveries",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Retained => "retained",
            Self::Online => "online",
            Self::Modules => "modules",
            Self::Retired => "retired",
            Self::Notes => "notes",
            Self::Records => "records",
        }
    }
}

/// Changes in the order in which they are to be made. A later one of the same record wins.
#[derive(Debug, Default)]
pub struct Steps {
    ops: Vec<Op>,
    /// Keys and values, one behind the other.
    bytes: BytesMut,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    table: Table,
    is_put: bool,
    key_end: usize,
    value_end: usize,
}

/// One change of [`Steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The record has this value from now on.
    Put(Table, &'a [u8], &'a [u8]),
    /// There is no such record any more.
    Remove(Table, &'a [u8]),
}

impl Steps {
    /// Nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn footprint(&self) -> usize {
        self.bytes.len() + self.ops.len() * size_of::<Op>()
    }

    /// Puts a record.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.put_with(table, key, |bytes| bytes.extend_from_slice(value));
    }

    /// Puts a record whose value `write` appends.
    pub fn put_with(&mut self, table: Table, key: &[u8], write: impl FnOnce(&mut BytesMut)) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        write(&mut self.bytes);
        self.ops.push(Op { table, is_put: true, key_end, value_end: self.bytes.len() });
    }

    /// Puts a record whose key is in pieces.
    pub(crate) fn put_by_pieces(&mut self, table: Table, key: &[&[u8]], value: &[u8]) {
        key.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.put(table, &[], value);
    }

    /// Removes the record with such a key, if it is there.
    pub(crate) fn remove_by_pieces(&mut self, table: Table, key: &[&[u8]]) {
        key.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.remove(table, &[]);
    }

    /// Removes a record, if it is there.
    pub fn remove(&mut self, table: Table, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        let end = self.bytes.len();
        self.ops.push(Op { table, is_put: false, key_end: end, value_end: end });
    }

    /// All changes in order.
    pub fn iter(&self) -> impl Iterator<Item = Step<'_>> {
        let mut start = 0;
        self.ops.iter().map(move |op| {
            let key = &self.bytes[start..op.key_end];
            let value = &self.bytes[op.key_end..op.value_end];
            start = op.value_end;
            if op.is_put { Step::Put(op.table, key, value) } else { Step::Remove(op.table, key) }
        })
    }

    /// Appends the changes of another.
    pub fn append(&mut self, other: &Self) {
        for step in other.iter() {
            match step {
                Step::Put(table, key, value) => self.put(table, key, value),
                Step::Remove(table, key) => self.remove(table, key),
            }
        }
    }

    /// Forgets the changes and keeps the memory, if it is not much.
    pub fn clear(&mut self) {
        const KEEP: usize = 1 << 20;
        self.ops.clear();
        self.bytes.clear();
        // One burst may have taken much, and the next may be a day away.
        if self.bytes.capacity() > KEEP {
            *self = Self::default();
        }
    }
}
