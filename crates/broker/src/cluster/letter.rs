//! What nodes write to each other of a connection and of a will, as bytes that the roll carries.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqtt_codec::{Decoder, Message, Packet, PacketId, Publish, Qos, Role, Version, Will};
use mqtt_hooks::{ConnectionInfo, RecordError};
use mqtt_roll::MAX_WILL;

/// What is told of a connection that has come.
pub(crate) fn write_info(info: &ConnectionInfo, receive_maximum: u16) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u16(receive_maximum);
    out.put_slice(&info.to_record());
    out.freeze()
}

pub(super) fn read_info(mut bytes: Bytes) -> Result<(ConnectionInfo, u16), RecordError> {
    let receive_maximum = if bytes.len() < size_of::<u16>() { 0 } else { bytes.get_u16() };
    Ok((ConnectionInfo::from_record(&bytes)?, receive_maximum))
}

/// Under this name it is told that a client is to be ended by an operator; it is taken back at once.
pub const KICK: &str = "kick";

/// Which connection of which client.
pub fn write_kick(client: &str, conn: u64) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u64(conn);
    out.put_slice(client.as_bytes());
    out.freeze()
}

pub(super) fn read_kick(mut bytes: &[u8]) -> Option<(&str, u64)> {
    if bytes.len() < size_of::<u64>() {
        return None;
    }
    let conn = bytes.get_u64();
    Some((std::str::from_utf8(bytes).ok()?, conn))
}

/// A will is written as the PUBLISH that it may become. `None`: it is too long for the roll, and stays with its node.
pub(crate) fn write_will(will: &Will) -> Option<Bytes> {
    write_message(&will.message).filter(|written| written.len() <= MAX_WILL)
}

/// `None`: it is longer than a packet can be.
pub(super) fn write_message(message: &Message) -> Option<Bytes> {
    let Message { topic, payload, qos, retain, properties } = message.clone();
    // By which of its ids it is acknowledged is not known here; in MQTT there is none that is 0.
    let packet_id = PacketId::new(1).filter(|_| qos > Qos::AtMostOnce);
    let publish = Publish { dup: false, qos, retain, topic: Some(topic), packet_id, properties, payload };
    let mut out = BytesMut::new();
    Packet::Publish(publish).encode(Version::V5, &mut out).ok()?;
    Some(out.freeze())
}

/// What a will or another message was written as.
pub(super) fn read_message(bytes: &[u8]) -> Option<Message> {
    let mut decoder = Decoder::new(Role::Client(Version::V5), u32::MAX);
    match decoder.decode(&mut BytesMut::from(bytes)) {
        Ok(Some(Packet::Publish(Publish { qos, retain, topic: Some(topic), properties, payload, .. }))) => {
            Some(Message { topic, payload, qos, retain, properties })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Properties, Property, Topic};

    use super::*;

    #[test]
    fn a_will_comes_back_as_it_was() {
        let topic = Topic::new("a/b").unwrap();
        let properties = Properties::from([Property::MessageExpiry(5), Property::ContentType("text".into())]);
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let (properties, payload) = (properties.clone(), Bytes::from_static(b"x"));
            let message = Message { topic: topic.clone(), payload, qos, retain: true, properties };
            let written = write_will(&Will { message: message.clone(), delay: 3 }).unwrap();
            assert_eq!(read_message(&written), Some(message));
            assert_eq!(read_message(&written[..written.len() - 1]), None);
        }
        let payload = Bytes::from(vec![0; MAX_WILL]);
        let message = Message { topic, payload, qos: Qos::AtMostOnce, retain: false, properties: Properties::EMPTY };
        assert_eq!(write_will(&Will { message, delay: 0 }), None);
    }

    #[test]
    fn who_is_kicked_comes_back_as_it_was() {
        assert_eq!(read_kick(&write_kick("it", 7)), Some(("it", 7)));
        assert_eq!(read_kick(&write_kick("", 7)), Some(("", 7)));
        assert_eq!(read_kick(b"short"), None);
        assert_eq!(read_kick(b"\0\0\0\0\0\0\0\x07\xff"), None);
    }
}
