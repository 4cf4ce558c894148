//! One publication on its way to many sessions.

use std::sync::Arc;

use bytes::BytesMut;
use mqtt_codec::{PacketId, PublishHead, Qos, Version};

use crate::outbox::SHARE_FROM;
use crate::{Gauge, Outbox, Publication, Timestamp};

/// One publication on its way to many sessions: its frame is encoded once per protocol version and QoS, and a copy
/// that sessions may queue is made once, when the first needs it.
///
/// The first receiver's frame is written where it is to go; a second of the same kind makes it worth keeping one. So a
/// message for one receiver allocates nothing here.
#[derive(Debug)]
pub struct Fanout<'a> {
    publication: &'a Publication,
    shared: Option<Arc<Publication>>,
    /// One bit for each kind of frame written so far.
    seen: u8,
    frames: Vec<Frame>,
}

/// An encoded PUBLISH without retain flag and with any packet id, which each receiver's copy is given then.
#[derive(Debug)]
struct Frame {
    kind: u8,
    /// Written in it; it may change between two receivers.
    expiry: Option<u32>,
    /// With the payload, unless that is shared.
    bytes: BytesMut,
    /// Where the packet id is.
    id_at: usize,
    /// Bytes of the whole packet.
    len: usize,
}

/// What is this receiver's about a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub(crate) version: Version,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) max_packet_size: usize,
}

/// The packet is over the receiver's maximum packet size, or over MQTT's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oversized;

impl<'a> Fanout<'a> {
    /// Nothing is encoded or copied yet.
    pub const fn new(publication: &'a Publication) -> Self {
        Self { publication, shared: None, seen: 0, frames: Vec::new() }
    }

    /// For a publication that is shared already: queueing it costs no copy.
    pub fn with_shared(publication: &'a Arc<Publication>) -> Self {
        Self { publication, shared: Some(Arc::clone(publication)), seen: 0, frames: Vec::new() }
    }

    /// What is on its way.
    pub const fn publication(&self) -> &'a Publication {
        self.publication
    }

    /// The copy that may be kept, counted by `gauge`.
    pub(crate) fn shared(&mut self, gauge: &Gauge) -> &Arc<Publication> {
        self.shared.get_or_insert_with(|| Arc::new(self.publication.kept(gauge)))
    }

    /// Appends the PUBLISH for a receiver who is told neither subscription ids nor a topic alias.
    pub(crate) fn write(&mut self, receiver: &Receiver, now: Timestamp, out: &mut Outbox) -> Result<(), Oversized> {
        let v5 = receiver.version == Version::V5;
        let expiry = if v5 { self.publication.expiry_left(now) } else { None };
        let kind = receiver.qos as u8 + if v5 { 3 } else { 0 };
        if let Some(frame) = self.frames.iter().find(|frame| frame.kind == kind && frame.expiry == expiry) {
            return frame.write(self.publication, receiver, out);
        }
        let head = PublishHead {
            dup: false,
            qos: receiver.qos,
            retain: receiver.retain,
            topic: self.publication.message.topic.as_str(),
            packet_id: receiver.packet_id,
            topic_alias: None,
            message_expiry: expiry,
            subscription_ids: &[],
            properties: &self.publication.message.properties,
            payload_len: self.publication.message.payload.len(),
        };
        // For one receiver of a kind a frame to copy from would be work for nothing.
        if self.seen & 1 << kind == 0 {
            self.seen |= 1 << kind;
            return write_publish(&head, self.publication, receiver.version, receiver.max_packet_size, out);
        }
        let frame = Frame::new(kind, &PublishHead { retain: false, ..head }, self.publication, receiver.version)?;
        // One of a kind: the other tells of an expiry that has changed by now.
        self.frames.retain(|frame| frame.kind != kind);
        self.frames.push(frame);
        self.write(receiver, now, out)
    }
}

impl Frame {
    fn new(kind: u8, head: &PublishHead<'_>, publication: &Publication, version: Version) -> Result<Self, Oversized> {
        let mut bytes = BytesMut::new();
        head.encode(version, &mut bytes).map_err(|_| Oversized)?;
        let payload = &publication.message.payload;
        let len = bytes.len() + payload.len();
        if payload.len() < SHARE_FROM {
            bytes.extend_from_slice(payload);
        }
        // Behind the type, the remaining length in up to four bytes, and the topic with its length.
        let length_field = bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
        let id_at = 1 + length_field + 2 + head.topic.len();
        Ok(Self { kind, expiry: head.message_expiry, bytes, id_at, len })
    }

    fn write(&self, publication: &Publication, receiver: &Receiver, out: &mut Outbox) -> Result<(), Oversized> {
        if self.len > receiver.max_packet_size {
            return Err(Oversized);
        }
        let bytes = out.push_frame(&self.bytes);
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13]: in the frame it is not set.
        bytes[0] |= u8::from(receiver.retain);
        if let Some(packet_id) = receiver.packet_id {
            bytes[self.id_at..self.id_at + 2].copy_from_slice(&packet_id.as_u16().to_be_bytes());
        }
        // A large payload is shared by all who get it, and not in the frame.
        if self.bytes.len() < self.len {
            out.push_payload(&publication.message.payload);
        }
        Ok(())
    }
}

/// Appends a PUBLISH unless it is too large. [MQTT-3.1.2-24]
pub(crate) fn write_publish(
    head: &PublishHead<'_>,
    publication: &Publication,
    version: Version,
    max_packet_size: usize,
    out: &mut Outbox,
) -> Result<(), Oversized> {
    if head.encoded_len(version) > max_packet_size || !out.push_publish(head, &publication.message.payload, version) {
        return Err(Oversized);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use bytes::Bytes;
    use mqtt_codec::{Message, Properties, Property, Topic};

    use super::*;

    fn contents(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = outbox.io_slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn a_kept_frame_is_what_encoding_it_gives() {
        for payload in [0, 1, 100, SHARE_FROM - 1, SHARE_FROM, 20_000] {
            let message = Message {
                topic: Topic::new("some/topic").unwrap(),
                payload: Bytes::from(vec![3; payload]),
                qos: Qos::ExactlyOnce,
                retain: true,
                properties: Properties::from([Property::MessageExpiry(9), Property::ContentType("x".into())]),
            };
            let publication = Publication::new(message, Timestamp(0));
            let mut fanout = Fanout::new(&publication);
            // Twice for each kind brings the kept one into play; the clock goes on between.
            for round in 0..6 {
                let now = Timestamp(round * 500);
                for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
                    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                        for retain in [false, true] {
                            let packet_id = PacketId::new(0x1234).filter(|_| qos > Qos::AtMostOnce);
                            let receiver = Receiver { version, qos, retain, packet_id, max_packet_size: usize::MAX };
                            let (mut written, mut expected) = (Outbox::new(), Outbox::new());
                            fanout.write(&receiver, now, &mut written).unwrap();
                            let head = PublishHead {
                                dup: false,
                                qos,
                                retain,
                                topic: "some/topic",
                                packet_id,
                                topic_alias: None,
                                message_expiry: Some(9 - (round as u32 / 2)),
                                subscription_ids: &[],
                                properties: &publication.message.properties,
                                payload_len: payload,
                            };
                            write_publish(&head, &publication, version, usize::MAX, &mut expected).unwrap();
                            assert_eq!(contents(&written), contents(&expected), "{version:?} {qos:?} {retain}");

                            let max_packet_size = written.len() - 1;
                            let narrow = Receiver { max_packet_size, ..receiver };
                            assert_eq!(fanout.write(&narrow, now, &mut expected), Err(Oversized));
                        }
                    }
                }
            }
        }
    }
}
