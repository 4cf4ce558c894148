//! The task that looks after what is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::client::connection::Awaited;
use crate::delivery::batch::Batch;
use crate::time::clock::Clock;
use crate::time::patience::Patient;
use crate::time::timers::Timers;

/// How long entries go off before other tasks of the thread have their turn: a million sessions may end at once, and one
/// of them may have thousands of messages.
const IN_A_ROW: Duration = Duration::from_micros(500);

/// Lets timers go off until the runtime ends.
pub(crate) async fn run(broker: Arc<Broker>) {
    loop {
        while !run_some(&broker) {
            tokio::task::yield_now().await;
        }
        let deadlines = &broker.deadlines;
        match deadlines.until_next(&broker.clock) {
            None => deadlines.earlier().await,
            Some(wait) => {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = deadlines.earlier() => {}
                }
            }
        }
    }
}

/// Lets timers go off for some time, with one write to the store for all of them; true if no more are due.
fn run_some(broker: &Arc<Broker>) -> bool {
    let mut batch = Batch::begin(broker);
    let until = Instant::now() + IN_A_ROW;
    let mut is_done = false;
    while !is_done && Instant::now() < until {
        // One of each in turn: a million sessions that end keep nobody's keep alive waiting.
        let (is_anyone_due, is_anyone_awaited) =
            (run_due(&mut batch), run_awaited(&broker.deadlines.awaited, &broker.clock));
        let is_anyone_leaving = broker.forget_some(&mut batch);
        is_done = !is_anyone_due && !is_anyone_awaited && !is_anyone_leaving;
    }
    // What can't be stored now is tried again every second.
    let _ = batch.finish();
    is_done
}

fn run_due(batch: &mut Batch<'_>) -> bool {
    let broker = batch.broker();
    let Some(client) = broker.deadlines.offline.pop_due(broker.clock.now()) else { return false };
    // It may be gone by now.
    if let Some(client) = client.upgrade() {
        broker.client_is_due(client, batch);
    }
    true
}

fn run_awaited(awaited: &Timers<Patient, Awaited>, clock: &Clock) -> bool {
    let now = clock.patient();
    let Some(awaited) = awaited.pop_due(now) else { return false };
    match awaited {
        // It may be gone by now.
        Awaited::Connection(connection) => {
            if let Some(connection) = connection.upgrade() {
                connection.look(now);
            }
        }
        Awaited::Arrival(waker) => waker.wake(),
    }
    true
}
