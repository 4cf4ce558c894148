//! From accept to CONNECT: a socket of which nothing is known yet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use mqtt_codec::{Connect, DecodeError, Decoder, Packet, Role};
use mqtt_hooks::Listener;
use mqtt_session::Timestamp;

use crate::broker::Broker;
use crate::timers::{Timer, TimerKey};
use crate::traffic::Traffic;
use crate::transport::Transport;

/// Where a connection came in.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<Listener>,
}

/// Bytes that are read at once before a client is in.
const FIRST_READ: usize = 1024;

/// A socket that has not sent CONNECT yet.
pub(crate) struct Arrival {
    pub(crate) transport: Transport,
    pub(crate) traffic: Traffic,
    pub(crate) origin: Origin,
    pub(crate) decoder: Decoder,
    /// Bytes read and not yet decoded; once CONNECT has come, what came with it.
    pub(crate) rest: BytesMut,
    /// When CONNECT and the answer to it must be through.
    pub(crate) deadline: Timestamp,
    /// Wakes the task then; there is one only if CONNECT was not there at once.
    timer: Option<TimerKey>,
    is_new: bool,
}

/// What the first packet is.
pub(crate) enum First {
    Connect(Box<Connect>),
    /// Not what may come first, or none came in time, or the peer has closed.
    Nothing,
    Malformed(DecodeError),
}

impl Arrival {
    pub(crate) fn new(broker: &Broker, transport: Transport, origin: Origin) -> Self {
        let timeout = broker.config.mqtt.connect_timeout.as_millis() as u64;
        Self {
            transport,
            traffic: Traffic::default(),
            origin,
            decoder: Decoder::new(Role::Server, broker.config.limits.max_packet_size),
            rest: BytesMut::new(),
            deadline: Timestamp(broker.clock.now().0.saturating_add(timeout)),
            timer: None,
            is_new: true,
        }
    }

    pub(crate) fn poll(&mut self, broker: &Broker, context: &mut Context<'_>) -> Poll<First> {
        let first = self.poll_first(context);
        if first.is_ready() {
            if let Some(timer) = self.timer.take() {
                broker.timers.cancel(timer);
            }
        } else if broker.clock.now() >= self.deadline {
            return Poll::Ready(First::Nothing);
        } else if self.timer.is_none() {
            self.timer = Some(broker.timers.insert(self.deadline, Timer::Arrival(Box::new(context.waker().clone()))));
        }
        first
    }

    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<First> {
        if std::mem::take(&mut self.is_new)
            && let Some(first) = self.look_at_once()
        {
            return Poll::Ready(first);
        }
        loop {
            self.rest.reserve(FIRST_READ);
            match ready!(self.transport.poll_read(context, &mut self.rest)) {
                Ok(0) | Err(_) => return Poll::Ready(First::Nothing),
                Ok(read) => self.traffic.note_read(read),
            }
            if let Some(first) = decode(&mut self.decoder, &mut self.rest) {
                return Poll::Ready(first);
            }
        }
    }

    /// Who connects has mostly sent CONNECT by the time it is accepted: waiting for the system to say so would cost
    /// another turn of the task.
    fn look_at_once(&mut self) -> Option<First> {
        match self.transport.read_now(&mut self.rest, FIRST_READ)? {
            Ok(0) | Err(_) => Some(First::Nothing),
            Ok(read) => {
                self.traffic.note_read(read);
                decode(&mut self.decoder, &mut self.rest)
            }
        }
    }
}

fn decode(decoder: &mut Decoder, input: &mut BytesMut) -> Option<First> {
    match decoder.decode(input) {
        Ok(Some(Packet::Connect(connect))) => Some(First::Connect(connect)),
        // [MQTT-3.1.0-1]
        Ok(Some(_)) => Some(First::Nothing),
        Ok(None) => None,
        Err(error) => Some(First::Malformed(error)),
    }
}
