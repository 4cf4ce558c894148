//! From accept to CONNECT: a socket of which nothing is known yet.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use mqtt_codec::{Connect, DecodeError, Decoder, Packet, Role, Version, version_said};
use mqtt_hooks::Listener;
use mqtt_net::{Identity, Transport};

use crate::broker::Broker;
use crate::client::connection::Awaited;
use crate::client::traffic::Traffic;
use crate::coming::ticket::Ticket;
use crate::time::patience::Patient;
use crate::time::timers::TimerKey;
use crate::watch::memory::{Claim, Memory};

/// Where a connection came in.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<Listener>,
    /// What its certificate says. Seldom there, so in a box.
    pub(crate) identity: Option<Box<Identity>>,
    /// A module has opened it.
    pub(crate) is_own: bool,
}

/// Bytes that are read at once before a client is in.
const FIRST_READ: usize = 1024;

/// So many bytes of a half CONNECT are nobody's loss; more of them are taken from what all who arrive share.
const SMALL_CONNECT: usize = 8 * 1024;

/// Filters of one SUBSCRIBE or UNSUBSCRIBE. They are handled in one go, with what belongs to them in one group of the journal:
/// these take ten milliseconds, and what fits the largest packet would take seconds.
const MAX_FILTERS: u32 = 10_000;

/// Properties of one packet. They are read from the first on whenever one is looked for: what fits the largest packet would
/// hold a thread for most of a second.
const MAX_PROPERTIES: u32 = 10_000;

/// A socket that has not sent CONNECT yet.
pub(crate) struct Arrival {
    pub(crate) transport: Transport,
    pub(crate) traffic: Traffic,
    pub(crate) origin: Origin,
    pub(crate) ticket: Ticket,
    pub(crate) decoder: Decoder,
    /// Bytes read and not yet decoded; once CONNECT has come, what came with it.
    pub(crate) rest: BytesMut,
    /// For a large CONNECT, until the client is in.
    claim: Option<Claim>,
    /// When CONNECT and the answer to it must be through.
    pub(crate) deadline: Patient,
    /// Wakes the task then; there is one only if CONNECT was not there at once.
    timer: Option<TimerKey<Patient>>,
    is_new: bool,
}

/// What the first packet is.
pub(crate) enum First {
    Connect(Box<Connect>),
    /// The peer has closed.
    Nothing,
    /// None came in time.
    Late,
    Malformed(DecodeError, Language),
    /// There is no room for more of it.
    Crowded,
}

/// What the first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Tls,
    Http,
    /// MQTT 5, of which a CONNECT says that it is.
    Mqtt5,
    /// Another MQTT, or nothing that is known here.
    Other,
}

impl Language {
    fn of(start: &[u8]) -> Self {
        const METHODS: [&[u8]; 6] = [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"DELETE "];
        match start {
            // A handshake record of any version of TLS.
            [0x16, 3, ..] => Self::Tls,
            _ if METHODS.iter().any(|method| start.starts_with(method)) => Self::Http,
            _ if version_said(start) == Some(Version::V5) => Self::Mqtt5,
            _ => Self::Other,
        }
    }
}

impl Arrival {
    pub(crate) fn new(transport: Transport, origin: Origin, ticket: Ticket, deadline: Patient) -> Self {
        let max_packet_size = ticket.bounds().max_packet_size;
        Self {
            transport,
            traffic: Traffic::default(),
            origin,
            ticket,
            decoder: Decoder::new(Role::Server, max_packet_size)
                .with_max_filters(MAX_FILTERS)
                .with_max_properties(MAX_PROPERTIES),
            rest: BytesMut::new(),
            claim: None,
            deadline,
            timer: None,
            is_new: true,
        }
    }

    pub(crate) fn poll(&mut self, broker: &Broker, context: &mut Context<'_>) -> Poll<First> {
        let mut first = self.poll_first(&broker.watched.memory, context);
        if first.is_pending() && broker.clock.patient() >= self.deadline {
            // What has come may not have been told to this task yet.
            first = Poll::Ready(self.look_at_once().unwrap_or(First::Late));
        }
        if first.is_ready() {
            if let Some(timer) = self.timer.take() {
                broker.deadlines.awaited.cancel(timer);
            }
        } else {
            let wake = || Awaited::Arrival(Box::new(context.waker().clone()));
            self.timer.get_or_insert_with(|| broker.deadlines.awaited.insert(self.deadline, wake()));
        }
        first
    }

    fn poll_first(&mut self, memory: &Memory, context: &mut Context<'_>) -> Poll<First> {
        if std::mem::take(&mut self.is_new)
            && let Some(first) = self.look_at_once()
        {
            return Poll::Ready(first);
        }
        loop {
            self.rest.reserve(FIRST_READ);
            match ready!(self.transport.poll_read(context, &mut self.rest)) {
                // What amounts to nothing: as little was read as is read at once here, so others need only be let pass.
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(0) | Err(_) => return Poll::Ready(First::Nothing),
                Ok(read) => self.traffic.note_read(read),
            }
            if let Some(first) = decode(&mut self.decoder, &mut self.rest) {
                return Poll::Ready(first);
            }
            // By its capacity: that is what it takes.
            let bytes = self.rest.capacity();
            if bytes > SMALL_CONNECT && !self.claim.get_or_insert_with(|| memory.arriving().claim()).grow_to(bytes) {
                return Poll::Ready(First::Crowded);
            }
        }
    }

    /// For who was kept waiting behind CONNECT: the peer has closed meanwhile. What else has come is kept.
    pub(crate) fn is_gone(&mut self) -> bool {
        match self.transport.read_now(&mut self.rest, FIRST_READ) {
            None => false,
            Some(Ok(0) | Err(_)) => true,
            Some(Ok(read)) => {
                self.traffic.note_read(read);
                false
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
    let language = Language::of(input);
    match decoder.decode(input) {
        Ok(Some(Packet::Connect(connect))) => Some(First::Connect(connect)),
        // [MQTT-3.1.0-1]
        Ok(Some(_)) => Some(First::Nothing),
        Ok(None) => None,
        Err(error) => Some(First::Malformed(error, language)),
    }
}
