//! A client of the broker's own, which a module makes.

use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::{
    Connect, Decoder, Disconnect, Filter, Message, Packet, PacketId, Properties, Qos, ReasonCode, Role, Subscribe,
    SubscribeFilter, SubscribeOptions, Version,
};
use mqtt_hooks::Client;
use mqtt_net::Pipe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long an answer or an event may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client that speaks MQTT 5.
pub(crate) struct Loopback {
    pipe: Pipe,
    decoder: Decoder,
    input: BytesMut,
}

impl Loopback {
    /// By a pipe whose other end the broker has.
    pub(crate) async fn connect(pipe: Pipe, max_packet_size: u32, id: &str) -> Result<Self, String> {
        let decoder = Decoder::new(Role::Client(Version::V5), max_packet_size);
        let mut client = Self { pipe, decoder, input: BytesMut::new() };
        let connect = Connect::new(Version::V5, id);
        client.send(&Packet::Connect(Box::new(connect))).await?;
        match client.take("CONNACK").await? {
            Packet::ConnAck(answer) if answer.reason == ReasonCode::Success => Ok(client),
            Packet::ConnAck(answer) => Err(format!("the test's client was refused: {}", answer.reason.name())),
            _ => Err("the test's client was sent something else than CONNACK".to_owned()),
        }
    }

    async fn send(&mut self, packet: &Packet) -> Result<(), String> {
        let mut bytes = BytesMut::new();
        packet.encode(Version::V5, &mut bytes).map_err(|error| error.to_string())?;
        self.pipe.write_all(&bytes).await.map_err(|error| error.to_string())
    }

    async fn take(&mut self, what: &str) -> Result<Packet, String> {
        let taken = timeout(PATIENCE, async {
            loop {
                if let Some(packet) = self.decoder.decode(&mut self.input).map_err(|error| error.to_string())? {
                    return Ok(packet);
                }
                match self.pipe.read_buf(&mut self.input).await {
                    Ok(0) => return Err(format!("the broker closed before {what}")),
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        });
        taken.await.unwrap_or_else(|_| Err(format!("{what} did not come within {} s", PATIENCE.as_secs())))
    }
}

#[async_trait::async_trait]
impl Client for Loopback {
    async fn subscribe(&mut self, filter: &Filter) -> Result<(), String> {
        let options = SubscribeOptions { qos: Qos::AtMostOnce, ..SubscribeOptions::default() };
        let subscribe = Subscribe {
            packet_id: PacketId::new(1).ok_or("no packet id")?,
            filters: vec![SubscribeFilter { filter: filter.clone(), options }],
            properties: Properties::EMPTY,
        };
        self.send(&Packet::Subscribe(subscribe)).await?;
        match self.take("SUBACK").await? {
            Packet::SubAck(answer) => match answer.reasons.first() {
                Some(reason) if !reason.is_error() => Ok(()),
                reason => Err(format!(
                    "the test may not subscribe to {filter}: {}; see sys.subscribe",
                    reason.map_or("no reason", |reason| reason.name())
                )),
            },
            _ => Err("the test was sent something else than SUBACK".to_owned()),
        }
    }

    async fn receive(&mut self) -> Result<Message, String> {
        let Packet::Publish(publish) = self.take("a message").await? else {
            return Err("something else came than a message".to_owned());
        };
        Ok(Message {
            topic: publish.topic.ok_or("a message came without its topic")?,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: publish.properties,
        })
    }

    async fn disconnect(mut self: Box<Self>) -> Result<(), String> {
        let reason = ReasonCode::Success;
        self.send(&Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY })).await
    }
}
