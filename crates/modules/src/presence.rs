//! The online/offline notification: who comes and who goes, told on
//! `$SYS/brokers/${node}/clients/${clientid}/connected` and `.../disconnected`, as EMQ X 4.3 does.
//!
//! It tells each fact where it happens, so its events alternate per client id exactly as the facts do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mqtt_codec::topic::TopicError;
use mqtt_codec::{Message, Properties, Property, Qos, Topic};
use mqtt_hooks::route::Route;
use mqtt_hooks::{
    Ctx, Fact, Host, Info, Module, Moment, Number, Observe, Setting, SettingKind, StartError, Trial, read_config,
};
use serde::Deserialize;
use serde_json::Value;

mod api;
mod event;
mod history;
mod latency;
mod numbers;
mod trial;

use event::{Event, Gone, Style};
use trial::ComeAndGo;

pub use history::{Counts, End, Entry, Heard, History, Live, Query};

/// Its name, under which its records are kept too.
const MODULE: &str = "presence";

/// More events than a process can tell in a millisecond: those of the next begin above the last of this one, also where
/// nothing is stored, or was not stored in time.
const NUMBERS_PER_MS: u64 = 1000;
pub use latency::{LATENCY_BOUNDS, LatencyCounts};

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
    /// Events that [`History`] may have; 0: none. Each costs some 170 bytes of memory with its client id and user name
    /// on top, 256 bytes on average at the most.
    pub history: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { qos: 1, missing_username: MissingUsername::Undefined, extended: false, history: 10_000 }
    }
}

/// [`Settings::history`] at the most.
const MAX_HISTORY: u32 = 10_000_000;

impl Settings {
    /// The quality of service, if all values are possible.
    fn check(&self) -> Result<Qos, StartError> {
        if self.history > MAX_HISTORY {
            return Err(StartError::Config(format!("history: {} is more than {MAX_HISTORY}", self.history)));
        }
        let wrong = || StartError::Config(format!("qos: {} is none of 0, 1 and 2", self.qos));
        Qos::from_u8(self.qos).ok_or_else(wrong)
    }
}

/// [`Settings`] for people.
const SETTINGS: [Setting; 4] = [
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
    Setting {
        name: "history",
        title: "Events kept",
        description: "The last ones can be looked up, also after a restart; 0 keeps none. Each costs some 170 bytes of memory and \
                      100 on disk, with its client id and user name on top.",
        kind: SettingKind::Number { min: 0, max: MAX_HISTORY as u64 },
        default: "10000",
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
#[derive(Debug)]
pub struct Presence {
    history: Arc<History>,
    trial: Arc<ComeAndGo>,
}

impl Presence {
    /// Not started. What it tells goes into `history`.
    pub fn new(history: Arc<History>) -> Self {
        Self { history, trial: Arc::default() }
    }

    /// What it told.
    pub const fn history(&self) -> &Arc<History> {
        &self.history
    }
}

#[async_trait::async_trait]
impl Module for Presence {
    fn info(&self) -> Info {
        Info {
            name: MODULE,
            title: "Online and Offline Notification",
            description: "Publishes a message when a client goes online or offline.",
            default_on: true,
            settings: &SETTINGS,
        }
    }

    fn tells_who_fell(&self) -> bool {
        true
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_config::<Settings>(config)?.check().map(drop)
    }

    fn restore(&self, host: &dyn Host) -> Result<(), StartError> {
        let first = host.epoch().saturating_mul(NUMBERS_PER_MS);
        self.history.restore(host, first).map_err(|error| StartError::Other(error.to_string()))
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let settings = ctx.config::<Settings>()?;
        ctx.observe(Arc::new(Announcer::new(ctx.host(), &settings, self.history.clone())?));
        ctx.host().act(&mut |moment| self.history.set_capacity(settings.history as usize, moment));
        Ok(())
    }

    fn numbers(&self) -> Vec<Number> {
        numbers::of(&self.history.counts())
    }

    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(host, &self.history)
    }

    fn trial(&self) -> Option<Arc<dyn Trial>> {
        Some(Arc::clone(&self.trial) as _)
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
    history: Arc<History>,
}

impl Announcer {
    fn new(host: Arc<dyn Host>, settings: &Settings, history: Arc<History>) -> Result<Self, StartError> {
        let qos = settings.check()?;
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
            history,
        })
    }

    fn announce(&self, event: &Event<'_>, noticed: Instant, moment: &mut dyn Moment) {
        if !self.host.is_sys_watched() {
            return;
        }
        let (client, suffix) = (event.client, if event.end.is_none() { CONNECTED } else { DISCONNECTED });
        let topic = match self.topic(&client.client_id, suffix) {
            Ok(topic) => topic,
            Err(why) => {
                let skipped = self.history.skipped.fetch_add(1, Ordering::Relaxed) + 1;
                let (client_id_bytes, event) = (client.client_id.len(), &suffix[1..]);
                tracing::warn!(client_id_bytes, event, %why, skipped, "no topic can be made for a presence event");
                return;
            }
        };
        let style =
            Style { missing_username: self.missing_username, extended: self.extended.then(|| self.host.node()) };
        let told = moment.publish_if_wanted(&topic, &mut || Message {
            topic: topic.clone(),
            payload: event.write(style).into(),
            qos: self.qos,
            retain: false,
            properties: self.properties.clone(),
        });
        if told.dropped > 0 {
            self.history.dropped.fetch_add(told.dropped, Ordering::Relaxed);
        }
        if told.wanted {
            self.history.latency.note(self.host.instant().saturating_duration_since(noticed));
        }
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
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        match *fact {
            Fact::Connected { client, told_at, seq, flaps, noticed } => {
                self.history.record(client, seq, client.connected_at, None, moment);
                self.announce(&Event { client, told_at, seq, flaps, end: None }, noticed, moment);
            }
            Fact::Disconnected { client, reason, reason_string, at, told_at, seq, flaps, noticed } => {
                self.history.record(client, seq, at, Some(reason), moment);
                let end = Gone { reason, reason_string, at };
                self.announce(&Event { client, told_at, seq, flaps, end: Some(end) }, noticed, moment);
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
