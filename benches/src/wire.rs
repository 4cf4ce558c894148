//! Frames: built once with the codec, and skimmed as they come.

use bytes::BytesMut;
use mqtt_codec::{
    Connect, FixedHeader, Packet, PacketId, Properties, Publish, Qos, Subscribe, SubscribeFilter, SubscribeOptions,
    Topic, Version,
};

/// MQTT 3.1.1 is what all brokers under test speak alike.
pub const VERSION: Version = Version::V3_1_1;

/// The bytes of a packet.
pub fn frame(packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.encode(VERSION, &mut bytes).expect("a packet of the driver is small");
    bytes.to_vec()
}

/// CONNECT with a clean session.
pub fn connect(client_id: &str) -> Vec<u8> {
    connect_with(client_id, true, None)
}

/// The same as a user with a password.
pub fn connect_as(client_id: &str, user: Option<(&str, &str)>) -> Vec<u8> {
    connect_with(client_id, true, user)
}

/// CONNECT of a client whose session is kept.
pub fn connect_kept(client_id: &str) -> Vec<u8> {
    connect_with(client_id, false, None)
}

fn connect_with(client_id: &str, clean_start: bool, user: Option<(&str, &str)>) -> Vec<u8> {
    frame(&Packet::Connect(Box::new(Connect {
        version: VERSION,
        client_id: client_id.into(),
        is_bridge: false,
        clean_start,
        keep_alive: 300,
        username: user.map(|(name, _)| name.into()),
        password: user.map(|(_, password)| password.as_bytes().to_vec().into()),
        will: None,
        properties: Properties::EMPTY,
    })))
}

/// SUBSCRIBE with these filters.
pub fn subscribe(filters: &[String], qos: Qos) -> Vec<u8> {
    let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
    let one = |filter: &String| SubscribeFilter {
        filter: mqtt_codec::Filter::new(filter.as_str()).expect("a filter of the driver is right"),
        options,
    };
    let packet_id = PacketId::new(1).expect("not zero");
    let filters = filters.iter().map(one).collect();
    frame(&Packet::Subscribe(Subscribe { packet_id, properties: Properties::EMPTY, filters }))
}

/// A PUBLISH that is sent again and again: only the packet id changes, and the tag at the front of the payload.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    payload_at: usize,
}

impl Template {
    /// `payload` is the payload's length; at least 16 bytes.
    pub fn new(topic: &str, qos: Qos, payload: usize, tag: u32) -> Self {
        let packet_id = (qos > Qos::AtMostOnce).then(|| PacketId::new(1).expect("not zero"));
        let mut content = vec![b'x'; payload];
        content[..4].copy_from_slice(&tag.to_be_bytes());
        let bytes = frame(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: Some(Topic::new(topic.to_owned()).expect("a topic of the driver is right")),
            packet_id,
            properties: Properties::EMPTY,
            payload: content.into(),
        }));
        let payload_at = bytes.len() - payload;
        Self { bytes, id_at: packet_id.map(|_| payload_at - 2), payload_at }
    }

    /// Appends it with this id.
    pub fn write(&mut self, packet_id: u16, out: &mut Vec<u8>) {
        if let Some(at) = self.id_at {
            self.bytes[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        out.extend_from_slice(&self.bytes);
    }

    /// Puts a number behind the tag.
    pub fn stamp(&mut self, number: u64) {
        let at = self.payload_at + 4;
        self.bytes[at..at + 8].copy_from_slice(&number.to_be_bytes());
    }

    /// The number in a payload that came.
    pub fn stamped(payload: &[u8]) -> u64 {
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&payload[4..12]);
        u64::from_be_bytes(stamp)
    }
}

/// What came, as far as the driver cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// PUBLISH.
    Message {
        /// The topic.
        topic: &'a [u8],
        /// What stands at the front of the payload.
        payload: &'a [u8],
    },
    /// PUBACK or PUBCOMP: one of ours is done.
    Acknowledged,
    /// CONNACK, SUBACK, PINGRESP: an answer that was waited for.
    Answer,
}

/// Takes all whole frames off the front of `input`, puts the acknowledgements they want into `out` and returns how
/// many bytes were used.
pub fn skim(input: &[u8], out: &mut Vec<u8>, mut see: impl FnMut(Seen<'_>)) -> usize {
    let mut used = 0;
    while let Ok(Some(header)) = FixedHeader::read(&input[used..]) {
        let end = used + header.len + header.remaining;
        if end > input.len() {
            break;
        }
        let body = &input[used + header.len..end];
        used = end;
        match header.first >> 4 {
            3 => {
                let qos = header.first >> 1 & 3;
                let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let payload = topic_end + if qos > 0 { 2 } else { 0 };
                match qos {
                    1 => out.extend_from_slice(&[0x40, 2, body[topic_end], body[topic_end + 1]]),
                    2 => out.extend_from_slice(&[0x50, 2, body[topic_end], body[topic_end + 1]]),
                    _ => {}
                }
                see(Seen::Message { topic: &body[2..topic_end], payload: &body[payload..] });
            }
            5 => out.extend_from_slice(&[0x62, 2, body[0], body[1]]),
            6 => out.extend_from_slice(&[0x70, 2, body[0], body[1]]),
            4 | 7 => see(Seen::Acknowledged),
            _ => see(Seen::Answer),
        }
    }
    used
}
