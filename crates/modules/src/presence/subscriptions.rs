//! Who subscribes to what, if that is turned on: `subscribed` and `unsubscribed`, with the keys that EMQX 5 has.

use std::sync::Arc;

use mqtt_codec::{Filter, SubscribeOptions};
use mqtt_hooks::{ConnectionInfo, Ctx, Fact, Host, Moment, Observe};
use serde::Serialize;

use super::states::message;
use super::topics::Topics;

/// See the [module](self).
pub(super) struct Subscriptions {
    host: Arc<dyn Host>,
    topics: Arc<Topics>,
    missing_username: Option<&'static str>,
}

#[derive(Serialize)]
struct Shown<'a> {
    clientid: &'a str,
    username: Option<&'a str>,
    protocol: &'static str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subopts: Option<Options>,
    ts: u64,
}

/// By EMQX's names.
#[derive(Serialize)]
struct Options {
    qos: u8,
    nl: u8,
    rap: u8,
    rh: u8,
}

impl From<SubscribeOptions> for Options {
    fn from(options: SubscribeOptions) -> Self {
        let SubscribeOptions { qos, no_local, retain_as_published, retain_handling } = options;
        Self { qos: qos as u8, nl: no_local.into(), rap: retain_as_published.into(), rh: retain_handling as u8 }
    }
}

impl Subscriptions {
    /// Registers it.
    pub(super) fn register(ctx: &Ctx, topics: &Arc<Topics>, missing_username: Option<&'static str>) {
        ctx.observe(Arc::new(Self { host: ctx.host(), topics: Arc::clone(topics), missing_username }));
    }

    fn tell(
        &self,
        client: &ConnectionInfo,
        filter: &Filter,
        options: Option<SubscribeOptions>,
        moment: &mut dyn Moment,
    ) {
        if !self.host.is_sys_watched() {
            return;
        }
        let suffix = if options.is_some() { "/subscribed" } else { "/unsubscribed" };
        // Too long for any event of this client.
        let Ok(topic) = self.topics.of(&client.client_id, suffix) else { return };
        moment.publish_if_wanted(&topic, &mut || {
            let shown = Shown {
                clientid: &client.client_id,
                username: client.username.as_deref().or(self.missing_username),
                protocol: "mqtt",
                topic: filter.as_str(),
                subopts: options.map(Options::from),
                ts: self.host.now_ms(),
            };
            message(topic.clone(), &shown)
        });
    }
}

impl Observe for Subscriptions {
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        match *fact {
            Fact::Subscribed { client, filter, options } => self.tell(client, filter, Some(options), moment),
            Fact::Unsubscribed { client, filter } => self.tell(client, filter, None, moment),
            _ => {}
        }
    }
}
