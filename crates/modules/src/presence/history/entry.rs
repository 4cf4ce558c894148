//! One event, as small as it can be kept.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use mqtt_codec::{ReasonCode, Version};
use mqtt_hooks::{ConnectionInfo, Initiator, Listener, Reason};
use serde::{Deserialize, Serialize, Serializer};

/// An event that was told. As JSON it has the keys that the API shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its running number: later events have higher ones, also over restarts.
    pub number: u64,
    /// When the client came or went: milliseconds since the Unix epoch.
    pub at: u64,
    /// Counts the events of this client id.
    pub seq: u64,
    /// Unique per connection within an epoch.
    pub conn_id: u64,
    /// Grows with every start of the broker.
    pub epoch: u64,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
    /// Where it came in.
    pub listener: Arc<Listener>,
    /// Client id and user name, one behind the other: one piece of memory, and never a part of a read buffer.
    texts: Box<str>,
    id_len: u32,
    has_username: bool,
    /// `None`: connected.
    reason: Option<Cow<'static, str>>,
    code: Option<u8>,
    initiator: Initiator,
    /// The peer's address.
    pub ip: IpAddr,
    /// The peer's port.
    pub peer_port: u16,
    /// Seconds, as sent in CONNECT.
    pub keep_alive: u16,
    /// Seconds; 4,294,967,295 is for ever.
    pub expiry_interval: u32,
    /// Protocol version.
    pub version: Version,
    /// Clean session or clean start.
    pub clean_start: bool,
    /// The client went on with a session.
    pub session_present: bool,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// [`Reason::name`].
    pub reason: Cow<'static, str>,
    /// [`Reason::code`].
    pub code: Option<u8>,
    /// [`Reason::initiator`].
    pub initiator: Initiator,
}

impl From<Reason> for End {
    fn from(reason: Reason) -> Self {
        Self {
            reason: Cow::Borrowed(reason.name()),
            code: reason.code().map(ReasonCode::as_u8),
            initiator: reason.initiator(),
        }
    }
}

impl Entry {
    /// Tells that `client` came, or went if there is an `end`.
    pub fn new(number: u64, client: &ConnectionInfo, seq: u64, at: u64, end: Option<End>) -> Self {
        let username = client.username.as_deref();
        let texts = [&*client.client_id, username.unwrap_or("")].concat();
        let (reason, code, initiator) = match end {
            Some(end) => (Some(end.reason), end.code, end.initiator),
            None => (None, None, Initiator::Client),
        };
        Self {
            number,
            at,
            seq,
            conn_id: client.conn_id,
            epoch: client.epoch,
            connected_at: client.connected_at,
            listener: Arc::clone(&client.listener),
            texts: texts.into_boxed_str(),
            // MQTT has no texts longer than 65,535 bytes.
            id_len: client.client_id.len() as u32,
            has_username: username.is_some(),
            reason,
            code,
            initiator,
            ip: client.peer.ip().to_canonical(),
            peer_port: client.peer.port(),
            keep_alive: client.keep_alive,
            expiry_interval: client.expiry_interval,
            version: client.version,
            clean_start: client.clean_start,
            session_present: client.session_present,
        }
    }

    /// Whose.
    pub fn client_id(&self) -> &str {
        &self.texts[..self.id_len as usize]
    }

    /// As authenticated.
    pub fn username(&self) -> Option<&str> {
        self.has_username.then(|| &self.texts[self.id_len as usize..])
    }

    /// True if the client came, false if it went.
    pub const fn is_connected(&self) -> bool {
        self.reason.is_none()
    }

    /// Why the client went.
    pub fn end(&self) -> Option<End> {
        let reason = self.reason.clone()?;
        Some(End { reason, code: self.code, initiator: self.initiator })
    }

    /// As it is kept: what the API shows, with the names of all parts.
    pub(super) fn to_record(&self) -> Vec<u8> {
        // All keys and numbers at their longest.
        let mut record = Vec::with_capacity(448 + self.texts.len());
        serde_json::to_writer(&mut record, self).expect("a Vec takes all bytes and the keys are texts");
        record
    }

    /// `listener` is that of the event before: most share one.
    pub(super) fn from_record(record: &[u8], listener: &mut Arc<Listener>) -> serde_json::Result<Self> {
        let kept: Kept<'_> = serde_json::from_slice(record)?;
        if *listener.name != *kept.listener || listener.port != kept.sockport {
            *listener = Arc::new(Listener { name: (*kept.listener).into(), port: kept.sockport });
        }
        let version = Version::from_level(kept.proto_ver);
        let initiator = kept.initiator.as_deref().map_or(Some(Initiator::Client), Initiator::from_name);
        let (Some(version), Some(initiator)) = (version, initiator) else {
            return Err(serde::de::Error::custom("an unknown protocol level or initiator"));
        };
        Ok(Self {
            number: kept.id,
            at: kept.at,
            seq: kept.seq,
            conn_id: kept.conn_id,
            epoch: kept.epoch,
            connected_at: kept.connected_at,
            listener: Arc::clone(listener),
            texts: [&*kept.clientid, kept.username.as_deref().unwrap_or("")].concat().into_boxed_str(),
            id_len: kept.clientid.len() as u32,
            has_username: kept.username.is_some(),
            reason: kept.reason.map(|reason| Cow::Owned(reason.into_owned())),
            code: kept.reason_code,
            initiator,
            ip: kept.ipaddress,
            peer_port: kept.port,
            keep_alive: kept.keepalive,
            expiry_interval: kept.expiry_interval,
            version,
            clean_start: kept.clean_start,
            session_present: kept.session_present,
        })
    }

    /// Bytes that it has beside those that each has.
    pub(super) const fn text_len(&self) -> usize {
        self.texts.len()
    }
}

/// The API's form.
#[derive(Serialize)]
struct Shown<'a> {
    id: u64,
    event: &'static str,
    clientid: &'a str,
    username: Option<&'a str>,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initiator: Option<&'static str>,
    connected_at: u64,
    ipaddress: IpAddr,
    port: u16,
    sockport: u16,
    listener: &'a str,
    proto_ver: u8,
    proto_name: &'static str,
    keepalive: u16,
    clean_start: bool,
    expiry_interval: u32,
    session_present: bool,
    epoch: u64,
    conn_id: u64,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated: Option<bool>,
}

/// What of [`Shown`] can't be told from the rest.
#[derive(Deserialize)]
struct Kept<'a> {
    id: u64,
    clientid: Cow<'a, str>,
    username: Option<Cow<'a, str>>,
    at: u64,
    reason: Option<Cow<'a, str>>,
    reason_code: Option<u8>,
    initiator: Option<Cow<'a, str>>,
    connected_at: u64,
    ipaddress: IpAddr,
    port: u16,
    sockport: u16,
    listener: Cow<'a, str>,
    proto_ver: u8,
    keepalive: u16,
    clean_start: bool,
    expiry_interval: u32,
    session_present: bool,
    epoch: u64,
    conn_id: u64,
    seq: u64,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reason = self.reason.as_deref();
        let shown = Shown {
            id: self.number,
            event: if self.is_connected() { "connected" } else { "disconnected" },
            clientid: self.client_id(),
            username: self.username(),
            at: self.at,
            reason,
            reason_code: self.code,
            initiator: reason.map(|_| self.initiator.name()),
            connected_at: self.connected_at,
            ipaddress: self.ip,
            port: self.peer_port,
            sockport: self.listener.port,
            listener: &self.listener.name,
            proto_ver: self.version.level(),
            proto_name: self.version.protocol_name(),
            keepalive: self.keep_alive,
            clean_start: self.clean_start,
            expiry_interval: self.expiry_interval,
            session_present: self.session_present,
            epoch: self.epoch,
            conn_id: self.conn_id,
            seq: self.seq,
            estimated: reason.map(|reason| reason == Reason::NodeDown.name()),
        };
        shown.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::testing::foo;

    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let peer = "[2001:db8::1]:5000".parse().unwrap();
        let odd = ConnectionInfo { client_id: "\"\\\n\u{1}é".into(), username: None, peer, ..foo() };
        for client in [foo(), odd] {
            for reason in [None, Some(Reason::Kicked), Some(Reason::TakenOver), Some(Reason::Closed("tcp_closed"))] {
                let told = Entry::new(7, &client, 3, 1_625_572_213_999, reason.map(End::from));
                let mut listener = Arc::clone(&told.listener);
                let kept = Entry::from_record(&told.to_record(), &mut listener).unwrap();
                assert_eq!(kept, told);
                assert!(Arc::ptr_eq(&kept.listener, &told.listener));
            }
        }
    }

    /// With the counts of its `Arc` it fills 160 bytes, a size allocators have.
    #[test]
    fn an_entry_costs_160_bytes() {
        assert!(size_of::<Entry>() <= 144, "{}", size_of::<Entry>());
    }
}
