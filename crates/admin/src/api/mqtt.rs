//! Publishing over REST, and subscribing for clients.

use axum::extract::State;
use mqtt_codec::{Filter, Message, Property, Qos, RetainHandling, SubscribeFilter, SubscribeOptions, Topic};
use mqtt_hooks::read_strictly;
use mqtt_operate::{Operate, SubscribeError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::Admission;
use crate::asking::with_broker;
use crate::extract::Body;
use crate::reply::{DONE, Data, Done, Refusal};

mod message;

use message::{NewMessage, Published};

type Changed = Result<Done, Refusal>;

fn bad_topic() -> Refusal {
    Refusal::fault(115, "bad_topic")
}

fn bad_qos() -> Refusal {
    Refusal::fault(116, "bad_qos")
}

fn bad_client_id() -> Refusal {
    Refusal::bad_param("bad clientid: must be string")
}

fn offline() -> Refusal {
    Refusal::fault(112, "channel_not_found")
}

fn qos_of(value: &Option<Value>) -> Result<Qos, Refusal> {
    match value.as_ref().map(Value::as_u64) {
        None | Some(Some(0)) => Ok(Qos::AtMostOnce),
        Some(Some(1)) => Ok(Qos::AtLeastOnce),
        Some(Some(2)) => Ok(Qos::ExactlyOnce),
        _ => Err(bad_qos()),
    }
}

/// EMQ X takes several with commas between them in either, and leaves out those that are none.
fn split<'a, T>(
    topic: &'a Option<String>,
    topics: &'a Option<String>,
    check: impl Fn(&'a str) -> Option<T>,
) -> Result<Vec<T>, Refusal> {
    let text = topic.as_deref().or(topics.as_deref()).unwrap_or_default();
    let all: Vec<T> = text.split(',').filter_map(check).collect();
    if all.is_empty() { Err(bad_topic()) } else { Ok(all) }
}

/// Publishes a message, in nobody's name unless `clientid` is given.
///
/// It is retained and reaches subscribers as any other; `$SYS` is the broker's own.
#[utoipa::path(post, path = "/mqtt/publish", tag = "mqtt", request_body = NewMessage,
    responses((status = OK, body = Published, description = "or a fault: 108, 115, 116")))]
pub(super) async fn publish(State(shared): Admission, Body(new): Body<NewMessage>) -> Result<Published, Refusal> {
    with_broker(&shared, move |broker| new.publish(broker)).await?
}

/// What became of one of many.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    /// 0, or what is wrong.
    code: u16,
    /// As it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// As it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    clientid: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Outcome {
    fn new(result: Result<(), Refusal>, topic: Option<String>, clientid: Option<Value>) -> Self {
        Self { code: result.err().map_or(0, |refusal| refusal.code()), topic, clientid, message: None }
    }

    fn of<T: DeserializeOwned>(item: &Value, run: impl FnOnce(T) -> Self) -> Self {
        match read_strictly(item) {
            Ok(request) => run(request),
            Err(_) => Self { code: 108, topic: None, clientid: None, message: Some("bad_params".to_owned()) },
        }
    }
}

type Outcomes = Result<Data<Vec<Outcome>>, Refusal>;

/// Publishes one message after the other.
#[utoipa::path(post, path = "/mqtt/publish_batch", tag = "mqtt", request_body = Vec<NewMessage>,
    responses((status = OK, body = Data<Vec<Outcome>>)))]
pub(super) async fn publish_batch(State(shared): Admission, Body(items): Body<Vec<Value>>) -> Outcomes {
    let one = |broker: &dyn Operate, new: NewMessage| {
        Outcome::new(new.publish(broker).map(drop), Some(new.asked_topic().to_owned()), None)
    };
    let answer = with_broker(&shared, move |broker| {
        items.iter().map(|item| Outcome::of(item, |new| one(broker, new))).collect()
    });
    answer.await.map(Data::new)
}

/// A client and filters.
#[derive(Deserialize, ToSchema)]
pub(super) struct Subscribing {
    /// Its id.
    #[schema(value_type = Option<String>)]
    clientid: Option<Value>,
    /// A filter, or several with commas between them.
    topic: Option<String>,
    /// Filters with commas between them, if there is no `topic`.
    topics: Option<String>,
    /// 0, 1 or 2; 0 if not given.
    #[schema(value_type = Option<u8>)]
    qos: Option<Value>,
}

impl Subscribing {
    fn run(&self, broker: &dyn Operate) -> Result<(), Refusal> {
        let client_id = self.clientid.as_ref().and_then(Value::as_str).ok_or_else(bad_client_id)?;
        let filters = split(&self.topic, &self.topics, |text| Filter::new(text).ok())?;
        let qos = qos_of(&self.qos)?;
        let options = SubscribeOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let wishes: Vec<_> = filters.into_iter().map(|filter| SubscribeFilter { filter, options }).collect();
        broker.subscribe(client_id, &wishes).map_err(|error| match error {
            SubscribeError::Offline => offline(),
            SubscribeError::Refused(code) => Refusal::fault(102, code.name()),
        })
    }

    fn asked_topic(self) -> Option<String> {
        self.topic.or(self.topics)
    }
}

/// Subscribes for a client that is online. Neither rules nor modules are asked: an operator may.
#[utoipa::path(post, path = "/mqtt/subscribe", tag = "mqtt", request_body = Subscribing,
    responses((status = OK, body = Done, description = "or a fault: 102, 108, 112, 115, 116")))]
pub(super) async fn subscribe(State(shared): Admission, Body(request): Body<Subscribing>) -> Changed {
    with_broker(&shared, move |broker| request.run(broker)).await?.map(|()| DONE)
}

/// Subscribes for clients.
#[utoipa::path(post, path = "/mqtt/subscribe_batch", tag = "mqtt", request_body = Vec<Subscribing>,
    responses((status = OK, body = Data<Vec<Outcome>>)))]
pub(super) async fn subscribe_batch(State(shared): Admission, Body(items): Body<Vec<Value>>) -> Outcomes {
    let one = |broker: &dyn Operate, request: Subscribing| {
        let (result, client_id) = (request.run(broker), request.clientid.clone());
        Outcome::new(result, request.asked_topic(), client_id)
    };
    let answer = with_broker(&shared, move |broker| {
        items.iter().map(|item| Outcome::of(item, |request| one(broker, request))).collect()
    });
    answer.await.map(Data::new)
}

/// A client and a filter.
#[derive(Deserialize, ToSchema)]
pub(super) struct Unsubscribing {
    /// Its id.
    #[schema(value_type = Option<String>)]
    clientid: Option<Value>,
    /// The filter.
    topic: Option<String>,
}

impl Unsubscribing {
    fn run(&self, broker: &dyn Operate) -> Result<(), Refusal> {
        let client_id = self.clientid.as_ref().and_then(Value::as_str).ok_or_else(bad_client_id)?;
        let filter = Filter::new(self.topic.as_deref().unwrap_or_default()).map_err(|_| bad_topic())?;
        if broker.unsubscribe(client_id, &filter) { Ok(()) } else { Err(offline()) }
    }
}

/// Unsubscribes for a client that is online; it is no fault if it had not subscribed.
#[utoipa::path(post, path = "/mqtt/unsubscribe", tag = "mqtt", request_body = Unsubscribing,
    responses((status = OK, body = Done, description = "or a fault: 108, 112, 115")))]
pub(super) async fn unsubscribe(State(shared): Admission, Body(request): Body<Unsubscribing>) -> Changed {
    with_broker(&shared, move |broker| request.run(broker)).await?.map(|()| DONE)
}

/// Unsubscribes for clients.
#[utoipa::path(post, path = "/mqtt/unsubscribe_batch", tag = "mqtt", request_body = Vec<Unsubscribing>,
    responses((status = OK, body = Data<Vec<Outcome>>)))]
pub(super) async fn unsubscribe_batch(State(shared): Admission, Body(items): Body<Vec<Value>>) -> Outcomes {
    let one = |broker: &dyn Operate, request: Unsubscribing| {
        let result = request.run(broker);
        Outcome::new(result, request.topic, request.clientid)
    };
    let answer = with_broker(&shared, move |broker| {
        items.iter().map(|item| Outcome::of(item, |request| one(broker, request))).collect()
    });
    answer.await.map(Data::new)
}
