//! The events' JSON: its keys stand in the order in which EMQ X writes them.

use std::net::IpAddr;

use mqtt_codec::Properties;
use mqtt_hooks::{ConnectionInfo, Initiator, Reason};
use serde::Serialize;

/// What an event is about; the two facts of presence.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) client: &'a ConnectionInfo,
    /// Its running number.
    pub(super) number: u64,
    pub(super) told_at: u64,
    pub(super) seq: u64,
    pub(super) flaps: u32,
    /// Of its CONNECT or DISCONNECT.
    pub(super) properties: &'a Properties,
    /// Of who has come.
    pub(super) receive_maximum: u16,
    /// `None`: the client has come.
    pub(super) end: Option<Gone<'a>>,
}

/// How the client went.
#[derive(Clone, Copy)]
pub(super) struct Gone<'a> {
    pub(super) reason: Reason,
    pub(super) reason_string: Option<&'a str>,
    pub(super) at: u64,
}

/// How events are written.
#[derive(Clone, Copy)]
pub(super) struct Style<'a> {
    /// `None`: null.
    pub(super) missing_username: Option<&'a str>,
    /// The node's name, if more keys are wanted than EMQ X has.
    pub(super) extended: Option<&'a str>,
}

/// The keys of an event.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Shown<'a> {
    Connected(Connected<'a>),
    Disconnected(Disconnected<'a>),
}

impl<'a> Event<'a> {
    pub(super) fn write(&self, style: Style<'_>) -> Vec<u8> {
        self.json(style, &self.shown(style))
    }

    pub(super) fn shown<'b>(&self, style: Style<'b>) -> Shown<'b>
    where
        'a: 'b,
    {
        match &self.end {
            None => Shown::Connected(Connected::new(self, style)),
            Some(end) => Shown::Disconnected(Disconnected::new(self, end, style)),
        }
    }

    pub(super) fn json(&self, style: Style<'_>, shown: &impl Serialize) -> Vec<u8> {
        // The keys, the punctuation and every number at its longest; only escapes can make it grow.
        let fixed = if style.extended.is_some() { 590 } else { 264 };
        let client = self.client;
        let reason_string = self.end.and_then(|end| end.reason_string).map_or(0, str::len);
        let texts = client.client_id.len()
            + client.username.as_ref().map_or(0, |name| name.len())
            + style.extended.map_or(0, |node| node.len() + client.listener.name.len() + reason_string);
        let mut out = Vec::with_capacity(fixed + texts);
        serde_json::to_writer(&mut out, shown).expect("a Vec takes all bytes and the events have no odd keys");
        out
    }
}

#[derive(Serialize)]
pub(super) struct Connected<'a> {
    username: Option<&'a str>,
    ts: u64,
    sockport: u16,
    proto_ver: u8,
    proto_name: &'static str,
    keepalive: u16,
    ipaddress: IpAddr,
    expiry_interval: u32,
    connected_at: u64,
    connack: u8,
    clientid: &'a str,
    clean_start: bool,
    #[serde(flatten)]
    extended: Option<Extended<'a>>,
}

impl<'a> Connected<'a> {
    fn new(event: &Event<'a>, style: Style<'a>) -> Self {
        let client = event.client;
        Self {
            username: client.username.as_deref().or(style.missing_username),
            ts: event.told_at,
            sockport: client.listener.port,
            proto_ver: client.version.level(),
            proto_name: client.version.protocol_name(),
            keepalive: client.keep_alive,
            ipaddress: client.peer.ip().to_canonical(),
            expiry_interval: client.expiry_interval,
            connected_at: client.connected_at,
            connack: 0,
            clientid: &client.client_id,
            clean_start: client.clean_start,
            extended: style.extended.map(|node| Extended::connected(event, node)),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Disconnected<'a> {
    username: Option<&'a str>,
    ts: u64,
    sockport: u16,
    reason: &'static str,
    proto_ver: u8,
    proto_name: &'static str,
    ipaddress: IpAddr,
    disconnected_at: u64,
    clientid: &'a str,
    #[serde(flatten)]
    extended: Option<Extended<'a>>,
}

impl<'a> Disconnected<'a> {
    fn new(event: &Event<'a>, end: &Gone<'a>, style: Style<'a>) -> Self {
        let client = event.client;
        Self {
            username: client.username.as_deref().or(style.missing_username),
            ts: event.told_at,
            sockport: client.listener.port,
            reason: end.reason.name(),
            proto_ver: client.version.level(),
            proto_name: client.version.protocol_name(),
            ipaddress: client.peer.ip().to_canonical(),
            disconnected_at: end.at,
            clientid: &client.client_id,
            extended: style.extended.map(|node| Extended::disconnected(event, end, node)),
        }
    }
}

/// What EMQ X does not tell.
#[derive(Serialize)]
pub(super) struct Extended<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connected_at: Option<u64>,
    node: &'a str,
    peerport: u16,
    listener: &'a str,
    epoch: u64,
    conn_id: u64,
    /// Of this client's events.
    seq: u64,
    /// Of the events of all.
    event: u64,
    session_present: bool,
    initiator: &'static str,
    reason_code: Option<u8>,
    /// Of the client's DISCONNECT.
    reason_string: Option<&'a str>,
    flaps: u32,
    /// `disconnected_at` is the last time the broker is known to have lived.
    estimated: bool,
}

impl<'a> Extended<'a> {
    /// The client began it, and CONNACK says 0.
    pub(super) fn connected(event: &Event<'a>, node: &'a str) -> Self {
        let client = event.client;
        Self {
            connected_at: None,
            node,
            peerport: client.peer.port(),
            listener: &client.listener.name,
            epoch: client.epoch,
            conn_id: client.conn_id,
            seq: event.seq,
            event: event.number,
            session_present: client.session_present,
            initiator: Initiator::Client.name(),
            reason_code: Some(0),
            reason_string: None,
            flaps: event.flaps,
            estimated: false,
        }
    }

    pub(super) fn disconnected(event: &Event<'a>, end: &Gone<'a>, node: &'a str) -> Self {
        Self {
            connected_at: Some(event.client.connected_at),
            initiator: end.reason.initiator().name(),
            reason_code: end.reason.code().map(mqtt_codec::ReasonCode::as_u8),
            reason_string: end.reason_string,
            estimated: matches!(end.reason, Reason::NodeDown),
            ..Self::connected(event, node)
        }
    }
}
