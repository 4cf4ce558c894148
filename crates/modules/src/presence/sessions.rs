//! When sessions begin and end, if that is turned on: `session_created` and `session_terminated`.

use std::sync::Arc;

use mqtt_hooks::{Ctx, Fact, Host, Moment, Observe};
use serde::Serialize;

use super::states::message;
use super::topics::Topics;

/// See the [module](self).
pub(super) struct Sessions {
    host: Arc<dyn Host>,
    topics: Arc<Topics>,
    missing_username: Option<&'static str>,
}

#[derive(Serialize)]
struct Created<'a> {
    clientid: &'a str,
    username: Option<&'a str>,
    /// Seconds after its connection's end; 4,294,967,295: for ever.
    expiry_interval: u32,
    clean_start: bool,
    created_at: u64,
    ts: u64,
}

#[derive(Serialize)]
struct Terminated<'a> {
    clientid: &'a str,
    reason: &'static str,
    ts: u64,
}

impl Sessions {
    /// Registers it.
    pub(super) fn register(ctx: &Ctx, topics: &Arc<Topics>, missing_username: Option<&'static str>) {
        ctx.observe(Arc::new(Self { host: ctx.host(), topics: Arc::clone(topics), missing_username }));
    }

    fn tell(&self, client_id: &str, suffix: &str, shown: &impl Serialize, moment: &mut dyn Moment) {
        // Too long for any event of this client.
        let Ok(topic) = self.topics.of(client_id, suffix) else { return };
        moment.publish_if_wanted(&topic, &mut || message(topic.clone(), shown));
    }
}

impl Observe for Sessions {
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        if !self.host.is_sys_watched() {
            return;
        }
        match *fact {
            // Other nodes tell of theirs.
            Fact::Connected { client, told_at, .. } if !client.session_present && client.node().is_none() => {
                let created = Created {
                    clientid: &client.client_id,
                    username: client.username.as_deref().or(self.missing_username),
                    expiry_interval: client.expiry_interval,
                    clean_start: client.clean_start,
                    created_at: client.connected_at,
                    ts: told_at,
                };
                self.tell(&client.client_id, "/session_created", &created, moment);
            }
            Fact::SessionEnded { client_id, is_discarded, at } => {
                let reason = if is_discarded { "discarded" } else { "expired" };
                let terminated = Terminated { clientid: client_id, reason, ts: at };
                self.tell(client_id, "/session_terminated", &terminated, moment);
            }
            _ => {}
        }
    }
}
