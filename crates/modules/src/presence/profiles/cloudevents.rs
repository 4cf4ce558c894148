//! CloudEvents 1.0 in structured mode: one topic for each client, on which both of its events are, in order.
//!
//! `id` is the event's running number, which no other has; with `source`, the node, it is the same wherever the event is seen again.
//! `data` is what EMQ X 4.3 tells with all extended keys.

use serde::Serialize;

use crate::presence::event::{Event, Shown, Style};

/// `$SYS/brokers/${node}/clients/${clientid}/cloudevent`
pub(super) const SUFFIX: &str = "/cloudevent";

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: &'static str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: Shown<'a>,
}

pub(super) fn write(event: &Event<'_>, style: Style<'_>, node: &str) -> Vec<u8> {
    let has_come = event.end.is_none();
    let shown = CloudEvent {
        specversion: "1.0",
        id: event.number.to_string(),
        source: source(node),
        r#type: if has_come { "rollcall.client.connected" } else { "rollcall.client.disconnected" },
        subject: &event.client.client_id,
        time: rfc3339(event.end.map_or(event.client.connected_at, |end| end.at)),
        datacontenttype: "application/json",
        data: event.shown(Style { extended: Some(node), ..style }),
    };
    serde_json::to_vec(&shown).expect("a Vec takes all bytes and there are no odd keys")
}

/// A URI reference: what may not stand in one is percent-encoded (RFC 3986, `pchar`).
fn source(node: &str) -> String {
    let mut out = "/brokers/".to_owned();
    for byte in node.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // No clock shows a year that has no four digits.
    format!("{:.3}", time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_625_572_213_873, "2021-07-06T11:50:13.873Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_704_067_199_999, "2023-12-31T23:59:59.999Z"),
            (1_704_067_200_000, "2024-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        assert_eq!(source("rollcall@127.0.0.1"), "/brokers/rollcall@127.0.0.1");
        assert_eq!(source("a?%é"), "/brokers/a%3F%25%C3%A9");
    }
}
