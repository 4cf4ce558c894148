//! The task that looks after what is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::client::connection::Awaited;
use crate::delivery::batch::Batch;

/// How long entries go off before other tasks of the thread have their turn: a million sessions may end at once, and one
/// of them may have thousands of messages.
const IN_A_ROW: Duration = Duration::from_micros(500);

/// Lets timers go off until the runtime ends.
pub(crate) async fn run(broker: Arc<Broker>) {
    loop {
        while !run_some(&broker) {
            tokio::task::yield_now().await;
        }
        match until_next(&broker) {
            None => earlier(&broker).await,
            Some(wait) => {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = earlier(&broker) => {}
                }
            }
        }
    }
}

/// Should the broker be late meanwhile, those who are awaited are looked after too early, and then waited for again.
fn until_next(broker: &Broker) -> Option<Duration> {
    let due = broker.timers.next().map(|at| at.0.saturating_sub(broker.clock.now().0));
    let awaited = broker.awaited.next().map(|at| at.0.saturating_sub(broker.clock.patient().0));
    due.into_iter().chain(awaited).min().map(Duration::from_millis)
}

async fn earlier(broker: &Broker) {
    tokio::select! {
        () = broker.timers.earlier() => {}
        () = broker.awaited.earlier() => {}
    }
}

/// Lets timers go off for some time, with one write to the store for all of them; true if no more are due.
fn run_some(broker: &Arc<Broker>) -> bool {
    let mut batch = Batch::begin(broker);
    let until = Instant::now() + IN_A_ROW;
    let mut is_done = false;
    while !is_done && Instant::now() < until {
        let (is_anyone_due, is_anyone_awaited) = (run_due(&mut batch), run_awaited(broker));
        is_done = !is_anyone_due && !is_anyone_awaited;
    }
    // What can't be stored now is tried again every second.
    let _ = batch.finish();
    is_done
}

fn run_due(batch: &mut Batch<'_>) -> bool {
    let broker = batch.broker();
    let Some(client) = broker.timers.pop_due(broker.clock.now()) else { return false };
    // It may be gone by now.
    if let Some(client) = client.upgrade() {
        broker.client_is_due(client, batch);
    }
    true
}

fn run_awaited(broker: &Broker) -> bool {
    let now = broker.clock.patient();
    let Some(awaited) = broker.awaited.pop_due(now) else { return false };
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
