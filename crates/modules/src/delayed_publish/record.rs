//! A delayed message as it is kept.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqtt_codec::{Decoder, Message, Packet, PacketId, Publish, Qos, Role, Version};

/// What is kept of a message until its time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// With the topic that it goes to.
    pub(super) message: Message,
    /// From its message expiry, by the broker's even clock.
    pub(super) expires_at: Option<u64>,
    /// By the system's clock.
    pub(super) accepted_at: u64,
    /// Who sent it; of modules' messages it is not known.
    pub(super) client_id: Option<String>,
}

impl Record {
    /// Two times, the client id after its length plus one (0: none), and the message as a PUBLISH. `None`: it is too large
    /// for one.
    pub(super) fn write(&self) -> Option<Bytes> {
        let Message { topic, payload, qos, retain, properties } = &self.message;
        let mut out = BytesMut::with_capacity(64 + topic.as_str().len() + payload.len());
        out.put_u64(self.expires_at.unwrap_or(0));
        out.put_u64(self.accepted_at);
        let client_id = self.client_id.as_deref();
        out.put_u32(client_id.map_or(0, |id| id.len() as u32 + 1));
        out.put_slice(client_id.unwrap_or_default().as_bytes());
        let publish = Publish {
            dup: false,
            qos: *qos,
            retain: *retain,
            topic: Some(topic.clone()),
            // Whatever is not 0.
            packet_id: PacketId::new(1).filter(|_| *qos > Qos::AtMostOnce),
            properties: properties.clone(),
            payload: payload.clone(),
        };
        Packet::Publish(publish).encode(Version::V5, &mut out).ok()?;
        Some(out.freeze())
    }

    /// `None`: it is no record.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        let expires_at = Some(bytes.try_get_u64().ok()?).filter(|at| *at > 0);
        let accepted_at = bytes.try_get_u64().ok()?;
        let client_id = match bytes.try_get_u32().ok()? {
            0 => None,
            len => {
                let (client_id, rest) = bytes.split_at_checked(len as usize - 1)?;
                bytes = rest;
                Some(String::from_utf8(client_id.to_vec()).ok()?)
            }
        };
        let mut input = BytesMut::from(bytes);
        let packet = Decoder::new(Role::Client(Version::V5), u32::MAX).decode(&mut input).ok()??;
        let Packet::Publish(Publish { qos, retain, topic, properties, payload, .. }) = packet else { return None };
        let message = Message { topic: topic?, payload, qos, retain, properties };
        input.is_empty().then_some(Self { message, expires_at, accepted_at, client_id })
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Properties, Property, Topic};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            topic in "[a-zé/]{1,20}",
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            qos in 0..3_u8,
            retain: bool,
            text in proptest::option::of("[^\0]{0,20}"),
            client_id in proptest::option::of("[^\0]{0,20}"),
            expires_at in proptest::option::of(1..u64::MAX),
            accepted_at: u64,
        ) {
            let property = |text: String| Property::UserProperty(text.clone().into(), text.into());
            let message = Message {
                topic: Topic::new(topic).unwrap(),
                payload: payload.into(),
                qos: Qos::from_u8(qos).unwrap(),
                retain,
                properties: text.map(property).into_iter().collect::<Properties>(),
            };
            let record = Record { message, expires_at, accepted_at, client_id };
            let bytes = record.write().unwrap();
            prop_assert_eq!(Record::read(&bytes), Some(record));
            prop_assert_eq!(Record::read(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn other_bytes_are_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Record::read(&bytes);
        }
    }
}
