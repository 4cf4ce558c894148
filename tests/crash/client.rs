//! A client: its id, its connection, and what it was promised of its session and is to be told of by presence.

use std::net::Ipv4Addr;
use std::time::Duration;

use mqtt_codec::{
    Connect, Disconnect, Filter, Packet, PacketId, Properties, Property, Qos, ReasonCode, Subscribe, SubscribeFilter,
    SubscribeOptions, Unsubscribe, Version,
};

use crate::random::Random;
use crate::report::{Count, Fault, World};
use crate::socket::{Gone, Socket};

/// Seconds; longer than any run.
const SESSION_EXPIRY: u32 = 1_000_000;

/// One connection, as the client knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    /// Of the broker.
    pub(crate) start: u32,
    pub(crate) port: u16,
    /// CONNACK has come.
    pub(crate) answered: bool,
    /// It was there when the broker was killed.
    pub(crate) fell: bool,
}

/// What the broker keeps of the client between connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Nothing,
    Session,
    /// The broker died before it said.
    Unknown,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Disconnect,
    Close,
    Cut,
    /// The next connection comes first.
    TakeOver,
}

impl End {
    pub(crate) const fn any(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Disconnect,
            1 => Self::Close,
            2 => Self::Cut,
            _ => Self::TakeOver,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) visits: Vec<Visit>,
    version: Version,
    source: Ipv4Addr,
    kept: Kept,
    socket: Option<Socket>,
}

impl Client {
    /// `number` is its own among all clients.
    pub(crate) fn new(id: String, number: u8, version: Version) -> Self {
        let source = Ipv4Addr::new(127, 3, number, 1);
        Self { id, visits: Vec::new(), version, source, kept: Kept::Nothing, socket: None }
    }

    pub(crate) const fn is_online(&self) -> bool {
        self.socket.is_some()
    }

    /// Connects, over its old connection if it has one. True if it has its session again.
    pub(crate) fn come(&mut self, world: &World<'_>, clean: bool) -> Result<bool, Gone> {
        let mut socket = self.knock(world, clean)?;
        let before = self.kept;
        self.kept = if clean && before == Kept::Nothing { before } else { Kept::Unknown };
        let Packet::ConnAck(answer) = socket.next()? else { return Err(Gone::new("no CONNACK first")) };
        if answer.reason != ReasonCode::Success {
            return Err(Gone::new(format!("CONNACK says {:?}", answer.reason)));
        }
        let present = answer.session_present;
        let wrong = match before {
            // Its CONNACK does not say.
            _ if self.version == Version::V3_1 => present,
            Kept::Nothing => present,
            _ if clean => present,
            Kept::Session => !present,
            Kept::Unknown => false,
        };
        if wrong {
            let Self { id, version, visits, .. } = &self;
            let last = &visits[visits.len().saturating_sub(3)..];
            let what = format!("{id} {version:?} clean={clean} had {before:?}, session present {present}: {last:?}");
            world.report.fault(Fault::Session, &what);
        } else if before == Kept::Session && present {
            world.report.add(Count::SessionsResumed, 1);
        }
        self.kept = if clean { Kept::Nothing } else { Kept::Session };
        self.visit().answered = true;
        self.socket = Some(socket);
        Ok(present)
    }

    /// Sends CONNECT.
    fn knock(&mut self, world: &World<'_>, clean: bool) -> Result<Socket, Gone> {
        let mut socket = Socket::open(world.addr, self.source, self.version)?;
        let properties = match self.version {
            Version::V5 if !clean => [Property::SessionExpiry(SESSION_EXPIRY)].into(),
            _ => Properties::EMPTY,
        };
        let connect = Connect { clean_start: clean, properties, ..Connect::new(self.version, self.id.as_str()) };
        self.visits.push(Visit { start: world.start, port: socket.port()?, answered: false, fell: false });
        socket.push(&Packet::Connect(Box::new(connect)));
        socket.flush()?;
        Ok(socket)
    }

    /// Sends CONNECT and is gone.
    pub(crate) fn come_and_go(&mut self, world: &World<'_>, clean: bool) -> Result<(), Gone> {
        self.kept = Kept::Unknown;
        self.knock(world, clean).map(drop)
    }

    pub(crate) fn leave(&mut self, end: End) {
        if end == End::TakeOver {
            return;
        }
        let Some(mut socket) = self.socket.take() else { return };
        match end {
            End::Disconnect => {
                socket.push(&Packet::Disconnect(Disconnect {
                    reason: ReasonCode::Success,
                    properties: Properties::EMPTY,
                }));
                // If the broker has died meanwhile, it may or may not have heard it.
                let _ = socket.flush();
            }
            End::Cut => socket.cut(),
            End::Close | End::TakeOver => {}
        }
    }

    /// Where the connection broke without the client's doing: a fault, unless the broker is being killed.
    pub(crate) fn broke(&mut self, world: &World<'_>, why: &Gone) {
        if world.is_ending() {
            self.fall();
        } else {
            world.report.fault(Fault::Protocol, &format!("{}: {why}", self.id));
        }
        self.socket = None;
    }

    /// The broker is being killed, and the client has done nothing to its connection.
    pub(crate) fn fall(&mut self) {
        if self.socket.take().is_some() {
            let visit = self.visit();
            visit.fell = visit.answered;
        }
    }

    fn visit(&mut self) -> &mut Visit {
        self.visits.last_mut().expect("who has connected has visited")
    }

    fn socket(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("only who is online talks")
    }

    pub(crate) fn push(&mut self, packet: &Packet) {
        self.socket().push(packet);
    }

    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        self.socket().flush()
    }

    pub(crate) fn read(&mut self, wait: Duration) -> Result<(), Gone> {
        self.socket().read(wait)
    }

    pub(crate) fn poll(&mut self) -> Result<Option<Packet>, Gone> {
        self.socket().poll()
    }

    pub(crate) fn next(&mut self) -> Result<Packet, Gone> {
        self.socket().next()
    }

    pub(crate) fn push_subscribe(&mut self, packet_id: PacketId, filters: &[&str], qos: Qos) {
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        let filters = filters.iter().map(|text| SubscribeFilter { filter: filter(text), options }).collect();
        self.push(&Packet::Subscribe(Subscribe { packet_id, properties: Properties::EMPTY, filters }));
    }

    pub(crate) fn push_unsubscribe(&mut self, packet_id: PacketId, text: &str) {
        let filters = vec![filter(text)];
        self.push(&Packet::Unsubscribe(Unsubscribe { packet_id, filters, properties: Properties::EMPTY }));
    }

    /// Subscribes and waits for SUBACK; messages that come before are not taken.
    pub(crate) fn subscribe(&mut self, filters: &[&str], qos: Qos) -> Result<(), Gone> {
        self.push_subscribe(packet_id(u16::MAX), filters, qos);
        loop {
            match self.next()? {
                Packet::Publish(_) => {}
                Packet::SubAck(answer) if answer.reasons == [ReasonCode::granted(qos)] => return Ok(()),
                other => return Err(Gone::new(format!("{other:?} in place of SUBACK"))),
            }
        }
    }
}

fn filter(text: &str) -> Filter {
    Filter::new(text.to_owned()).expect("a filter of this program is right")
}

pub(crate) const fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).expect("no packet id of this program is 0")
}
