//! Clients that publish numbered messages and send again what was not acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{Ack, Packet, PacketId, Properties, Publish, Qos, ReasonCode, Topic, Version};

use crate::client::{Client, End, packet_id};
use crate::random::Random;
use crate::report::{Count, Fault, World, tick};
use crate::socket::{Gone, PATIENCE};

/// Unacknowledged at a time.
const WINDOW: usize = 20;

/// Between a publisher's messages to a broker that lives long.
const PAUSE: Duration = Duration::from_millis(20);

/// Topics of each publisher; the odd ones are QoS 2.
const TOPICS: u64 = 4;
/// Retained topics of each publisher; the odd ones are QoS 2.
const RETAINED: u64 = 4;

/// What a publisher has sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) topic: u64,
    pub(crate) retain: bool,
    /// Takes a retained message away.
    empty: bool,
    /// When it was sent first, see [`tick`].
    pub(crate) from: u64,
    /// When it was acknowledged.
    pub(crate) acknowledged: Option<u64>,
    /// When it was given up, for the session that would send it again has ended.
    pub(crate) given_up: Option<u64>,
}

/// Not acknowledged, or not completed.
#[derive(Clone, Copy, Debug)]
struct Flight {
    packet_id: PacketId,
    number: u64,
    released: bool,
}

#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) client: Client,
    /// Since the last [`Self::forget`].
    pub(crate) sent: Vec<Sent>,
    /// The number of the first of them.
    pub(crate) first: u64,
    number: usize,
    clean: bool,
    random: Random,
    flights: VecDeque<Flight>,
    last_id: u16,
    /// For each retained topic the last number that was acknowledged, and those sent later; `true` is an empty message.
    retained: Vec<Vec<(u64, bool)>>,
}

impl Publisher {
    pub(crate) fn new(number: usize, version: Version, clean: bool, random: Random) -> Self {
        Self {
            client: Client::new(format!("publisher-{number}"), number as u8, version),
            sent: Vec::new(),
            first: 1,
            number,
            clean,
            random,
            flights: VecDeque::new(),
            last_id: 0,
            retained: vec![vec![(0, true)]; RETAINED as usize],
        }
    }

    /// Publishes until the broker is gone.
    pub(crate) fn load(&mut self, world: &World<'_>) {
        if let Err(why) = self.publish_all(world) {
            self.client.broke(world, &why);
        }
    }

    fn publish_all(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.come(world)?;
        loop {
            if self.random.once_in(200) {
                self.client.leave(End::any(&mut self.random));
                self.come(world)?;
            }
            for _ in 0..self.random.below(8) {
                if self.flights.len() < WINDOW {
                    self.publish();
                }
            }
            if world.lives_long {
                std::thread::sleep(PAUSE);
            }
            let wait = Duration::from_millis(1 + self.random.below(4));
            self.hear(world, wait)?;
        }
    }

    /// Waits until everything is acknowledged.
    pub(crate) fn settle(&mut self, world: &World<'_>) {
        if let Err(why) = self.finish(world) {
            self.client.broke(world, &why);
        }
    }

    fn finish(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.come(world)?;
        while !self.flights.is_empty() {
            if !self.hear(world, PATIENCE)? {
                return Err(Gone::new(format!("{} messages stay unacknowledged", self.flights.len())));
            }
        }
        Ok(())
    }

    /// Connects and sends what is to be sent again. [MQTT-4.4.0-1]
    fn come(&mut self, world: &World<'_>) -> Result<(), Gone> {
        if !self.client.come(world, self.clean)? {
            let now = tick();
            for flight in self.flights.drain(..) {
                let sent = &mut self.sent[(flight.number - self.first) as usize];
                sent.given_up = sent.acknowledged.is_none().then_some(now);
            }
        }
        for flight in &self.flights {
            let packet = match flight.released {
                true => Packet::PubRel(Ack::new(flight.packet_id, ReasonCode::Success)),
                false => self.packet(*flight, true),
            };
            self.client.push(&packet);
        }
        Ok(())
    }

    fn publish(&mut self) {
        let retain = self.random.once_in(8);
        let topic = self.random.below(if retain { RETAINED } else { TOPICS });
        let empty = retain && self.random.once_in(6);
        let number = self.first + self.sent.len() as u64;
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.flights.iter().all(|flight| flight.packet_id.as_u16() != self.last_id) {
                break;
            }
        }
        let flight = Flight { packet_id: packet_id(self.last_id), number, released: false };
        self.flights.push_back(flight);
        if retain {
            self.retained[topic as usize].push((number, empty));
        }
        self.sent.push(Sent { topic, retain, empty, from: tick(), acknowledged: None, given_up: None });
        let packet = self.packet(flight, false);
        self.client.push(&packet);
    }

    fn packet(&self, flight: Flight, dup: bool) -> Packet {
        let sent = &self.sent[(flight.number - self.first) as usize];
        let payload = if sent.empty { Bytes::new() } else { payload(self.number, flight.number) };
        Packet::Publish(Publish {
            dup,
            qos: qos_of(sent.topic),
            retain: sent.retain,
            topic: Topic::new(topic_name(sent.retain, self.number, sent.topic)).ok(),
            packet_id: Some(flight.packet_id),
            properties: Properties::EMPTY,
            payload,
        })
    }

    /// Reads once. False if nothing came in time.
    fn hear(&mut self, world: &World<'_>, wait: Duration) -> Result<bool, Gone> {
        self.client.read(wait)?;
        let mut heard = false;
        while let Some(packet) = self.client.poll()? {
            heard = true;
            match packet {
                Packet::PubAck(ack) => {
                    self.acknowledged(world, &ack, Qos::AtLeastOnce)?;
                    self.flights.retain(|flight| flight.packet_id != ack.packet_id);
                }
                Packet::PubRec(ack) => {
                    self.acknowledged(world, &ack, Qos::ExactlyOnce)?.released = true;
                    self.client.push(&Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success)));
                }
                Packet::PubComp(ack) => {
                    let Some(at) = self.flights.iter().position(|flight| flight.packet_id == ack.packet_id) else {
                        return Err(Gone::new(format!("{ack:?} completes nothing")));
                    };
                    // Of a PUBREL that is sent again the broker may know nothing any more.
                    let is_right = matches!(ack.reason, ReasonCode::Success | ReasonCode::PacketIdNotFound);
                    if !is_right || !self.flights[at].released {
                        return Err(Gone::new(format!("{ack:?} for {:?}", self.flights[at])));
                    }
                    self.flights.remove(at);
                }
                other => return Err(Gone::new(format!("{other:?} for a publisher"))),
            }
        }
        Ok(heard)
    }

    fn acknowledged(&mut self, world: &World<'_>, ack: &Ack, qos: Qos) -> Result<&mut Flight, Gone> {
        let flight = self.flights.iter_mut().find(|flight| flight.packet_id == ack.packet_id);
        let flight = flight.ok_or_else(|| Gone::new(format!("{ack:?} acknowledges nothing")))?;
        let sent = &mut self.sent[(flight.number - self.first) as usize];
        if ack.reason.is_error() || qos != qos_of(sent.topic) {
            return Err(Gone::new(format!("{ack:?} of {flight:?}")));
        }
        if sent.acknowledged.is_none() {
            sent.acknowledged = Some(tick());
            let is_twice = qos == Qos::ExactlyOnce;
            world.report.add(if is_twice { Count::AcknowledgedQos2 } else { Count::AcknowledgedQos1 }, 1);
            if sent.retain {
                let retained = &mut self.retained[sent.topic as usize];
                if let Some(at) = retained.iter().position(|(number, _)| *number == flight.number) {
                    retained.drain(..at);
                }
            }
        }
        Ok(flight)
    }

    /// Everything has been checked.
    pub(crate) fn forget(&mut self) {
        self.first += self.sent.len() as u64;
        self.sent.clear();
    }

    /// Looks what a new subscriber gets of the retained messages of this publisher.
    pub(crate) fn check_retained(&self, world: &World<'_>, found: &[Publish]) {
        for (topic, allowed) in self.retained.iter().enumerate() {
            let name = topic_name(true, self.number, topic as u64);
            let mut values =
                found.iter().filter(|publish| publish.topic.as_ref().is_some_and(|topic| topic.as_str() == name));
            let value = values.next().map(|publish| &publish.payload);
            let is_right = allowed.iter().any(|(number, empty)| match value {
                None => *empty,
                Some(value) => !*empty && *value == payload(self.number, *number),
            });
            if !is_right || values.next().is_some() {
                let value = value.map(|value| String::from_utf8_lossy(&value[..value.len().min(20)]).into_owned());
                world
                    .report
                    .fault(Fault::Retained, &format!("{name} is {value:?}, acknowledged and sent: {allowed:?}"));
            }
            world.report.add(Count::Retained, 1);
        }
    }
}

/// Reads all retained messages, as a new client gets them.
pub(crate) fn check_retained(reader: &mut Client, publishers: &[Publisher], world: &World<'_>) {
    match read_retained(reader, world) {
        Ok(found) => publishers.iter().for_each(|publisher| publisher.check_retained(world, &found)),
        Err(why) => reader.broke(world, &why),
    }
}

fn read_retained(reader: &mut Client, world: &World<'_>) -> Result<Vec<Publish>, Gone> {
    reader.come(world, true)?;
    reader.push_subscribe(packet_id(1), &["retained/#"], Qos::AtMostOnce);
    reader.push(&Packet::PingReq);
    let mut found = Vec::new();
    loop {
        match reader.next()? {
            Packet::Publish(publish) => found.push(publish),
            Packet::SubAck(_) => {}
            Packet::PingResp => break,
            other => return Err(Gone::new(format!("{other:?} for a reader"))),
        }
    }
    reader.leave(End::Disconnect);
    Ok(found)
}

pub(crate) const fn qos_of(topic: u64) -> Qos {
    if topic.is_multiple_of(2) { Qos::AtLeastOnce } else { Qos::ExactlyOnce }
}

pub(crate) fn topic_name(retain: bool, publisher: usize, topic: u64) -> String {
    format!("{}/{publisher}/{topic}", if retain { "retained" } else { "message" })
}

/// Says who and which, and is of a length that differs.
pub(crate) fn payload(publisher: usize, number: u64) -> Bytes {
    let length = match number % 50 {
        0 => 20_000,
        rest => rest as usize * 8,
    };
    let mut payload = format!("{publisher} {number} ").into_bytes();
    payload.resize(payload.len() + length, b'a' + (number % 26) as u8);
    payload.into()
}
