//! Any packet that a version has and an end of the connection may send.

use crate::{
    Ack, Auth, ConnAck, Connect, Disconnect, Filter, Message, Packet, PacketId, Properties, Property, Publish, Qos,
    ReasonCode, RetainHandling, Role, SubAck, Subscribe, SubscribeFilter, SubscribeOptions, Topic, UnsubAck,
    Unsubscribe, Version, Will,
};
use bytes::Bytes;
use bytestring::ByteString;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// A packet that reaches a reader in `role`.
pub(super) fn packet(role: Role, version: Version) -> BoxedStrategy<Packet> {
    let mut all = vec![
        publish(role, version).boxed(),
        ack(version, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]).prop_map(Packet::PubAck).boxed(),
        ack(version, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]).prop_map(Packet::PubRec).boxed(),
        ack(version, &[0x00, 0x92]).prop_map(Packet::PubRel).boxed(),
        ack(version, &[0x00, 0x92]).prop_map(Packet::PubComp).boxed(),
    ];
    let server = role == Role::Server;
    if server {
        all.extend([
            connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))).boxed(),
            subscribe(version).boxed(),
            unsubscribe(version).boxed(),
            Just(Packet::PingReq).boxed(),
        ]);
    } else {
        all.extend([conn_ack(version), sub_ack(version), unsub_ack(version), Just(Packet::PingResp).boxed()]);
    }
    if server || version == Version::V5 {
        all.push(disconnect(server, version));
    }
    if version == Version::V5 {
        all.push(auth(server));
    }
    proptest::strategy::Union::new(all).boxed()
}

fn text() -> impl Strategy<Value = ByteString> {
    "[a-z /$é漢\u{10348}]{0,20}".prop_map(ByteString::from)
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn topic() -> impl Strategy<Value = Topic> {
    "[a-z/$é漢\u{10348}]{1,20}".prop_map(|text| Topic::new(text).unwrap())
}

fn filter() -> impl Strategy<Value = Filter> {
    let pattern = vec(select(&["a", "b", "+", "", "ü", "$SYS"][..]), 1..6).prop_map(|levels| levels.join("/"));
    (pattern, any::<bool>(), option::of("[a-z]{1,5}")).prop_filter_map("empty", |(mut pattern, hash, group)| {
        if hash {
            pattern.push_str("/#");
        }
        if let Some(group) = group {
            pattern = format!("$share/{group}/{pattern}");
        }
        Filter::new(pattern).ok()
    })
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

fn qos() -> impl Strategy<Value = Qos> {
    select(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][..])
}

fn reason(codes: &[u8]) -> impl Strategy<Value = ReasonCode> + use<> {
    select(codes.iter().map(|&code| ReasonCode::from_u8(code).unwrap()).collect::<Vec<_>>())
}

/// Some of `once`, in any order, with user properties between them.
fn properties(version: Version, once: Vec<BoxedStrategy<Property>>) -> BoxedStrategy<Properties> {
    if version < Version::V5 {
        return Just(Properties::EMPTY).boxed();
    }
    let user = (text(), text()).prop_map(|(key, value)| Property::UserProperty(key, value)).boxed();
    let all = [once, vec![user; 3]].concat();
    let count = all.len();
    subsequence(all, 0..=count)
        .prop_shuffle()
        .prop_flat_map(|chosen| chosen)
        .prop_map(|chosen| chosen.into_iter().collect())
        .boxed()
}

fn reason_string() -> BoxedStrategy<Property> {
    text().prop_map(Property::ReasonString).boxed()
}

fn message_properties() -> Vec<BoxedStrategy<Property>> {
    vec![
        any::<bool>().prop_map(Property::PayloadFormat).boxed(),
        any::<u32>().prop_map(Property::MessageExpiry).boxed(),
        text().prop_map(Property::ContentType).boxed(),
        topic().prop_map(|topic| Property::ResponseTopic(topic.as_byte_string().clone())).boxed(),
        binary().prop_map(Property::CorrelationData).boxed(),
    ]
}

fn publish(role: Role, version: Version) -> impl Strategy<Value = Packet> {
    let mut once = message_properties();
    if role != Role::Server {
        once.extend(vec![(1..=268_435_455_u32).prop_map(Property::SubscriptionId).boxed(); 2]);
    }
    let alias = option::of((1..=u16::MAX, any::<bool>()));
    let head = (any::<bool>(), qos(), any::<bool>(), packet_id(), topic());
    (head, alias, properties(version, once), binary()).prop_map(
        move |((dup, qos, retain, packet_id, topic), alias, mut properties, payload)| {
            let mut topic = Some(topic);
            if let Some((alias, alone)) = alias.filter(|_| version == Version::V5) {
                properties = properties.iter().chain([Property::TopicAlias(alias)]).collect();
                topic = topic.filter(|_| !alone);
            }
            let dup = dup && qos > Qos::AtMostOnce;
            let packet_id = Some(packet_id).filter(|_| qos > Qos::AtMostOnce);
            Packet::Publish(Publish { dup, qos, retain, topic, packet_id, properties, payload })
        },
    )
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    let message = (topic(), binary(), qos(), any::<bool>(), properties(version, message_properties()));
    (message, any::<u32>()).prop_map(move |((topic, payload, qos, retain, properties), delay)| Will {
        message: Message { topic, payload, qos, retain, properties },
        delay: if version == Version::V5 { delay } else { 0 },
    })
}

fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let once = vec![
        any::<u32>().prop_map(Property::SessionExpiry).boxed(),
        (1..=u16::MAX).prop_map(Property::ReceiveMaximum).boxed(),
        (1..=u32::MAX).prop_map(Property::MaximumPacketSize).boxed(),
        any::<u16>().prop_map(Property::TopicAliasMaximum).boxed(),
        any::<bool>().prop_map(Property::RequestResponseInformation).boxed(),
        any::<bool>().prop_map(Property::RequestProblemInformation).boxed(),
        text().prop_map(Property::AuthenticationMethod).boxed(),
    ];
    let head = (text(), any::<bool>(), any::<bool>(), any::<u16>(), option::of(text()), option::of(binary()));
    (head, option::of(will(version)), properties(version, once)).prop_map(move |(head, will, properties)| {
        let (client_id, is_bridge, clean_start, keep_alive, username, password) = head;
        let password = password.filter(|_| username.is_some() || version == Version::V5);
        Connect { version, client_id, is_bridge, clean_start, keep_alive, username, password, will, properties }
    })
}

fn conn_ack(version: Version) -> BoxedStrategy<Packet> {
    let once = vec![
        any::<u32>().prop_map(Property::SessionExpiry).boxed(),
        (1..=u16::MAX).prop_map(Property::ReceiveMaximum).boxed(),
        any::<bool>().prop_map(Property::MaximumQos).boxed(),
        any::<bool>().prop_map(Property::RetainAvailable).boxed(),
        (1..=u32::MAX).prop_map(Property::MaximumPacketSize).boxed(),
        text().prop_map(Property::AssignedClientId).boxed(),
        any::<u16>().prop_map(Property::TopicAliasMaximum).boxed(),
        reason_string(),
        any::<bool>().prop_map(Property::WildcardSubscriptionAvailable).boxed(),
        any::<bool>().prop_map(Property::SubscriptionIdsAvailable).boxed(),
        any::<bool>().prop_map(Property::SharedSubscriptionAvailable).boxed(),
        any::<u16>().prop_map(Property::ServerKeepAlive).boxed(),
        text().prop_map(Property::ResponseInformation).boxed(),
        text().prop_map(Property::ServerReference).boxed(),
        text().prop_map(Property::AuthenticationMethod).boxed(),
    ];
    let codes = match version {
        Version::V5 => &[0x00, 0x80, 0x85, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F][..],
        _ => &[0x00, 0x84, 0x85, 0x86, 0x87, 0x88],
    };
    (any::<bool>(), reason(codes), properties(version, once))
        .prop_map(move |(present, reason, properties)| {
            let session_present = present && reason == ReasonCode::Success && version > Version::V3_1;
            Packet::ConnAck(ConnAck { session_present, reason, properties })
        })
        .boxed()
}

fn ack(version: Version, codes: &[u8]) -> impl Strategy<Value = Ack> + use<> {
    let codes = if version == Version::V5 { codes } else { &[0] };
    (packet_id(), reason(codes), properties(version, vec![reason_string()]))
        .prop_map(|(packet_id, reason, properties)| Ack { packet_id, reason, properties })
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet> {
    let handling = select(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend][..]);
    let one = (filter(), qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(filter, qos, no_local, retain_as_published, retain_handling)| {
            let no_local = no_local && filter.group().is_none();
            let options = match version {
                Version::V5 => SubscribeOptions { qos, no_local, retain_as_published, retain_handling },
                _ => SubscribeOptions { qos, ..SubscribeOptions::default() },
            };
            SubscribeFilter { filter, options }
        },
    );
    let id = (1..=268_435_455_u32).prop_map(Property::SubscriptionId).boxed();
    (packet_id(), properties(version, vec![id]), vec(one, 1..5))
        .prop_map(|(packet_id, properties, filters)| Packet::Subscribe(Subscribe { packet_id, properties, filters }))
}

fn sub_ack(version: Version) -> BoxedStrategy<Packet> {
    let codes = match version {
        Version::V5 => &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2][..],
        _ => &[0x00, 0x01, 0x02, 0x80],
    };
    (packet_id(), vec(reason(codes), 0..5), properties(version, vec![reason_string()]))
        .prop_map(|(packet_id, reasons, properties)| Packet::SubAck(SubAck { packet_id, reasons, properties }))
        .boxed()
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet> {
    (packet_id(), vec(filter(), 1..5), properties(version, vec![])).prop_map(|(packet_id, filters, properties)| {
        Packet::Unsubscribe(Unsubscribe { packet_id, filters, properties })
    })
}

fn unsub_ack(version: Version) -> BoxedStrategy<Packet> {
    let most = if version == Version::V5 { 5 } else { 1 };
    let reasons = vec(reason(&[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]), 0..most);
    (packet_id(), reasons, properties(version, vec![reason_string()]))
        .prop_map(|(packet_id, reasons, properties)| Packet::UnsubAck(UnsubAck { packet_id, reasons, properties }))
        .boxed()
}

fn disconnect(from_client: bool, version: Version) -> BoxedStrategy<Packet> {
    let (codes, own) = match (version, from_client) {
        (Version::V5, true) => (
            &[0x00, 0x04, 0x80, 0x81, 0x82, 0x93, 0x94, 0x99][..],
            any::<u32>().prop_map(Property::SessionExpiry).boxed(),
        ),
        (Version::V5, false) => {
            (&[0x00, 0x81, 0x89, 0x8B, 0x8D, 0x8E, 0x9C, 0xA2][..], text().prop_map(Property::ServerReference).boxed())
        }
        _ => (&[0x00][..], reason_string()),
    };
    (reason(codes), properties(version, vec![reason_string(), own]))
        .prop_map(|(reason, properties)| Packet::Disconnect(Disconnect { reason, properties }))
        .boxed()
}

fn auth(from_client: bool) -> BoxedStrategy<Packet> {
    let codes = if from_client { &[0x18, 0x19] } else { &[0x00, 0x18] };
    let method = text().prop_map(Property::AuthenticationMethod).boxed();
    (reason(codes), properties(Version::V5, vec![reason_string(), method]))
        .prop_map(|(reason, properties)| Packet::Auth(Auth { reason, properties }))
        .boxed()
}
