//! A packet in one line.

use std::fmt::{Display, Write};

use mqtt_codec::{Ack, Connect, Packet, Properties, Property, Publish, Qos, ReasonCode, Version};

/// Bytes shown of a payload, and of whatever else a client may make long.
const SHOWN: usize = 64;

/// Filters or reason codes shown of a packet.
const MAX_LISTED: usize = 16;

/// CONNECT, without what is secret.
pub(super) fn connect(connect: &Connect) -> String {
    let Connect { version, client_id, is_bridge, clean_start, keep_alive, username, password, will, properties } =
        connect;
    let protocol = match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5",
    };
    let mut line = format!(
        "CONNECT version={protocol} client_id={} clean={clean_start} keep_alive={keep_alive}",
        quoted(client_id)
    );
    line += flag(*is_bridge, " bridge");
    if let Some(username) = username {
        line += &format!(" username={}", quoted(username));
    }
    if password.is_some() {
        line += " password=(hidden)";
    }
    if let Some(will) = will {
        let message = &will.message;
        let (topic, qos) = (quoted(&message.topic), message.qos as u8);
        line += &format!(" will=(topic={topic} qos={qos}{} delay={}", flag(message.retain, " retain"), will.delay);
        line += &format!(" {})", content(&message.payload));
    }
    line + &listed(properties)
}

/// Any packet.
pub(super) fn packet(packet: &Packet) -> String {
    let name = packet.packet_type().name();
    match packet {
        Packet::Connect(packet) => connect(packet),
        Packet::ConnAck(packet) => {
            let present = flag(packet.session_present, " session_present");
            format!("{name} {}{present}{}", packet.reason.name(), listed(&packet.properties))
        }
        Packet::Publish(packet) => publish(packet),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            let Ack { packet_id, reason, properties } = ack;
            format!("{name} id={} {}{}", packet_id.as_u16(), reason.name(), listed(properties))
        }
        Packet::Subscribe(packet) => {
            let filters = packet.filters.iter().map(|wish| {
                let options = wish.options;
                let flags =
                    [flag(options.no_local, " no_local"), flag(options.retain_as_published, " retain_as_published")];
                format!("{} qos={}{}", quoted(&wish.filter), options.qos as u8, flags.concat())
            });
            format!("{name} id={} {}{}", packet.packet_id.as_u16(), several(filters), listed(&packet.properties))
        }
        Packet::SubAck(packet) => {
            format!(
                "{name} id={} {}{}",
                packet.packet_id.as_u16(),
                reasons(&packet.reasons),
                listed(&packet.properties)
            )
        }
        Packet::Unsubscribe(packet) => {
            let filters = several(packet.filters.iter().map(quoted));
            format!("{name} id={} {filters}{}", packet.packet_id.as_u16(), listed(&packet.properties))
        }
        Packet::UnsubAck(packet) => {
            format!(
                "{name} id={} {}{}",
                packet.packet_id.as_u16(),
                reasons(&packet.reasons),
                listed(&packet.properties)
            )
        }
        Packet::PingReq | Packet::PingResp => name.to_owned(),
        Packet::Disconnect(packet) => {
            // 0x00 has a name of its own here.
            let reason = if packet.reason == ReasonCode::Success { "normal" } else { packet.reason.name() };
            format!("{name} {reason}{}", listed(&packet.properties))
        }
        Packet::Auth(packet) => format!("{name} {}{}", packet.reason.name(), listed(&packet.properties)),
    }
}

fn publish(packet: &Publish) -> String {
    let mut line = "PUBLISH".to_owned();
    if let Some(id) = packet.packet_id.filter(|_| packet.qos > Qos::AtMostOnce) {
        line += &format!(" id={}", id.as_u16());
    }
    line += &format!(" qos={}{}{}", packet.qos as u8, flag(packet.dup, " dup"), flag(packet.retain, " retain"));
    if let Some(topic) = &packet.topic {
        line += &format!(" topic={}", quoted(topic));
    }
    line + " " + &content(&packet.payload) + &listed(&packet.properties)
}

const fn flag(is_set: bool, name: &str) -> &str {
    if is_set { name } else { "" }
}

fn reasons(reasons: &[ReasonCode]) -> String {
    several(reasons.iter().map(|reason| reason.name().to_owned()))
}

fn several(parts: impl ExactSizeIterator<Item = String>) -> String {
    let more = parts.len().saturating_sub(MAX_LISTED);
    let mut shown: Vec<_> = parts.take(MAX_LISTED).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

fn listed(properties: &Properties) -> String {
    let mut line = String::new();
    for property in properties.iter().take(MAX_LISTED) {
        line += " ";
        line += &match property {
            // It may be a password.
            Property::AuthenticationData(_) => "AuthenticationData(hidden)".to_owned(),
            Property::CorrelationData(data) => format!("CorrelationData {}", content(&data)),
            property => cut(format!("{property:?}"), 3 * SHOWN),
        };
    }
    line
}

/// A payload: as text if it is some, else in hexadecimal.
fn content(payload: &[u8]) -> String {
    let shown = &payload[..payload.len().min(SHOWN)];
    let more = flag(payload.len() > SHOWN, "..");
    // A character may be cut.
    let valid = shown.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    if valid.len() + 3 >= shown.len() && (valid.len() == shown.len() || payload.len() > SHOWN) {
        let is_text = !valid.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
        if is_text {
            return format!("payload({})={valid:?}{more}", payload.len());
        }
    }
    let mut hex = String::with_capacity(2 * shown.len());
    for byte in shown {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    format!("payload({})=0x{hex}{more}", payload.len())
}

fn quoted(text: impl Display) -> String {
    format!("{:?}", cut(text.to_string(), 4 * SHOWN))
}

fn cut(mut text: String, length: usize) -> String {
    if text.len() > length {
        text.truncate(text.floor_char_boundary(length));
        text.push_str("..");
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mqtt_codec::{Message, PacketId, Topic, Will};

    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let secret = Bytes::from_static(b"open sesame");
        let shown = connect(&Connect {
            username: Some("u".into()),
            password: Some(secret.clone()),
            properties: [Property::AuthenticationData(secret)].into_iter().collect(),
            will: Some(Will {
                message: Message {
                    topic: Topic::new("w").unwrap(),
                    payload: "gone".into(),
                    qos: Qos::AtLeastOnce,
                    retain: true,
                    properties: Properties::EMPTY,
                },
                delay: 5,
            }),
            ..Connect::new(Version::V5, "c")
        });
        assert_eq!(
            shown,
            "CONNECT version=5 client_id=\"c\" clean=true keep_alive=0 username=\"u\" password=(hidden) \
             will=(topic=\"w\" qos=1 retain delay=5 payload(4)=\"gone\") AuthenticationData(hidden)"
        );
    }

    #[track_caller]
    fn check(payload: &[u8], shown: &str) {
        assert_eq!(content(payload), shown);
    }

    #[test]
    fn payloads_are_text_or_hexadecimal_and_cut() {
        check(b"", "payload(0)=\"\"");
        check(b"a\n\"b\"", "payload(5)=\"a\\n\\\"b\\\"\"");
        check(&[0, 255], "payload(2)=0x00ff");
        check("ä".as_bytes(), "payload(2)=\"ä\"");
        check(&"ä".as_bytes()[..1], "payload(1)=0xc3");
        check(&[b'x'; 65], &format!("payload(65)=\"{}\"..", "x".repeat(64)));
        let long = format!("x{}", "ä".repeat(40));
        check(long.as_bytes(), &format!("payload(81)=\"x{}\"..", "ä".repeat(31)));
        check(&[7; 65], &format!("payload(65)=0x{}..", "07".repeat(64)));
    }

    #[test]
    fn a_publish_is_one_line() {
        let mut publish = Publish {
            dup: true,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: Topic::new("a/b").ok(),
            packet_id: PacketId::new(7),
            properties: Properties::from([Property::TopicAlias(3)]),
            payload: "x".into(),
        };
        let shown = "PUBLISH id=7 qos=1 dup topic=\"a/b\" payload(1)=\"x\" TopicAlias(3)";
        assert_eq!(packet(&Packet::Publish(publish.clone())), shown);
        publish.topic = None;
        assert_eq!(packet(&Packet::Publish(publish)), shown.replace(" topic=\"a/b\"", ""));
    }
}
