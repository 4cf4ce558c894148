//! A challenge before CONNACK: AUTH both ways with a client that is not in yet, and of whom there is no session.

use std::future::pending;

use bytes::{Bytes, BytesMut};
use mqtt_codec::{Auth, Connect, DecodeError, FixedHeader, Packet, PacketType, ReasonCode};
use mqtt_hooks::{Challenge, ConnectionInfo, Exchange, Hooks, Login};
use mqtt_operate::Direction;
use tokio::sync::oneshot;

use crate::coming::arrival::Arrival;
use crate::packets::renewal::{data_of, properties_of};
use crate::watch::Watched;
use crate::watch::memory::Claim;
use crate::watch::trace::Traces;

/// Bytes of the largest packet that a client may send meanwhile, and so about what is kept of it.
const LARGEST: usize = 16 * 1024;

/// Bytes that are read at once.
const READ: usize = 1024;

/// Why nobody can say whether the client may come in.
pub(super) enum Broken {
    /// It did what it may not.
    Refused(ReasonCode),
    /// It left, or can't be told anything.
    Left,
}

/// Lets modules and the client talk. With what they say of it, and what it is told should it come in.
pub(super) async fn exchange(
    hooks: &Hooks,
    watched: &Watched,
    arrival: &mut Arrival,
    connect: &Connect,
    info: &ConnectionInfo,
    method: &str,
) -> Result<(Login, Option<Bytes>), Broken> {
    let (tell, broken) = oneshot::channel();
    let held = watched.memory.arriving().claim();
    let mut asking = Asking { traces: &watched.traces, arrival, connect, method, tell: Some(tell), held };
    let mut exchange = Exchange::new(method, data_of(&connect.properties), &mut asking);
    exchange.password.clone_from(&connect.password);
    // A client that breaks off ends the question: whoever is still to answer it is dropped.
    let login = tokio::select! {
        biased;
        login = hooks.exchange(info, &mut exchange) => login,
        Ok(broken) = broken => return Err(broken),
    };
    let conclusion = exchange.into_conclusion();
    // [MQTT-3.1.2-30]: what has come by now was sent before CONNACK.
    if let Some(&first) = asking.arrival.rest.first()
        && first >> 4 != PacketType::Disconnect as u8
    {
        return Err(Broken::Refused(ReasonCode::ProtocolError));
    }
    Ok((login, conclusion))
}

/// The client as those who authenticate it see it.
struct Asking<'a> {
    traces: &'a Traces,
    arrival: &'a mut Arrival,
    connect: &'a Connect,
    method: &'a str,
    tell: Option<oneshot::Sender<Broken>>,
    /// What is read of its answers: nobody knows yet who it is.
    held: Claim,
}

#[async_trait::async_trait]
impl Challenge for Asking<'_> {
    async fn challenge(&mut self, data: Bytes) -> Bytes {
        let broken = match self.ask(data).await {
            Ok(answer) => return answer,
            Err(broken) => broken,
        };
        // Whoever waits for the answer is dropped for it.
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(broken);
        }
        pending().await
    }
}

impl Asking<'_> {
    async fn ask(&mut self, data: Bytes) -> Result<Bytes, Broken> {
        self.send(data).await?;
        loop {
            if let Some(packet) = self.take_packet()? {
                self.arrival.traffic.note_received(1, 0);
                self.trace(Direction::In, &packet);
                return self.answer_in(packet);
            }
            match self.arrival.transport.read(&mut self.arrival.rest, READ).await {
                Ok(0) | Err(_) => return Err(Broken::Left),
                Ok(read) => self.arrival.traffic.note_read(read),
            }
            // By its capacity: that is what it takes.
            if !self.held.grow_to(self.arrival.rest.capacity()) {
                return Err(Broken::Refused(ReasonCode::QuotaExceeded));
            }
        }
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Broken> {
        let properties = properties_of(self.method, Some(data)).collect();
        // [MQTT-4.12.0-2]
        let packet = Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties });
        let version = self.connect.version;
        // [MQTT-3.1.2-24]: the client waits for this and could never get it.
        let limit = self.connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        let mut output = BytesMut::new();
        if packet.encoded_len(version) > limit as usize || packet.encode(version, &mut output).is_err() {
            return Err(Broken::Left);
        }
        self.arrival.transport.write_all(&output).await.map_err(|_| Broken::Left)?;
        self.arrival.traffic.note_written(output.len() as u64, 1);
        self.trace(Direction::Out, &packet);
        Ok(())
    }

    fn trace(&self, direction: Direction, packet: &Packet) {
        self.traces.note_before_entry(&self.connect.client_id, direction, packet);
    }

    /// The next packet, if it is there. What may not come is refused before all of it has.
    fn take_packet(&mut self) -> Result<Option<Packet>, Broken> {
        let refused = |error: DecodeError| Broken::Refused(error.reason_code());
        let Some(header) = FixedHeader::read(&self.arrival.rest).map_err(refused)? else { return Ok(None) };
        // [MQTT-3.1.2-30]
        if ![PacketType::Auth as u8, PacketType::Disconnect as u8].contains(&(header.first >> 4)) {
            return Err(Broken::Refused(ReasonCode::ProtocolError));
        }
        if header.packet_size() > LARGEST {
            return Err(Broken::Refused(ReasonCode::PacketTooLarge));
        }
        self.arrival.decoder.decode(&mut self.arrival.rest).map_err(refused)
    }

    fn answer_in(&self, packet: Packet) -> Result<Bytes, Broken> {
        match packet {
            // [MQTT-4.12.0-3] [MQTT-4.12.0-5]
            Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties })
                if properties.authentication_method().is_some_and(|method| *method == *self.method) =>
            {
                Ok(data_of(&properties))
            }
            Packet::Disconnect(_) => Err(Broken::Left),
            _ => Err(Broken::Refused(ReasonCode::ProtocolError)),
        }
    }
}
