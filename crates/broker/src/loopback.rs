//! A client of the broker's own that comes and goes, and another that watches what presence says about it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mqtt_codec::{
    Connect, Decoder, Disconnect, Filter, Packet, PacketId, Properties, Qos, ReasonCode, Role, Subscribe,
    SubscribeFilter, SubscribeOptions, Version,
};
use mqtt_net::Pipe;
use mqtt_operate::Told;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::broker::Broker;
use crate::coming::door;
use crate::coming::handshake::random_text;

/// How long an answer or an event may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Lets a client come and go; returns the events that came of it, and what went wrong.
pub(crate) async fn test_presence(broker: &Arc<Broker>) -> (Vec<Told>, Option<String>) {
    let mut told = Vec::new();
    let error = run(broker, &mut told).await.err();
    (told, error)
}

async fn run(broker: &Arc<Broker>, told: &mut Vec<Told>) -> Result<(), String> {
    let id = format!("rollcall-test-{}", random_text());
    let mut watcher = Loopback::connect(broker, &format!("{id}-watcher")).await?;
    watcher.subscribe(&format!("$SYS/brokers/{}/clients/{id}/+", broker.config.node)).await?;
    let start = Instant::now();
    let client = Loopback::connect(broker, &id).await?;
    told.push(watcher.event(start, "connected").await?);
    let start = Instant::now();
    client.disconnect().await?;
    told.push(watcher.event(start, "disconnected").await?);
    watcher.disconnect().await
}

struct Loopback {
    pipe: Pipe,
    decoder: Decoder,
    input: BytesMut,
}

impl Loopback {
    async fn connect(broker: &Arc<Broker>, id: &str) -> Result<Self, String> {
        let pipe = door::connect_in_memory(broker, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let decoder = Decoder::new(Role::Client(Version::V5), broker.config.limits.max_packet_size);
        let mut client = Self { pipe, decoder, input: BytesMut::new() };
        let connect = Connect::new(Version::V5, id);
        client.send(&Packet::Connect(Box::new(connect))).await?;
        match client.take("CONNACK").await? {
            Packet::ConnAck(answer) if answer.reason == ReasonCode::Success => Ok(client),
            Packet::ConnAck(answer) => Err(format!("the test's client was refused: {}", answer.reason.name())),
            _ => Err("the test's client was sent something else than CONNACK".to_owned()),
        }
    }

    async fn subscribe(&mut self, filter: &str) -> Result<(), String> {
        let filter = Filter::new(filter).map_err(|error| error.to_string())?;
        let options = SubscribeOptions { qos: Qos::AtMostOnce, ..SubscribeOptions::default() };
        let subscribe = Subscribe {
            packet_id: PacketId::new(1).ok_or("no packet id")?,
            filters: vec![SubscribeFilter { filter, options }],
            properties: Properties::EMPTY,
        };
        self.send(&Packet::Subscribe(subscribe)).await?;
        match self.take("SUBACK").await? {
            Packet::SubAck(answer) => match answer.reasons.first() {
                Some(reason) if !reason.is_error() => Ok(()),
                reason => Err(format!(
                    "the test may not subscribe to events: {}; see sys.subscribe",
                    reason.map_or("no reason", |reason| reason.name())
                )),
            },
            _ => Err("the test was sent something else than SUBACK".to_owned()),
        }
    }

    async fn event(&mut self, start: Instant, kind: &str) -> Result<Told, String> {
        match self.take(&format!("the event \"{kind}\"")).await? {
            Packet::Publish(publish) => Ok(Told {
                topic: publish.topic.as_ref().map(ToString::to_string).unwrap_or_default(),
                payload: publish.payload.to_vec(),
                after: start.elapsed(),
            }),
            _ => Err(format!("something else came than the event \"{kind}\"")),
        }
    }

    async fn disconnect(mut self) -> Result<(), String> {
        let reason = ReasonCode::Success;
        self.send(&Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY })).await
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
