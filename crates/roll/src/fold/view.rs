//! What can be asked of the fold.

use bytes::Bytes;

use super::row::Row;
use super::{Fold, Node, Work};
use crate::Digest;
use crate::record::Record;

/// A client that is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its id.
    pub id: &'a str,
    /// Where it is.
    pub node: &'a Node,
    /// By its node's count.
    pub conn: u64,
    /// Of its coming.
    pub event: u64,
    /// Of its coming.
    pub seq: u64,
    /// When it came: milliseconds since the Unix epoch.
    pub at: u64,
    /// As it came with [`Up`](crate::Up).
    pub info: &'a [u8],
}

impl Fold {
    /// Of the last batch that was handled. 0: none was.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Of all that was handled.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many comings and goings have been told.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The version in which records are written.
    pub const fn gate(&self) -> u16 {
        self.gate
    }

    /// A version that all who live read and that is not written yet.
    pub fn next_gate(&self) -> Option<u16> {
        let version = self.nodes.live().map(|node| node.versions.to).min()?;
        (version > self.gate && self.nodes.live().all(|node| node.versions.includes(version))).then_some(version)
    }

    /// The epoch for a life that begins now: no other of the same name has had it.
    pub const fn next_epoch(&self) -> u64 {
        self.position + 1
    }

    /// A node, alive or not.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.slot(name).map(|slot| self.nodes.at(slot))
    }

    /// All that are known, alive or not.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.0.iter()
    }

    /// The live node whose name comes first: it does what is done once in the cluster.
    pub fn first(&self) -> Option<&Node> {
        self.nodes.live().min_by(|one, other| one.name.cmp(&other.name))
    }

    /// A client, if it is online.
    pub fn client(&self, id: &str) -> Option<Client<'_>> {
        self.clients.get(id).and_then(|row| self.client_of(row))
    }

    /// All who are online, in no order.
    pub fn clients(&self) -> impl Iterator<Item = Client<'_>> {
        self.clients.iter().filter_map(|row| self.client_of(row))
    }

    /// Wills that wait: each with its client, the event since which it does, and until when: milliseconds since the Unix epoch.
    pub fn waiting_wills(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let waits =
            |row: Row<'_>| row.will.filter(|_| !row.is_online).map(|(delay, _)| row.at + u64::from(delay) * 1000);
        self.clients.iter().filter_map(move |row| {
            let (id, event) = (row.id, row.event);
            waits(row).map(|due| (id, event, due))
        })
    }

    /// How many clients are online.
    pub const fn online(&self) -> usize {
        self.clients.online()
    }

    /// How many clients are known, those included that are kept for their counts, sessions or wills.
    pub fn known(&self) -> usize {
        self.clients.len()
    }

    /// Where a client's session is kept.
    pub fn home(&self, client: &str) -> Option<&Node> {
        self.clients.get(client)?.home.map(|slot| self.nodes.at(slot))
    }

    /// Whose sessions are kept at a node, in no order.
    pub fn homes_at(&self, node: &str) -> impl Iterator<Item = &str> {
        let slot = self.nodes.slot(node);
        self.clients.iter().filter(move |row| row.home.is_some() && row.home == slot).map(|row| row.id)
    }

    /// A setting of the cluster.
    pub fn setting(&self, key: &str) -> Option<&Bytes> {
        self.settings.get(key)
    }

    /// All settings of the cluster.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.settings.iter().map(|(key, value)| (&**key, value))
    }

    /// What this reader has to tell of what it has read, if it has come far enough. It is the same until there is another.
    pub fn check(&self) -> Option<Record> {
        let point = self.checks.last()?;
        Some(Record::Check { position: point.position, digest: point.digest })
    }

    /// The memory that clients take: bytes, as far as they can be known.
    pub fn held(&self) -> usize {
        self.clients.held()
    }

    /// Effects of the last batch have not been polled yet.
    pub fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    fn client_of<'a>(&'a self, row: Row<'a>) -> Option<Client<'a>> {
        let Row { id, conn, event, seq, at, info, .. } = row;
        row.is_online.then(|| Client { id, node: self.nodes.at(row.node), conn, event, seq, at, info })
    }
}

impl Work {
    /// How much of it is left can't be told without doing it.
    pub(super) fn name(&self) -> &str {
        &self.head.node
    }
}

impl std::fmt::Debug for Fold {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Fold")
            .field("position", &self.position)
            .field("events", &self.events)
            .field("digest", &self.digest)
            .field("nodes", &self.nodes.0)
            .field("online", &self.online())
            .field("busy_with", &self.work.as_ref().map(Work::name))
            .finish_non_exhaustive()
    }
}
