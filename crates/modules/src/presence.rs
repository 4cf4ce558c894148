//! The online/offline notification: who comes and who goes, told on
//! `$SYS/brokers/${node}/clients/${clientid}/connected` and `.../disconnected`, as EMQ X 4.3 does.
//!
//! It tells each fact where it happens, so its events alternate per client id exactly as the facts do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mqtt_codec::topic::TopicError;
use mqtt_codec::{Message, Properties, Property, Qos, Topic};
use serde::Deserialize;
use serde_json::Value;

use crate::{ConnectionInfo, Ctx, Fact, Host, Info, Module, Observe, Setting, SettingKind, StartError, read_config};

mod event;

use event::{Event, Style};

/// Settings of [`Presence`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Quality of service of the events: 0, 1 or 2. 1 unless told otherwise.
    pub qos: u8,
    /// What stands for the user name of a client without one.
    pub missing_username: MissingUsername,
    /// Adds more keys after those of EMQ X; some 200 bytes an event.
    pub extended: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { qos: 1, missing_username: MissingUsername::Undefined, extended: false }
    }
}

impl Settings {
    fn qos(&self) -> Result<Qos, StartError> {
        let wrong = || StartError::Config(format!("qos: {} is none of 0, 1 and 2", self.qos));
        Qos::from_u8(self.qos).ok_or_else(wrong)
    }
}

/// [`Settings`] for people.
const SETTINGS: [Setting; 3] = [
    Setting {
        name: "qos",
        title: "Quality of service",
        description: "Of the events: 1 brings every one, also to subscribers that are away and have a session.",
        kind: SettingKind::Number { min: 0, max: 2 },
        default: "1",
    },
    Setting {
        name: "missing_username",
        title: "Missing user name",
        description: "What stands for the user name of a client without one: the text \"undefined\" as in EMQ X, or null.",
        kind: SettingKind::Choice(&["undefined", "null"]),
        default: "\"undefined\"",
    },
    Setting {
        name: "extended",
        title: "Extended events",
        description: "Adds more keys after those of EMQ X, some 200 bytes an event.",
        kind: SettingKind::Switch,
        default: "false",
    },
];

/// What stands for the user name of a client without one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MissingUsername {
    /// The text `undefined`, as in EMQ X.
    Undefined,
    /// JSON's null.
    Null,
}

/// The module `presence`.
#[derive(Debug, Default)]
pub struct Presence {
    skipped: Arc<AtomicU64>,
}

impl Presence {
    /// Not started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Events that could not be told, for MQTT does not allow the topic they would have: it is too long.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl Module for Presence {
    fn info(&self) -> Info {
        Info {
            name: "presence",
            title: "Online and Offline Notification",
            description: "Publishes a message when a client goes online or offline.",
            default_on: true,
            settings: &SETTINGS,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_config::<Settings>(config)?.qos().map(drop)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let settings = ctx.config::<Settings>()?;
        ctx.observe(Arc::new(Announcer::new(ctx.host(), &settings, self.skipped.clone())?));
        Ok(())
    }
}

/// Turns facts into events.
struct Announcer {
    host: Arc<dyn Host>,
    /// `$SYS/brokers/${node}/clients/`
    prefix: String,
    qos: Qos,
    properties: Properties,
    missing_username: Option<&'static str>,
    extended: bool,
    skipped: Arc<AtomicU64>,
}

impl Announcer {
    fn new(host: Arc<dyn Host>, settings: &Settings, skipped: Arc<AtomicU64>) -> Result<Self, StartError> {
        let qos = settings.qos()?;
        let prefix = format!("$SYS/brokers/{}/clients/", host.node());
        if let Err(error) = Topic::new(prefix.clone()) {
            return Err(StartError::Config(format!("the node's name cannot stand in a topic: {error}")));
        }
        Ok(Self {
            host,
            prefix,
            qos,
            properties: Properties::from([Property::ContentType("application/json".into())]),
            missing_username: match settings.missing_username {
                MissingUsername::Undefined => Some("undefined"),
                MissingUsername::Null => None,
            },
            extended: settings.extended,
            skipped,
        })
    }

    fn announce(&self, client: &ConnectionInfo, suffix: &str, event: &Event<'_>) {
        let topic = match self.topic(&client.client_id, suffix) {
            Ok(topic) => topic,
            Err(why) => {
                let skipped = self.skipped.fetch_add(1, Ordering::Relaxed) + 1;
                let (client_id_bytes, event) = (client.client_id.len(), &suffix[1..]);
                tracing::warn!(client_id_bytes, event, %why, skipped, "no topic can be made for a presence event");
                return;
            }
        };
        let style =
            Style { missing_username: self.missing_username, extended: self.extended.then(|| self.host.node()) };
        self.host.publish_if_wanted(&topic, &mut || Message {
            topic: topic.clone(),
            payload: event.write(style, self.host.now_ms()).into(),
            qos: self.qos,
            retain: false,
            properties: self.properties.clone(),
        });
    }

    /// Too long if the topic of either event of this client is: one of them alone would break their alternation.
    fn topic(&self, client_id: &str, suffix: &str) -> Result<Topic, TopicError> {
        let wildcards = client_id.bytes().filter(|byte| is_wildcard(*byte)).count();
        let stem = self.prefix.len() + client_id.len() + 2 * wildcards;
        if stem + DISCONNECTED.len() > usize::from(u16::MAX) {
            return Err(TopicError::TooLong);
        }
        let mut text = String::with_capacity(stem + suffix.len());
        text.push_str(&self.prefix);
        let mut rest = client_id;
        // [MQTT-3.3.2-2]: no wildcard may stand in a topic.
        while let Some(at) = rest.bytes().position(is_wildcard) {
            text.push_str(&rest[..at]);
            text.push_str(if rest.as_bytes()[at] == b'+' { "%2B" } else { "%23" });
            rest = &rest[at + 1..];
        }
        text.push_str(rest);
        text.push_str(suffix);
        Topic::new(text)
    }
}

const CONNECTED: &str = "/connected";
const DISCONNECTED: &str = "/disconnected";

impl Observe for Announcer {
    fn observe(&self, fact: &Fact<'_>) {
        match *fact {
            Fact::Connected { client, seq } => self.announce(client, CONNECTED, &Event::Connected { client, seq }),
            Fact::Disconnected { client, reason, at, seq } => {
                self.announce(client, DISCONNECTED, &Event::Disconnected { client, reason, at, seq });
            }
            _ => {}
        }
    }
}

const fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'+' | b'#')
}

#[cfg(test)]
mod tests;
