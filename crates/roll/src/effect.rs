//! What the fold tells, in the log's order.

use bytes::Bytes;
use bytestring::ByteString;

use crate::Digest;

/// Something that has happened in the cluster. Every reader of the log is told the same, in the same order, but for
/// [`Self::Differs`] and [`Self::Outvoted`], which are about the reader itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A client is in.
    Connected(Connected),
    /// A client is gone. Of one client this and [`Self::Connected`] alternate.
    Disconnected(Disconnected),
    /// A will is to be published, before what comes next.
    Will {
        /// Whose.
        client: ByteString,
        /// At which node that was.
        node: ByteString,
        /// As it came with [`Up`](crate::Up).
        message: Bytes,
    },
    /// A will has to wait. Some node is to append [`WillDue`](crate::Record::WillDue) when it is time.
    WillWaits {
        /// Whose.
        client: ByteString,
        /// Of the disconnection that it waits since.
        event: u64,
        /// Seconds.
        delay: u32,
    },
    /// A connection can't be known: there are [too many](crate::MAX_CLIENTS).
    Refused {
        /// Whose.
        client: ByteString,
        /// Where.
        node: ByteString,
        /// Which.
        conn: u64,
    },
    /// A node has come.
    Joined {
        /// Which.
        node: ByteString,
        /// Of the life that begins.
        epoch: u64,
        /// As it came with [`Join`](crate::Join).
        nonce: u64,
    },
    /// A node's life is over; [`Self::Disconnected`] of each of its clients follows. Who finds itself here is *fenced*: what it
    /// appends is void.
    Gone {
        /// Which.
        node: ByteString,
        /// Of the life that is over.
        epoch: u64,
        /// How it came.
        end: End,
    },
    /// A client's session is kept elsewhere from now on.
    Home {
        /// Whose.
        client: ByteString,
        /// `None`: nowhere.
        node: Option<ByteString>,
    },
    /// Something holds in the whole cluster.
    Setting {
        /// Its name.
        key: ByteString,
        /// `None`: it was taken back.
        value: Option<Bytes>,
    },
    /// The sessions that a node kept are kept nowhere from now on.
    Forgotten {
        /// Which.
        node: ByteString,
        /// How many they were.
        sessions: u64,
    },
    /// Records of this version are written from now on.
    Gate(u16),
    /// Another node has read something else than this one: one of both is wrong.
    Differs {
        /// The other one.
        node: ByteString,
        /// Up to and with this position.
        position: u64,
        /// What this one has read.
        ours: Digest,
        /// What the other one has read.
        theirs: Digest,
    },
    /// As many or more nodes have read something else than this one as have read the same: it must not tell any more.
    Outvoted {
        /// Up to and with this position.
        position: u64,
    },
}

/// A client is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Counts all comings and goings in the log from 1 on: the place of this one.
    pub event: u64,
    /// Counts those of the client; none comes twice, and none is left out as long as the client is known.
    pub seq: u64,
    /// Who.
    pub client: ByteString,
    /// Where.
    pub node: ByteString,
    /// Of the node's life.
    pub epoch: u64,
    /// Of the node's.
    pub conn: u64,
    /// It ended the session that was there.
    pub is_clean: bool,
    /// Milliseconds since the Unix epoch. Of one client it never goes back.
    pub at: u64,
    /// As it came with [`Up`](crate::Up).
    pub info: Bytes,
}

/// A client is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnected {
    /// Counts all comings and goings in the log from 1 on: the place of this one.
    pub event: u64,
    /// Counts those of the client.
    pub seq: u64,
    /// Who.
    pub client: ByteString,
    /// Where it was.
    pub node: ByteString,
    /// Of the node's life.
    pub epoch: u64,
    /// Of the node's.
    pub conn: u64,
    /// Milliseconds since the Unix epoch. Of one client it never goes back.
    pub at: u64,
    /// As it came with [`Up`](crate::Up).
    pub info: Bytes,
    /// Why.
    pub reason: Reason,
}

/// Why a client is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// As its node said in [`Down`](crate::Down), or in [`Left`](crate::Record::Left).
    Said(Bytes),
    /// It came again and went on with its session: `takeovered`.
    TakenOver,
    /// It came again and ended its session: `discarded`.
    Discarded,
    /// Its node is dead, or has started anew: `node_down`.
    NodeDown,
}

/// How a node's life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was silent, as this node found.
    Dead {
        /// Who found it.
        by: ByteString,
    },
    /// It said so.
    Left,
    /// Another life of the same name began.
    Replaced {
        /// The nonce of that one.
        nonce: u64,
    },
}
