//! What is retained is retained at all nodes: the latest of each topic, whichever node had it first.
//!
//! Who joins asks those who were there before for all they have. What it brought along itself and none of them knows was removed
//! while it was away.

use std::net::IpAddr;
use std::sync::Arc;

use bytestring::ByteString;
use mqtt_codec::{Message, Properties, Qos, Topic};
use mqtt_hooks::is_sys;
use mqtt_session::{Publication, Timestamp};

use super::piece::Piece;
use super::questions::Asked;
use super::stamps::Stamp;
use super::{Ears, MAX_WAITING, Peer};
use crate::broker::Broker;
use crate::cluster::letter::write_message;
use crate::delivery::batch::{Batch, in_batch};
use crate::time::clock::wall_ms;

/// Of what is retained, topics that are looked at before others have their turn.
const SLICE: usize = 256;

impl Broker {
    /// Keeps a message that is to be retained, or forgets what is by one without a payload, here and at all other nodes. `from` is where
    /// its publisher is. The error is the rule by which it is not kept.
    pub(crate) fn retain(
        &self,
        publication: &Publication,
        from: Option<IpAddr>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Result<(), &'static str> {
        let topic = &publication.message.topic;
        // What the log comes to is retained by each node by itself, in the log's order.
        if self.membership.roll().is_none() || is_sys(topic.as_str()) {
            return self.retained.retain(publication, from, batch);
        }
        let peers = &self.membership.peers;
        let mut share = peers.stamps.lock(topic.as_str());
        self.retained.retain(publication, from, batch)?;
        let stamp = if batch.stays_here {
            share.after(topic.as_str())
        } else {
            share.next(topic.as_str(), &self.config.node, wall_ms())
        };
        if !batch.stays_here
            && peers.is_used()
            && let Some(written) = write_message(&publication.to_message(now))
        {
            for known in peers.state.read().peers.iter().flatten() {
                let place = Piece::Retained(&stamp, &written).say(&*known.peer);
                // At QoS 0 too, where much waits: what is left out would differ for good.
                if publication.message.qos > Qos::AtMostOnce || known.peer.held() > MAX_WAITING {
                    batch.owe(&known.peer, place);
                }
            }
        }
        share.set(topic.as_str(), stamp, publication.message.payload.is_empty());
        Ok(())
    }

    /// Forgets what is retained on a topic, at all nodes; false if nothing is here.
    pub(crate) fn forget_retained(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let is_there = self.retained.has(topic.as_str());
        let (payload, properties) = (bytes::Bytes::new(), Properties::EMPTY);
        let nothing = Message { topic: topic.clone(), payload, qos: Qos::AtMostOnce, retain: true, properties };
        let now = self.clock.now();
        // To remove something is never refused.
        let _ = self.retain(&Publication::new(nothing, now), None, now, batch);
        is_there
    }

    /// Another node has retained it.
    pub(super) fn retain_sent(&self, stamp: Stamp, publication: &Publication, batch: &mut Batch<'_>) {
        let topic = publication.message.topic.as_str();
        let mut share = self.membership.peers.stamps.lock(topic);
        if share.is_later(topic, &stamp) {
            if let Err(rule) = self.retained.retain(publication, None, batch) {
                tracing::error!(topic, rule, "what another node retains is not retained here");
            }
            share.set(topic, stamp, publication.message.payload.is_empty());
        }
    }
}

impl Ears {
    /// This node was cut off: what is retained here is not known to be the latest any more.
    pub fn note_cut_off(&self) {
        self.0.membership.peers.stamps.forget_all();
    }

    /// Asks these nodes, which were there before, for all that is retained.
    pub fn ask_for_retained(&self, names: &[ByteString]) {
        let peers = &self.0.membership.peers;
        let mut asked = peers.asked.lock();
        let waiting = std::mem::take(&mut asked.waiting);
        *asked = Asked { waiting, ..Asked::default() };
        for known in peers.state.read().peers.iter().flatten() {
            if names.iter().any(|name| *name == known.peer.name()) {
                Piece::Asked.say(&*known.peer);
                asked.names.insert(known.peer.name().into());
            }
        }
        self.end_if_told(asked);
    }

    /// Whether all that is retained is known here, as far as anybody could tell it.
    pub fn knows_retained(&self) -> bool {
        self.0.membership.peers.asked.lock().is_over
    }

    /// This node has told all that it has, or never will.
    pub(super) fn note_retained(&self, name: &str, has_told: bool) {
        let mut asked = self.0.membership.peers.asked.lock();
        if asked.names.remove(name) {
            asked.has_one |= has_told;
            self.end_if_told(asked);
        }
    }

    fn end_if_told(&self, mut asked: parking_lot::MutexGuard<'_, Asked>) {
        if !asked.names.is_empty() || asked.is_over {
            return;
        }
        asked.is_over = true;
        let (has_one, waiting) = (asked.has_one, std::mem::take(&mut asked.waiting));
        drop(asked);
        let broker = Arc::clone(&self.0);
        tokio::spawn(async move {
            if has_one {
                forget_unknown(&broker).await;
            }
            for peer in waiting {
                tell_retained(&broker, peer).await;
            }
        });
    }

    /// This node wants to know all that is retained.
    pub(super) fn tell_retained(&self, name: &str) {
        let peers = &self.0.membership.peers;
        let mut asked = peers.asked.lock();
        let peer = peers.peer(name);
        let Some(peer) = peer else { return };
        if asked.is_over {
            drop(asked);
            let broker = Arc::clone(&self.0);
            tokio::spawn(async move { tell_retained(&broker, peer).await });
        } else {
            asked.waiting.push(peer);
        }
    }
}

/// Tells a node all that is retained, no faster than it takes it.
async fn tell_retained(broker: &Arc<Broker>, peer: Arc<dyn Peer>) {
    let stamps = &broker.membership.peers.stamps;
    let mut after = None;
    loop {
        let mut slice = Vec::with_capacity(SLICE);
        after = broker.retained.following(after.as_deref(), SLICE, &mut slice);
        let mut place = 0;
        for publication in slice {
            let topic = &publication.message.topic;
            let share = stamps.lock(topic.as_str());
            // It may be another one by now. What is retained meanwhile is said to it in any case.
            let Some(publication) = broker.retained.get(topic).filter(|_| !is_sys(topic.as_str())) else { continue };
            let stamp = share.get(topic.as_str()).cloned().unwrap_or_default();
            if let Some(written) = write_message(&publication.to_message(broker.clock.now())) {
                place = Piece::Retained(&stamp, &written).say(&*peer);
            }
        }
        Arc::clone(&peer).handled(place).await;
        if after.is_none() {
            Piece::RetainedAll.say(&*peer);
            return;
        }
    }
}

/// Forgets what nobody else knows of.
async fn forget_unknown(broker: &Arc<Broker>) {
    let stamps = &broker.membership.peers.stamps;
    let mut after = None;
    loop {
        let mut slice = Vec::with_capacity(SLICE);
        after = broker.retained.following(after.as_deref(), SLICE, &mut slice);
        in_batch(broker, |batch| {
            for publication in slice {
                let topic = &publication.message.topic;
                let share = stamps.lock(topic.as_str());
                if share.get(topic.as_str()).is_none() && !is_sys(topic.as_str()) {
                    broker.retained.forget(topic, batch);
                }
            }
        });
        if after.is_none() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
