//! Retained messages, in memory and in the store.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::{ReasonCode, Topic};
use mqtt_session::Publication;

use crate::broker::Broker;
use crate::delivery::batch::Batch;
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
        batch.count(Metric::Retained, 1);
        if publication.expires_at.is_some() {
            self.retained_expire.store(true, Relaxed);
        }
        let kept = publication.detached();
        let topic = kept.message.topic.clone();
        let kept = Arc::new(kept);
        if self.memory.is_full() || self.retained.insert(&topic, Arc::clone(&kept)).is_err() {
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
        batch.stage(|stage| stage.retain(&kept));
    }

    /// Forgets what is retained on a topic; false if nothing is.
    pub(crate) fn forget_retained(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let _in_order = self.durable.lock_retained(topic);
        self.forget(topic, batch)
    }

    fn forget(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let is_there = self.retained.remove(topic).is_some();
        if is_there {
            batch.stage(|stage| stage.forget_retained(topic));
        }
        is_there
    }

    /// Takes back what an earlier process retained.
    pub(crate) fn restore_retained(&self, retained: Vec<Publication>) {
        for publication in retained {
            self.retained_expire.fetch_or(publication.expires_at.is_some(), Relaxed);
            let topic = publication.message.topic.clone();
            if self.retained.insert(&topic, Arc::new(publication)).is_err() {
                tracing::error!(%topic, "left in the store: limits.retained_messages is lower than before");
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
    use crate::store::settings::Settings;

    #[test]
    fn expired_retained_messages_are_dropped() {
        let broker = Arc::new(Broker::new(Config::default(), Durable::none(), &Past::default(), Settings::default()));
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
