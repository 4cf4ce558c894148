//! The nodes that are known.

use bytestring::ByteString;

use super::row::Slot;
use crate::{Head, Join, Versions};

/// Names of nodes that are known. One more takes the place of the one that has been gone for longest and keeps nobody's
/// session; where there is none, it can't join.
pub const MAX_NODES: usize = 256;

/// A node, as all readers of the log see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: ByteString,
    /// Whether it lives.
    pub life: Life,
    /// Of this life: at least the position after the one it had read when it joined, so no two lives have the same.
    pub epoch: u64,
    /// As it came with [`Join`].
    pub nonce: u64,
    /// Where clients find it, if it says so.
    pub addr: ByteString,
    /// Which records it reads.
    pub versions: Versions,
    /// Where this life began.
    pub joined: u64,
    /// By its own clock: milliseconds since the Unix epoch.
    pub joined_at: u64,
    /// The position of its last batch.
    pub last: u64,
    /// By its own clock, when that was.
    pub last_at: u64,
    /// Which batch of it is to come.
    pub next: u64,
    /// Clients that are online here.
    pub clients: u64,
    /// Clients whose session is kept here.
    pub homes: u64,
}

/// Whether a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is part of the cluster.
    Live,
    /// It was silent for too long.
    Dead,
    /// It said so.
    Left,
}

/// By their places, which rows of clients have for a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nodes(pub(super) Vec<Node>);

impl Node {
    /// Whether it is part of the cluster.
    pub fn is_live(&self) -> bool {
        self.life == Life::Live
    }
}

impl Nodes {
    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        self.0.iter().position(|node| *node.name == *name).map(|slot| slot as Slot)
    }

    pub(super) fn at(&self, slot: Slot) -> &Node {
        &self.0[usize::from(slot)]
    }

    pub(super) fn at_mut(&mut self, slot: Slot) -> &mut Node {
        &mut self.0[usize::from(slot)]
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Node> {
        self.0.iter().filter(|node| node.is_live())
    }

    /// A place for a name. `None`: all are taken.
    pub(super) fn slot_for(&self, name: &str) -> Option<Slot> {
        self.slot(name).or_else(|| {
            if self.0.len() < MAX_NODES {
                return Some(self.0.len() as Slot);
            }
            let spare = |(_, node): &(usize, &Node)| !node.is_live() && node.homes == 0;
            let oldest = self.0.iter().enumerate().filter(spare).min_by_key(|(_, node)| node.last);
            oldest.map(|(slot, _)| slot as Slot)
        })
    }

    /// Lets a life begin.
    pub(super) fn seat(&mut self, slot: Slot, head: &Head, join: Join, position: u64) {
        let known = self.0.get(usize::from(slot)).filter(|node| node.name == head.node);
        let node = Node {
            name: own(&head.node),
            life: Life::Live,
            epoch: head.epoch,
            nonce: join.nonce,
            addr: own(&join.addr),
            versions: join.versions,
            joined: position,
            joined_at: head.at,
            last: position,
            last_at: head.at,
            next: 1,
            clients: 0,
            homes: known.map_or(0, |node| node.homes),
        };
        match self.0.get_mut(usize::from(slot)) {
            Some(place) => *place = node,
            None => self.0.push(node),
        }
    }
}

/// A copy that keeps no batch in memory.
pub(super) fn own(text: &ByteString) -> ByteString {
    ByteString::from(String::from(&**text))
}
