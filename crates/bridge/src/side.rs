//! One of the two connections of a bridge: packets over a [`Wire`].

use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use mqtt_codec::{Decoder, FixedHeader, Packet, PacketId, PacketType, Qos, Role, TooLarge, Version};
use mqtt_hooks::Wire;
use tokio::time::Instant;

use crate::trouble::Trouble;

/// Bytes that wait to be written before nothing more is read from the other side. One packet may go beyond.
const HIGH: usize = 64 << 10;

/// One of the two connections.
pub(crate) struct Side {
    wire: Box<dyn Wire>,
    version: Version,
    decoder: Decoder,
    /// Bytes that a packet from there may have.
    max_incoming: u32,
    /// And one to there.
    pub(crate) max_outgoing: usize,
    input: BytesMut,
    output: BytesMut,
    /// Bytes of a packet that is too large, still to be thrown away.
    skip: usize,
    is_flushed: bool,
    pub(crate) last_read: Instant,
    /// When something was written, or there was nothing to write.
    pub(crate) last_written: Instant,
}

/// What comes from a side.
#[derive(Debug)]
pub(crate) enum Came {
    Packet(Packet),
    /// A message with more bytes than may be, of which no more is there than what it takes to answer it.
    TooLarge {
        qos: Qos,
        packet_id: Option<PacketId>,
    },
}

impl Side {
    pub(crate) fn new(wire: Box<dyn Wire>, version: Version, max_incoming: u32) -> Self {
        let (decoder, now) = (Decoder::new(Role::Client(version), max_incoming), Instant::now());
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Self {
            wire,
            version,
            decoder,
            max_incoming,
            max_outgoing: usize::MAX,
            input,
            output,
            skip: 0,
            is_flushed: true,
            last_read: now,
            last_written: now,
        }
    }

    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    /// It takes as little as it sends much: nothing more is to be read for it.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= HIGH
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// A packet that fits is going to be written.
    pub(crate) fn put(&mut self, packet: &Packet) -> Result<(), TooLarge> {
        let size = packet.encoded_len(self.version);
        if size > self.max_outgoing {
            return Err(TooLarge(size));
        }
        if self.output.is_empty() {
            self.last_written = Instant::now();
        }
        packet.encode(self.version, &mut self.output)
    }

    /// Writes what there is; ready when nothing is left.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        while !self.output.is_empty() {
            let written = ready!(self.wire.poll_write(context, &self.output)).map_err(Trouble::Broken)?;
            self.output.advance(written);
            (self.is_flushed, self.last_written) = (false, Instant::now());
        }
        if !self.is_flushed {
            ready!(self.wire.poll_flush(context)).map_err(Trouble::Broken)?;
            self.is_flushed = true;
        }
        if self.output.capacity() > HIGH {
            // An idle bridge holds no buffer of a large packet.
            self.output = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// The next packet.
    pub(crate) fn poll_come(&mut self, context: &mut Context<'_>) -> Poll<Result<Came, Trouble>> {
        loop {
            if let Some(came) = self.decode()? {
                return Poll::Ready(Ok(came));
            }
            if ready!(self.wire.poll_read(context, &mut self.input)).map_err(Trouble::Broken)? == 0 {
                return Poll::Ready(Err(Trouble::Closed));
            }
            self.last_read = Instant::now();
        }
    }

    fn decode(&mut self) -> Result<Option<Came>, Trouble> {
        let malformed = |why: &dyn std::fmt::Display| Trouble::Malformed(why.to_string());
        let skipped = self.skip.min(self.input.len());
        self.input.advance(skipped);
        self.skip -= skipped;
        if self.skip > 0 {
            return Ok(None);
        }
        if self.version < Version::V5
            && let Some(header) = FixedHeader::read(&self.input).map_err(|why| malformed(&why))?
            && header.packet_size() > self.max_incoming as usize
            && header.first >> 4 == PacketType::Publish as u8
        {
            return self.skip_publish(&header);
        }
        let packet = self.decoder.decode(&mut self.input).map_err(|why| malformed(&why))?;
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(packet.map(Came::Packet))
    }

    /// Before MQTT 5 there is no way to say what is too large. To close the connection would help nobody: it would come again.
    fn skip_publish(&mut self, header: &FixedHeader) -> Result<Option<Came>, Trouble> {
        let wrong = || Trouble::Malformed("a PUBLISH that is no PUBLISH".to_owned());
        let qos = Qos::from_u8(header.first >> 1 & 3).ok_or_else(wrong)?;
        let body = &self.input[header.len..];
        let Some((length, rest)) = body.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        let id_len = if qos == Qos::AtMostOnce { 0 } else { 2 };
        if 2 + length + id_len > header.remaining {
            return Err(wrong());
        }
        let Some(after) = rest.get(length..) else { return Ok(None) };
        let packet_id = match (qos, after.first_chunk()) {
            (Qos::AtMostOnce, _) => None,
            (_, None) => return Ok(None),
            (_, Some(id)) => Some(PacketId::new(u16::from_be_bytes(*id)).ok_or_else(wrong)?),
        };
        self.skip = header.packet_size();
        Ok(Some(Came::TooLarge { qos, packet_id }))
    }

    /// Writes what there is and waits for the next packet, which is not too large.
    pub(crate) async fn receive(&mut self) -> Result<Packet, Trouble> {
        let come = std::future::poll_fn(|context| {
            if let Poll::Ready(Err(trouble)) = self.poll_flush(context) {
                return Poll::Ready(Err(trouble));
            }
            self.poll_come(context)
        });
        match come.await? {
            Came::Packet(packet) => Ok(packet),
            Came::TooLarge { .. } => Err(Trouble::Malformed("a PUBLISH before CONNACK".to_owned())),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::sync::Arc;
    use std::task::Waker;

    use bytes::Bytes;
    use mqtt_codec::{Connect, Properties, Publish, Topic};
    use parking_lot::Mutex;

    use super::*;

    /// What is written to it is seen, what is fed to it is read, and it takes nothing while it is shut.
    #[derive(Clone, Default)]
    pub(crate) struct Fake(Arc<Mutex<Inner>>);

    #[derive(Default)]
    struct Inner {
        input: VecDeque<u8>,
        output: BytesMut,
        is_shut: bool,
    }

    impl Fake {
        pub(crate) fn feed(&self, packet: &Packet, version: Version) {
            let mut bytes = BytesMut::new();
            packet.encode(version, &mut bytes).unwrap();
            self.0.lock().input.extend(&bytes);
        }

        pub(crate) fn shut(&self, is_shut: bool) {
            self.0.lock().is_shut = is_shut;
        }

        pub(crate) fn left(&self) -> usize {
            self.0.lock().input.len()
        }

        /// What a broker has read since the last time.
        pub(crate) fn taken(&self, version: Version) -> Vec<Packet> {
            let mut decoder = Decoder::new(Role::Server, u32::MAX);
            let mut bytes = BytesMut::new();
            Packet::Connect(Box::new(Connect::new(version, "c"))).encode(version, &mut bytes).unwrap();
            decoder.decode(&mut bytes).unwrap();
            let mut bytes = std::mem::take(&mut self.0.lock().output);
            std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect()
        }
    }

    impl Wire for Fake {
        fn poll_read(&mut self, _: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
            let mut inner = self.0.lock();
            let some: Vec<u8> = {
                let len = inner.input.len().min(1000);
                inner.input.drain(..len).collect()
            };
            input.extend_from_slice(&some);
            if some.is_empty() { Poll::Pending } else { Poll::Ready(Ok(some.len())) }
        }

        fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let mut inner = self.0.lock();
            if inner.is_shut {
                return Poll::Pending;
            }
            inner.output.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
    }

    pub(crate) fn publish(topic: &str, qos: Qos, id: u16, bytes: usize) -> Packet {
        Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: Some(Topic::new(topic.to_owned()).unwrap()),
            packet_id: PacketId::new(id),
            properties: Properties::EMPTY,
            payload: Bytes::from(vec![b'x'; bytes]),
        })
    }

    #[test]
    fn a_message_of_3_1_1_that_is_too_large_is_skipped_and_can_be_answered() {
        let fake = Fake::default();
        let mut side = Side::new(Box::new(fake.clone()), Version::V3_1_1, 100);
        for (qos, id) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 7), (Qos::ExactlyOnce, 8)] {
            fake.feed(&publish("a/b", qos, id, 5_000), Version::V3_1_1);
        }
        fake.feed(&publish("a/b", Qos::AtLeastOnce, 9, 10), Version::V3_1_1);
        let mut context = Context::from_waker(Waker::noop());
        let mut came = Vec::new();
        while let Poll::Ready(one) = side.poll_come(&mut context) {
            came.push(match one.unwrap() {
                Came::TooLarge { packet_id, .. } => packet_id.map_or(0, PacketId::as_u16),
                Came::Packet(packet) => {
                    assert_eq!(packet, publish("a/b", Qos::AtLeastOnce, 9, 10));
                    9
                }
            });
            assert!(side.input.len() < 2_000);
        }
        assert_eq!(came, [0, 7, 8, 9]);
    }

    #[test]
    fn what_the_other_side_does_not_take_is_not_put() {
        let mut side = Side::new(Box::new(Fake::default()), Version::V5, u32::MAX);
        side.max_outgoing = 30;
        assert!(side.put(&publish("a", Qos::AtLeastOnce, 1, 40)).is_err());
        assert!(!side.has_output());
        side.put(&publish("a", Qos::AtLeastOnce, 1, 10)).unwrap();
        assert!(side.has_output());
    }
}
