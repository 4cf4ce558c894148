//! After another start: what happened while nobody was there to tell it, and rules that are new to who has subscribed.

use std::collections::HashMap;
use std::sync::Arc;

use mqtt_hooks::Host;
use parking_lot::Mutex;

use super::Availability;
use crate::presence::Entry;

/// Clients that are looked at before others have their turn.
const PIECE: usize = 256;

/// Clients whose last event tells wrong of them.
///
/// Each is so until the next event of that client, which has another number, so one that is late is never taken for what is true.
#[derive(Debug, Default)]
pub(super) struct Corrections(Mutex<HashMap<Box<str>, Correction>>);

#[derive(Debug)]
struct Correction {
    /// Of the event that it is beside.
    number: u64,
    is_online: bool,
}

impl Corrections {
    pub(super) fn of(&self, last: &Entry) -> Option<bool> {
        let all = self.0.lock();
        // Most starts have nothing to correct.
        if all.is_empty() {
            return None;
        }
        all.get(last.client_id()).filter(|of| of.number == last.number).map(|of| of.is_online)
    }

    pub(super) fn forget(&self, client_id: &str) {
        self.0.lock().remove(client_id);
    }

    fn add(&self, last: &Entry, is_online: bool) {
        self.0.lock().insert(last.client_id().into(), Correction { number: last.number, is_online });
    }
}

/// Looks at all clients that are known, then has all who subscribe sent how things are.
///
/// Who has come for the first time ever while nobody was there is not known, and has no availability until it comes or goes again.
pub(super) async fn begin(all: Arc<Availability>, host: Arc<dyn Host>) {
    let (mut at, mut ids) = (Some(0), Vec::new());
    while let Some(from) = at {
        at = all.history.walk(from, PIECE, 0, &mut ids);
        for id in ids.drain(..) {
            // In this order: what changes a connection is told after it has changed, so if that is told between these two, the
            // correction is beside an event that is not the last by then.
            let Some(last) = all.history.last_event(&id) else { continue };
            let is_online = host.connection(&id).is_some();
            if is_online != all.is_online(&last) {
                all.corrections.add(&last, is_online);
            }
        }
        host.sleep_until(host.clock_ms() + 1).await;
    }
    host.retell().await;
}
