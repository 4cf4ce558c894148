//! Presence asked over MQTT 5: who publishes a question to `$presence/query` is answered on its *Response Topic*, with its *Correlation
//! Data*.
//!
//! `{"clientid"}` is about one client; `{"like", "state", "since_gt", "tag", "limit", "after"}` about those that match all that is given: an
//! id with `*` and `?`, `online` or `offline`, the number of an event after which the last one of the client came, and a tag. An
//! answer is `{"v", "event", "count", "clients", "next"}`: all up to this event is in it or comes later, and `next`, while it is not
//! null, is the `after` of the following page. Pages are in no order; who is known all the while is on one of them.
//!
//! A question reaches no subscriber. It takes who may subscribe to the states of clients, and an answer goes only where its asker may
//! publish: a refusal is the reason of PUBACK or PUBREC. Questions are answered one after the other by a task, some clients at a time; as
//! many wait as may, and of one asker few.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::{Filter, Message, Properties, Property, Qos, ReasonCode, Topic};
use mqtt_hooks::{Actor, Asked, ConnectionInfo, Host, Moment};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::glob::Glob;
use super::roster::Roster;
use super::turns::pause;
use super::{Entry, History, tags};

const TOPIC: &str = "$presence/query";

/// Questions that wait; ...
const WAITING: usize = 64;

/// ... and of one asker.
const OF_ONE: usize = 8;

/// Clients looked at in one go.
const PIECE: usize = 64;

/// Clients on a page, unless asked for otherwise, and at the most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Bytes of ids and names after which a page ends.
const PAGE: usize = 256 << 10;

/// What may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Query {
    clientid: Option<String>,
    like: Option<String>,
    state: Option<Wanted>,
    since_gt: u64,
    tag: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Online,
    Offline,
}

/// What waits to be answered.
struct Question {
    asker: Arc<str>,
    query: Query,
    at: u64,
    response: Topic,
    correlation: Option<Property>,
    qos: Qos,
}

/// See the [module](self).
pub(super) struct Queries {
    host: Arc<dyn Host>,
    history: Arc<History>,
    roster: Arc<Roster>,
    /// Who may subscribe to this may ask.
    states: Filter,
    waiting: Mutex<VecDeque<Question>>,
    is_asked: Notify,
}

impl Queries {
    pub(super) fn new(host: Arc<dyn Host>, history: Arc<History>, roster: Arc<Roster>, states: Filter) -> Self {
        let (waiting, is_asked) = (Mutex::default(), Notify::new());
        Self { host, history, roster, states, waiting, is_asked }
    }

    fn question(&self, client: &ConnectionInfo, message: &Message) -> Result<Question, ReasonCode> {
        self.host.may_subscribe(client, &self.states)?;
        let (mut response, mut correlation) = (None, None);
        for property in message.properties.iter() {
            match property {
                Property::ResponseTopic(topic) => response = Some(topic),
                // Copied, so that a few bytes don't keep what they were read with.
                Property::CorrelationData(data) => {
                    correlation = Some(Property::CorrelationData(bytes::Bytes::copy_from_slice(&data)));
                }
                _ => {}
            }
        }
        let response = response.ok_or(ReasonCode::ImplementationSpecific)?;
        // No wildcard stands in a topic. [MQTT-3.3.2-14]
        let response = Topic::new(response.to_string()).map_err(|_| ReasonCode::TopicNameInvalid)?;
        self.host.may_publish(client, &response)?;
        let unfit = |_| ReasonCode::PayloadFormatInvalid;
        // A list would be taken for an object, too.
        let query: Map<String, Value> = serde_json::from_slice(&message.payload).map_err(unfit)?;
        let query = Query::deserialize(Value::Object(query)).map_err(unfit)?;
        let at = query.after.as_deref().map_or(Ok(0), str::parse).map_err(|_| ReasonCode::PayloadFormatInvalid)?;
        let asker = Arc::clone(&client.client_id);
        Ok(Question { asker, query, at, response, correlation, qos: message.qos })
    }

    fn wait(&self, question: Question) -> Result<(), ReasonCode> {
        let mut waiting = self.waiting.lock();
        let of_it = waiting.iter().filter(|other| other.asker == question.asker).count();
        if waiting.len() >= WAITING || of_it >= OF_ONE {
            return Err(ReasonCode::QuotaExceeded);
        }
        waiting.push_back(question);
        drop(waiting);
        self.is_asked.notify_one();
        Ok(())
    }

    /// For ever: answers.
    pub(super) async fn run(self: Arc<Self>, actor: Actor) {
        loop {
            let question = self.waiting.lock().pop_front();
            let Some(question) = question else {
                self.is_asked.notified().await;
                continue;
            };
            let answer = self.answer(&question).await;
            actor.act(|moment| moment.publish(answer.clone()));
        }
    }

    async fn answer(&self, question: &Question) -> Message {
        let event = self.history.last_number();
        let (clients, next) = match &question.query.clientid {
            Some(client_id) => (self.history.last_event(client_id).into_iter().collect(), None),
            None => self.page(question).await,
        };
        let rows: Vec<_> = clients.iter().map(|last| Row::of(last, &self.roster)).collect();
        let next = next.map(|next| next.to_string());
        let page = Page { v: 1, event, count: rows.len(), clients: rows, next };
        let payload = serde_json::to_vec(&page).expect("a Vec takes all bytes and there are no odd keys");
        let content_type = Property::ContentType("application/json".into());
        let properties: Properties = question.correlation.iter().cloned().chain([content_type]).collect();
        let topic = question.response.clone();
        Message { topic, payload: payload.into(), qos: question.qos, retain: false, properties }
    }

    async fn page(&self, question: &Question) -> (Vec<Entry>, Option<u64>) {
        let query = &question.query;
        let limit = query.limit.unwrap_or(LIMIT).clamp(1, MAX_LIMIT);
        let like = query.like.as_deref().map(Glob::new);
        let (mut page, mut bytes, mut found) = (Vec::new(), 0, Vec::new());
        let mut at = Some(question.at);
        while let Some(next) = at
            && page.len() < limit
            && bytes < PAGE
        {
            // No more than there is room for: a page ends between two looks.
            at = self.history.walk(next, PIECE.min(limit - page.len()), query.since_gt, &mut found);
            found.retain(|client_id| like.as_ref().is_none_or(|like| like.matches(client_id)));
            for client_id in found.drain(..) {
                let last = self.history.last_event(&client_id).filter(|last| {
                    let is_tagged = |tag: &str| tags::has(&last.tags, &client_id, &self.roster, tag);
                    query.tag.as_deref().is_none_or(is_tagged)
                        && query.state.is_none_or(|state| last.is_connected() == (state == Wanted::Online))
                });
                bytes += last.as_ref().map_or(0, |last| last.client_id().len() + last.username().map_or(0, str::len));
                page.extend(last);
            }
            pause().await;
        }
        (page, at)
    }
}

impl Asked for Queries {
    fn topic(&self) -> &str {
        TOPIC
    }

    fn asked(&self, client: &ConnectionInfo, question: &Message, _: &mut dyn Moment) -> ReasonCode {
        let asked = self.question(client, question).and_then(|question| self.wait(question));
        asked.err().unwrap_or(ReasonCode::Success)
    }
}

#[derive(Serialize)]
struct Page<'a> {
    v: u8,
    event: u64,
    count: usize,
    clients: Vec<Row<'a>>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Row<'a> {
    clientid: &'a str,
    username: Option<&'a str>,
    state: &'static str,
    since: u64,
    seq: u64,
    event: u64,
    epoch: u64,
    conn_id: u64,
    reason: Option<&'a str>,
    last_heard: Option<u64>,
    flaps: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Box<str>>,
    ipaddress: String,
    listener: &'a str,
}

impl<'a> Row<'a> {
    fn of(last: &'a Entry, roster: &Roster) -> Self {
        let is_online = last.is_connected();
        Self {
            clientid: last.client_id(),
            username: last.username(),
            state: if is_online { "online" } else { "offline" },
            since: last.at,
            seq: last.seq,
            event: last.number,
            epoch: last.epoch,
            conn_id: last.conn_id,
            reason: last.reason(),
            last_heard: last.heard_until(),
            flaps: last.flaps,
            tags: tags::names(&last.tags, last.client_id(), roster),
            ipaddress: last.ip.to_string(),
            listener: &last.listener.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::testing::{Recorder, foo};

    use super::*;

    #[test]
    fn questions_wait_as_many_as_may_and_of_one_asker_few() {
        let (host, states) = (Recorder::new(), Filter::new("$SYS/#").unwrap());
        let queries = Queries::new(host.clone(), History::new(), Arc::default(), states);
        let response = Property::ResponseTopic("answers".into());
        let question = Message {
            topic: Topic::new(TOPIC).unwrap(),
            payload: "{}".into(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: [response].into(),
        };
        let ask = |n: usize| {
            let client = ConnectionInfo { client_id: n.to_string().into(), ..foo() };
            queries.asked(&client, &question, &mut host.moment())
        };
        assert!((0..OF_ONE).all(|_| ask(0) == ReasonCode::Success));
        assert_eq!(ask(0), ReasonCode::QuotaExceeded);
        assert!((OF_ONE..WAITING).all(|n| ask(n) == ReasonCode::Success));
        assert_eq!(ask(WAITING), ReasonCode::QuotaExceeded);
    }
}
