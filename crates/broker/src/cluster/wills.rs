//! Wills that the cluster has to wait with.
//!
//! Every node waits for all of them, and the one that does what is done once says when it is time: so none is lost with a node. To say it
//! twice does no harm.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::Roll;
use crate::broker::Broker;
use crate::time::clock::wall_ms;

/// A will that is due is not said to be by a node that is not the first; should that one die, it is found dead before this is over.
const KEPT_MS: u64 = 60_000;

/// Wills that are waited with. There is one at most for each client that the roll knows.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<BinaryHeap<Reverse<Waits>>>);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waits {
    /// Milliseconds since the Unix epoch: all nodes count from when the client went.
    due: u64,
    client: ByteString,
    event: u64,
}

impl Waiting {
    pub(super) fn add(&self, client: ByteString, event: u64, due: u64) {
        self.0.lock().push(Reverse(Waits { due, client, event }));
    }

    /// Says of those that are due that they are.
    fn look(&self, roll: &dyn Roll, now: u64) {
        let is_first = roll.is_first();
        let mut waiting = self.0.lock();
        while let Some(Reverse(next)) = waiting.peek() {
            let is_kept = if is_first { next.due > now } else { next.due + KEPT_MS > now };
            if is_kept {
                return;
            }
            if let Some(Reverse(Waits { client, event, .. })) = waiting.pop()
                && is_first
            {
                roll.will_is_due(client, event);
            }
        }
    }
}

/// Waits with wills, for ever.
pub(crate) async fn run(broker: Arc<Broker>) {
    let Some(roll) = broker.membership.roll().cloned() else { return };
    // Those of before this process.
    for (client, event, due) in roll.waiting_wills() {
        broker.membership.wills.add(client, event, due);
    }
    let mut every = interval(Duration::from_millis(200));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        broker.membership.wills.look(&*roll, wall_ms());
    }
}
