//! All events in the order of their numbers.

use std::collections::BTreeMap;

use super::nodes::{NONE, Nodes};

/// Events from one mark to the next, at the most.
const STRIDE: u32 = 64;

/// A list through the nodes, with marks in it to find a number by: an event costs a mark only now and then.
pub(super) struct Order {
    oldest: u32,
    newest: u32,
    /// Nodes by their numbers. Those before the first mark are fewer than [`STRIDE`], and so are those between two.
    marks: BTreeMap<u64, u32>,
    /// Events since the last mark was set.
    unmarked: u32,
}

impl Default for Order {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE, marks: BTreeMap::new(), unmarked: 0 }
    }
}

impl Order {
    pub(super) const fn oldest(&self) -> u32 {
        self.oldest
    }

    pub(super) const fn newest(&self) -> u32 {
        self.newest
    }

    /// Its number is the highest.
    pub(super) fn push(&mut self, at: u32, nodes: &mut Nodes) {
        nodes[at].older = self.newest;
        match nodes.get_mut(self.newest) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.unmarked += 1;
        if self.unmarked == STRIDE {
            self.unmarked = 0;
            self.marks.insert(nodes[at].number, at);
        }
    }

    pub(super) fn remove(&mut self, at: u32, nodes: &mut Nodes) {
        let (number, older, newer) = (nodes[at].number, nodes[at].older, nodes[at].newer);
        match nodes.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match nodes.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        // Where the oldest goes none is needed: the list begins there.
        let is_marked = self.marks.first_key_value().is_some_and(|(first, _)| *first <= number)
            && self.marks.remove(&number).is_some();
        if is_marked && older != NONE {
            match nodes.get(newer) {
                Some(next) => drop(self.marks.insert(next.number, newer)),
                None => self.unmarked = STRIDE - 1,
            }
        }
    }

    /// The first with this number or a higher one.
    pub(super) fn at_or_after(&self, number: u64, nodes: &Nodes) -> u32 {
        let mark = self.marks.range(..=number).next_back();
        let mut at = mark.map_or(self.oldest, |(_, at)| *at);
        while let Some(node) = nodes.get(at).filter(|node| node.number < number) {
            at = node.newer;
        }
        at
    }

    /// The last with a lower number.
    pub(super) fn before(&self, number: u64, nodes: &Nodes) -> u32 {
        let found = self.at_or_after(number, nodes);
        nodes.get(found).map_or(self.newest, |node| node.older)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Node;
    use super::*;

    proptest! {
        #[test]
        fn a_number_is_found_however_many_have_gone(
            gaps in prop::collection::vec(1u64..4, 1..600),
            goes in prop::collection::vec(any::<prop::sample::Index>(), 0..900),
            newest_goes in 0usize..200,
        ) {
            let (mut nodes, mut order, mut plain) = (Nodes::default(), Order::default(), BTreeMap::new());
            let (mut number, mut goes) = (0, goes.into_iter());
            for (n, gap) in gaps.into_iter().enumerate() {
                number += gap;
                let at = nodes.add(Node { number, ..Node::default() });
                order.push(at, &mut nodes);
                plain.insert(number, at);
                let last = if n < newest_goes { plain.keys().next_back().copied() } else { None };
                let some = goes.next().filter(|_| !plain.is_empty()).map(|index| *index.get(&plain.keys().collect::<Vec<_>>()));
                for gone in [last, some.copied()].into_iter().flatten() {
                    if let Some(at) = plain.remove(&gone) {
                        order.remove(at, &mut nodes);
                        nodes.remove(at);
                    }
                }
            }
            for number in 0..number + 2 {
                let found = |at: u32| nodes.get(at).map(|node| node.number);
                let at_or_after = plain.range(number..).next().map(|(number, _)| *number);
                prop_assert_eq!(found(order.at_or_after(number, &nodes)), at_or_after);
                prop_assert_eq!(found(order.before(number, &nodes)), plain.range(..number).next_back().map(|(number, _)| *number));
            }
            prop_assert!(order.marks.iter().all(|(number, at)| plain.get(number) == Some(at)));
            let walk = |number: u64| order.marks.range(..=number).next_back().map_or(0, |(mark, _)| *mark)..number;
            let longest = plain.keys().map(|number| plain.range(walk(*number)).count()).max();
            prop_assert!(longest.unwrap_or(0) < 2 * STRIDE as usize);
        }
    }
}
