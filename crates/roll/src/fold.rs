//! What the log comes to.

mod checks;
mod clients;
mod nodes;
mod row;
mod rules;
mod snapshot;
mod view;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;

pub use checks::CHECK_EVERY;
pub use clients::{MAX_CLIENTS, MAX_TRAILS};
pub use nodes::{Life, MAX_NODES, Node};
pub use view::Client;

use crate::batch::Records;
use crate::{Batch, Digest, Effect, Error, Head, Reason, Record, Versions};
use checks::Checks;
use clients::{Clients, Found};
use nodes::Nodes;
use row::Slot;

/// Which versions of records this crate reads.
pub const READS: Versions = Versions { from: 1, to: 1 };

/// Bytes of all settings together, keys and values. One that does not fit is ignored.
pub const MAX_SETTINGS: usize = 4 * 1024 * 1024;

/// The state of a cluster after a part of its log.
///
/// It is the same at every node that has read as far: it reads no clock, asks nobody, and does not know at which node it
/// is. [`Self::handle_batch`] takes the next batch, and then [`Self::poll_effect`] is called until it has nothing more.
pub struct Fold {
    position: u64,
    /// How many comings and goings have been told.
    events: u64,
    digest: Digest,
    /// The version in which records are written.
    gate: u16,
    nodes: Nodes,
    clients: Clients,
    settings: BTreeMap<ByteString, Bytes>,
    checks: Checks,
    work: Option<Work>,
}

/// What is left of a batch.
struct Work {
    head: Head,
    node: Slot,
    records: Records,
    /// They come before the next record.
    going: Going,
    /// What comes when they are through.
    behind: Option<Effect>,
    /// Found, and not told yet: a record has few effects, but for those that go.
    effects: VecDeque<Effect>,
}

/// The clients of a node whose life is over.
struct Going {
    clients: std::vec::IntoIter<Found>,
    epoch: u64,
    at: u64,
    reason: Reason,
}

/// What a batch was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Counts,
    /// It has counted before.
    Resent,
    /// It comes after one that is missing: with that one, all of this life that follow are void.
    Gap,
    /// Its node is not live, or not in this life any more.
    Fenced,
    /// Its node can't join, for its life has begun before the last one of this name, or in the future.
    Stale,
    /// Its node can't join, for it does not read what is written.
    Gated,
    /// Its node can't join, for [too many](MAX_NODES) have.
    Crowded,
}

/// A batch that was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// Whose it is.
    pub head: Head,
    /// What it was worth.
    pub verdict: Verdict,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            position: 0,
            events: 0,
            digest: Digest::default(),
            gate: READS.from,
            nodes: Nodes::default(),
            clients: Clients::default(),
            settings: BTreeMap::new(),
            checks: Checks::default(),
            work: None,
        }
    }
}

impl Fold {
    /// Of a log in which nothing is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the batch at the next position.
    ///
    /// # Errors
    /// It is not the next one, or it can't be read, and then the fold is as it was. One that is not well formed can be
    /// [passed over](Self::pass_over); with one of a later version there is no going on.
    pub fn handle_batch(&mut self, position: u64, bytes: Bytes) -> Result<Handled, Error> {
        self.expect(position)?;
        let batch = Batch::decode(bytes.clone())?;
        self.read(position, &bytes);
        let verdict = self.judge(&batch);
        let Batch { head, .. } = &batch;
        let (records, node) = match verdict {
            Verdict::Counts => (batch.records(), self.nodes.slot(&head.node).unwrap_or_default()),
            _ => (Records::default(), 0),
        };
        let mut work = Work::new(head.clone(), node, records);
        if verdict == Verdict::Counts && head.n == 0 {
            self.join(&mut work);
        }
        // Whatever it says, its node has said it.
        if let (Verdict::Counts | Verdict::Resent | Verdict::Gap, Some(slot)) = (verdict, self.nodes.slot(&head.node)) {
            let node = self.nodes.at_mut(slot);
            node.last = position;
            node.last_at = node.last_at.max(head.at);
            node.next += u64::from(verdict == Verdict::Counts && head.n > 0);
        }
        self.work = Some(work);
        Ok(Handled { head: batch.head, verdict })
    }

    /// Takes what is at the next position for a batch that is void.
    ///
    /// # Errors
    /// It is not the next position.
    pub fn pass_over(&mut self, position: u64, bytes: &[u8]) -> Result<(), Error> {
        self.expect(position)?;
        self.read(position, bytes);
        self.finish();
        Ok(())
    }

    /// What follows from the batch, one after the other. `None`: that was all, and the next batch may come.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        // Out of its place, so that rules can change the rest.
        let mut work = self.work.take()?;
        loop {
            if let Some(effect) = work.effects.pop_front() {
                self.work = Some(work);
                return Some(effect);
            }
            if let Some(found) = work.going.clients.next() {
                self.go(found, &mut work);
            } else if let Some(effect) = work.behind.take() {
                work.effects.push_back(effect);
            } else if let Some(record) = work.records.next() {
                self.follow(record, &mut work);
            } else {
                self.finish();
                return None;
            }
        }
    }

    fn expect(&self, position: u64) -> Result<(), Error> {
        let expected = self.position + 1;
        match () {
            () if self.work.is_some() => Err(Error::Unfinished),
            () if position != expected => Err(Error::Position { expected, found: position }),
            () => Ok(()),
        }
    }

    fn read(&mut self, position: u64, bytes: &[u8]) {
        self.position = position;
        self.digest.mix(position);
        self.digest.mix_bytes(bytes);
    }

    /// What was made of a batch goes into the digest too: it is not only the log that may differ.
    fn finish(&mut self) {
        self.digest.mix(self.events);
        self.checks.note(self.position, self.digest);
    }

    fn judge(&self, batch: &Batch) -> Verdict {
        let Head { node, epoch, n, .. } = &batch.head;
        let known = self.nodes.slot(node).map(|slot| self.nodes.at(slot));
        let current = known.filter(|node| node.is_live() && node.epoch == *epoch);
        match (current, n) {
            (Some(node), n) if *n < node.next => Verdict::Resent,
            (Some(node), n) if *n > node.next => Verdict::Gap,
            (Some(_), _) => Verdict::Counts,
            (None, 1..) => Verdict::Fenced,
            (None, 0) => {
                let Some(Record::Join(join)) = batch.records().next() else { return Verdict::Fenced };
                match () {
                    // A join that comes late, behind one of the same name.
                    () if *epoch > self.position || known.is_some_and(|node| *epoch <= node.epoch) => Verdict::Stale,
                    () if !join.versions.includes(self.gate) => Verdict::Gated,
                    () if self.nodes.slot_for(node).is_none() => Verdict::Crowded,
                    () => Verdict::Counts,
                }
            }
        }
    }
}

impl Work {
    fn new(head: Head, node: Slot, records: Records) -> Self {
        let going = Going { clients: Vec::new().into_iter(), epoch: 0, at: 0, reason: Reason::NodeDown };
        Self { head, node, records, going, behind: None, effects: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests;
