//! Presence events as a subscriber sees them.

use std::net::SocketAddr;

use mqtt_codec::{Packet, Publish, Qos, ReasonCode, Version};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::client::Client;

/// A JSON object whose keys keep their order.
#[derive(Debug)]
pub(crate) struct Object(Vec<(String, Value)>);

impl Object {
    pub(crate) fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn value(&self, key: &str) -> &Value {
        let found = self.0.iter().find(|(name, _)| name == key);
        &found.unwrap_or_else(|| panic!("no {key} in {self:?}")).1
    }

    #[track_caller]
    pub(crate) fn text(&self, key: &str) -> &str {
        self.value(key).as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.value(key).as_u64().unwrap()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    /// As in the topic.
    pub(crate) client_id: String,
    /// Or disconnected.
    pub(crate) is_connected: bool,
    pub(crate) object: Object,
    pub(crate) publish: Publish,
}

impl Event {
    /// `None`: the message is no event.
    pub(crate) fn read(publish: Publish) -> Option<Self> {
        let topic = publish.topic.as_ref()?.as_str();
        let (_, rest) = topic.strip_prefix("$SYS/brokers/")?.split_once("/clients/")?;
        let (client_id, kind) = rest.rsplit_once('/')?;
        let object = serde_json::from_slice(&publish.payload).expect("an event is a JSON object");
        let is_connected = match kind {
            "connected" => true,
            "disconnected" => false,
            other => panic!("{other} is no event"),
        };
        Some(Self { client_id: client_id.to_owned(), is_connected, object, publish })
    }
}

/// Subscribed to all events and, for what must come between them, to `will/#`.
pub(crate) struct Watcher {
    pub(crate) client: Client,
}

impl Watcher {
    /// Its own coming is no longer to come.
    pub(crate) async fn start(addr: SocketAddr) -> Self {
        let mut client = Client::connect(addr, Version::V5, "watcher").await;
        let granted = client.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
        assert_eq!(granted, ReasonCode::GrantedQos1);
        assert_eq!(client.subscribe("will/#", Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
        Self { client }
    }

    /// The next message, which is an event.
    pub(crate) async fn event(&mut self) -> Event {
        let publish = self.client.take().await;
        let name = publish.topic.clone();
        Event::read(publish).unwrap_or_else(|| panic!("{name:?} is no event"))
    }

    pub(crate) async fn connected(&mut self, client_id: &str) -> Object {
        let event = self.event().await;
        assert_eq!((event.client_id.as_str(), event.is_connected), (client_id, true), "{:?}", event.object);
        event.object
    }

    pub(crate) async fn disconnected(&mut self, client_id: &str, reason: &str) -> Object {
        let event = self.event().await;
        assert_eq!((event.client_id.as_str(), event.is_connected), (client_id, false), "{:?}", event.object);
        assert_eq!(event.object.text("reason"), reason);
        event.object
    }

    /// Nothing more has been said.
    pub(crate) async fn silence(&mut self) {
        self.client.ping().await;
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn read_to_end(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some(packet) = self.client.receive_or_end().await {
            if let Packet::Publish(publish) = &packet {
                self.client.acknowledge(publish).await;
            }
            packets.push(packet);
        }
        packets
    }
}
