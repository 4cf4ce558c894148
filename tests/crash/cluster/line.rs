//! A client's connection to one node at a time.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqtt_codec::{
    Connect, Filter, Message, Packet, Properties, Property, Publish, Qos, ReasonCode, Subscribe, SubscribeFilter,
    SubscribeOptions, Topic, Version, Will,
};

use super::nodes::Map;
use crate::client::packet_id;
use crate::socket::{Gone, Socket};

/// A node that is stopped or looks for the log answers nothing; who has waited so long goes elsewhere.
const PATIENCE: Duration = Duration::from_secs(8);

/// Seconds; longer than any run.
const SESSION_EXPIRY: u32 = 1_000_000;

/// How a client comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) keeps: bool,
    /// Its payload, if it has a will.
    pub(super) will: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) version: Version,
    /// Its connections, each pushed before CONNECT is sent.
    pub(super) visits: Vec<Visit>,
    source: Ipv4Addr,
    socket: Option<Socket>,
}

/// One connection, as the client knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub(super) node: usize,
    pub(super) port: u16,
    pub(super) has_will: bool,
    /// CONNACK has come and lets it in.
    pub(super) answered: bool,
}

impl Line {
    /// `number` is its own among all clients.
    pub(super) fn new(id: String, number: u8, version: Version) -> Self {
        Self { id, version, visits: Vec::new(), source: Ipv4Addr::new(127, 4, number, 1), socket: None }
    }

    /// Connects to a node, over the connection that it has, if it has one. True: its session was there.
    pub(super) fn come(&mut self, map: &Map, node: usize, terms: Terms) -> Result<bool, Gone> {
        let mut socket = Socket::open(map.addr(node), self.source, self.version)?;
        let properties = match self.version {
            Version::V5 if terms.keeps => [Property::SessionExpiry(SESSION_EXPIRY)].into(),
            _ => Properties::EMPTY,
        };
        let will = terms.will.map(|payload| Will {
            message: message(&format!("will/{}", self.id), payload.to_string(), false),
            delay: 0,
        });
        let clean_start = !terms.keeps;
        let connect = Connect { clean_start, properties, will, ..Connect::new(self.version, self.id.as_str()) };
        self.visits.push(Visit { node, port: socket.port()?, has_will: terms.will.is_some(), answered: false });
        socket.push(&Packet::Connect(Box::new(connect)));
        self.socket = Some(socket);
        let answer = match self.next() {
            Ok(Packet::ConnAck(answer)) if answer.reason == ReasonCode::Success => answer,
            Ok(other) => return Err(self.drop_with(Gone::new(format!("{other:?} in place of CONNACK")))),
            Err(why) => return Err(self.drop_with(why)),
        };
        self.visits.last_mut().expect("one was pushed").answered = true;
        Ok(answer.session_present)
    }

    fn drop_with(&mut self, why: Gone) -> Gone {
        self.socket = None;
        why
    }

    pub(super) const fn is_online(&self) -> bool {
        self.socket.is_some()
    }

    /// Its connection, which is no longer its own.
    pub(super) const fn take(&mut self) -> Option<Socket> {
        self.socket.take()
    }

    pub(super) fn push(&mut self, packet: &Packet) {
        if let Some(socket) = &mut self.socket {
            socket.push(packet);
        }
    }

    /// Publishes at QoS 1 and waits for PUBACK.
    pub(super) fn publish(&mut self, message: Message) -> Result<(), Gone> {
        let Message { topic, payload, qos, retain, properties } = message;
        let (topic, packet_id) = (Some(topic), Some(packet_id(1)));
        self.push(&Packet::Publish(Publish { dup: false, qos, retain, topic, packet_id, properties, payload }));
        match self.next()? {
            Packet::PubAck(ack) if !ack.reason.is_error() => Ok(()),
            other => Err(Gone::new(format!("{other:?} in place of PUBACK"))),
        }
    }

    /// Sends what was pushed and reads once; what has come is for [`Self::poll`].
    pub(super) fn read(&mut self, wait: Duration) -> Result<(), Gone> {
        let read = self.socket.as_mut().ok_or_else(|| Gone::new("it is not connected"))?.read(wait);
        read.map_err(|why| self.drop_with(why))
    }

    pub(super) fn poll(&mut self) -> Result<Option<Packet>, Gone> {
        self.socket.as_mut().map_or(Ok(None), Socket::poll)
    }

    /// The next packet, which must come.
    pub(super) fn next(&mut self) -> Result<Packet, Gone> {
        let began = Instant::now();
        loop {
            if let Some(packet) = self.poll()? {
                return Ok(packet);
            }
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(self.drop_with(Gone::new("the broker is silent")));
            }
            self.read(left)?;
        }
    }

    /// Whether the other side still knows of it.
    pub(super) fn is_alive(&mut self) -> bool {
        self.push(&Packet::PingReq);
        loop {
            match self.next() {
                Ok(Packet::PingResp) => return true,
                Ok(Packet::Disconnect(_)) | Err(_) => {
                    self.socket = None;
                    return false;
                }
                Ok(_) => {}
            }
        }
    }

    pub(super) fn push_subscribe(&mut self, filters: &[&str]) {
        let options = SubscribeOptions { qos: Qos::AtLeastOnce, ..SubscribeOptions::default() };
        let filter = |text: &&str| Filter::new((*text).to_owned()).expect("a filter of this program is right");
        let filters = filters.iter().map(|text| SubscribeFilter { filter: filter(text), options }).collect();
        self.push(&Packet::Subscribe(Subscribe {
            packet_id: packet_id(u16::MAX),
            properties: Properties::EMPTY,
            filters,
        }));
    }

    /// Subscribes at QoS 1 and waits for SUBACK; false: it is not granted.
    pub(super) fn subscribe(&mut self, filters: &[&str]) -> Result<bool, Gone> {
        self.push_subscribe(filters);
        let granted = vec![ReasonCode::granted(Qos::AtLeastOnce); filters.len()];
        loop {
            match self.next()? {
                Packet::SubAck(answer) => return Ok(answer.reasons == granted),
                Packet::Publish(_) => {}
                other => return Err(Gone::new(format!("{other:?} in place of SUBACK"))),
            }
        }
    }
}

/// What is published.
pub(super) fn message(topic: &str, payload: impl Into<Bytes>, retain: bool) -> Message {
    let topic = Topic::new(topic.to_owned()).expect("a topic of this program is right");
    Message { topic, payload: payload.into(), qos: Qos::AtLeastOnce, retain, properties: Properties::EMPTY }
}
