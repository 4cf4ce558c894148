//! Sessions that end with their connection, of which the cluster has not told yet.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Clients whose connection has ended here and not yet in what the roll has told; and whether their session has ended since.
#[derive(Default)]
pub(crate) struct Ends(Mutex<HashMap<Arc<str>, Option<SessionEnd>>>);

/// A session's end that is told behind its client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionEnd {
    pub(super) is_discarded: bool,
    pub(super) at: u64,
}

impl Ends {
    /// The connection of this client has ended, and if the roll still `has` it, its end will be told.
    pub(crate) fn expect(&self, client_id: &Arc<str>, has: impl FnOnce() -> bool) {
        let mut ends = self.0.lock();
        // Under the lock: what is read after this is told after this, so nobody stays in here.
        if has() {
            ends.insert(Arc::clone(client_id), None);
        }
    }

    /// Has the end of a session wait until its client's is told; false: that has been told.
    pub(crate) fn hold(&self, client_id: &str, is_discarded: bool, at: u64) -> bool {
        let mut ends = self.0.lock();
        let Some(end) = ends.get_mut(client_id) else { return false };
        *end = Some(SessionEnd { is_discarded, at });
        true
    }

    /// The end of the client's connection is told.
    pub(super) fn take(&self, client_id: &str) -> Option<SessionEnd> {
        self.0.lock().remove(client_id).flatten()
    }
}
