//! Deliveries that had waited and were given up.

use std::sync::Arc;

use mqtt_codec::Qos;
use mqtt_hooks::{Delivery, DropReason, Hooks};
use mqtt_session::Publication;

/// A delivery that had waited and was given up, of which modules are to be told.
pub(super) struct LostDelivery {
    pub(super) client_id: Arc<str>,
    pub(super) publication: Arc<Publication>,
    pub(super) qos: Qos,
    pub(super) reason: DropReason,
}

impl LostDelivery {
    pub(super) fn tell(&self, hooks: &Hooks) {
        let Self { client_id, publication, qos, reason } = self;
        hooks.dropped(&delivery(client_id, publication, *qos), *reason);
    }
}

/// As modules are shown it.
pub(super) fn delivery<'a>(client_id: &'a str, publication: &'a Publication, qos: Qos) -> Delivery<'a> {
    let accepted_at = publication.accepted.time().map(|at| at.0);
    Delivery { client_id, message: &publication.message, qos, accepted_at }
}
