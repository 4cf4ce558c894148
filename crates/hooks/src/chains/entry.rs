//! Who subscribes clients when they come in.

use mqtt_codec::SubscribeFilter;

use super::Hooks;
use crate::ConnectionInfo;
use crate::panics::caught;

impl Hooks {
    /// What a client is subscribed to when it comes in. One that panics is logged and passed over.
    pub fn subscriptions_on_entry(&self, client: &ConnectionInfo) -> Vec<SubscribeFilter> {
        if !self.subscribe_on_entry.any() {
            return Vec::new();
        }
        let list = self.subscribe_on_entry.list.load();
        let wishes = list.iter().flat_map(|owned| {
            caught(|| owned.hook.subscriptions(client)).unwrap_or_else(|why| {
                owned.start.complain("subscriptions", &why);
                Vec::new()
            })
        });
        wishes.collect()
    }
}
