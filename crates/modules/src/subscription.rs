//! Subscriptions that clients have from when they come in, without asking for them, as EMQ X's `emqx_mod_subscription`.
//!
//! They are made at each CONNECT, also where a session goes on, right behind CONNACK and before anything else the client says: so it
//! has again what it had given up. They are its session's from then on, stay in it when the module is stopped, and are sent what is
//! retained as `rh` says. No rule of authorization is asked, as an operator has said so; but when rules change they are looked at
//! like all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_codec::{Filter, Qos, RetainHandling, SubscribeFilter, SubscribeOptions, Version};
use mqtt_hooks::{
    ConnectionInfo, Ctx, Info, Listing, Module, Number, Settings as _, StartError, SubscribeOnEntry, filter_for,
    read_settings,
};
use serde_json::Value;

mqtt_hooks::settings! {
    /// A subscription of [`Settings`].
    pub(crate) struct TopicSettings {
        /// Filter
        ///
        /// %c stands for the client id, %u for the user name. Who has none, or one that is not one level of a topic, does not get it.
        pub topic: String = "",
        /// QoS
        ///
        /// The highest that messages are sent with.
        pub qos: u8 = 0 in 0..=2,
        /// No local
        ///
        /// 1: not what the client publishes itself. For clients of MQTT 5, as the next two.
        pub nl: u8 = 0 in 0..=1,
        /// Retain as published
        ///
        /// 1: with the retain flag as it was published.
        pub rap: u8 = 0 in 0..=1,
        /// Retain handling
        ///
        /// Retained messages: 0 each time, 1 if the subscription is new, 2 none.
        pub rh: u8 = 0 in 0..=2,
    }
}

mqtt_hooks::settings! {
    /// Settings of [`Subscription`].
    pub(crate) struct Settings {
        /// Subscriptions
        ///
        /// What each client is subscribed to when it comes in.
        pub topics: Vec<TopicSettings> = [] in 0..=64,
    }
}

/// The module `subscription`.
#[derive(Default)]
pub(crate) struct Subscription {
    counts: Arc<Counts>,
}

/// Since the process began.
#[derive(Default)]
struct Counts {
    made: AtomicU64,
    left_out: AtomicU64,
}

#[async_trait::async_trait]
impl Module for Subscription {
    fn info(&self) -> Info {
        Info {
            name: "subscription",
            title: "Proxy Subscription",
            description: "Subscribes clients when they come in, without their asking.",
            default_on: false,
            settings: Settings::FORM,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        Proxy::check(&read_settings(config)?)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let settings = ctx.settings()?;
        Proxy::check(&settings)?;
        // Without any, who comes in is not looked at.
        if !settings.topics.is_empty() {
            ctx.subscribe_on_entry(Arc::new(Proxy { topics: settings.topics, counts: Arc::clone(&self.counts) }));
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<Number> {
        let Counts { made, left_out } = &*self.counts;
        vec![
            Number::counter("made", "Subscriptions made for clients that came in.", made.load(Relaxed)),
            Number::counter(
                "left_out",
                "Subscriptions not made, for the client id or user name is not one level of a topic.",
                left_out.load(Relaxed),
            ),
        ]
    }

    fn listing(&self) -> Listing {
        Listing {
            title_zh: "代理订阅", description_zh: "客户端接入时为其订阅主题。", ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "Who comes in from now on is subscribed to nothing; who is in, and sessions that are kept, have what they have."
    }
}

/// Its hook.
struct Proxy {
    topics: Vec<TopicSettings>,
    counts: Arc<Counts>,
}

impl Proxy {
    fn check(settings: &Settings) -> Result<(), StartError> {
        settings.topics.iter().zip(1..).try_for_each(|(topic, at)| {
            let wrong = |why: String| Err(StartError::Config(format!("topics, entry {at}: {why}")));
            match Filter::new(topic.topic.replace("%c", "c").replace("%u", "u")) {
                Err(why) => wrong(format!("topic: {why}")),
                // [MQTT-3.8.3-4]
                Ok(filter) if filter.group().is_some() && topic.nl == 1 => {
                    wrong("nl: a shared subscription can't be without what its client publishes".to_owned())
                }
                Ok(_) => Ok(()),
            }
        })
    }
}

impl SubscribeOnEntry for Proxy {
    fn subscriptions(&self, client: &ConnectionInfo) -> Vec<SubscribeFilter> {
        let wishes: Vec<_> = self.topics.iter().filter_map(|topic| wish(topic, client)).collect();
        self.counts.made.fetch_add(wishes.len() as u64, Relaxed);
        self.counts.left_out.fetch_add((self.topics.len() - wishes.len()) as u64, Relaxed);
        wishes
    }
}

fn wish(topic: &TopicSettings, client: &ConnectionInfo) -> Option<SubscribeFilter> {
    let filter = filter_for(client, &topic.topic)?;
    let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(topic.qos.min(2))];
    let options = match client.version {
        Version::V5 => SubscribeOptions {
            qos,
            no_local: topic.nl == 1,
            retain_as_published: topic.rap == 1,
            retain_handling: match topic.rh {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        },
        Version::V3_1 | Version::V3_1_1 => SubscribeOptions { qos, ..SubscribeOptions::default() },
    };
    Some(SubscribeFilter { filter, options })
}

#[cfg(test)]
mod tests;
