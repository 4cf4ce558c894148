//! Messages the broker accepted.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use mqtt_codec::{Message, Properties, Property, Publish};

use crate::{Gauge, Weight};

/// Milliseconds since the Unix epoch, as the driver's clock has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `seconds` from here.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds as u64 * 1000))
    }
}

/// Where a store has a message. A copy of the message is not in any store yet.
///
/// Who changes it holds a lock of its own meanwhile.
#[derive(Debug, Default)]
pub struct Place {
    number: AtomicU64,
    keepers: AtomicU32,
}

/// A message the broker accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Its properties have neither a topic alias nor a message expiry; all others are as the publisher sent them.
    pub message: Message,
    /// From the message expiry: not delivered at or after this moment.
    pub expires_at: Option<Timestamp>,
    /// Of the driver's store.
    pub place: Place,
    /// Where it is counted as long as it is kept.
    pub weight: Weight,
    /// When it came.
    pub accepted: Accepted,
    /// Which one it is.
    pub origin: Origin,
}

/// When a message was accepted, for who looks how long it takes. It makes no difference between two messages otherwise, and is in no
/// store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accepted(Option<NonZeroU64>);

impl Accepted {
    /// It was accepted now.
    pub const fn at(now: Timestamp) -> Self {
        Self(NonZeroU64::new(now.0))
    }

    /// `None`: that is not known, or does not matter.
    pub fn time(self) -> Option<Timestamp> {
        self.0.map(|ms| Timestamp(ms.get()))
    }
}

/// Which message it is, of all that several processes have of each other, so that one that comes two ways is known again. It makes no
/// difference between two messages otherwise, and is in no store.
#[derive(Debug, Default)]
pub struct Origin(AtomicU64);

impl Origin {
    /// 0: it is not known.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// It is this one, before others see it.
    pub fn set(&self, origin: u64) {
        self.0.store(origin, Relaxed);
    }
}

impl Clone for Origin {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.get()))
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl PartialEq for Accepted {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Place {
    /// Says that one session at the most will keep the message, which then needs no record of its own.
    pub fn set_single(&self) {
        self.number.store(u64::MAX, Relaxed);
    }

    /// See [`Self::set_single`].
    pub fn is_single(&self) -> bool {
        self.number.load(Relaxed) == u64::MAX
    }

    fn of_copy(&self) -> Self {
        let copy = Self::default();
        if self.is_single() {
            copy.set_single();
        }
        copy
    }

    /// The number of its record; 0: it has none.
    pub fn number(&self) -> u64 {
        self.number.load(Relaxed)
    }

    /// One more session keeps it, as the record `number`.
    pub fn keep(&self, number: u64) {
        self.number.store(number, Relaxed);
        self.keepers.fetch_add(1, Relaxed);
    }

    /// One session less keeps it; true if none is left, and then it has no record any more.
    pub fn give_up(&self) -> bool {
        // Relaxed: who keeps it or lets it go holds the lock under which steps are staged.
        let was_last = self.keepers.fetch_sub(1, Relaxed) == 1;
        if was_last {
            // Should somebody keep it after all, it is put again, under a new number.
            self.number.store(0, Relaxed);
        }
        was_last
    }
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Publication {
    /// Takes the message expiry out of the properties.
    pub fn new(mut message: Message, now: Timestamp) -> Self {
        let mut expires_at = None;
        if !message.properties.is_empty() {
            expires_at = message.properties.message_expiry().map(|seconds| now.plus_seconds(seconds));
            // [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]: all else is forwarded
            // as it is, and an alias holds for the publisher's connection only.
            if expires_at.is_some() || message.properties.topic_alias().is_some() {
                message.properties = message
                    .properties
                    .retain(|property| !matches!(property, Property::MessageExpiry(_) | Property::TopicAlias(_)));
            }
        }
        let (place, weight, origin) = Default::default();
        Self { message, expires_at, place, weight, accepted: Accepted::at(now), origin }
    }

    /// For a PUBLISH whose topic is spelled out; `None` if it has only an alias.
    pub fn from_publish(publish: Publish, now: Timestamp) -> Option<Self> {
        let Publish { qos, retain, topic, properties, payload, .. } = publish;
        Some(Self::new(Message { topic: topic?, payload, qos, retain, properties }, now))
    }

    /// A copy for what is kept long (retained, queued): it shares no memory with the read buffer, and is counted.
    #[must_use]
    pub fn kept(&self, gauge: &Gauge) -> Self {
        let (message, place) = (detached(&self.message), self.place.of_copy());
        let weight = Weight::new(gauge, self.size());
        let Self { expires_at, accepted, .. } = *self;
        Self { message, expires_at, place, weight, accepted, origin: self.origin.clone() }
    }

    /// From now on it is counted.
    pub fn weigh(&self, gauge: &Gauge) {
        self.weight.put_on(gauge, self.size());
    }

    /// The message as it would have been published now: with what is left of its message expiry.
    pub fn to_message(&self, now: Timestamp) -> Message {
        let mut message = self.message.clone();
        if let Some(left) = self.expiry_left(now) {
            let expiry = Property::MessageExpiry(left);
            message.properties = message.properties.iter().chain([expiry]).collect();
        }
        message
    }

    /// True if it must not be sent any more. [MQTT-3.3.2-5]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|moment| moment <= now)
    }

    /// Bytes of topic, payload and properties.
    pub fn size(&self) -> usize {
        size(&self.message)
    }

    /// What is left of the message expiry in seconds, a started one counted whole: what was alive when it was sent
    /// never arrives with 0. [MQTT-3.3.2-6]
    pub(crate) fn expiry_left(&self, now: Timestamp) -> Option<u32> {
        let left = self.expires_at?.0.saturating_sub(now.0).div_ceil(1000).max(1);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }
}

/// Bytes of topic, payload and properties.
pub(crate) fn size(message: &Message) -> usize {
    let Message { topic, payload, properties, .. } = message;
    topic.as_str().len() + payload.len() + properties.encoded_len()
}

/// Copies a message out of the buffer it was read from.
///
/// Topic and payload each into memory of their own: a buffer that two share costs a third for the count of its owners.
pub(crate) fn detached(message: &Message) -> Message {
    let Message { topic, payload, qos, retain, properties } = message;
    let properties = if properties.is_empty() { Properties::EMPTY } else { properties.iter().collect() };
    let payload = Bytes::copy_from_slice(payload);
    Message { topic: topic.detached(), payload, qos: *qos, retain: *retain, properties }
}
