//! Who takes how much.

use super::nodes::{NONE, Nodes};

/// Those who take so much or more are taken to be alike.
const MOST: u32 = 4096;

/// Clients, by the newest event of each, in lines of those who take the same. Who has taken so much the longest comes first.
#[derive(Default)]
pub(super) struct Shares {
    /// By what is taken.
    lines: Vec<Line>,
    /// No client is in a line at or above this.
    top: usize,
}

#[derive(Clone, Copy)]
struct Line {
    first: u32,
    last: u32,
}

impl Shares {
    const EMPTY: Line = Line { first: NONE, last: NONE };

    pub(super) fn add(&mut self, at: u32, nodes: &mut Nodes) {
        let number = line_of(at, nodes);
        if self.lines.len() <= number {
            self.lines.resize(number + 1, Self::EMPTY);
        }
        let line = &mut self.lines[number];
        (nodes[at].before, nodes[at].behind) = (line.last, NONE);
        match nodes.get_mut(line.last) {
            Some(last) => last.behind = at,
            None => line.first = at,
        }
        line.last = at;
        self.top = self.top.max(number + 1);
    }

    pub(super) fn remove(&mut self, at: u32, nodes: &mut Nodes) {
        let line = &mut self.lines[line_of(at, nodes)];
        let (before, behind) = (nodes[at].before, nodes[at].behind);
        match nodes.get_mut(before) {
            Some(before) => before.behind = behind,
            None => line.first = behind,
        }
        match nodes.get_mut(behind) {
            Some(behind) => behind.before = before,
            None => line.last = before,
        }
    }

    /// Who takes the most.
    pub(super) fn most(&mut self) -> Option<u32> {
        // It was raised for each of these steps.
        while let Some(below) = self.top.checked_sub(1) {
            let first = self.lines[below].first;
            if first != NONE {
                return Some(first);
            }
            self.top = below;
        }
        None
    }
}

fn line_of(at: u32, nodes: &Nodes) -> usize {
    nodes[at].taken.min(MOST) as usize
}
