//! What is sent to other nodes, and what its publishers owe them.

use mqtt_codec::Qos;
use mqtt_session::{Publication, Timestamp};

use super::piece::Piece;
use super::{Away, Known, MAX_WAITING, Peers, To};
use crate::cluster::letter::write_message;
use crate::delivery::batch::Batch;
use crate::watch::metrics::Metric;

impl Peers {
    /// What is to be waited for, so that nothing is missed of what is published from here on at any node.
    pub(crate) fn owe_filters(&self, batch: &mut Batch<'_>) {
        if self.is_used() {
            for Known { peer, told_at, .. } in self.state.read().peers.iter().flatten() {
                if !peer.has_handled(*told_at) {
                    batch.owe(peer, *told_at);
                }
            }
        }
    }
}

impl<C> Away<C> {
    /// Sends it there. Above QoS 0 whoever publishes owes it to them.
    pub(crate) fn send(&self, publication: &Publication, now: Timestamp, batch: &mut Batch<'_>) {
        let message = &publication.message;
        let Some(written) = write_message(&publication.to_message(now)) else { return };
        for To { peer, is_plain, groups, .. } in &self.to {
            if message.qos == Qos::AtMostOnce && peer.held() > MAX_WAITING {
                batch.count(Metric::DroppedQos0, 1);
                continue;
            }
            let origin = publication.origin.get();
            let place = Piece::Message { origin, is_plain: *is_plain, groups, written: &written }.say(&**peer);
            if message.qos > Qos::AtMostOnce {
                batch.owe(peer, place);
            }
        }
    }
}
