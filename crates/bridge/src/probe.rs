//! Whether a remote broker of MQTT 3.1.1 sends back what it is sent.
//!
//! A bridge that says that it is one is sent nothing of what it has brought, by brokers that know of that. Others refuse it, and some
//! take it and send everything back all the same, as EMQ X does unless `ignore_loop_deliver` is set. So where topics go out that come
//! in again the bridge subscribes to a topic of its own, and sends a message there before all others.

use mqtt_codec::{Filter, Packet, Properties, Publish, Qos, Topic, Version};

use crate::overlaps::echo;
use crate::plan::Plan;

/// The topic, and what would go round.
#[derive(Debug)]
pub(crate) struct Probe {
    topic: Topic,
    both: String,
    is_sent: bool,
}

impl Probe {
    /// `None`: nothing could go round, or the remote broker is told so in MQTT 5. `client_id` is the bridge's at the remote broker.
    pub(crate) fn new(plan: &Plan, client_id: &str) -> Option<Self> {
        let both = echo(plan).filter(|_| plan.version < Version::V5)?;
        // Not one that who subscribes to all topics would get.
        let level: String = client_id.chars().filter(|char| !matches!(char, '/' | '+' | '#')).collect();
        let topic = Topic::new(format!("$rollcall/bridge/{level}")).ok()?;
        Some(Self { topic, both, is_sent: false })
    }

    pub(crate) fn filter(&self) -> Option<Filter> {
        Filter::new(self.topic.as_str().to_owned()).ok()
    }

    /// What is to be sent for it, the first time.
    pub(crate) fn take_packet(&mut self) -> Option<Packet> {
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: Some(self.topic.clone()),
            packet_id: None,
            properties: Properties::EMPTY,
            payload: bytes::Bytes::new(),
        };
        (!std::mem::replace(&mut self.is_sent, true)).then_some(Packet::Publish(publish))
    }

    /// What goes round, if this is what was sent.
    pub(crate) fn comes_back(&self, publish: &Publish) -> Option<&str> {
        (publish.topic.as_ref() == Some(&self.topic)).then_some(&*self.both)
    }
}
