//! A list that takes at one end and gives at the other, in pieces.
//!
//! One piece would be moved as a whole each time that it has become twice as long: and where the same is kept for many sessions,
//! those of all of them in the same moment.

use std::collections::VecDeque;

/// Of a piece.
const LEN: usize = 128;

#[derive(Debug)]
pub(super) struct Pieces<T> {
    /// As short as it can be.
    first: VecDeque<T>,
    /// What follows; all but the last are [`LEN`] long, and none is empty.
    rest: VecDeque<Vec<T>>,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self { first: VecDeque::new(), rest: VecDeque::new() }
    }
}

impl<T> Pieces<T> {
    pub(super) fn len(&self) -> usize {
        let full = self.rest.len().saturating_sub(1) * LEN;
        self.first.len() + full + self.rest.back().map_or(0, Vec::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        // The first piece has something as long as there is anything.
        self.first.is_empty()
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.first.front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flatten())
    }

    pub(super) fn push_back(&mut self, item: T) {
        match self.rest.back_mut() {
            None if self.first.len() < LEN => self.first.push_back(item),
            Some(last) if last.len() < LEN => last.push(item),
            _ => {
                let mut next = Vec::with_capacity(LEN);
                next.push(item);
                self.rest.push_back(next);
            }
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let item = self.first.pop_front()?;
        if self.first.is_empty()
            && let Some(next) = self.rest.pop_front()
        {
            self.first = next.into();
        }
        Some(item)
    }

    /// Gives memory back that a burst has left behind; for an empty one.
    pub(super) fn shrink(&mut self) {
        super::shrink(&mut self.first);
        super::shrink(&mut self.rest);
    }
}

impl<T> IntoIterator for Pieces<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<
        std::collections::vec_deque::IntoIter<T>,
        std::iter::Flatten<std::collections::vec_deque::IntoIter<Vec<T>>>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_one_list(bursts in proptest::collection::vec((any::<bool>(), 0..400_usize), 0..20)) {
            let (mut pieces, mut list) = (Pieces::default(), VecDeque::new());
            let mut next = 0;
            for (comes, len) in bursts {
                for _ in 0..len {
                    if comes {
                        pieces.push_back(next);
                        list.push_back(next);
                        next += 1;
                    } else {
                        prop_assert_eq!(pieces.pop_front(), list.pop_front());
                    }
                    prop_assert_eq!(
                        (pieces.len(), pieces.is_empty(), pieces.front()),
                        (list.len(), list.is_empty(), list.front())
                    );
                }
                prop_assert!(pieces.iter().eq(&list));
            }
            prop_assert!(pieces.into_iter().eq(list));
        }
    }
}
