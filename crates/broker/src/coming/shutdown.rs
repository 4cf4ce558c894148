//! The end, in order: whoever may want to hear of others stays until those have gone.

use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::ReasonCode;
use mqtt_hooks::{EndRecord, Reason};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::clients::Clients;
use crate::client::ending::Ending;
use crate::time::clock::wall_ms;

/// How long it may take at the most.
const LIMIT: Duration = Duration::from_secs(5);

/// How long it may take until a node has left its cluster.
const LEAVE: Duration = Duration::from_secs(2);

/// How long one round may wait for clients to go, and then for those that stay to take what that brought them.
const PATIENCE: Duration = Duration::from_millis(700);

/// How often to look whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Who goes when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Round {
    /// Those with a will, which others may be waiting for, and those who wait for nothing.
    First,
    /// Those with subscriptions.
    Second,
    /// Those who watch `$SYS`: they see all others go.
    Last,
}

/// Ends every connection, and every session that is not stored. The wills are published, the events told, and taken by those who take
/// them in time.
pub(crate) async fn drain(broker: &Arc<Broker>) {
    broker.doors.stop();
    let limit = Instant::now() + LIMIT;
    let soon = || limit.min(Instant::now() + PATIENCE);
    // One word for all who are connected here: everybody is told, those included who watch from here.
    if let Some(roll) = broker.membership.roll() {
        let end = EndRecord { reason: Reason::ServerShuttingDown, reason_string: None, last_heard: wall_ms() };
        // An error says that it took too long; then others find it silent.
        let _ = timeout(LEAVE, roll.leave(end.to_record().into())).await;
    }
    // What is not stored ends now, while those who subscribe to the wills are there.
    broker.end_unstored_sessions();
    for round in [Round::First, Round::Second, Round::Last] {
        let going: Vec<_> = online(&broker.clients).into_iter().filter(|client| round_of(client) <= round).collect();
        for client in &going {
            let connection = client.state.lock().connection().cloned();
            if let Some(connection) = connection {
                let code = Some(ReasonCode::ServerShuttingDown);
                connection.end(Ending { reason: Reason::ServerShuttingDown, code });
            }
        }
        wait(|| going.iter().all(|client| client.state.lock().connection().is_none()), soon()).await;
        // Again after each round: those who went in it left sessions behind, with wills that wait.
        broker.end_unstored_sessions();
        wait(|| online(&broker.clients).iter().all(has_taken_all), soon()).await;
    }
    wait(|| !broker.doors.are_serving(), limit).await;
}

pub(super) fn online(clients: &Clients<ClientRef>) -> Vec<ClientRef> {
    clients.all().into_iter().filter(|client| client.state.lock().connection().is_some()).collect()
}

pub(super) fn round_of(client: &ClientRef) -> Round {
    let state = client.state.lock();
    let session = &state.session;
    if session.subscriptions().any(|(filter, _, _)| filter.pattern().starts_with("$SYS")) {
        Round::Last
    } else if session.has_will() || session.subscriptions_len() == 0 {
        Round::First
    } else {
        Round::Second
    }
}

/// Nothing waits for this client, and it has acknowledged what it got.
fn has_taken_all(client: &ClientRef) -> bool {
    let state = client.state.lock();
    state.outbox.is_empty() && state.session.queue_len() == 0 && state.session.inflight_len() == 0
}

async fn wait(is_done: impl Fn() -> bool, until: Instant) {
    while !is_done() && Instant::now() < until {
        sleep(LOOK_EVERY).await;
    }
}
