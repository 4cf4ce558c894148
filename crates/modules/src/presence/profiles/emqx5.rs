//! The keys of EMQX 5 and 6.
//!
//! EMQX writes them in no order that holds; here they stand in that of EMQ X 4.3, with the new ones among them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mqtt_codec::{Properties, Property};
use mqtt_hooks::Reason;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::presence::event::{Event, Extended, Gone, Style};

/// Bytes of a client's properties of which its user properties are shown too: what one says in a CONNECT goes to all who watch.
const MAX_PROPERTIES: usize = 4096;

pub(super) fn write(event: &Event<'_>, style: Style<'_>, is_six: bool) -> Vec<u8> {
    match &event.end {
        None => event.json(style, &Connected::new(event, style, is_six)),
        Some(end) => event.json(style, &Disconnected::new(event, end, style, is_six)),
    }
}

#[derive(Serialize)]
struct Connected<'a> {
    username: Option<&'a str>,
    ts: u64,
    sockport: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_maximum: Option<u16>,
    protocol: &'static str,
    proto_ver: u8,
    proto_name: &'static str,
    keepalive: u16,
    ipaddress: IpAddr,
    expiry_interval: u64,
    connected_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_props: Option<Printed<'a>>,
    clientid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_attrs: Option<Attributes>,
    clean_start: bool,
    #[serde(flatten)]
    extended: Option<Extended<'a>>,
}

#[derive(Serialize)]
struct Disconnected<'a> {
    username: Option<&'a str>,
    ts: u64,
    sockport: u16,
    reason: &'static str,
    protocol: &'static str,
    proto_ver: u8,
    proto_name: &'static str,
    ipaddress: IpAddr,
    disconnected_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconn_props: Option<Printed<'a>>,
    connected_at: u64,
    clientid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_attrs: Option<Attributes>,
    #[serde(flatten)]
    extended: Option<Extended<'a>>,
}

/// What clients are known to be beside their names: nothing, here.
#[derive(Serialize)]
struct Attributes {}

/// EMQX has other protocols too, on other topics.
const PROTOCOL: &str = "mqtt";

impl<'a> Connected<'a> {
    fn new(event: &Event<'a>, style: Style<'a>, is_six: bool) -> Self {
        let client = event.client;
        Self {
            username: client.username.as_deref().or(style.missing_username),
            ts: event.told_at,
            sockport: client.listener.port,
            receive_maximum: is_six.then_some(event.receive_maximum),
            protocol: PROTOCOL,
            proto_ver: client.version.level(),
            proto_name: client.version.protocol_name(),
            keepalive: client.keep_alive,
            ipaddress: client.peer.ip().to_canonical(),
            expiry_interval: u64::from(client.expiry_interval) * 1000,
            connected_at: client.connected_at,
            conn_props: is_six.then_some(Printed(event.properties)),
            clientid: &client.client_id,
            client_attrs: is_six.then_some(Attributes {}),
            clean_start: client.clean_start,
            extended: style.extended.map(|node| Extended::connected(event, node)),
        }
    }
}

impl<'a> Disconnected<'a> {
    fn new(event: &Event<'a>, end: &Gone<'a>, style: Style<'a>, is_six: bool) -> Self {
        let client = event.client;
        // When the client came is among the keys of each.
        let extended = |node| {
            let mut extended = Extended::disconnected(event, end, node);
            extended.connected_at = None;
            extended
        };
        Self {
            username: client.username.as_deref().or(style.missing_username),
            ts: event.told_at,
            sockport: client.listener.port,
            reason: reason(end.reason),
            protocol: PROTOCOL,
            proto_ver: client.version.level(),
            proto_name: client.version.protocol_name(),
            ipaddress: client.peer.ip().to_canonical(),
            disconnected_at: end.at,
            disconn_props: is_six.then_some(Printed(event.properties)),
            connected_at: client.connected_at,
            clientid: &client.client_id,
            client_attrs: is_six.then_some(Attributes {}),
            extended: style.extended.map(extended),
        }
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason.name() {
        "takeovered" => "takenover",
        name => name,
    }
}

/// Properties by the names of the specification, as EMQX prints them. What a client authenticates with is not among them: it is not for
/// who watches.
struct Printed<'a>(&'a Properties);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Pair<'a> {
            key: &'a str,
            value: &'a str,
        }
        let all: Vec<_> = self.0.iter().collect();
        let is_small = self.0.encoded_len() <= MAX_PROPERTIES;
        let pairs = all.iter().filter_map(|property| match property {
            Property::UserProperty(key, value) if is_small => Some(Pair { key, value }),
            _ => None,
        });
        let pairs: Vec<_> = pairs.collect();
        let mut map = serializer.serialize_map(None)?;
        // Of several with one name the last one counts here, and all stand in the pairs.
        let by_name: BTreeMap<_, _> = pairs.iter().map(|pair| (pair.key, pair.value)).collect();
        map.serialize_entry("User-Property", &by_name)?;
        if !pairs.is_empty() {
            map.serialize_entry("User-Property-Pairs", &pairs)?;
        }
        for property in &all {
            match property {
                Property::SessionExpiry(seconds) => map.serialize_entry("Session-Expiry-Interval", seconds)?,
                Property::ReceiveMaximum(count) => map.serialize_entry("Receive-Maximum", count)?,
                Property::MaximumPacketSize(bytes) => map.serialize_entry("Maximum-Packet-Size", bytes)?,
                Property::TopicAliasMaximum(count) => map.serialize_entry("Topic-Alias-Maximum", count)?,
                Property::RequestResponseInformation(is) => {
                    map.serialize_entry("Request-Response-Information", &u8::from(*is))?;
                }
                Property::RequestProblemInformation(is) => {
                    map.serialize_entry("Request-Problem-Information", &u8::from(*is))?;
                }
                Property::AuthenticationMethod(name) => map.serialize_entry("Authentication-Method", &**name)?,
                Property::ReasonString(text) => map.serialize_entry("Reason-String", &**text)?,
                // No others are sent in these packets, but for what is kept back.
                _ => {}
            }
        }
        map.end()
    }
}
