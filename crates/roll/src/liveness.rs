//! Who is silent, counted in the log.

use std::collections::HashMap;

use bytestring::ByteString;

use crate::{Dead, Fold, Handled, Verdict};

/// So many whole beats of ours without a word of another node, and it is dead.
pub const BEATS: u64 = 6;

/// What one node knows of the silence of others. It is not part of the fold: each counts its own beats.
///
/// No clock is compared. While nobody can append nobody beats, and so nobody is dead.
#[derive(Clone, Debug)]
pub struct Liveness {
    me: ByteString,
    /// Of ours, those that count.
    beats: u64,
    /// As the last batch of ours had it.
    beat: u64,
    /// How many of our beats there had been when another node was heard last.
    heard: HashMap<ByteString, u64>,
}

impl Liveness {
    /// Of a node by this name.
    pub fn new(me: ByteString) -> Self {
        Self { me, beats: 0, beat: 0, heard: HashMap::new() }
    }

    /// Notes who has spoken.
    pub fn note(&mut self, handled: &Handled) {
        let Handled { head, verdict } = handled;
        match verdict {
            Verdict::Counts | Verdict::Resent | Verdict::Gap => {}
            Verdict::Fenced | Verdict::Stale | Verdict::Gated | Verdict::Crowded => return,
        }
        if head.node != self.me {
            self.heard.insert(head.node.clone(), self.beats);
        } else if *verdict == Verdict::Counts && (head.beat != self.beat || head.n == 0) {
            // However long it was on its way, one batch is one beat: half a minute without a log must not count for sixty.
            self.beat = head.beat;
            self.beats += 1;
        }
    }

    /// Begins to count anew for all: it was us, or the log, that did not get on, and others may need as long as we did
    /// to be back.
    pub fn excuse(&mut self) {
        self.heard.clear();
    }

    /// Who is to be declared dead, as far as this has read.
    pub fn silent(&mut self, fold: &Fold) -> Vec<Dead> {
        let Self { me, beats, heard, .. } = self;
        heard.retain(|name, _| fold.node(name).is_some_and(crate::Node::is_live));
        let others = fold.nodes().filter(|node| node.is_live() && node.name != *me);
        let silent = others.filter(|node| {
            let heard = heard.entry(node.name.clone()).or_insert(*beats);
            // The first beat after its word may have come at once, so it is no whole one: with two beats a second, a node that
            // stood still for two and a half has half a second to speak again.
            *beats - *heard > BEATS
        });
        silent.map(|node| Dead { node: node.name.clone(), epoch: node.epoch, last: node.last }).collect()
    }
}
