//! What is kept here, and what the roll says of it, when this node has joined: both may have gone on without the other.

use mqtt_hooks::OWN_CLIENTS;

use super::super::Ears;
use crate::cluster::Home;
use crate::delivery::batch::in_batch;

/// Sessions looked at before others have their turn. Of so many it is waited for the roll, which takes no more than a few thousand at
/// once.
const AT_ONCE: usize = 256;

impl Ears {
    /// Tells all of sessions that were here before there was a cluster, or have ended while nobody could be told; and gives up those
    /// that are elsewhere by now.
    pub async fn settle_homes(&self) {
        let broker = &self.0;
        let Some(roll) = broker.membership.roll() else { return };
        for ids in roll.homes_here().chunks(AT_ONCE) {
            ids.iter().filter(|id| !broker.has_session(id)).for_each(|id| roll.give_up_home(id));
            tokio::task::yield_now().await;
        }
        let clients = broker.clients.select(|id| !id.starts_with(OWN_CLIENTS));
        for clients in clients.chunks(AT_ONCE) {
            let mut last = None;
            for client in clients {
                let is_away = client.state.lock().connection().is_none();
                match roll.home(&client.id) {
                    None if is_away && broker.has_session(&client.id) => {
                        last = roll.take_home((*client.id).into()).or(last)
                    }
                    Some(Home::At(_) | Home::Down(_)) if is_away => {
                        in_batch(broker, |batch| broker.give_away(&client.id, false, batch));
                    }
                    _ => {}
                }
            }
            match last {
                // If the roll does not take them, this node joins again, and comes here again.
                Some(is_told) => drop(is_told.await),
                None => tokio::task::yield_now().await,
            }
        }
    }
}
