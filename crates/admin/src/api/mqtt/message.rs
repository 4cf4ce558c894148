//! A message as EMQ X takes it over REST.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use serde_json::{Map, Value};

use super::*;

/// A message.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewMessage {
    /// Where to, or several topics with commas between them.
    #[schema(example = "stairs/1/light")]
    topic: Option<String>,
    /// Topics with commas between them, if there is no `topic`.
    topics: Option<String>,
    /// In whose name; modules see it.
    #[schema(value_type = Option<String>)]
    clientid: Option<Value>,
    /// A text; anything else is sent as JSON.
    #[schema(value_type = Value, required = false, example = "on")]
    payload: Option<Value>,
    /// `plain`, or `base64` if the payload is.
    #[schema(example = "plain")]
    encoding: Option<String>,
    /// 0, 1 or 2; 0 if not given.
    #[schema(value_type = Option<u8>)]
    qos: Option<Value>,
    /// Keep it for who subscribes later.
    #[schema(value_type = Option<bool>)]
    retain: Option<Value>,
    /// For MQTT 5 clients.
    user_properties: Option<Map<String, Value>>,
    /// For MQTT 5 clients: `payload_format_indicator`, `message_expiry_interval`, `response_topic`,
    /// `correlation_data`, `content_type`, `user_properties`.
    properties: Option<Map<String, Value>>,
    /// Answer with the message's id.
    #[serde(rename = "return")]
    returns: Option<Value>,
}

/// It is published.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// If `return` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<Ids>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Ids {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    msgid: Option<String>,
    /// If `topics` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    msgids: Option<Vec<String>>,
}

impl IntoResponse for Published {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

impl NewMessage {
    pub(super) fn publish(&self, broker: &dyn Operate) -> Result<Published, Refusal> {
        let client_id = match &self.clientid {
            None | Some(Value::Null) => "",
            Some(Value::String(id)) => id,
            Some(_) => return Err(bad_client_id()),
        };
        let payload = self.payload()?;
        let properties = self.properties()?;
        let retain = match &self.retain {
            None => false,
            Some(Value::Bool(retain)) => *retain,
            Some(value) if value == 0 || value == 1 => value == 1,
            Some(_) => return Err(Refusal::bad_param("bad retain: must be true or false")),
        };
        let topics = split(&self.topic, &self.topics, topic)?;
        let qos = qos_of(&self.qos)?;
        let ids: Vec<_> = topics.iter().map(|_| message_id()).collect();
        for topic in topics {
            let properties = properties.iter().cloned().collect();
            let message = Message { topic, payload: payload.clone(), qos, retain, properties };
            broker.publish(client_id, message).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => Refusal::fault(115, format!("bad_topic: {error}")),
                _ => Refusal::fault(102, error.to_string()),
            })?;
        }
        let data = self.returns.as_ref().map(|_| match &self.topics {
            Some(_) => Ids { msgid: None, msgids: Some(ids) },
            None => Ids { msgid: ids.into_iter().next_back(), msgids: None },
        });
        Ok(Published { code: 0, data })
    }

    pub(super) fn asked_topic(&self) -> &str {
        self.topic.as_deref().or(self.topics.as_deref()).unwrap_or_default()
    }

    fn payload(&self) -> Result<Bytes, Refusal> {
        let text = match &self.payload {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        match self.encoding.as_deref() {
            Some("base64") => {
                let decoded = BASE64_STANDARD.decode(text);
                decoded.map(Bytes::from).map_err(|_| Refusal::bad_param("bad payload: must be base64"))
            }
            _ => Ok(text.into()),
        }
    }

    fn properties(&self) -> Result<Vec<Property>, Refusal> {
        let mut all = Vec::new();
        for (name, value) in self.properties.iter().flatten() {
            let property = match &**name {
                "payload_format_indicator" if value == 0 || value == 1 => Property::PayloadFormat(value == 1),
                "message_expiry_interval" => Property::MessageExpiry(seconds(value).ok_or_else(|| bad(name))?),
                "content_type" => Property::ContentType(text(name, value)?),
                "correlation_data" => Property::CorrelationData(text(name, value)?.into_bytes()),
                "response_topic" => {
                    let topic = Topic::new(text(name, value)?).map_err(|_| bad(name))?;
                    Property::ResponseTopic(topic.as_byte_string().clone())
                }
                "user_properties" => {
                    let pairs = value.as_object().ok_or_else(|| bad(name))?;
                    push_user_properties(pairs, &mut all)?;
                    continue;
                }
                // It is the broker that says which subscription a message comes by. [MQTT-3.3.4-6]
                "subscription_identifier" => continue,
                _ => return Err(bad(name)),
            };
            all.push(property);
        }
        if let Some(pairs) = &self.user_properties {
            push_user_properties(pairs, &mut all)?;
        }
        Ok(all)
    }
}

/// `None` for what nobody may publish to: `$SYS` is the broker's own.
fn topic(text: &str) -> Option<Topic> {
    if mqtt_hooks::is_sys(text) { None } else { Topic::new(text).ok() }
}

fn bad(name: &str) -> Refusal {
    Refusal::bad_param(format!("bad property {name}"))
}

fn seconds(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

/// What MQTT can carry as a text. [MQTT-1.5.4-2]
fn text(name: &str, value: &Value) -> Result<ByteString, Refusal> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => return Err(bad(name)),
    };
    if text.len() > usize::from(u16::MAX) || text.contains('\0') {
        return Err(bad(name));
    }
    Ok(text.into())
}

fn push_user_properties(pairs: &Map<String, Value>, all: &mut Vec<Property>) -> Result<(), Refusal> {
    for (name, value) in pairs {
        let (key, value) = (text(name, &Value::String(name.clone()))?, text(name, value)?);
        all.push(Property::UserProperty(key, value));
    }
    Ok(())
}

/// Of this process once; 32 hexadecimal digits, as EMQ X's.
fn message_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    format!("{now:016X}{:016X}", NEXT.fetch_add(1, Relaxed))
}
