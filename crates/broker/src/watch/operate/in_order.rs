//! Clients in order of their ids, sorted only as far as someone looks.

use std::cmp::Ordering;

use crate::client::ClientRef;

/// Clients that are looked at before others have their turn.
const SLICE: usize = 256;

/// Clients that are sorted first; each time that more are looked at, four times as many follow.
const FIRST_SORTED: usize = 1024;

pub(super) struct InOrder {
    clients: Vec<ClientRef>,
    next: usize,
    /// Those before it are where they belong.
    sorted: usize,
    together: usize,
}

impl InOrder {
    /// Likely at least `few` are looked at.
    pub(super) fn new(clients: Vec<ClientRef>, few: usize) -> Self {
        Self { clients, next: 0, sorted: 0, together: FIRST_SORTED.max(few.saturating_add(1)) }
    }

    /// Leaves out the first `n`, which costs less than looking at them. For the beginning. Returns how many they were.
    pub(super) fn pass(&mut self, n: usize) -> usize {
        let n = n.min(self.clients.len());
        if n < self.clients.len() && n > 0 {
            self.clients.select_nth_unstable_by(n, by_id);
        }
        self.next = n;
        self.sorted = n;
        n
    }
}

impl Iterator for InOrder {
    type Item = ClientRef;

    fn next(&mut self) -> Option<ClientRef> {
        let rest = self.clients.get_mut(self.sorted..).unwrap_or_default();
        if self.next == self.sorted && !rest.is_empty() {
            let together = self.together.min(rest.len());
            if together < rest.len() {
                rest.select_nth_unstable_by(together, by_id);
            }
            rest[..together].sort_unstable_by(by_id);
            self.sorted += together;
            self.together = self.together.saturating_mul(4);
        }
        let client = self.clients.get(self.next)?.clone();
        self.next += 1;
        // Whoever looks at many holds no lock between two of them.
        if self.next.is_multiple_of(SLICE) {
            std::thread::yield_now();
        }
        Some(client)
    }
}

fn by_id(one: &ClientRef, other: &ClientRef) -> Ordering {
    one.id[..].cmp(&other.id[..])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_session::{Config, Session};

    use super::*;

    #[test]
    fn clients_come_in_order_however_many_are_left_out() {
        let config = Arc::new(Config::default());
        let id = |n: usize| format!("{n:05}");
        let mixed = (0..7000).map(|n| (n * 4999) % 7000);
        let clients: Vec<_> = mixed.map(|n| ClientRef::new(id(n).into(), Session::new(Arc::clone(&config)))).collect();
        for (few, passed) in [(0, 0), (1, 1), (3000, 10), (5, 6999), (5, 7000), (5, 9000)] {
            let mut order = InOrder::new(clients.clone(), few);
            assert_eq!(order.pass(passed), passed.min(7000));
            let expected = (passed..7000).map(id);
            assert!(order.map(|client| client.id.to_string()).eq(expected), "{few} {passed}");
        }
    }
}
