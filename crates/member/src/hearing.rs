//! What nodes say to each other, from the one to the other crate.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_broker::Ears;
use mqtt_cluster::Hear;

/// The broker, as the links know it.
pub(crate) struct Hearing(pub(crate) Ears);

/// Another node, as the broker knows it.
#[derive(Debug)]
struct Peer(Arc<mqtt_cluster::Peer>);

impl Hear for Hearing {
    fn came(&mut self, peer: Arc<mqtt_cluster::Peer>) {
        self.0.came(Arc::new(Peer(peer)));
    }

    fn went(&mut self, peer: &mqtt_cluster::Peer) {
        self.0.went(peer.name());
    }

    async fn hear(&mut self, peer: &Arc<mqtt_cluster::Peer>, pieces: Vec<Bytes>) {
        self.0.hear(peer.name(), pieces).await;
    }
}

impl mqtt_broker::Peer for Peer {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn say(&self, parts: &[&[u8]]) -> u64 {
        self.0.say(parts)
    }

    fn said(&self) -> u64 {
        self.0.said()
    }

    fn held(&self) -> u64 {
        self.0.held()
    }

    fn has_handled(&self, place: u64) -> bool {
        self.0.has_handled(place)
    }

    fn handled(self: Arc<Self>, place: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { self.0.handled(place).await })
    }
}
