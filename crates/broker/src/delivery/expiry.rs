//! Messages that expire while they wait.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::delivery::batch::Batch;

/// Clients whose queues are looked through before other tasks of the thread have their turn.
const SWEPT_TOGETHER: usize = 256;

impl Broker {
    /// Drops messages that have expired while they waited for their client.
    pub(crate) async fn drop_expired_queued(self: &Arc<Self>) {
        if !self.queued_expire.swap(false, Relaxed) {
            return;
        }
        for clients in self.clients.all().chunks(SWEPT_TOGETHER) {
            self.drop_expired_of(clients);
            tokio::task::yield_now().await;
        }
    }

    fn drop_expired_of(self: &Arc<Self>, clients: &[ClientRef]) {
        let mut batch = Batch::begin(self);
        let now = self.clock.now();
        for client in clients {
            let mut state = client.state.lock();
            state.session.drop_expired(now);
            state.stage(&mut batch);
            state.recount(&mut batch);
            state.note_lost(client, &mut batch);
            if state.session.has_expiring() {
                self.queued_expire.store(true, Relaxed);
            }
            drop(state);
            batch.relieve();
        }
        // What can't be stored now is tried again every second.
        let _ = batch.finish();
    }
}
