//! Messages that expire while they wait.

use mqtt_session::Timestamp;

use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::delivery::routes::Routes;

/// Messages dropped with one write to the store.
const DROPPED_AT_ONCE: usize = 4096;

impl Routes<ClientRef> {
    /// Drops messages that have expired while they waited for these clients, and takes those off the front that have none left.
    /// Not all at once, if there are many: there is more to do as long as there are clients.
    pub(crate) fn drop_expired_of(&self, clients: &mut &[ClientRef], now: Timestamp, batch: &mut Batch<'_>) {
        let mut dropped = 0;
        while let Some((client, others)) = clients.split_first()
            && dropped < DROPPED_AT_ONCE
        {
            let mut state = client.state.lock();
            let before = state.session.queue_len();
            if !state.session.drop_expired(now) {
                *clients = others;
            }
            dropped += before - state.session.queue_len();
            state.stage(batch);
            state.recount(batch);
            state.note_lost(client, batch);
            if state.session.has_expiring() {
                self.note_expiring();
            }
            drop(state);
            batch.relieve();
        }
    }
}
