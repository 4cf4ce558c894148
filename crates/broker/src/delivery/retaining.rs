//! Retained messages, in memory and in the store.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::{ReasonCode, Topic};
use mqtt_session::Publication;

use crate::broker::Broker;
use crate::delivery::batch::Batch;
use crate::watch::memory::Memory;
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

impl Broker {
    /// Keeps a message that is to be retained, or forgets what is by one without a payload.
    pub(super) fn retain(&self, publication: &Publication, batch: &mut Batch<'_>) {
        let topic = &publication.message.topic;
        let _in_order = self.durable.lock_retained(topic);
        // [MQTT-3.3.1-6]: an empty payload removes what is retained, and is not kept itself.
        if publication.message.payload.is_empty() {
            self.forget(topic, batch);
            return;
        }
        if self.durable.is_overfull(true) || !self.durable.can_keep(&publication.message) {
            tracing::warn!(%topic, "not retained: it can't be stored");
            return;
        }
        batch.count(Metric::Retained, 1);
        if publication.expires_at.is_some() {
            self.retained_expire.store(true, Relaxed);
        }
        let more = Memory::cost_of_retained(publication.size());
        let less = self.retained.get(topic).map_or(0, |old| Memory::cost_of_retained(old.size()));
        // A value that is replaced by one no larger always is: what everybody sees must not be the old one.
        let has_room = more <= less || self.watched.memory.has_room_to_retain(more - less);
        let kept = Arc::new(publication.kept(&self.session_config.kept));
        let topic = &kept.message.topic;
        if !has_room || self.retained.insert(topic, Arc::clone(&kept)).is_err() {
            self.tell_refused(&Refused {
                kind: Kind::Retain,
                peer: None,
                client_id: "",
                reason: ReasonCode::QuotaExceeded,
                rule: &"limits.retained_messages or limits.memory",
                about: topic.as_str(),
            });
            return;
        }
        self.watched.memory.note_retained(more, less);
        batch.stage(|stage| stage.retain(&kept));
    }

    /// Forgets what is retained on a topic; false if nothing is.
    pub(crate) fn forget_retained(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let _in_order = self.durable.lock_retained(topic);
        self.forget(topic, batch)
    }

    fn forget(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let removed = self.retained.remove(topic);
        let is_there = removed.is_some();
        if let Some(removed) = removed {
            self.watched.memory.note_retained(0, Memory::cost_of_retained(removed.size()));
            batch.stage(|stage| stage.forget_retained(topic));
        }
        is_there
    }

    /// Takes back what an earlier process retained.
    pub(crate) fn restore_retained(&self, retained: Vec<Publication>) {
        for publication in retained {
            self.retained_expire.fetch_or(publication.expires_at.is_some(), Relaxed);
            let topic = publication.message.topic.clone();
            publication.weigh(&self.session_config.kept);
            let cost = Memory::cost_of_retained(publication.size());
            if self.retained.insert(&topic, Arc::new(publication)).is_err() {
                tracing::error!(%topic, "left in the store: limits.retained_messages is lower than before");
            } else {
                self.watched.memory.note_retained(cost, 0);
            }
        }
    }

    /// Drops retained messages past their message expiry. Nobody is sent one; this is for the memory.
    pub(crate) fn drop_expired_retained(&self, batch: &mut Batch<'_>) {
        if self.retained_expire.swap(false, Relaxed) {
            let now = self.clock.now();
            let mut more = false;
            self.retained.retain(|publication| {
                more |= publication.expires_at.is_some();
                let is_expired = publication.is_expired(now);
                if is_expired {
                    self.watched.memory.note_retained(0, Memory::cost_of_retained(publication.size()));
                    batch.stage(|stage| stage.forget_retained(&publication.message.topic));
                }
                !is_expired
            });
            self.retained_expire.fetch_or(more, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Message, Properties, Property, Qos, Topic};

    use super::*;
    use crate::config::Config;
    use crate::store::durable::Durable;
    use crate::store::past::Past;

    #[test]
    fn expired_retained_messages_are_dropped() {
        let broker = Arc::new(Broker::new(Config::default(), Durable::none(), &Past::default()));
        let mut batch = Batch::begin(&broker);
        let now = broker.clock.now();
        for (topic, expiry) in [("gone", Some(0)), ("stays", Some(1000)), ("for/ever", None)] {
            let message = Message {
                topic: Topic::new(topic).unwrap(),
                payload: "x".into(),
                qos: Qos::AtMostOnce,
                retain: true,
                properties: expiry.map(Property::MessageExpiry).into_iter().collect::<Properties>(),
            };
            broker.publish(&Publication::new(message, now), None, now, &mut batch, |_| {});
        }
        broker.drop_expired_retained(&mut batch);
        assert_eq!(broker.retained.len(), 2);
        batch.finish().unwrap();
    }
}
