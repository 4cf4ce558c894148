//! Messages that are published later: what is sent to `$delayed/SECONDS/TOPIC` goes to `TOPIC` when so many seconds have
//! passed, as with EMQ X's `emqx_mod_delayed`.
//!
//! A message that waits is in the store before its publisher is told that it was taken, and stays there over restarts and
//! a `kill -9`; time passes for it while the broker is down. How many wait is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::{Message, ReasonCode, Topic};
use mqtt_hooks::route::Route;
use mqtt_hooks::{
    Access, Actor, Authorize, ConnectionInfo, Ctx, Host, Incoming, Info, Intercept, Listing, Module, Moment, Number,
    Passage, Publisher, Settings as _, StartError, Verdict, read_settings,
};
use serde_json::Value;

mod api;
mod record;
mod shares;
mod topic;
mod waiting;

use record::Record;
use shares::Amount;
use topic::{Asked, Wrong};
use waiting::{Counts, Full, Waiting};

/// [`Settings::max_delayed_messages`] where it is 0.
const MAX_MESSAGES: usize = 100_000;

const NAME: &str = "delayed_publish";

mqtt_hooks::settings! {
    /// Settings of [`DelayedPublish`].
    pub struct Settings {
        /// Messages that may wait
        ///
        /// More are dropped, and an alarm tells. 0 stands for 100,000.
        pub max_delayed_messages: u32 = 0 in 0..=10_000_000,
        /// Bytes that may wait
        ///
        /// Of all messages together, in memory and in the store; more are dropped, and an alarm tells.
        pub max_delayed_bytes: u64 = 67108864 in 0..=1_099_511_627_776,
    }
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Delayed {
    /// No other message ever has this one.
    pub id: u64,
    /// With the topic that it will go to.
    pub message: Message,
    /// Who sent it; `None`: no client.
    pub client_id: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub accepted_at: u64,
    /// When its time comes, as the system's clock is now: milliseconds since the Unix epoch.
    pub publish_at: u64,
}

/// The module `delayed_publish`.
pub struct DelayedPublish {
    waiting: Arc<Waiting>,
}

impl Default for DelayedPublish {
    fn default() -> Self {
        Self { waiting: Waiting::new() }
    }
}

impl DelayedPublish {
    /// The messages that wait, those first whose time comes first: so many at the most, after the one with this id where
    /// one is given and still waits. Before the module's first start there are none.
    pub fn list(&self, after: Option<u64>, limit: usize) -> Vec<Delayed> {
        self.waiting.list(after, limit)
    }

    /// One message, if it waits.
    pub fn get(&self, id: u64) -> Option<Delayed> {
        self.waiting.get(id)
    }

    /// Takes a message out, so that it is never published; false if it does not wait.
    pub fn delete(&self, id: u64) -> bool {
        self.waiting.delete(id)
    }
}

#[async_trait::async_trait]
impl Module for DelayedPublish {
    fn info(&self) -> Info {
        Info {
            name: NAME,
            title: "Delayed Publish",
            description: "Publishes what is sent to $delayed/SECONDS/TOPIC to TOPIC when so many seconds have passed.",
            default_on: false,
            settings: Settings::FORM,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config).map(drop)
    }

    fn listing(&self) -> Listing {
        Listing {
            title_zh: "延迟发布",
            description_zh: "把发送到 $delayed/秒数/主题 的消息在相应秒数之后发布到该主题。",
            ..Listing::default()
        }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let Settings { max_delayed_messages, max_delayed_bytes } = ctx.settings()?;
        let messages = if max_delayed_messages == 0 { MAX_MESSAGES } else { max_delayed_messages as usize };
        let most = Amount { messages, bytes: max_delayed_bytes.try_into().unwrap_or(usize::MAX) };
        let (waiting, actor) = (self.waiting.clone(), ctx.actor());
        waiting.prepare(actor.clone());
        ctx.timers(&waiting.timers, waiting.clone())?;
        waiting.restore();
        let delay = Arc::new(Delay { waiting, actor, most });
        ctx.authorize(delay.clone());
        ctx.intercept(delay);
        Ok(())
    }

    fn numbers(&self) -> Vec<Number> {
        self.waiting.numbers()
    }

    fn routes(&self, _host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(&self.waiting)
    }
}

/// Whether a message that was delayed would be delayed again, and never be anywhere, if it went to this topic.
pub(crate) fn delays_again(publisher: Publisher<'_>, topic: &Topic) -> bool {
    matches!(publisher, Publisher::Module(NAME)) && topic.as_str().starts_with(topic::PREFIX)
}

/// Its hooks.
struct Delay {
    waiting: Arc<Waiting>,
    actor: Actor,
    /// What may wait.
    most: Amount,
}

impl Intercept for Delay {
    /// What is sent to `$delayed/...` goes nowhere from here, whatever becomes of it. Nobody is told that a message was taken
    /// which was not, but where it has expired by then as it was asked to.
    fn publish(&self, incoming: &mut Incoming<'_>, moment: &mut dyn Moment) -> Passage {
        let Some(asked) = Asked::read(&incoming.message.topic) else { return Passage::Pass };
        let result = asked.map_err(Unkept::Wrong).and_then(|asked| self.delay(asked, incoming, moment));
        let Err(why) = result else { return Passage::Drop };
        let Counts { full, wrong, expired, .. } = &self.waiting.counts;
        let (count, passage) = match why {
            Unkept::Wrong(_) => (wrong, Passage::Refuse(ReasonCode::TopicNameInvalid)),
            Unkept::TooLarge => (wrong, Passage::Refuse(ReasonCode::QuotaExceeded)),
            Unkept::Full => (full, Passage::Refuse(ReasonCode::QuotaExceeded)),
            Unkept::Expires => (expired, Passage::Drop),
        };
        count.fetch_add(1, Relaxed);
        let (topic, client_id) = (&incoming.message.topic, incoming.publisher.client_id());
        tracing::debug!(%topic, client_id, %why, "a message that was to be delayed is dropped");
        passage
    }
}

/// Why a message does not wait.
#[derive(Debug, thiserror::Error)]
enum Unkept {
    #[error(transparent)]
    Wrong(Wrong),
    #[error("it is too large")]
    TooLarge,
    #[error("as many wait as may")]
    Full,
    #[error("it expires before its time")]
    Expires,
}

impl Delay {
    fn delay(&self, asked: Asked, incoming: &Incoming<'_>, moment: &mut dyn Moment) -> Result<(), Unkept> {
        let host = self.actor.host();
        // Its publisher may have asked for another topic, of which a rule has made this one.
        if host.is_reserved(&asked.topic) {
            return Err(Unkept::Wrong(Wrong::Reserved));
        }
        let at = host.clock_ms() + u64::from(asked.seconds) * 1000;
        let expires_at = *incoming.expires_at;
        if expires_at.is_some_and(|expires_at| expires_at <= at) {
            return Err(Unkept::Expires);
        }
        let record = Record {
            message: Message { topic: asked.topic, ..incoming.message.clone() },
            expires_at,
            accepted_at: host.now_ms(),
            client_id: incoming.publisher.client_id().map(str::to_owned),
        };
        let payload = record.write().ok_or(Unkept::TooLarge)?;
        let taken = self.waiting.take(at, incoming.publisher.client_id(), payload, self.most, moment);
        taken.map_err(|Full| Unkept::Full)
    }
}

impl Authorize for Delay {
    /// Nobody gets past a rule about a topic by way of a delay; rules about `$delayed/...` itself are others' matter.
    fn authorize(&self, client: &ConnectionInfo, access: Access<'_>) -> Verdict {
        let Access::Publish(topic) = access else { return Verdict::Ignore };
        let Some(Ok(asked)) = Asked::read(topic) else { return Verdict::Ignore };
        match self.actor.host().may_publish(client, &asked.topic) {
            Ok(()) => Verdict::Ignore,
            Err(code) => Verdict::Deny(code),
        }
    }
}

#[cfg(test)]
mod tests;
