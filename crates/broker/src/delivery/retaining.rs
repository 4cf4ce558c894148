//! Retained messages, in memory and in the store.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::Topic;
use mqtt_hooks::Retention;
use mqtt_session::{Accepted, Publication, Timestamp};

use crate::delivery::batch::Batch;
use crate::delivery::retained::{Kept, RetainedMessages};
use crate::watch::memory::Memory;
use crate::watch::metrics::Metric;

/// Of all that may be retained one address may have so many times what is left.
const TIMES: usize = 7;

const FULL: &str = "limits.retained_messages or limits.memory";

impl Kept {
    /// Bytes.
    fn cost(&self) -> usize {
        Memory::cost_of_retained(self.message.size())
    }
}

impl RetainedMessages {
    /// Keeps a message that is to be retained, or forgets what is by one without a payload. The error is the rule by which it
    /// is not kept.
    pub(crate) fn retain(
        &self,
        publication: &Publication,
        from: Option<IpAddr>,
        batch: &mut Batch<'_>,
    ) -> Result<(), &'static str> {
        let topic = &publication.message.topic;
        let _in_order = batch.durable().lock_retained(topic);
        // [MQTT-3.3.1-6]: an empty payload removes what is retained, and is not kept itself.
        if publication.message.payload.is_empty() {
            self.remove(topic, batch);
            return Ok(());
        }
        let before = self.messages.get(topic);
        let others = self.messages.len().saturating_sub(before.is_some().into());
        let longest = match batch.hooks().retain(&publication.message, others) {
            Retention::Keep => None,
            Retention::KeepFor(seconds) => Some(batch.broker().clock.now().plus_seconds(seconds)),
            Retention::Refuse(rule) => return Err(rule),
        };
        if batch.durable().is_overfull(true) || !batch.durable().can_keep(&publication.message) {
            return Err("it can't be stored");
        }
        batch.count(Metric::Retained, 1);
        let expires_at = publication.expires_at.or(longest);
        if expires_at.is_some() {
            self.may_expire.store(true, Relaxed);
        }
        let more = Memory::cost_of_retained(publication.size());
        let less = before.as_ref().map_or(0, Kept::cost);
        // A value that is replaced by one no larger always is: what everybody sees must not be the old one.
        let memory = &batch.watched().memory;
        let has_room = more <= less || memory.has_room_to_retain(more - less);
        if more > less
            && let Some(address) = from
            && !self.leaves_some(address, more, before.is_none(), memory)
        {
            return Err("all of its address retain as much as one address may: seven times what is left of \
                        limits.retained_messages and limits.memory");
        }
        // How long it takes to whom it is sent later says nothing about them.
        let accepted = Accepted::default();
        let kept = Arc::new(Publication { expires_at, accepted, ..publication.kept(&self.kept) });
        if !has_room {
            return Err(FULL);
        }
        let by = from.map(|address| self.by_address.add(address));
        if let Some(part) = &by {
            part.note_held(more);
        }
        let number = self.count.fetch_add(1, Relaxed) + 1;
        let message = Kept { message: Arc::clone(&kept), by, number };
        match self.messages.insert(topic, message.clone()) {
            Ok(before) => before.iter().for_each(|before| self.give_back(before)),
            Err(_) => {
                self.give_back(&message);
                return Err(FULL);
            }
        }
        batch.watched().memory.note_retained(more, less);
        // Under the topic's lock, so the store has the values of one topic in the order in which memory had them.
        batch.stage(|stage| stage.retain(&kept));
        Ok(())
    }

    /// Forgets what is retained on a topic; false if nothing is.
    pub(crate) fn forget(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let _in_order = batch.durable().lock_retained(topic);
        self.remove(topic, batch)
    }

    fn remove(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let removed = self.messages.remove(topic);
        let is_there = removed.is_some();
        if let Some(removed) = removed {
            self.give_back(&removed);
            batch.watched().memory.note_retained(0, removed.cost());
            batch.stage(|stage| stage.forget_retained(topic));
        }
        is_there
    }

    /// Whether one more message of so many bytes of this address leaves something for others, or none more if it `is_new` not. Who
    /// is on this machine is no stranger, and what is behind a proxy on it is all of one address.
    fn leaves_some(&self, address: IpAddr, bytes: usize, is_new: bool, memory: &Memory) -> bool {
        let Some(part) = self.by_address.of(address) else { return true };
        let left = self.max.saturating_sub(self.messages.len());
        address.to_canonical().is_loopback()
            || (!is_new || part.things() < left.saturating_mul(TIMES))
                && part.bytes().saturating_add(bytes) <= memory.free_to_retain().saturating_mul(TIMES)
    }

    /// It is retained no longer.
    fn give_back(&self, kept: &Kept) {
        if let Some(part) = &kept.by {
            part.note_held(kept.cost().wrapping_neg());
            self.by_address.remove(part);
        }
    }

    /// Takes back what an earlier process retained.
    pub(crate) fn restore(&self, retained: Vec<Publication>, memory: &Memory) {
        let mut left_out = 0_usize;
        for publication in retained {
            self.may_expire.fetch_or(publication.expires_at.is_some(), Relaxed);
            let topic = publication.message.topic.clone();
            publication.weigh(&self.kept);
            let cost = Memory::cost_of_retained(publication.size());
            if self.messages.insert(&topic, Kept { message: Arc::new(publication), by: None, number: 0 }).is_err() {
                left_out += 1;
            } else {
                memory.note_retained(cost, 0);
            }
        }
        if left_out > 0 {
            tracing::error!(
                left_out,
                "retained messages left in the store: limits.retained_messages is lower than before"
            );
        }
    }

    /// Drops retained messages past their message expiry. Nobody is sent one; this is for the memory.
    pub(crate) fn drop_expired(&self, now: Timestamp, batch: &mut Batch<'_>) {
        if self.may_expire.swap(false, Relaxed) {
            let mut more = false;
            self.messages.retain(|kept| {
                let publication = &kept.message;
                more |= publication.expires_at.is_some();
                let is_expired = publication.is_expired(now);
                if is_expired {
                    self.give_back(kept);
                    batch.watched().memory.note_retained(0, kept.cost());
                    batch.stage(|stage| stage.forget_retained(&publication.message.topic));
                }
                !is_expired
            });
            // Those that stay may expire next time, and others may have come meanwhile and said so.
            self.may_expire.fetch_or(more, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Message, Properties, Property, Qos, Topic};

    use super::*;
    use crate::broker::Broker;
    use crate::config::Config;
    use crate::delivery::publishing::Sender;
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
            broker.publish(&Publication::new(message, now), Sender::default(), now, &mut batch, |_| {});
        }
        broker.retained.drop_expired(now, &mut batch);
        assert_eq!(broker.retained.len(), 2);
        batch.finish().unwrap();
    }
}
