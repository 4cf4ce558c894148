//! Whether all have read the same.

use std::collections::VecDeque;

use super::row::Slot;
use crate::Digest;

/// Every so many positions nodes tell each other what they have read.
pub const CHECK_EVERY: u64 = 4096;

/// How many of those are remembered: who is further behind when it tells is not compared.
const KEPT: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks(pub(super) VecDeque<Point>);

/// What this reader had read at a position, and who has said what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) position: u64,
    pub(super) digest: Digest,
    pub(super) same: Vec<Slot>,
    pub(super) other: Vec<Slot>,
}

/// What comes of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) ours: Digest,
    pub(super) is_outvoted: bool,
}

impl Checks {
    /// Notes what has been read so far, if this is a place for it.
    pub(super) fn note(&mut self, position: u64, digest: Digest) {
        if position.is_multiple_of(CHECK_EVERY) {
            if self.0.len() == KEPT {
                self.0.pop_front();
            }
            self.0.push_back(Point { position, digest, same: Vec::new(), other: Vec::new() });
        }
    }

    /// The last one that was noted.
    pub(super) fn last(&self) -> Option<&Point> {
        self.0.back()
    }

    /// A node has told what it had read. `live`: how many nodes may tell. `None`: it is the same, or nothing is known.
    pub(super) fn compare(&mut self, node: Slot, position: u64, theirs: Digest, live: usize) -> Option<Difference> {
        let point = self.0.iter_mut().find(|point| point.position == position)?;
        if point.same.contains(&node) || point.other.contains(&node) {
            return None;
        }
        let ours = point.digest;
        let votes = if theirs == ours { &mut point.same } else { &mut point.other };
        votes.push(node);
        let (same, other) = (point.same.len(), point.other.len());
        // One that is wrong must not silence those that are right, so all are waited for unless most are against us; this
        // reader's own is among them. When it is even, nobody knows who is right.
        let is_outvoted = other * 2 > live || (other > 0 && other >= same && same + other >= live);
        (theirs != ours || is_outvoted).then_some(Difference { ours, is_outvoted })
    }
}
