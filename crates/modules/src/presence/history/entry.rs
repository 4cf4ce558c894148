//! One event, as small as it can be kept.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use minicbor::encode::{Error, Write};
use minicbor::{Decode, Decoder, Encode, Encoder, decode};
use mqtt_codec::{ReasonCode, Version};
use mqtt_hooks::{ConnectionInfo, ConnectionRecord, Initiator, Listener, Reason};
use serde::{Serialize, Serializer};

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
    /// About how often the client came within the minute before.
    pub flaps: u32,
    /// When bytes last came from it: milliseconds since the Unix epoch.
    pub last_heard: u64,
    /// When the client was first seen, as far as it has been remembered since: milliseconds since the Unix epoch; 0: an earlier
    /// version did not keep that.
    pub first_seen: u64,
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
            flaps: 0,
            last_heard: at,
            first_seen: at,
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

    /// Why the client went, by its name.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Why the client went.
    pub fn end(&self) -> Option<End> {
        let reason = self.reason.clone()?;
        Some(End { reason, code: self.code, initiator: self.initiator })
    }

    /// The connection that it is about. No event tells whether it was a bridge's.
    pub fn connection(&self) -> ConnectionInfo {
        ConnectionInfo {
            client_id: self.client_id().into(),
            username: self.username().map(Into::into),
            version: self.version,
            is_bridge: false,
            peer: SocketAddr::new(self.ip, self.peer_port),
            listener: Arc::clone(&self.listener),
            keep_alive: self.keep_alive,
            clean_start: self.clean_start,
            expiry_interval: self.expiry_interval,
            connected_at: self.connected_at,
            session_present: self.session_present,
            epoch: self.epoch,
            conn_id: self.conn_id,
        }
    }

    /// As it is kept.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let client = ConnectionRecord {
            client_id: self.client_id(),
            username: self.username(),
            level: self.version.level(),
            peer: SocketAddr::new(self.ip, self.peer_port),
            listener: &self.listener.name,
            port: self.listener.port,
            keep_alive: self.keep_alive,
            clean_start: self.clean_start,
            expiry_interval: self.expiry_interval,
            connected_at: self.connected_at,
            session_present: self.session_present,
            epoch: self.epoch,
            conn_id: self.conn_id,
            // No event tells it.
            is_bridge: false,
        };
        let kept = Kept {
            number: self.number,
            at: self.at,
            seq: self.seq,
            reason: self.reason.as_deref(),
            code: self.code,
            initiator: self.reason.is_some().then(|| self.initiator.name()),
            client,
            flaps: self.flaps,
            silent: self.at.saturating_sub(self.last_heard),
            known: (self.first_seen > 0).then(|| self.at.saturating_sub(self.first_seen)),
        };
        // All numbers at their longest.
        let mut record = Vec::with_capacity(160 + self.texts.len());
        minicbor::encode(kept, &mut record).expect("a Vec takes all bytes");
        record
    }

    /// `listener` is that of the event before: most share one.
    pub(super) fn from_record(record: &[u8], listener: &mut Arc<Listener>) -> Result<Self, String> {
        let kept: Kept<'_> = minicbor::decode(record).map_err(|error| error.to_string())?;
        let client = kept.client;
        if *listener.name != *client.listener || listener.port != client.port {
            *listener = Arc::new(Listener { name: client.listener.into(), port: client.port });
        }
        let initiator = kept.initiator.map_or(Some(Initiator::Client), Initiator::from_name);
        Ok(Self {
            number: kept.number,
            at: kept.at,
            seq: kept.seq,
            conn_id: client.conn_id,
            epoch: client.epoch,
            connected_at: client.connected_at,
            listener: Arc::clone(listener),
            texts: [client.client_id, client.username.unwrap_or("")].concat().into_boxed_str(),
            id_len: client.client_id.len() as u32,
            has_username: client.username.is_some(),
            reason: kept.reason.map(|reason| Cow::Owned(reason.to_owned())),
            code: kept.code,
            initiator: initiator.ok_or("an unknown initiator")?,
            ip: client.peer.ip(),
            peer_port: client.peer.port(),
            keep_alive: client.keep_alive,
            expiry_interval: client.expiry_interval,
            version: client.version().map_err(|error| error.to_string())?,
            clean_start: client.clean_start,
            session_present: client.session_present,
            flaps: kept.flaps,
            last_heard: kept.at.saturating_sub(kept.silent),
            first_seen: kept.known.map_or(0, |known| kept.at.saturating_sub(known)),
        })
    }

    /// One by itself, of a record that was written.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        Self::from_record(record, &mut Arc::new(Listener { name: "".into(), port: 0 })).ok()
    }

    /// Bytes that it has beside those that each has.
    pub(super) const fn text_len(&self) -> usize {
        self.texts.len()
    }
}

/// Whether a record that this version wrote is about this client. Nothing but the id is read.
pub(super) fn is_of(record: &[u8], client_id: &str) -> bool {
    /// The head of the map, the key of the connection, the head of its map, the key of the client id.
    const BEFORE: usize = 4;
    let [_, _, high, low] = (client_id.len() as u32).to_be_bytes();
    let Some(text) = record.get(BEFORE..) else { return false };
    let text = match (client_id.len(), text) {
        (0..24, [head, text @ ..]) if *head == 0x60 | low => text,
        (24..256, [0x78, len, text @ ..]) if *len == low => text,
        (256.., [0x79, one, other, text @ ..]) if [*one, *other] == [high, low] => text,
        _ => return false,
    };
    text.starts_with(client_id.as_bytes())
}

/// A look at an event as it is kept, without making it one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance<'a> {
    pub(super) client_id: &'a str,
    pub(super) username: Option<&'a str>,
    pub(super) number: u64,
    pub(super) at: u64,
}

impl<'a> Glance<'a> {
    /// `None`: it can't be read.
    pub(super) fn at(record: &'a [u8]) -> Option<Self> {
        let kept: Kept<'a> = minicbor::decode(record).ok()?;
        Some(Self {
            client_id: kept.client.client_id,
            username: kept.client.username,
            number: kept.number,
            at: kept.at,
        })
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

/// As it is kept: each field with a number that is never used for something else.
struct Kept<'a> {
    number: u64,
    at: u64,
    seq: u64,
    reason: Option<&'a str>,
    code: Option<u8>,
    initiator: Option<&'a str>,
    client: ConnectionRecord<'a>,
    flaps: u32,
    /// How long nothing had been heard by then, in ms.
    silent: u64,
    /// How long the client had been known by then, in ms.
    known: Option<u64>,
}

impl<C> Encode<C> for Kept<'_> {
    fn encode<W: Write>(&self, out: &mut Encoder<W>, _: &mut C) -> Result<(), Error<W::Error>> {
        let there = [
            self.reason.is_some(),
            self.code.is_some(),
            self.initiator.is_some(),
            self.flaps > 0,
            self.silent > 0,
            self.known.is_some(),
        ];
        out.map(4 + there.into_iter().map(u64::from).sum::<u64>())?;
        // First, so that the client id is where `is_of` looks for it.
        out.u8(6)?.encode(self.client)?;
        out.u8(0)?.u64(self.number)?;
        out.u8(1)?.u64(self.at)?;
        out.u8(2)?.u64(self.seq)?;
        if let Some(reason) = self.reason {
            out.u8(3)?.str(reason)?;
        }
        if let Some(code) = self.code {
            out.u8(4)?.u8(code)?;
        }
        if let Some(initiator) = self.initiator {
            out.u8(5)?.str(initiator)?;
        }
        if self.flaps > 0 {
            out.u8(7)?.u32(self.flaps)?;
        }
        if self.silent > 0 {
            out.u8(8)?.u64(self.silent)?;
        }
        if let Some(known) = self.known {
            out.u8(9)?.u64(known)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Kept<'b> {
    fn decode(input: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (mut number, mut at, mut seq) = (0, 0, 0);
        let (mut reason, mut code, mut initiator, mut client) = (None, None, None, None);
        let (mut flaps, mut silent, mut known) = (0, 0, None);
        for _ in 0..input.map()?.unwrap_or_default() {
            match input.u8()? {
                0 => number = input.u64()?,
                1 => at = input.u64()?,
                2 => seq = input.u64()?,
                3 => reason = Some(input.str()?),
                4 => code = Some(input.u8()?),
                5 => initiator = Some(input.str()?),
                6 => client = Some(input.decode()?),
                7 => flaps = input.u32()?,
                8 => silent = input.u64()?,
                9 => known = Some(input.u64()?),
                // Of a later version.
                _ => input.skip()?,
            }
        }
        let client = client.ok_or_else(|| decode::Error::message("nobody's event"))?;
        Ok(Self { number, at, seq, reason, code, initiator, client, flaps, silent, known })
    }
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
                let at = 1_625_572_213_999;
                let told = Entry::new(7, &client, 3, at, reason.map(End::from));
                let told = Entry { flaps: 5, last_heard: at - 90_000, first_seen: at - 1_000_000_000, ..told };
                let mut listener = Arc::clone(&told.listener);
                let kept = Entry::from_record(&told.to_record(), &mut listener).unwrap();
                assert_eq!(kept, told);
                assert!(Arc::ptr_eq(&kept.listener, &told.listener));
            }
        }
    }

    #[test]
    fn whose_a_record_is_can_be_seen_without_reading_it() {
        let ids = [0, 1, 22, 23, 24, 25, 255, 256, 257, 65_535].map(|len| "x".repeat(len));
        for id in &ids {
            for reason in [None, Some(Reason::Kicked)] {
                let client = ConnectionInfo { client_id: id.as_str().into(), ..foo() };
                let record = Entry::new(u64::MAX, &client, 3, 1, reason.map(End::from)).to_record();
                for other in &ids {
                    assert_eq!(is_of(&record, other), id == other, "{} {}", id.len(), other.len());
                }
                assert!(id.is_empty() || !is_of(&record, &id.replacen('x', "y", 1)));
                assert!((0..4).all(|len| !is_of(&record[..len], id)));
            }
        }
    }

    /// With the counts of its `Arc` it fills 192 bytes, a size allocators have.
    #[test]
    fn an_entry_costs_192_bytes() {
        assert!(size_of::<Entry>() <= 176, "{}", size_of::<Entry>());
    }
}
