//! The state of each client as a topic of its own: whether it is online, and since when.

use std::sync::Arc;

use mqtt_codec::{Filter, Message, Qos, Topic};
use mqtt_hooks::{ConnectionInfo, States, Walk};
use serde::Serialize;

use super::topics::{STATE, Topics};
use super::{Entry, History, json_properties};

/// Clients that are looked at in one go.
const PIECE: usize = 64;

/// A client's state.
#[derive(Clone, Copy)]
pub(super) struct State<'a> {
    pub(super) client_id: &'a str,
    /// Where it is or was, if that is another node of the cluster.
    pub(super) node: Option<&'a str>,
    pub(super) since: u64,
    pub(super) seq: u64,
    /// The running number of the event that led to it.
    pub(super) number: u64,
    pub(super) epoch: u64,
    pub(super) conn_id: u64,
    /// `None`: it is online.
    pub(super) gone: Option<WhyGone<'a>>,
    /// Where that is told.
    pub(super) flaps: Option<u32>,
}

/// Of one that went; `None`: nobody saw.
#[derive(Clone, Copy)]
pub(super) struct WhyGone<'a> {
    pub(super) reason: Option<&'a str>,
    pub(super) last_heard: Option<u64>,
}

#[derive(Serialize)]
struct Shown<'a> {
    v: u8,
    clientid: &'a str,
    state: &'static str,
    since: u64,
    seq: u64,
    event: u64,
    epoch: u64,
    conn_id: u64,
    reason: Option<&'a str>,
    last_heard: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flaps: Option<u32>,
}

impl<'a> State<'a> {
    /// Of one that is online.
    pub(super) fn of(client: &'a ConnectionInfo, number: u64, seq: u64, since: u64) -> Self {
        let ConnectionInfo { client_id, epoch, conn_id, .. } = client;
        let (epoch, conn_id, node) = (*epoch, *conn_id, client.node());
        Self { client_id, node, since, seq, number, epoch, conn_id, gone: None, flaps: None }
    }

    pub(super) fn message(&self, topic: Topic) -> Message {
        let shown = Shown {
            v: 1,
            clientid: self.client_id,
            state: if self.gone.is_some() { "offline" } else { "online" },
            since: self.since,
            seq: self.seq,
            event: self.number,
            epoch: self.epoch,
            conn_id: self.conn_id,
            reason: self.gone.and_then(|gone| gone.reason),
            last_heard: self.gone.and_then(|gone| gone.last_heard),
            flaps: self.flaps,
        };
        message(topic, &shown)
    }
}

pub(super) fn message(topic: Topic, shown: &impl Serialize) -> Message {
    let payload = serde_json::to_vec(shown).expect("a Vec takes all bytes and there are no odd keys");
    Message { topic, payload: payload.into(), qos: Qos::AtLeastOnce, retain: false, properties: json_properties() }
}

/// Tells of the states of all clients that are known.
#[derive(Debug)]
pub(super) struct StateTopics {
    pub(super) topics: Arc<Topics>,
    pub(super) history: Arc<History>,
}

#[derive(Serialize)]
struct Done {
    count: u64,
    /// All that has happened up to this event is in what was told, or what came meanwhile.
    event: u64,
}

impl States for StateTopics {
    fn is_about(&self, filter: &Filter) -> bool {
        self.topics.is_about_states(filter)
    }

    fn find(&self, filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool {
        if walk.until == 0 {
            walk.until = self.history.last_number();
        }
        if !filter.has_wildcard() {
            let is_topic = |last: &Entry| {
                let topic = self.topics.of_at(last.node(), last.client_id(), STATE);
                topic.is_ok_and(|topic| topic.as_str() == filter.pattern())
            };
            let is_new = |last: &Entry| last.number > walk.since && is_topic(last);
            let is_new = |id: &String| self.history.last_event(id).is_some_and(|last| is_new(&last));
            found.extend(self.topics.owner(filter).filter(is_new).map(String::into_boxed_str));
            return false;
        }
        let next = self.history.walk(walk.at, PIECE, walk.since, found);
        // Beside the table's locks: to make a topic takes longer than to look at a client.
        found.retain(|id| topic_of(id, STATE, &self.topics, &self.history).is_some_and(|topic| filter.matches(&topic)));
        walk.at = next.unwrap_or(walk.at);
        next.is_some()
    }

    fn state(&self, name: &str) -> Option<Message> {
        let last = self.history.last_event(name)?;
        Some(state_of(&last).message(self.topics.of_at(last.node(), name, STATE).ok()?))
    }

    fn done(&self, walk: &Walk) -> Option<Message> {
        done(&self.topics, walk)
    }
}

/// A client's topic with this suffix, at the node where it was seen last.
pub(super) fn topic_of(client_id: &str, suffix: &str, topics: &Topics, history: &History) -> Option<Topic> {
    let last = if topics.has_others() { history.last_event(client_id) } else { None };
    topics.of_at(last.as_ref().and_then(Entry::node), client_id, suffix).ok()
}

/// What is told when all states are told.
pub(super) fn done(topics: &Topics, walk: &Walk) -> Option<Message> {
    let topic = topics.of_all("snapshot/done").ok()?;
    Some(message(topic, &Done { count: walk.sent, event: walk.until }))
}

pub(super) fn state_of(last: &Entry) -> State<'_> {
    State {
        client_id: last.client_id(),
        node: last.node(),
        since: last.at,
        seq: last.seq,
        number: last.number,
        epoch: last.epoch,
        conn_id: last.conn_id,
        gone: (!last.is_connected()).then(|| WhyGone { reason: last.reason(), last_heard: last.heard_until() }),
        flaps: None,
    }
}

#[cfg(test)]
mod tests;
