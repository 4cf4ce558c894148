//! After another start: what happened while nobody was there to tell it.
//!
//! No event is made up for it. But whoever asks how things are is told how they are.

use std::sync::Arc;

use mqtt_hooks::{Host, Lookup};

use super::History;

/// Clients that are looked at before others have their turn.
const PIECE: usize = 256;

/// Clients that are online, found in one go.
const ONLINE: usize = 16_384;

/// Is told of each client of which something else is so than its last event says; with when that was found, if it is gone.
pub(super) type Noticed = Box<dyn Fn(&str, Option<u64>) + Send + Sync>;

/// Looks at all clients that are known, and all that are online. Then, if there was anything, or if what is told of clients is
/// another (`has_changed`), has all who subscribe sent how things are.
pub(super) async fn begin(history: Arc<History>, host: Arc<dyn Host>, noticed: Noticed, has_changed: bool) {
    history.forget_unseen();
    let mut found = has_changed;
    let mut after: Option<Arc<str>> = None;
    loop {
        let lookup = Lookup { after: after.as_deref(), prefix: "", since: 0, limit: ONLINE };
        let online = host.online(&lookup);
        for client in &online.clients {
            if history.note_online(client, &*host) {
                found = true;
                noticed(&client.client_id, None);
            }
        }
        after = online.clients.last().map(|last| Arc::clone(&last.client_id)).filter(|_| online.has_more);
        host.sleep_until(host.clock_ms() + 1).await;
        if after.is_none() {
            break;
        }
    }
    let (mut at, mut ids) = (Some(0), Vec::new());
    while let Some(from) = at {
        at = history.walk(from, PIECE, 0, &mut ids);
        for id in ids.drain(..) {
            if let Some(at) = history.note_gone(&id, &*host) {
                found = true;
                noticed(&id, Some(at));
            }
        }
        host.sleep_until(host.clock_ms() + 1).await;
    }
    if found {
        host.retell().await;
    }
}
