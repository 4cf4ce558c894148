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

/// A will is written as the PUBLISH that it may become. `None`: it is too long for the roll, and stays with its node.
pub(crate) fn write_will(will: &Will) -> Option<Bytes> {
    let Message { topic, payload, qos, retain, properties } = will.message.clone();
    // By which of its ids it is acknowledged is not known here; in MQTT there is none that is 0.
    let packet_id = PacketId::new(1).filter(|_| qos > Qos::AtMostOnce);
    let publish = Publish { dup: false, qos, retain, topic: Some(topic), packet_id, properties, payload };
    let mut out = BytesMut::new();
    Packet::Publish(publish).encode(Version::V5, &mut out).ok()?;
    (out.len() <= MAX_WILL).then(|| out.freeze())
}

pub(super) fn read_will(bytes: &[u8]) -> Option<Message> {
    let mut decoder = Decoder::new(Role::Client(Version::V5), u32::MAX);
    match decoder.decode(&mut BytesMut::from(bytes)) {
        Ok(Some(Packet::Publish(Publish { qos, retain, topic: Some(topic), properties, payload, .. }))) => {
            Some(Message { topic, payload, qos, retain, properties })
        }
        _ => None,
    }
}
