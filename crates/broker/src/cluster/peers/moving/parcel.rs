//! A session as nodes send it to each other.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqtt_codec::{Filter, PacketId, Qos, SubscribeOptions, Version};
use mqtt_session::{Delivery, Publication, SubscriptionIds, Timestamp};
use mqtt_storage::LoadedSubscription;

use crate::cluster::letter::{read_message, write_message};

const NOTHING: u8 = 0;
const OUTLINE: u8 = 1;
const DELIVERIES: u8 = 2;
const END: u8 = 3;

const QOS: u8 = 0b11;
const RETAIN: u8 = 1 << 2;
const STORED: u8 = 1 << 3;
const BY_GROUP: u8 = 1 << 4;

/// A part of a session.
#[derive(Debug)]
pub(in super::super) enum Parcel {
    /// There is none.
    Nothing,
    /// What it is and is subscribed to.
    Outline(Outline),
    /// Some of what it owes the client.
    Deliveries(Vec<Delivery>),
    /// That was all.
    End {
        /// Packet ids.
        released: Vec<PacketId>,
        /// Packet ids of the client's.
        received: Vec<PacketId>,
    },
}

#[derive(Debug)]
pub(in super::super) struct Outline {
    pub(super) version: Version,
    /// Seconds.
    pub(super) session_expiry: u32,
    /// Milliseconds since the Unix epoch.
    pub(super) created_at: u64,
    /// How many messages it owed the client then. What comes behind them may have come to the other node by itself.
    pub(super) owed: u64,
    pub(super) subscriptions: Vec<LoadedSubscription>,
}

impl Parcel {
    /// `None`: it can't be read.
    pub(in super::super) fn read(mut bytes: Bytes, now: Timestamp) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            NOTHING => Some(Self::Nothing),
            OUTLINE => Outline::read(&mut bytes).map(Self::Outline),
            DELIVERIES => {
                let mut deliveries = Vec::new();
                while bytes.has_remaining() {
                    deliveries.push(read_delivery(&mut bytes, now)?);
                }
                Some(Self::Deliveries(deliveries))
            }
            END => {
                let (released, received) = (read_ids(&mut bytes)?, read_ids(&mut bytes)?);
                Some(Self::End { released, received })
            }
            _ => None,
        }
    }
}

pub(super) fn nothing() -> BytesMut {
    BytesMut::from(&[NOTHING][..])
}

pub(super) fn deliveries() -> BytesMut {
    BytesMut::from(&[DELIVERIES][..])
}

pub(super) fn end(released: &[PacketId], received: &[PacketId]) -> BytesMut {
    let mut out = BytesMut::from(&[END][..]);
    for ids in [released, received] {
        // There are fewer packet ids than this can count.
        out.put_u32(ids.len() as u32);
        ids.iter().for_each(|id| out.put_u16(id.as_u16()));
    }
    out
}

fn read_ids(bytes: &mut Bytes) -> Option<Vec<PacketId>> {
    let count = bytes.try_get_u32().ok()?;
    (0..count).map(|_| bytes.try_get_u16().ok().and_then(PacketId::new)).collect()
}

impl Outline {
    pub(super) fn write(&self) -> BytesMut {
        let mut out = BytesMut::from(&[OUTLINE, self.version.level()][..]);
        out.put_u32(self.session_expiry);
        out.put_u64(self.created_at);
        out.put_u64(self.owed);
        for LoadedSubscription { filter, options, id, owes_retained } in &self.subscriptions {
            out.put_u8(options.to_byte());
            out.put_u8(u8::from(*owes_retained));
            out.put_u32(id.unwrap_or(0));
            // No filter is longer than a string of MQTT.
            out.put_u16(filter.as_str().len() as u16);
            out.put_slice(filter.as_str().as_bytes());
        }
        out
    }

    fn read(bytes: &mut Bytes) -> Option<Self> {
        let version = Version::from_level(bytes.try_get_u8().ok()?)?;
        let (session_expiry, created_at) = (bytes.try_get_u32().ok()?, bytes.try_get_u64().ok()?);
        let owed = bytes.try_get_u64().ok()?;
        let mut subscriptions = Vec::new();
        while bytes.has_remaining() {
            let options = SubscribeOptions::from_byte(bytes.try_get_u8().ok()?)?;
            let owes_retained = bytes.try_get_u8().ok()? != 0;
            let id = Some(bytes.try_get_u32().ok()?).filter(|id| *id > 0);
            let len = bytes.try_get_u16().ok()?;
            let text = take(bytes, len.into())?;
            let filter = Filter::new(str::from_utf8(&text).ok()?.to_owned()).ok()?;
            subscriptions.push(LoadedSubscription { filter, options, id, owes_retained });
        }
        Some(Self { version, session_expiry, created_at, owed, subscriptions })
    }
}

/// Adds a delivery to [`deliveries`]; one that can't be written is longer than any packet.
pub(super) fn put_delivery(delivery: &Delivery, now: Timestamp, out: &mut BytesMut) {
    let Some(message) = write_message(&delivery.publication.to_message(now)) else { return };
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let ids = delivery.subscription_ids.as_slice();
    out.put_u8(
        delivery.qos as u8
            | flag(delivery.retain, RETAIN)
            | flag(delivery.stored, STORED)
            | flag(delivery.by_group, BY_GROUP),
    );
    out.put_u16(delivery.packet_id.map_or(0, PacketId::as_u16));
    out.put_u64(delivery.publication.origin.get());
    // A session has fewer subscriptions than this can count.
    out.put_u32(ids.len() as u32);
    ids.iter().for_each(|id| out.put_u32(*id));
    out.put_u32(message.len() as u32);
    out.put_slice(&message);
}

fn read_delivery(bytes: &mut Bytes, now: Timestamp) -> Option<Delivery> {
    let flags = bytes.try_get_u8().ok()?;
    let packet_id = PacketId::new(bytes.try_get_u16().ok()?);
    let origin = bytes.try_get_u64().ok()?;
    let count = bytes.try_get_u32().ok()?;
    let ids: Vec<u32> = (0..count).map(|_| bytes.try_get_u32().ok()).collect::<Option<_>>()?;
    let len = bytes.try_get_u32().ok()?;
    let message = read_message(&take(bytes, len as usize)?)?;
    let publication = Publication::new(message, now);
    // No other session has it from here.
    publication.place.set_single();
    publication.origin.set(origin);
    Some(Delivery {
        number: 0,
        publication: Arc::new(publication),
        subscription_ids: SubscriptionIds::new(&ids),
        qos: Qos::from_u8(flags & QOS)?,
        retain: flags & RETAIN != 0,
        stored: flags & STORED != 0,
        packet_id,
        was_queued: false,
        by_group: flags & BY_GROUP != 0,
    })
}

fn take(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (bytes.len() >= len).then(|| bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Message, Properties, Property, Topic};

    use super::*;

    fn delivery(qos: Qos, packet_id: Option<u16>, ids: &[u32]) -> Delivery {
        let topic = Topic::new("a/b").unwrap();
        let properties = Properties::from([Property::MessageExpiry(9), Property::UserProperty("k".into(), "v".into())]);
        let message =
            Message { topic, payload: Bytes::from_static(b"text"), qos: Qos::ExactlyOnce, retain: true, properties };
        let publication = Publication::new(message, Timestamp(0));
        publication.origin.set(1 << 40);
        Delivery {
            number: 7,
            publication: Arc::new(publication),
            subscription_ids: SubscriptionIds::new(ids),
            qos,
            retain: true,
            stored: packet_id.is_none(),
            packet_id: packet_id.and_then(PacketId::new),
            was_queued: true,
            by_group: packet_id.is_some(),
        }
    }

    #[test]
    fn deliveries_come_back_as_they_were_with_what_is_left_of_their_expiry() {
        let sent = [
            delivery(Qos::AtMostOnce, None, &[]),
            delivery(Qos::AtLeastOnce, Some(1), &[5]),
            delivery(Qos::ExactlyOnce, Some(u16::MAX), &[1, 2, 3]),
        ];
        let mut out = deliveries();
        sent.iter().for_each(|delivery| put_delivery(delivery, Timestamp(4000), &mut out));
        let Some(Parcel::Deliveries(came)) = Parcel::read(out.clone().freeze(), Timestamp(1_000_000)) else { panic!() };
        assert_eq!(came.len(), sent.len());
        for (came, sent) in came.iter().zip(&sent) {
            assert_eq!(came.publication.message, sent.publication.message);
            assert_eq!(came.publication.origin.get(), sent.publication.origin.get());
            assert_eq!(came.publication.expires_at, Some(Timestamp(1_005_000)));
            assert_eq!(came.subscription_ids.as_slice(), sent.subscription_ids.as_slice());
            let all = |delivery: &Delivery| {
                (delivery.qos, delivery.retain, delivery.stored, delivery.packet_id, delivery.by_group)
            };
            assert_eq!(all(came), all(sent));
        }
        for len in 1..out.len() {
            let cut = Parcel::read(out.clone().freeze().slice(..len), Timestamp(0));
            assert!(!matches!(cut, Some(Parcel::Deliveries(came)) if came.len() == sent.len()), "{len}");
        }
    }

    #[test]
    fn an_outline_and_an_end_come_back_and_half_of_them_do_not() {
        let filter = |text: &str| Filter::new(text.to_owned()).unwrap();
        let subscriptions = vec![
            LoadedSubscription {
                filter: filter("a/+"),
                options: SubscribeOptions::from_byte(0b0010_1101).unwrap(),
                id: Some(268_435_455),
                owes_retained: true,
            },
            LoadedSubscription {
                filter: filter("$share/g/#"),
                options: SubscribeOptions::default(),
                id: None,
                owes_retained: false,
            },
        ];
        let outline = Outline { version: Version::V5, session_expiry: 7, created_at: 1 << 40, owed: 3, subscriptions };
        let written = outline.write().freeze();
        let Some(Parcel::Outline(came)) = Parcel::read(written.clone(), Timestamp(0)) else { panic!() };
        assert_eq!(format!("{came:?}"), format!("{outline:?}"));
        let ids = |ids: &[u16]| ids.iter().copied().filter_map(PacketId::new).collect::<Vec<_>>();
        let end = end(&ids(&[9, 1]), &ids(&[u16::MAX])).freeze();
        let Some(Parcel::End { released, received }) = Parcel::read(end.clone(), Timestamp(0)) else { panic!() };
        assert_eq!((released, received), (ids(&[9, 1]), ids(&[u16::MAX])));
        for len in 0..end.len() {
            assert!(Parcel::read(end.slice(..len), Timestamp(0)).is_none(), "{len}");
        }
        assert!(Parcel::read(written.slice(..written.len() - 1), Timestamp(0)).is_none());
        assert!(matches!(Parcel::read(nothing().freeze(), Timestamp(0)), Some(Parcel::Nothing)));
        assert!(Parcel::read(Bytes::from_static(&[END, 0xff, 0xff, 0xff, 0xff, 0, 1]), Timestamp(0)).is_none());
        assert!(Parcel::read(Bytes::from_static(&[99]), Timestamp(0)).is_none());
    }
}
