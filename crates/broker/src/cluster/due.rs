//! The task that waits with wills.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Broker;
use crate::time::clock::wall_ms;

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
