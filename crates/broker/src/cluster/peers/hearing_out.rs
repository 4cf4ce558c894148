//! A client that comes here is heard out where it was: what it said before it came counts, a DISCONNECT above all.

use std::time::Duration;

use tokio::time::sleep;

use super::Ears;
use super::piece::Piece;
use crate::broker::Broker;
use crate::cluster::Roll;

/// How long that may take, as where both are at one node.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether an end is in the roll.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Broker {
    /// Returns when the client is in the roll as what it was when it said its last word at the node where it was, or that takes too
    /// long: it is taken over then.
    pub(crate) async fn hear_out_elsewhere(&self, client_id: &str, roll: &dyn Roll) {
        let Some((node, conn)) = roll.elsewhere(client_id) else { return };
        let peers = &self.membership.peers;
        let Some(peer) = peers.peer(&node) else { return };
        let mut question = peers.questions.ask();
        Piece::HearOut { number: question.number, conn, client_id }.say(&*peer);
        let heard_out = async {
            if (&mut question.answer).await == Ok(true) {
                while roll.elsewhere(client_id).is_some_and(|now| now == (node.clone(), conn)) {
                    sleep(LOOK_EVERY).await;
                }
            }
        };
        // Whoever is not heard out in that time is taken over.
        let _ = self.clock.wait_for(heard_out, self.clock.patient().after(PATIENCE)).await;
    }
}

impl Ears {
    /// Another node asks whether this client of ours has more to say.
    pub(super) fn hear_out(&self, name: &str, number: u64, conn: u64, client_id: &str) {
        let Some(peer) = self.0.membership.peers.peer(name) else { return };
        let connection = self.0.clients.get(client_id).and_then(|client| client.state.lock().connection().cloned());
        let connection = connection.filter(|connection| connection.info.conn_id == conn);
        tokio::spawn(async move {
            let mut has_ended = true;
            if let Some(connection) = connection {
                let clock = &connection.broker().clock;
                let _ = clock.wait_for(connection.hear_out(), clock.patient().after(PATIENCE)).await;
                has_ended = connection.is_over();
            }
            Piece::HasSaid { number, has_ended }.say(&*peer);
        });
    }
}
