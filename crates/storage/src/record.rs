//! What records look like.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqtt_codec::{Decoder, Message, Packet, PacketId, PublishHead, Qos, Role, SubscribeOptions, Version, Will};
use mqtt_session::{Delivery, Publication, SubscriptionIds, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::StoreError;

/// A session, apart from its subscriptions and messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord<'a> {
    /// Whose.
    pub client_id: Cow<'a, str>,
    /// Protocol level of the last connection.
    pub level: u8,
    /// Seconds it outlives its connection.
    pub session_expiry: u32,
    /// Milliseconds since the Unix epoch; `None`: never, or not known while there is a connection.
    pub expires_at: Option<u64>,
    /// A will that waits for its delay.
    pub will: Option<WillRecord>,
    /// Of the last fact of coming or going.
    pub seq: u64,
    /// When that was: milliseconds since the Unix epoch.
    pub last_fact_ms: u64,
    /// When it began: milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Where its client was before it went, if it is away. Behind all else, where versions before it pass over it.
    #[serde(skip)]
    pub from: Option<IpAddr>,
}

/// A will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WillRecord {
    #[serde(serialize_with = "as_bytes")]
    message: Vec<u8>,
    /// Seconds.
    pub delay: u32,
    /// Milliseconds since the Unix epoch; `None`: its connection has not ended.
    pub due: Option<u64>,
}

/// A connection that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnlineRecord<'a> {
    /// Of the session, if that is stored.
    pub session: Option<u64>,
    /// Who it is, as its keeper likes to write it. It had better say what its parts are: this outlives versions.
    #[serde(serialize_with = "as_bytes")]
    pub info: Cow<'a, [u8]>,
    /// Of the fact that it came.
    pub seq: u64,
    /// To be published when it is found dead.
    pub will: Option<WillRecord>,
}

impl WillRecord {
    /// `due` is when it is to be published, if it waits.
    pub fn new(will: &Will, due: Option<Timestamp>) -> Self {
        let mut message = BytesMut::new();
        write_message(&will.message, &mut message);
        Self { message: message.into(), delay: will.delay, due: due.map(|due| due.0) }
    }

    /// The will.
    pub fn will(&self) -> Result<Will, StoreError> {
        Ok(Will { message: read_message(&self.message)?, delay: self.delay })
    }
}

/// In one piece. A list of bytes, which serde takes them for otherwise, is written the same, but byte by byte.
fn as_bytes<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
    out.serialize_bytes(bytes)
}

/// Appends any of the records that serde describes.
pub(crate) fn write(record: &impl Serialize, out: &mut BytesMut) {
    // Nothing in these records can fail to serialize.
    let written = postcard::serialize_with_flavor(record, Appended(out));
    debug_assert_eq!(written, Ok(()));
}

/// Takes what postcard writes.
struct Appended<'a>(&'a mut BytesMut);

impl postcard::ser_flavors::Flavor for Appended<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.put_u8(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| corrupt(error.to_string()))
}

pub(crate) fn write_session(session: &SessionRecord<'_>, out: &mut BytesMut) {
    write(session, out);
    match session.from {
        Some(IpAddr::V4(address)) => out.extend_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => out.extend_from_slice(&address.octets()),
        None => {}
    }
}

pub(crate) fn read_session(bytes: &[u8]) -> Result<SessionRecord<'static>, StoreError> {
    let (session, rest): (SessionRecord<'_>, _) =
        postcard::take_from_bytes(bytes).map_err(|error| corrupt(error.to_string()))?;
    let of_4 = <[u8; 4]>::try_from(rest).ok().map(IpAddr::from);
    let of_6 = <[u8; 16]>::try_from(rest).ok().map(IpAddr::from);
    Ok(SessionRecord { from: of_4.or(of_6), ..session })
}

/// A moment, then the message as a PUBLISH.
pub(crate) fn write_publication(publication: &Publication, out: &mut BytesMut) {
    out.put_u64_le(publication.expires_at.map_or(0, |moment| moment.0));
    write_message(&publication.message, out);
}

pub(crate) fn read_publication(mut bytes: &[u8]) -> Result<Publication, StoreError> {
    let expires_at = bytes.try_get_u64_le().map_err(short)?;
    let message = read_message(bytes)?;
    let expires_at = (expires_at > 0).then_some(Timestamp(expires_at));
    let (place, weight, accepted, origin) = Default::default();
    Ok(Publication { message, expires_at, place, weight, accepted, origin })
}

/// Bytes of the largest packet there can be.
const LARGEST: usize = 268_435_460;

/// True if a record can hold the message: it is written as a PUBLISH of version 5, which may be longer than the one it came
/// in by.
pub(crate) fn fits(message: &Message) -> bool {
    head(message).encoded_len(Version::V5) <= LARGEST
}

fn head(message: &Message) -> PublishHead<'_> {
    PublishHead {
        dup: false,
        qos: message.qos,
        retain: message.retain,
        topic: message.topic.as_str(),
        // Whatever is not 0.
        packet_id: PacketId::new(1),
        topic_alias: None,
        message_expiry: None,
        subscription_ids: &[],
        properties: &message.properties,
        payload_len: message.payload.len(),
    }
}

/// The message [`fits`].
fn write_message(message: &Message, out: &mut BytesMut) {
    let written = head(message).encode(Version::V5, out);
    debug_assert!(written.is_ok(), "what is too large is not staged");
    out.extend_from_slice(&message.payload);
}

fn read_message(bytes: &[u8]) -> Result<Message, StoreError> {
    let mut input = BytesMut::from(bytes);
    let packet = Decoder::new(Role::Client(Version::V5), u32::MAX).decode(&mut input);
    match packet {
        Ok(Some(Packet::Publish(publish))) if input.is_empty() => {
            let topic = publish.topic.ok_or_else(|| corrupt("a message without a topic"))?;
            let mqtt_codec::Publish { qos, retain, properties, payload, .. } = publish;
            Ok(Message { topic, payload, qos, retain, properties })
        }
        Ok(_) => Err(corrupt("not a message")),
        Err(error) => Err(corrupt(error.to_string())),
    }
}

/// What a session owes its client.
pub(crate) enum Owed {
    /// The delivery; without the message if that has a record of its own, whose number this is.
    Delivery(Box<Delivery>, Option<u64>),
    /// Only the packet id is left, and when PUBREC came for it.
    Released(PacketId, u64),
}

const RELEASED: u8 = 0x80;
const SHARED: u8 = 0x40;
const STORED: u8 = 0x20;
const RETAIN: u8 = 0x10;
/// Versions before it pass over it.
const BY_GROUP: u8 = 0x04;

/// `message` is the number of the message's record, if it has one of its own.
pub(crate) fn write_delivery(delivery: &Delivery, message: Option<u64>, out: &mut BytesMut) {
    let ids = delivery.subscription_ids.as_slice();
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.put_u8(
        delivery.qos as u8
            | flag(message.is_some(), SHARED)
            | flag(delivery.stored, STORED)
            | flag(delivery.retain, RETAIN)
            | flag(delivery.by_group, BY_GROUP),
    );
    out.put_u16_le(delivery.packet_id.map_or(0, PacketId::as_u16));
    // A session has fewer subscriptions than this can count.
    out.put_u32_le(ids.len() as u32);
    for &id in ids {
        out.put_u32_le(id);
    }
    match message {
        Some(number) => out.put_u64_le(number),
        None => write_publication(&delivery.publication, out),
    }
}

pub(crate) fn write_released(packet_id: PacketId, order: u64, out: &mut BytesMut) {
    out.put_u8(RELEASED);
    out.put_u16_le(packet_id.as_u16());
    // Versions before it pass over it.
    out.put_u64_le(order);
}

/// `shared` finds the message that has a record of its own.
pub(crate) fn read_owed(
    number: u64,
    mut bytes: &[u8],
    shared: impl FnOnce(u64) -> Option<std::sync::Arc<Publication>>,
) -> Result<Owed, StoreError> {
    let flags = bytes.try_get_u8().map_err(short)?;
    let packet_id = PacketId::new(bytes.try_get_u16_le().map_err(short)?);
    if flags & RELEASED != 0 {
        // Versions before it did not write it.
        let order = if bytes.is_empty() { number } else { bytes.try_get_u64_le().map_err(short)? };
        return packet_id.map(|id| Owed::Released(id, order)).ok_or_else(|| corrupt("packet id 0"));
    }
    let qos = Qos::from_u8(flags & 0b11).ok_or_else(|| corrupt("QoS 3"))?;
    let len = bytes.try_get_u32_le().map_err(short)? as usize;
    // Before memory is taken for them: a damaged length may be any.
    if bytes.remaining() / 4 < len {
        return Err(corrupt("too short"));
    }
    let ids: Vec<_> = (0..len).map(|_| bytes.get_u32_le()).collect();
    let message = match flags & SHARED {
        0 => None,
        _ => Some(bytes.try_get_u64_le().map_err(short)?),
    };
    let publication = match message {
        None => {
            let publication = read_publication(bytes)?;
            // It has no record of its own, so nobody else can keep it by number.
            publication.place.set_single();
            publication.into()
        }
        Some(message) => shared(message).ok_or_else(|| corrupt(format!("message {message} is missing")))?,
    };
    let delivery = Delivery {
        number,
        publication,
        subscription_ids: SubscriptionIds::new(&ids),
        qos,
        retain: flags & RETAIN != 0,
        stored: flags & STORED != 0,
        packet_id,
        was_queued: false,
        by_group: flags & BY_GROUP != 0,
    };
    Ok(Owed::Delivery(Box::new(delivery), message))
}

/// A subscription of which not all is sent that is retained. Versions that don't know of it read over it.
const OWES_RETAINED: u8 = 1 << 7;

pub(crate) fn write_subscription(options: SubscribeOptions, id: Option<u32>, owes_retained: bool, out: &mut BytesMut) {
    out.put_u8(options.to_byte() | if owes_retained { OWES_RETAINED } else { 0 });
    out.put_u32_le(id.unwrap_or(0));
}

/// With whether it owes what is retained.
pub(crate) fn read_subscription(mut bytes: &[u8]) -> Result<(SubscribeOptions, Option<u32>, bool), StoreError> {
    let flags = bytes.try_get_u8().map_err(short)?;
    let id = bytes.try_get_u32_le().map_err(short)?;
    let options = SubscribeOptions::from_byte(flags & !OWES_RETAINED).ok_or_else(|| corrupt("options"))?;
    Ok((options, (id > 0).then_some(id), flags & OWES_RETAINED != 0))
}

/// The version that is told by its protocol level.
pub(crate) fn version(level: u8) -> Result<Version, StoreError> {
    Version::from_level(level).ok_or_else(|| corrupt("an unknown protocol level"))
}

/// A key of two numbers, in their order.
pub(crate) fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

pub(crate) fn read_pair(key: &[u8]) -> Result<(u64, u64), StoreError> {
    match key.try_into().map(u128::from_be_bytes) {
        Ok(pair) => Ok(((pair >> 64) as u64, pair as u64)),
        Err(_) => Err(corrupt("a key that is not two numbers")),
    }
}

pub(crate) fn read_number(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| corrupt("a key that is not a number"))
}

/// The table is filled in by who knows it.
pub(crate) fn corrupt(why: impl Into<String>) -> StoreError {
    StoreError::Corrupt { table: "", why: why.into() }
}

fn short(_: bytes::TryGetError) -> StoreError {
    corrupt("too short")
}

/// Memory of its own.
pub(crate) fn text(bytes: &[u8]) -> Result<bytestring::ByteString, StoreError> {
    bytestring::ByteString::try_from(Bytes::copy_from_slice(bytes)).map_err(|_| corrupt("not UTF-8"))
}
