//! Packets by hand, so that they can be wrong too: MQTT 3.1.1 unless the level says otherwise.

pub(super) const SUBACK: u8 = 0x90;
pub(super) const PUBACK: u8 = 0x40;
pub(super) const PUBLISH: u8 = 0x30;
pub(super) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(super) const PINGRESP: u8 = 0xD0;
pub(super) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// The longest text there can be.
pub(super) const LONGEST: usize = 65_535;

/// A fixed header that announces so many bytes, whether they come or not.
pub(super) fn header(first: u8, mut remaining: usize) -> Vec<u8> {
    let mut header = vec![first];
    loop {
        let low = (remaining & 0x7F) as u8;
        remaining >>= 7;
        header.push(if remaining > 0 { low | 0x80 } else { low });
        if remaining == 0 {
            return header;
        }
    }
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = header(first, body.len());
    packet.extend_from_slice(body);
    packet
}

/// Appends a text with its length.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).expect("texts of these attacks are as long as texts can be");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// CONNECT.
#[derive(Clone, Copy)]
pub(super) struct Connect<'a> {
    pub(super) id: &'a str,
    /// 4 is MQTT 3.1.1, 5 is MQTT 5.
    pub(super) level: u8,
    pub(super) clean: bool,
    /// Topic and payload, at QoS 0.
    pub(super) will: Option<(&'a str, &'a str)>,
}

impl<'a> Connect<'a> {
    pub(super) const fn new(id: &'a str) -> Self {
        Self { id, level: 4, clean: true, will: None }
    }

    /// Of a client whose session stays.
    pub(super) const fn kept(id: &'a str) -> Self {
        Self { clean: false, ..Self::new(id) }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_text("MQTT", &mut body);
        let flags = u8::from(self.clean) << 1 | u8::from(self.will.is_some()) << 2;
        // Keep alive 0: the client may be silent.
        body.extend_from_slice(&[self.level, flags, 0, 0]);
        let no_properties: &[u8] = if self.level == 5 { &[0] } else { &[] };
        body.extend_from_slice(no_properties);
        put_text(self.id, &mut body);
        if let Some((topic, payload)) = self.will {
            body.extend_from_slice(no_properties);
            put_text(topic, &mut body);
            put_text(payload, &mut body);
        }
        packet(0x10, &body)
    }
}

pub(super) fn subscribe<'a>(filters: impl IntoIterator<Item = &'a str>, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    for filter in filters {
        put_text(filter, &mut body);
        body.push(qos);
    }
    packet(0x82, &body)
}

pub(super) fn unsubscribe(filter: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    put_text(filter, &mut body);
    packet(0xA2, &body)
}

/// At QoS 0.
pub(super) fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(2 + topic.len() + payload.len());
    put_text(topic, &mut body);
    body.extend_from_slice(payload);
    packet(0x30, &body)
}

pub(super) fn retain(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut packet = publish(topic, payload);
    packet[0] |= 1;
    packet
}

pub(super) fn publish_qos1(topic: &str, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + topic.len() + payload.len());
    put_text(topic, &mut body);
    body.extend_from_slice(&packet_id.to_be_bytes());
    body.extend_from_slice(payload);
    packet(0x32, &body)
}

/// PUBACK, PUBREL and their like: two bytes of id and nothing else.
pub(super) fn answer(first: u8, packet_id: u16) -> Vec<u8> {
    let [high, low] = packet_id.to_be_bytes();
    vec![first, 2, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_seven_bits_in_each_byte() {
        // The borders of the standard's table 2-1.
        for (remaining, bytes) in [
            (127, &[0x7F][..]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            assert_eq!(header(0x30, remaining)[1..], *bytes);
        }
    }
}
