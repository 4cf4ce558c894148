//! The rules of the protocol, each by what a client would see.

mod bounds;
mod connection;
mod held;
mod hostile;
mod incoming;
mod outgoing;
mod pair;
mod store;

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mqtt_codec::{
    Ack, Connect, Decoder, Message, Packet, PacketId, Properties, Property, Publish, Qos, ReasonCode, Role, Topic,
    Version, Will,
};

use crate::{
    Attach, Config, Delivered, DeliveryOptions, Detached, Event, Fanout, Outbox, Publication, Receipt, Session,
    Timestamp, Violation,
};

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// A session, its outbox and its clock, as a driver would have them.
struct Driver {
    session: Session,
    out: Outbox,
    now: Timestamp,
}

/// What a test says of a CONNECT.
#[derive(Clone)]
struct Terms {
    version: Version,
    properties: Vec<Property>,
    will: Option<Will>,
    session_expiry: u32,
    keep_alive: u16,
}

impl Terms {
    /// A session that lasts for ever.
    fn new(version: Version) -> Self {
        Self { version, properties: Vec::new(), will: None, session_expiry: u32::MAX, keep_alive: 60 }
    }

    fn v5(properties: impl Into<Vec<Property>>) -> Self {
        let mut terms = Self { properties: properties.into(), ..Self::new(Version::V5) };
        let expiry = terms.properties.iter().find_map(|property| match property {
            Property::SessionExpiry(seconds) => Some(*seconds),
            _ => None,
        });
        match expiry {
            Some(seconds) => terms.session_expiry = seconds,
            None => terms.properties.push(Property::SessionExpiry(u32::MAX)),
        }
        terms
    }

    fn with_will(mut self, delay: u32, properties: Properties) -> Self {
        let message = Message { properties, ..message("will", "gone", Qos::AtLeastOnce) };
        self.will = Some(Will { message, delay });
        self
    }
}

impl Driver {
    fn new(config: Config) -> Self {
        Self { session: Session::new(Arc::new(config)), out: Outbox::new(), now: Timestamp(1_000_000) }
    }

    fn connected(terms: &Terms) -> Self {
        let mut driver = Self::new(Config::default());
        driver.connect(terms);
        driver
    }

    fn connect(&mut self, terms: &Terms) {
        self.attach(terms);
        self.session.resume(self.now, &mut self.out);
    }

    fn attach(&mut self, terms: &Terms) {
        let connect = Connect {
            version: terms.version,
            client_id: "c".into(),
            is_bridge: false,
            clean_start: false,
            keep_alive: terms.keep_alive,
            username: None,
            password: None,
            will: terms.will.clone(),
            properties: terms.properties.iter().cloned().collect(),
        };
        let Terms { session_expiry, keep_alive, .. } = *terms;
        self.session.attach(&Attach { connect: &connect, session_expiry, keep_alive });
    }

    /// The connection is cut; what is in the outbox is lost.
    fn cut(&mut self) -> Detached {
        self.out.clear();
        self.session.detach(self.now)
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now.0 += milliseconds;
    }

    fn receive(&mut self, packet: Packet) -> Result<Event, Violation> {
        self.session.handle_packet(packet, self.now, &mut self.out)
    }

    /// A PUBLISH comes; what is owed for it.
    fn receive_publish(&mut self, publish: Publish) -> Result<Option<(Publication, Receipt)>, Violation> {
        Ok(match self.receive(Packet::Publish(publish))? {
            Event::Publish(publication, receipt) => Some((publication, receipt)),
            _ => None,
        })
    }

    fn acknowledge(&mut self, receipt: Receipt, reason: ReasonCode) {
        self.session.acknowledge(receipt, reason, &mut self.out);
    }

    fn deliver(&mut self, publication: &Publication, options: DeliveryOptions<'_>) -> Delivered {
        self.session.deliver(&mut Fanout::new(publication), options, self.now, &mut self.out)
    }

    /// A message with this payload to topic `t`.
    fn deliver_text(&mut self, payload: &'static str, qos: Qos) -> Delivered {
        let publication = Publication::new(message("t", payload, qos), self.now);
        self.deliver(&publication, DeliveryOptions { qos, ..DeliveryOptions::default() })
    }

    /// What has gone out since.
    fn sent(&mut self) -> Vec<Packet> {
        let leaving = self.out.take();
        packets(&leaving, self.session.version())
    }

    /// What has gone out since, in short.
    fn sent_text(&mut self) -> Vec<String> {
        self.sent().iter().map(text).collect()
    }
}

fn packets(outbox: &Outbox, version: Version) -> Vec<Packet> {
    let mut slices = [IoSlice::new(&[]); 256];
    let filled = outbox.io_slices(&mut slices);
    let mut bytes = BytesMut::new();
    for slice in &slices[..filled] {
        bytes.extend_from_slice(slice);
    }
    assert_eq!(bytes.len(), outbox.len());
    let mut decoder = Decoder::new(Role::Client(version), u32::MAX);
    let mut packets = Vec::new();
    while let Some(packet) = decoder.decode(&mut bytes).unwrap() {
        packets.push(packet);
    }
    assert!(bytes.is_empty());
    packets
}

/// `publish 1 q2 dup a`, `pubrel 1`, `pubcomp 1 PacketIdNotFound`, ...
fn text(packet: &Packet) -> String {
    let ack = |name: &str, ack: &Ack| {
        let mut text = format!("{name} {}", ack.packet_id.as_u16());
        if ack.reason != ReasonCode::Success {
            text += &format!(" {:?}", ack.reason);
        }
        text
    };
    match packet {
        Packet::Publish(publish) => {
            let mut text = String::from("publish");
            if let Some(packet_id) = publish.packet_id {
                text += &format!(" {}", packet_id.as_u16());
            }
            text += &format!(" q{}", publish.qos as u8);
            if publish.dup {
                text += " dup";
            }
            if publish.retain {
                text += " retain";
            }
            text + " " + &String::from_utf8_lossy(&publish.payload)
        }
        Packet::PubAck(puback) => ack("puback", puback),
        Packet::PubRec(pubrec) => ack("pubrec", pubrec),
        Packet::PubRel(pubrel) => ack("pubrel", pubrel),
        Packet::PubComp(pubcomp) => ack("pubcomp", pubcomp),
        Packet::PingResp => "pingresp".into(),
        other => format!("{other:?}"),
    }
}

fn id(n: u16) -> PacketId {
    PacketId::new(n).unwrap()
}

fn ack(n: u16) -> Ack {
    Ack::new(id(n), ReasonCode::Success)
}

fn refusal(n: u16) -> Ack {
    Ack::new(id(n), ReasonCode::QuotaExceeded)
}

fn message(topic: &'static str, payload: &'static str, qos: Qos) -> Message {
    Message {
        topic: Topic::new(topic).unwrap(),
        payload: Bytes::from_static(payload.as_bytes()),
        qos,
        retain: false,
        properties: Properties::EMPTY,
    }
}

/// A PUBLISH of a client to topic `t`; the packet id 0 is none.
fn publish(qos: Qos, n: u16) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(Topic::new("t").unwrap()),
        packet_id: PacketId::new(n),
        properties: Properties::EMPTY,
        payload: Bytes::from_static(b"x"),
    }
}
