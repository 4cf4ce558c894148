//! Who was not let in: `connect_failed`, if that is turned on.
//!
//! Who knocks sets the rate, and says what they like: so a second's failures are told together at its end, those of one client id for one
//! reason as one with a count, and of no more than [`MOST`]; the others are only counted, on `presence/connect_failed`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mqtt_codec::{Message, ReasonCode, Topic, Version};
use mqtt_hooks::{Actor, Ctx, Fact, Host, Listener, Moment, Observe, StartError};
use parking_lot::Mutex;
use serde::Serialize;

use super::states::message;
use super::topics::Topics;

const SUFFIX: &str = "/connect_failed";

/// Failures that are told one by one, in a second.
const MOST: usize = 100;

/// Bytes of a client id and a user name of which one is told by itself.
const LONGEST: usize = 1024;

const SECOND_MS: u64 = 1000;

/// See the [module](self).
pub(super) struct Refusals {
    host: Arc<dyn Host>,
    topics: Arc<Topics>,
    of_all: Topic,
    missing_username: Option<&'static str>,
    second: Mutex<Second>,
}

#[derive(Default)]
struct Second {
    told: BTreeMap<(Box<str>, u8), Refused>,
    /// Beyond those.
    more: u64,
}

/// The last of those that are alike.
struct Refused {
    reason: ReasonCode,
    username: Option<Box<str>>,
    version: Version,
    peer: SocketAddr,
    listener: Listener,
    at: u64,
    count: u64,
}

impl Refusals {
    /// Registers it.
    pub(super) fn register(
        ctx: &Ctx,
        topics: &Arc<Topics>,
        missing_username: Option<&'static str>,
    ) -> Result<(), StartError> {
        let of_all = topics.of_all("connect_failed").map_err(|error| StartError::Config(error.to_string()))?;
        let (host, topics, second) = (ctx.host(), Arc::clone(topics), Mutex::default());
        let all = Arc::new(Self { host, topics, of_all, missing_username, second });
        ctx.observe(all.clone());
        ctx.spawn(all.run(ctx.actor()));
        Ok(())
    }

    /// For ever.
    async fn run(self: Arc<Self>, actor: Actor) {
        loop {
            self.host.sleep_until(self.host.clock_ms() + SECOND_MS).await;
            let Second { told, more } = std::mem::take(&mut *self.second.lock());
            if told.is_empty() && more == 0 {
                continue;
            }
            actor.act(|moment| {
                for ((client_id, _), refused) in &told {
                    self.tell(client_id, refused, moment);
                }
                if more > 0 {
                    moment.publish_if_wanted(&self.of_all, &mut || self.rest(more));
                }
            });
        }
    }

    fn tell(&self, client_id: &str, refused: &Refused, moment: &mut dyn Moment) {
        // Too long for a topic: nobody can be told of it.
        let Ok(topic) = self.topics.of(client_id, SUFFIX) else { return };
        moment.publish_if_wanted(&topic, &mut || {
            let Refused { reason, username, version, peer, listener, at, count } = refused;
            message(
                topic.clone(),
                &Shown {
                    v: 1,
                    clientid: client_id,
                    username: username.as_deref().or(self.missing_username),
                    reason: reason.name(),
                    reason_code: reason.as_u8(),
                    ipaddress: peer.ip().to_canonical(),
                    peerport: peer.port(),
                    sockport: listener.port,
                    listener: &listener.name,
                    proto_ver: version.level(),
                    proto_name: version.protocol_name(),
                    ts: *at,
                    count: *count,
                },
            )
        });
    }

    fn rest(&self, count: u64) -> Message {
        #[derive(Serialize)]
        struct Rest {
            v: u8,
            ts: u64,
            count: u64,
        }
        message(self.of_all.clone(), &Rest { v: 1, ts: self.host.now_ms(), count })
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    v: u8,
    clientid: &'a str,
    username: Option<&'a str>,
    reason: &'static str,
    reason_code: u8,
    ipaddress: IpAddr,
    peerport: u16,
    sockport: u16,
    listener: &'a str,
    proto_ver: u8,
    proto_name: &'static str,
    ts: u64,
    count: u64,
}

impl Observe for Refusals {
    fn observe(&self, fact: &Fact<'_>, _: &mut dyn Moment) {
        let Fact::Refused { client_id, username, version, peer, listener, reason, at } = *fact else { return };
        if !self.host.is_sys_watched() {
            return;
        }
        let mut second = self.second.lock();
        let key = (Box::from(client_id), reason.as_u8());
        if let Some(there) = second.told.get_mut(&key) {
            (there.peer, there.at, there.count) = (peer, at, there.count + 1);
        } else if second.told.len() == MOST || client_id.len() + username.map_or(0, str::len) > LONGEST {
            second.more += 1;
        } else {
            let (username, listener) = (username.map(Box::from), listener.clone());
            second.told.insert(key, Refused { reason, username, version, peer, listener, at, count: 1 });
        }
    }
}

#[cfg(test)]
mod tests;
