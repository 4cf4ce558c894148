//! Before a restart: those who are there are told to go elsewhere, evenly over a time.

use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytestring::ByteString;
use mqtt_hooks::OWN_CLIENTS;
use mqtt_operate::{Drain, DrainState};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Broker;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::coming::draining::Under;
use crate::coming::shutdown::{online, round_of};

/// How often somebody is told.
const TICK: Duration = Duration::from_millis(50);

/// So many are told before others have their turn.
const IN_A_TURN: usize = 256;

/// Of what other nodes say of themselves, as many are told.
const MAX_REFERENCES: usize = 4;

/// Tells those who are there, whenever they are to be told; for ever.
pub(crate) async fn run(broker: Arc<Broker>) {
    loop {
        tokio::select! {
            () = broker.doors.draining.changed.notified() => {}
            () = send_away(&broker, broker.doors.draining.under()) => {}
        }
    }
}

/// Does not return: who comes in later is sent away by whoever lets it in.
async fn send_away(broker: &Arc<Broker>, under: Option<Under>) {
    if let Some(under) = under {
        let those = Arc::clone(broker);
        // There may be a million. An error says that it panicked, which is told.
        let going = spawn_blocking(move || going(&those)).await.unwrap_or_default();
        let mut every = interval(TICK);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = 0;
        while told < going.len() {
            every.tick().await;
            let due = under.due(going.len());
            for some in going[told..due].chunks(IN_A_TURN) {
                some.iter().filter_map(Weak::upgrade).for_each(|connection| connection.end(Ending::SENT_AWAY));
                yield_now().await;
            }
            told = due;
        }
    }
    pending().await
}

/// Whoever is there, in the order of [the end](super::shutdown): those last who see the others go.
fn going(broker: &Broker) -> Vec<Weak<Connection>> {
    let mut clients = online(&broker.clients);
    clients.retain(|client| !client.id.starts_with(OWN_CLIENTS));
    clients.sort_by_cached_key(round_of);
    let connections = clients.iter().filter_map(|client| client.state.lock().connection().map(Arc::downgrade));
    connections.collect()
}

impl Broker {
    /// Lets nobody in from now on, and sends those away who are.
    pub(crate) fn drain(&self, drain: Drain) {
        tracing::info!(over = ?drain.over, to = drain.to, "clients are sent elsewhere, and nobody comes in");
        self.doors.draining.begin(drain, self.guests());
        self.membership.peers.tell_draining(|| self.doors.draining.is_on());
    }

    /// Lets clients in again; false if it does.
    pub(crate) fn end_drain(&self) -> bool {
        let was_on = self.doors.draining.end();
        if was_on {
            tracing::info!("clients come in again");
            self.membership.peers.tell_draining(|| self.doors.draining.is_on());
        }
        was_on
    }

    pub(crate) fn drain_state(&self) -> Option<DrainState> {
        let Under { since, over, clients, .. } = self.doors.draining.under()?;
        let to = self.reference().map(String::from);
        Some(DrainState { since, over_ms: over.as_millis() as u64, clients, left: self.guests(), to })
    }

    /// Clients that are connected, the broker's own apart.
    fn guests(&self) -> usize {
        self.clients.online().saturating_sub(self.doors.own().clients())
    }

    /// Where those are told to go who are sent elsewhere, if it is known: other nodes by turns.
    pub(crate) fn reference(&self) -> Option<ByteString> {
        let draining = &self.doors.draining;
        if let Some(Under { to: Some(to), .. }) = draining.under() {
            return Some(to);
        }
        let mut others = self.membership.roll()?.references();
        // Who goes there would be sent on.
        others.retain(|(node, _)| !self.membership.peers.is_draining(node));
        let turn = draining.next_turn().checked_rem(others.len())?;
        others.rotate_left(turn);
        // A list with spaces between them, as the specification has it: 4.11.
        let all: Vec<_> = others.iter().take(MAX_REFERENCES).map(|(_, reference)| &**reference).collect();
        Some(all.join(" ").into())
    }
}
