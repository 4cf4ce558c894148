//! Messages that expire while they wait.

use mqtt_session::Timestamp;

use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::delivery::routes::Routes;

impl Routes<ClientRef> {
    /// Drops messages that have expired while they waited for these clients.
    pub(crate) fn drop_expired_of(&self, clients: &[ClientRef], now: Timestamp, batch: &mut Batch<'_>) {
        for client in clients {
            let mut state = client.state.lock();
            state.session.drop_expired(now);
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
