//! What events look like, for programs: JSON Schema for each, and all of them as AsyncAPI.

use serde_json::{Map, Value, json};

use super::{Profile, aws, cloudevents};

/// What a key's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Null where events are told so of clients without a user name.
    TextOrNull,
    Number,
    Switch,
    Object,
}

/// A key, and what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(pub(super) &'static str, pub(super) Kind, &'static str);

use Kind::{Number, Object, Switch, Text, TextOrNull};

const MS: &str = "In milliseconds since the Unix epoch.";

const USERNAME: Key = Key("username", TextOrNull, "As authenticated; \"undefined\" or null for a client without one.");
const TS: Key = Key("ts", Number, "When the event was made, in milliseconds since the Unix epoch.");
const SOCKPORT: Key = Key("sockport", Number, "The port of the listener.");
const PROTO_VER: Key = Key("proto_ver", Number, "3, 4 or 5.");
const PROTO_NAME: Key = Key("proto_name", Text, "MQIsdp or MQTT.");
const KEEPALIVE: Key = Key("keepalive", Number, "In seconds, as sent in CONNECT.");
const IPADDRESS: Key = Key("ipaddress", Text, "The client's address.");
const CONNECTED_AT: Key = Key("connected_at", Number, MS);
const DISCONNECTED_AT: Key = Key("disconnected_at", Number, MS);
const CLIENTID: Key = Key("clientid", Text, "The client id.");
const CLEAN_START: Key = Key("clean_start", Switch, "Clean session or clean start.");
const REASON: Key = Key("reason", Text, "Why the connection ended.");
const PROTOCOL: Key = Key("protocol", Text, "mqtt.");
const EXPIRY_MS: Key = Key("expiry_interval", Number, "Of the session, in milliseconds.");

const EMQX4_CONNECTED: &[Key] = &[
    USERNAME,
    TS,
    SOCKPORT,
    PROTO_VER,
    PROTO_NAME,
    KEEPALIVE,
    IPADDRESS,
    Key("expiry_interval", Number, "Of the session, in seconds; 4294967295 is for ever."),
    CONNECTED_AT,
    Key("connack", Number, "0."),
    CLIENTID,
    CLEAN_START,
];

const EMQX4_DISCONNECTED: &[Key] =
    &[USERNAME, TS, SOCKPORT, REASON, PROTO_VER, PROTO_NAME, IPADDRESS, DISCONNECTED_AT, CLIENTID];

const EMQX5_CONNECTED: &[Key] = &[
    USERNAME,
    TS,
    SOCKPORT,
    PROTOCOL,
    PROTO_VER,
    PROTO_NAME,
    KEEPALIVE,
    IPADDRESS,
    EXPIRY_MS,
    CONNECTED_AT,
    CLIENTID,
    CLEAN_START,
];

const EMQX5_DISCONNECTED: &[Key] = &[
    USERNAME,
    TS,
    SOCKPORT,
    REASON,
    PROTOCOL,
    PROTO_VER,
    PROTO_NAME,
    IPADDRESS,
    DISCONNECTED_AT,
    CONNECTED_AT,
    CLIENTID,
];

const CLIENT_ATTRS: Key = Key("client_attrs", Object, "Empty.");

const EMQX6_CONNECTED: &[Key] = &[
    USERNAME,
    TS,
    SOCKPORT,
    Key("receive_maximum", Number, "How many messages above QoS 0 the client may be sent at once."),
    PROTOCOL,
    PROTO_VER,
    PROTO_NAME,
    KEEPALIVE,
    IPADDRESS,
    EXPIRY_MS,
    CONNECTED_AT,
    Key(
        "conn_props",
        Object,
        "The properties of CONNECT, by their names in the specification, but for Authentication-Data.",
    ),
    CLIENTID,
    CLIENT_ATTRS,
    CLEAN_START,
];

const EMQX6_DISCONNECTED: &[Key] = &[
    USERNAME,
    TS,
    SOCKPORT,
    REASON,
    PROTOCOL,
    PROTO_VER,
    PROTO_NAME,
    IPADDRESS,
    DISCONNECTED_AT,
    Key("disconn_props", Object, "The properties of the client's DISCONNECT, by their names in the specification."),
    CONNECTED_AT,
    CLIENTID,
    CLIENT_ATTRS,
];

const AWS_CLIENT: Key = Key("clientId", Text, "The client id.");
const AWS_TIME: Key = Key("timestamp", Number, MS);
const AWS_TYPE: Key = Key("eventType", Text, "connected or disconnected.");
const AWS_SESSION: Key = Key("sessionIdentifier", Text, "The same in both events of a connection, and in no others.");
const AWS_PRINCIPAL: Key = Key("principalIdentifier", Text, "The user name, or empty.");
const AWS_VERSION: Key = Key("versionNumber", Number, "Counts the connections of this client id.");

const AWS_CONNECTED: &[Key] = &[
    AWS_CLIENT,
    AWS_TIME,
    AWS_TYPE,
    AWS_SESSION,
    AWS_PRINCIPAL,
    Key("ipAddress", Text, "The client's address."),
    AWS_VERSION,
];

const AWS_DISCONNECTED: &[Key] = &[
    AWS_CLIENT,
    AWS_TIME,
    AWS_TYPE,
    AWS_SESSION,
    AWS_PRINCIPAL,
    Key("clientInitiatedDisconnect", Switch, "The client sent DISCONNECT."),
    Key("disconnectReason", Text, "One of AWS IoT Core's reasons."),
    AWS_VERSION,
];

const CLOUD_EVENT: &[Key] = &[
    Key("specversion", Text, "1.0."),
    Key("id", Text, "The running number of the event; no two events have the same."),
    Key("source", Text, "/brokers/ and the name of the node."),
    Key("type", Text, "rollcall.client.connected or rollcall.client.disconnected."),
    Key("subject", Text, "The client id."),
    Key("time", Text, "When the client came or went, as in RFC 3339."),
    Key("datacontenttype", Text, "application/json."),
    Key("data", Object, "The event as emqx4 has it, with all extended keys."),
];

/// The keys of an event, in their order.
pub(super) const fn keys(profile: Profile, has_come: bool) -> &'static [Key] {
    match (profile, has_come) {
        (Profile::Emqx4, true) => EMQX4_CONNECTED,
        (Profile::Emqx4, false) => EMQX4_DISCONNECTED,
        (Profile::Emqx5, true) => EMQX5_CONNECTED,
        (Profile::Emqx5, false) => EMQX5_DISCONNECTED,
        (Profile::Emqx6, true) => EMQX6_CONNECTED,
        (Profile::Emqx6, false) => EMQX6_DISCONNECTED,
        (Profile::Aws, true) => AWS_CONNECTED,
        (Profile::Aws, false) => AWS_DISCONNECTED,
        (Profile::CloudEvents, _) => CLOUD_EVENT,
    }
}

/// What the user property `schema` of an event says.
pub(super) const fn name(profile: Profile, has_come: bool) -> &'static str {
    match (profile, has_come) {
        (Profile::Emqx4, true) => "emqx4/connected",
        (Profile::Emqx4, false) => "emqx4/disconnected",
        (Profile::Emqx5, true) => "emqx5/connected",
        (Profile::Emqx5, false) => "emqx5/disconnected",
        (Profile::Emqx6, true) => "emqx6/connected",
        (Profile::Emqx6, false) => "emqx6/disconnected",
        (Profile::Aws, true) => "aws/connected",
        (Profile::Aws, false) => "aws/disconnected",
        (Profile::CloudEvents, true) => "cloudevents/connected",
        (Profile::CloudEvents, false) => "cloudevents/disconnected",
    }
}

/// The JSON Schemas of a profile's events, by what happened.
pub(in crate::presence) fn of(profile: Profile) -> Value {
    json!({ "connected": schema(profile, true), "disconnected": schema(profile, false) })
}

fn schema(profile: Profile, has_come: bool) -> Value {
    let keys = keys(profile, has_come);
    let described = |Key(name, kind, about): &Key| {
        let kind = match kind {
            Text => json!("string"),
            TextOrNull => json!(["string", "null"]),
            Number => json!("integer"),
            Switch => json!("boolean"),
            Object => json!("object"),
        };
        (name.to_string(), json!({ "type": kind, "description": about }))
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name(profile, has_come),
        "type": "object",
        "properties": keys.iter().map(described).collect::<Map<_, _>>(),
        "required": keys.iter().map(|key| key.0).collect::<Vec<_>>(),
        // Extended events have more keys.
        "additionalProperties": profile.is_emqx(),
    })
}

fn address(profile: Profile, has_come: bool) -> String {
    let suffix = match profile {
        Profile::Aws if has_come => return format!("{}connected/{{clientid}}", aws::PREFIX),
        Profile::Aws => return format!("{}disconnected/{{clientid}}", aws::PREFIX),
        Profile::CloudEvents => cloudevents::SUFFIX,
        _ if has_come => super::CONNECTED,
        _ => super::DISCONNECTED,
    };
    format!("$SYS/brokers/{{node}}/clients/{{clientid}}{suffix}")
}

/// All events of all profiles, as an AsyncAPI document.
pub(in crate::presence) fn async_api() -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for (profile, has_come) in Profile::ALL.into_iter().flat_map(|profile| [(profile, true), (profile, false)]) {
        let title = name(profile, has_come);
        let id = title.replace('/', "_");
        let mut parameters = json!({ "clientid": { "description": "The client id; + # and % in it may be escaped." } });
        if profile != Profile::Aws {
            parameters["node"] = json!({ "description": "The name of the node." });
        }
        let to_channel = json!({ "$ref": format!("#/channels/{id}") });
        let in_channel = json!({ "$ref": format!("#/channels/{id}/messages/{id}") });
        channels.insert(
            id.clone(),
            json!({
                "address": address(profile, has_come),
                "parameters": parameters,
                "messages": { &id: { "$ref": format!("#/components/messages/{id}") } },
            }),
        );
        operations.insert(
            id.clone(),
            json!({
                "action": "send",
                "channel": to_channel,
                "messages": [in_channel],
                "bindings": { "mqtt": { "qos": 1, "retain": false } },
            }),
        );
        messages.insert(
            id,
            json!({ "title": title, "contentType": profile.content_type(), "payload": schema(profile, has_come) }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Rollcall: who comes and who goes", "version": env!("CARGO_PKG_VERSION") },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}
