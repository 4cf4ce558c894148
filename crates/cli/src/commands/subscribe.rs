//! `rollcall sub`

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mqtt_codec::{
    Ack, Filter, Packet, Properties, Property, Publish, Qos, ReasonCode, RetainHandling, Subscribe, SubscribeFilter,
    SubscribeOptions,
};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::columns::visible;
use crate::failure::Failure;
use crate::mqtt::{Connection, PACKET_ID, Visit};
use crate::output::Output;
use crate::reach::Reach;
use crate::remote::Remote;

/// To what to subscribe, and how.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// Filters, such as 'plant/+/state' or '#'
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<String>,
    /// The highest quality of service: 0, 1 or 2
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// End after so many messages; else it goes on until Ctrl-C
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Retained messages: always those that there are, only of new subscriptions, or none [MQTT 5]
    #[arg(long, value_name = "WHICH", default_value = "all", value_parser = ["all", "new", "none"])]
    retained: String,
    /// Keep the retain flag as it was published [MQTT 5]
    #[arg(long)]
    retain_as_published: bool,
    /// Show payloads as they are, a line each, and nothing else
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    visit: Visit,
}

pub(crate) async fn run(
    args: &Args,
    reach: &Reach,
    remote: impl FnOnce() -> Result<Remote, Failure>,
    out: &mut Output,
) -> Result<(), Failure> {
    let subscribe = args.packet()?;
    let mut connection = args.visit.begin(reach, remote).await?;
    connection.send(&Packet::Subscribe(subscribe)).await?;
    out.keep_long_lines();
    let mut watch = Watch { args, left: args.count.unwrap_or(u64::MAX), received: HashSet::new() };
    while watch.left > 0 {
        let packet = match Duration::from_secs(args.visit.keepalive.into()) {
            Duration::ZERO => connection.receive().await?,
            // [MQTT-3.1.2-20]: before it is over. What was read is not lost by giving up waiting for more.
            keep_alive => match timeout(keep_alive, connection.receive()).await {
                Ok(packet) => packet?,
                Err(_) => {
                    connection.send(&Packet::PingReq).await?;
                    continue;
                }
            },
        };
        watch.handle(packet, &mut connection, out).await?;
    }
    connection.end().await
}

/// What is yet to come.
struct Watch<'a> {
    args: &'a Args,
    left: u64,
    /// QoS 2: shown, and not yet released. No more than there are packet ids.
    received: HashSet<u16>,
}

impl Watch<'_> {
    async fn handle(&mut self, packet: Packet, connection: &mut Connection, out: &mut Output) -> Result<(), Failure> {
        match packet {
            Packet::Publish(publish) => {
                // [MQTT-4.3.3-10]: one with an id that was not released is the same.
                let id = publish.packet_id.map(|id| (id, publish.qos));
                let is_again =
                    id.is_some_and(|(id, qos)| qos == Qos::ExactlyOnce && !self.received.insert(id.as_u16()));
                if !is_again {
                    show(&publish, self.args.raw, out)?;
                    // Whoever reads this has it when the broker is told so.
                    out.flush()?;
                    self.left -= 1;
                }
                match id {
                    Some((id, Qos::ExactlyOnce)) => {
                        connection.send(&Packet::PubRec(Ack::new(id, ReasonCode::Success))).await?;
                    }
                    Some((id, _)) => connection.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success))).await?,
                    None => {}
                }
            }
            Packet::PubRel(ack) => {
                self.received.remove(&ack.packet_id.as_u16());
                connection.send(&Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success))).await?;
            }
            Packet::SubAck(answer) => {
                let refused = answer.reasons.iter().zip(&self.args.filters).find(|(reason, _)| reason.is_error());
                if let Some((reason, filter)) = refused {
                    return Err(connection.refused(&format!("SUBSCRIBE to {filter:?}"), *reason, ""));
                }
            }
            Packet::PingResp => {}
            other => return Err(connection.odd(&other)),
        }
        Ok(())
    }
}

impl Args {
    fn packet(&self) -> Result<Subscribe, Failure> {
        self.visit.check("--retained", self.retained != "all")?;
        self.visit.check("--retain-as-published", self.retain_as_published)?;
        let options = SubscribeOptions {
            qos: Qos::from_u8(self.qos).expect("clap has looked at it"),
            no_local: false,
            retain_as_published: self.retain_as_published,
            retain_handling: match &*self.retained {
                "new" => RetainHandling::SendIfNew,
                "none" => RetainHandling::DoNotSend,
                _ => RetainHandling::Send,
            },
        };
        let wish = |text: &String| {
            let filter = Filter::new(text.clone());
            let filter = filter.map_err(|error| Failure::Usage(format!("{text:?} is no filter: {error}")))?;
            Ok(SubscribeFilter { filter, options })
        };
        let filters = self.filters.iter().map(wish).collect::<Result<_, Failure>>()?;
        Ok(Subscribe { packet_id: PACKET_ID, properties: Properties::EMPTY, filters })
    }
}

fn show(publish: &Publish, is_raw: bool, out: &mut Output) -> Result<(), Failure> {
    let topic = publish.topic.as_ref().map_or("", |topic| topic.as_str());
    let text = std::str::from_utf8(&publish.payload);
    if out.is_json {
        let mut shown = json!({"topic": topic, "qos": publish.qos as u8, "retain": publish.retain, "dup": publish.dup});
        match text {
            Ok(text) => shown["payload"] = text.into(),
            Err(_) => shown["payload_base64"] = BASE64_STANDARD.encode(&publish.payload).into(),
        }
        if !publish.properties.is_empty() {
            shown["properties"] = properties(&publish.properties);
        }
        return Ok(out.json(&shown)?);
    }
    if is_raw {
        return Ok(out.bytes_line(&publish.payload)?);
    }
    // Whoever publishes chooses what stands here.
    let payload = text.map_or_else(|_| BASE64_STANDARD.encode(&publish.payload), visible);
    let sign = if publish.retain { "=" } else { "" };
    Ok(out.line(format!("{}{sign} {payload}", visible(topic)).trim_end())?)
}

/// Those that say something to who gets the message.
fn properties(properties: &Properties) -> Value {
    let (mut shown, mut user) = (Map::new(), Vec::new());
    for property in properties.iter() {
        let (name, value) = match property {
            Property::PayloadFormat(is_text) => ("payload_format_indicator", u8::from(is_text).into()),
            Property::MessageExpiry(seconds) => ("message_expiry_interval", seconds.into()),
            Property::ContentType(text) => ("content_type", text.to_string().into()),
            Property::ResponseTopic(text) => ("response_topic", text.to_string().into()),
            Property::CorrelationData(data) => match std::str::from_utf8(&data) {
                Ok(text) => ("correlation_data", text.into()),
                Err(_) => ("correlation_data_base64", BASE64_STANDARD.encode(&data).into()),
            },
            Property::UserProperty(name, value) => {
                user.push(json!([name.to_string(), value.to_string()]));
                continue;
            }
            _ => continue,
        };
        shown.insert(name.to_owned(), value);
    }
    if !user.is_empty() {
        shown.insert("user_properties".to_owned(), user.into());
    }
    shown.into()
}
