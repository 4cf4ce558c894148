//! The task by whose lateness the broker knows its own.

use std::sync::Arc;
use std::time::Instant;

use crate::broker::Broker;
use crate::time::patience::{BEAT, STALL_MS};

/// Beats until the runtime ends.
pub(crate) async fn run(broker: Arc<Broker>) {
    loop {
        let began = Instant::now();
        tokio::time::sleep(BEAT).await;
        broker.doors.lateness.note_beat(began.elapsed().saturating_sub(BEAT));
        // What the last messages of a burst have changed is not told by any that follow.
        broker.watched.memory.look();
        let late = broker.clock.patience.beat(broker.clock.uptime_ms());
        if late >= STALL_MS {
            tracing::warn!(
                milliseconds = late,
                "the broker stood still: paused, short of processor time, or blocked; nobody is ended for that time",
            );
        }
    }
}
