//! A storm in short: once a second, while more events happen than `announce_max`, how many came and went, why, where and some of
//! who, and which groups more than half of are gone. The single events go out all the same.
//!
//! Nothing is counted while nobody subscribes to `$SYS/brokers/${node}/presence/digest`; who begins to is told of from the next
//! second on. How large a group is, is looked up when a storm begins, among all clients that are known, and counted on from there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mqtt_codec::Topic;
use mqtt_hooks::{Actor, ConnectionInfo, Host, Origin};
use parking_lot::Mutex;
use serde::Serialize;

use self::groups::{Groups, Online, Tally};
use super::roster::Roster;
use super::states::message;
use super::turns::pause;
use super::{History, tags};

mod groups;

const SECOND_MS: u64 = 1000;

/// So many clients that went are named, ...
const NAMES: usize = 10;

/// ... of those with no longer ids than this.
const NAME: usize = 256;

/// Clients looked at in one go.
const PIECE: usize = 64;

/// See the [module](self).
pub(super) struct Digest {
    topic: Topic,
    history: Arc<History>,
    roster: Arc<Roster>,
    host: Arc<dyn Host>,
    /// More events in a second are a storm.
    most: u64,
    is_on: AtomicBool,
    second: Mutex<Second>,
}

/// What happens in a second.
#[derive(Default)]
struct Second {
    all: Tally,
    /// Of those who went; there are a few dozen reasons.
    reasons: BTreeMap<&'static str, u64>,
    groups: Groups,
    names: Vec<Arc<str>>,
    /// Numbers of events.
    first: u64,
    last: u64,
}

impl Digest {
    pub(super) const fn new(
        topic: Topic,
        history: Arc<History>,
        roster: Arc<Roster>,
        host: Arc<dyn Host>,
        most: u64,
    ) -> Self {
        let second = Second {
            all: Tally::NONE,
            reasons: BTreeMap::new(),
            groups: Groups::new(),
            names: Vec::new(),
            first: 0,
            last: 0,
        };
        Self { topic, history, roster, host, most, is_on: AtomicBool::new(false), second: Mutex::new(second) }
    }

    /// `reason`: it went.
    pub(super) fn note(&self, client: &ConnectionInfo, reason: Option<&'static str>, number: u64) {
        if !self.is_on.load(Relaxed) {
            return;
        }
        let mut second = self.second.lock();
        let one = Tally::one(reason.is_some());
        second.all.add(one);
        // Not those that clients make up themselves: there would be no end to them.
        let tags = client.tags().iter().filter(|(_, origin)| *origin > Origin::Said).map(|(tag, _)| tag);
        second.groups.note(client.listener.name.as_ref(), client.peer.ip(), tags, one);
        second.last = second.last.max(number);
        if second.first == 0 {
            second.first = number;
        }
        let Some(reason) = reason else { return };
        *second.reasons.entry(reason).or_default() += 1;
        if second.names.len() < NAMES && client.client_id.len() <= NAME {
            second.names.push(Arc::clone(&client.client_id));
        }
    }

    /// For ever: tells of the seconds with too much in them.
    pub(super) async fn run(self: Arc<Self>, actor: Actor) {
        // How many were online where, as long as it storms.
        let mut storm: Option<Online> = None;
        let mut from = self.host.now_ms();
        loop {
            let next = self.host.clock_ms() + SECOND_MS;
            self.host.sleep_until(next).await;
            let is_on = self.host.is_wanted(&self.topic);
            let was_on = self.is_on.swap(is_on, Relaxed);
            let second = std::mem::take(&mut *self.second.lock());
            let to = self.host.now_ms();
            if !(is_on && was_on) || second.all.count() <= self.most {
                (storm, from) = (None, to);
                continue;
            }
            let online = match storm.take() {
                Some(mut online) => {
                    online.go_on(&second.groups);
                    online
                }
                None => self.look(&second.groups).await,
            };
            actor.act(|moment| {
                let digest = || message(self.topic.clone(), &second.shown(from, to, &online));
                moment.publish_if_wanted(&self.topic, &mut || digest());
            });
            (storm, from) = (Some(online), to);
        }
    }

    /// How many are online in each group, and how many were before this second.
    async fn look(&self, groups: &Groups) -> Online {
        let (mut online, mut at, mut found) = (Online::default(), Some(0), Vec::new());
        while let Some(next) = at {
            at = self.history.walk(next, PIECE, 0, &mut found);
            for client_id in found.drain(..) {
                if let Some(last) = self.history.last_event(&client_id).filter(super::Entry::is_connected) {
                    let tags = tags::proven(&last.tags, &client_id, &self.roster);
                    online.count(&last.listener.name, last.ip, tags.iter().map(|tag| &**tag));
                }
            }
            pause().await;
        }
        online.begin(groups);
        online
    }
}

impl Second {
    fn shown<'a>(&'a self, from: u64, to: u64, online: &Online) -> Shown<'a> {
        Shown {
            v: 1,
            from,
            to,
            events: self.all.count(),
            connected: self.all.came,
            disconnected: self.all.went,
            reasons: &self.reasons,
            listeners: self.groups.listeners(),
            tags: self.groups.tags(),
            clients: self.names.iter().map(|name| &**name).collect(),
            first_event: self.first,
            last_event: self.last,
            suspect: online.suspects(),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    v: u8,
    from: u64,
    to: u64,
    events: u64,
    connected: u64,
    disconnected: u64,
    reasons: &'a BTreeMap<&'static str, u64>,
    listeners: HashMap<&'a str, Tally>,
    /// Those with the most events.
    tags: HashMap<&'a str, Tally>,
    /// Some of those who went.
    clients: Vec<&'a str>,
    first_event: u64,
    last_event: u64,
    suspect: Vec<String>,
}

#[cfg(test)]
mod tests;
