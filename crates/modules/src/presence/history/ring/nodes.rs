//! Where the events lie.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::Hash;

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// An event, and its neighbours: those there is none of are [`NONE`].
pub(super) struct Node {
    /// `None`: nobody's.
    pub(super) record: Option<Arc<[u8]>>,
    pub(super) number: u64,
    pub(super) hash: Hash,
    /// Where it is kept.
    pub(super) place: u32,
    /// Of all events.
    pub(super) older: u32,
    /// Of all events; of nobody's nodes, the next of those.
    pub(super) newer: u32,
    /// Of this client's events: the next newer one. If there is none, what follows below is about all of the client's.
    pub(super) following: u32,
    pub(super) oldest: u32,
    /// The room of all of them together.
    pub(super) taken: u32,
    /// Of those who take the same.
    pub(super) before: u32,
    pub(super) behind: u32,
    pub(super) weight: u16,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            record: None,
            number: 0,
            hash: Hash(0),
            place: 0,
            older: NONE,
            newer: NONE,
            following: NONE,
            oldest: NONE,
            taken: 0,
            before: NONE,
            behind: NONE,
            weight: 0,
        }
    }
}

/// The nodes, by where they are.
pub(super) struct Nodes {
    all: Vec<Node>,
    /// The first of nobody's.
    free: u32,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { all: Vec::new(), free: NONE }
    }
}

impl Nodes {
    /// Nothing for [`NONE`].
    pub(super) fn get(&self, at: u32) -> Option<&Node> {
        self.all.get(at as usize)
    }

    /// Nothing for [`NONE`].
    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.all.get_mut(at as usize)
    }

    /// Nobody's ones too.
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn add(&mut self, node: Node) -> u32 {
        if self.free == NONE {
            self.all.push(node);
            return (self.all.len() - 1) as u32;
        }
        let at = self.free;
        self.free = self[at].newer;
        self[at] = node;
        at
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<Arc<[u8]>> {
        let record = self[at].record.take();
        // No look-up finds it.
        self[at].number = 0;
        self[at].newer = self.free;
        self.free = at;
        record
    }

    pub(super) fn reserve(&mut self, most: usize) {
        self.all.reserve_exact(most.saturating_sub(self.all.len()));
    }
}

impl Index<u32> for Nodes {
    type Output = Node;

    fn index(&self, at: u32) -> &Node {
        &self.all[at as usize]
    }
}

impl IndexMut<u32> for Nodes {
    fn index_mut(&mut self, at: u32) -> &mut Node {
        &mut self.all[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of the processor's cache.
    #[test]
    fn a_node_costs_64_bytes() {
        assert!(size_of::<Node>() <= 64, "{}", size_of::<Node>());
    }
}
