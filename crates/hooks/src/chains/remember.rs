//! Who remembers clients.

use super::Hooks;
use crate::ConnectionInfo;
use crate::panics::caught;

impl Hooks {
    /// As what a client that is away was connected last, by the first who knows. One that panics is logged and passed over.
    pub fn last_connection(&self, client_id: &str) -> Option<ConnectionInfo> {
        if !self.remember.any() {
            return None;
        }
        self.remember.list.load().iter().find_map(|owned| {
            let last = caught(|| owned.hook.last_connection(client_id));
            last.unwrap_or_else(|why| {
                owned.start.complain("last_connection", &why);
                None
            })
        })
    }
}
