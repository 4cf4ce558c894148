//! Wills that the cluster has to wait with.
//!
//! Every node waits for all of them, and the one that does what is done once says when it is time: so none is lost with a node. To say it
//! twice does no harm.

use std::collections::{BTreeSet, HashMap};

use bytestring::ByteString;
use parking_lot::Mutex;

use super::Roll;

/// A will that is due is not said to be by a node that is not the first; should that one die, it is found dead before this is over.
const KEPT_MS: u64 = 60_000;

/// Wills that are waited with, one at most for each client that the roll knows.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since which event, and until when: milliseconds since the Unix epoch, for all nodes count from when the client went.
    waiting: HashMap<ByteString, (u64, u64)>,
    by_due: BTreeSet<(u64, ByteString)>,
}

impl State {
    fn remove(&mut self, client: &ByteString) -> Option<u64> {
        let (event, due) = self.waiting.remove(client)?;
        self.by_due.remove(&(due, client.clone()));
        Some(event)
    }
}

impl Waiting {
    pub(super) fn add(&self, client: ByteString, event: u64, due: u64) {
        let mut state = self.0.lock();
        // Who comes and goes over and over has one will all the same.
        state.remove(&client);
        state.by_due.insert((due, client.clone()));
        state.waiting.insert(client, (event, due));
    }

    /// The client is back, or its will was published.
    pub(super) fn remove(&self, client: &ByteString) {
        self.0.lock().remove(client);
    }

    /// Says of those that are due that they are.
    pub(super) fn look(&self, roll: &dyn Roll, now: u64) {
        let is_first = roll.is_first();
        let mut state = self.0.lock();
        while let Some((due, client)) = state.by_due.first().cloned() {
            let is_kept = if is_first { due > now } else { due.saturating_add(KEPT_MS) > now };
            if is_kept {
                return;
            }
            if let Some(event) = state.remove(&client)
                && is_first
            {
                roll.will_is_due(client, event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(waiting: &Waiting) -> Vec<(u64, String)> {
        waiting.0.lock().by_due.iter().map(|(due, client)| (*due, client.to_string())).collect()
    }

    #[test]
    fn a_client_has_one_will_that_waits() {
        let waiting = Waiting::default();
        for event in 0..1000 {
            waiting.add("a".into(), event, u64::MAX - event);
        }
        waiting.add("b".into(), 7, 5);
        assert_eq!(due(&waiting), [(5, "b".to_owned()), (u64::MAX - 999, "a".to_owned())]);
        waiting.remove(&"a".into());
        waiting.remove(&"a".into());
        assert_eq!(due(&waiting), [(5, "b".to_owned())]);
        assert_eq!(waiting.0.lock().waiting.len(), 1);
    }
}
