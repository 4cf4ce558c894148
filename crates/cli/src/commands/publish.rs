//! `rollcall pub`

use std::io::Read;
use std::path::PathBuf;

use bytes::Bytes;
use mqtt_codec::{Ack, Packet, Property, Publish, Qos, ReasonCode, Topic};
use serde_json::json;

use crate::failure::Failure;
use crate::mqtt::{Connection, PACKET_ID, Visit, pair, user_properties};
use crate::output::Output;
use crate::reach::Reach;
use crate::remote::Remote;

/// What to publish, and how.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// Where to
    topic: String,
    /// What; without it, and without --file, what comes on standard input
    #[arg(conflicts_with = "file")]
    payload: Option<String>,
    /// A file that has it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Quality of service: 0, 1 or 2
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Keep it for who subscribes later; an empty payload takes away what is kept
    #[arg(long)]
    retain: bool,
    /// What the payload is, such as application/json [MQTT 5]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Where an answer is wanted [MQTT 5]
    #[arg(long, value_name = "TOPIC")]
    response_topic: Option<String>,
    /// What an answer is to have [MQTT 5]
    #[arg(long, value_name = "TEXT")]
    correlation: Option<String>,
    /// Seconds after which it reaches nobody [MQTT 5]
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<u32>,
    /// A user property; may be given again [MQTT 5]
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    property: Vec<(String, String)>,
    #[command(flatten)]
    visit: Visit,
}

pub(crate) async fn run(
    args: &Args,
    reach: &Reach,
    remote: impl FnOnce() -> Result<Remote, Failure>,
    out: &mut Output,
) -> Result<(), Failure> {
    let publish = args.packet()?;
    let mut connection = args.visit.begin(reach, remote).await?;
    connection.send(&Packet::Publish(publish)).await?;
    let reason = match args.qos {
        0 => ReasonCode::Success,
        _ => acknowledged(&mut connection).await?,
    };
    connection.end().await?;
    let line = match reason {
        ReasonCode::NoMatchingSubscribers => "published, and nobody subscribes to it",
        _ => "published",
    };
    Ok(out.done(line, &json!({"code": 0, "reason": reason.name()}))?)
}

impl Args {
    fn packet(&self) -> Result<Publish, Failure> {
        let topic = Topic::new(self.topic.clone())
            .map_err(|error| Failure::Usage(format!("{:?} is no topic: {error}", self.topic)))?;
        let payload = match (&self.payload, &self.file) {
            (Some(text), _) => Bytes::copy_from_slice(text.as_bytes()),
            (None, Some(file)) => {
                let bytes = std::fs::read(file);
                bytes.map_err(|error| Failure::Usage(format!("--file {}: {error}", file.display())))?.into()
            }
            (None, None) => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut bytes)
                    .map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
                bytes.into()
            }
        };
        let said = [
            ("--content-type", self.content_type.is_some()),
            ("--response-topic", self.response_topic.is_some()),
            ("--correlation", self.correlation.is_some()),
            ("--expiry", self.expiry.is_some()),
            ("--property", !self.property.is_empty()),
        ];
        said.into_iter().try_for_each(|(flag, is_said)| self.visit.check(flag, is_said))?;
        let text = |of: &Option<String>| of.as_deref().map(str::to_owned);
        let properties = [
            text(&self.content_type).map(|text| Property::ContentType(text.into())),
            text(&self.response_topic).map(|text| Property::ResponseTopic(text.into())),
            text(&self.correlation).map(|text| Property::CorrelationData(text.into())),
            self.expiry.map(Property::MessageExpiry),
        ];
        Ok(Publish {
            dup: false,
            qos: Qos::from_u8(self.qos).expect("clap has looked at it"),
            retain: self.retain,
            topic: Some(topic),
            packet_id: (self.qos > 0).then_some(PACKET_ID),
            properties: properties.into_iter().flatten().chain(user_properties(&self.property)).collect(),
            payload,
        })
    }
}

/// Waits until the broker has taken it over: PUBACK, or PUBREC and PUBCOMP.
async fn acknowledged(connection: &mut Connection) -> Result<ReasonCode, Failure> {
    let mut said = ReasonCode::Success;
    loop {
        match connection.answer().await? {
            Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason.is_error() => {
                return Err(connection.refused("PUBLISH", ack.reason, ""));
            }
            Packet::PubAck(ack) => return Ok(ack.reason),
            Packet::PubRec(ack) => {
                said = ack.reason;
                connection.send(&Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success))).await?;
            }
            Packet::PubComp(_) => return Ok(said),
            // What a session that goes on has for us is for who subscribes with it.
            Packet::Publish(_) | Packet::PubRel(_) | Packet::PingResp => {}
            other => return Err(connection.odd(&other)),
        }
    }
}
