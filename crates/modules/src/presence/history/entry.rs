//! One event, for who looks at it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mqtt_codec::Version;
use mqtt_hooks::{ConnectionInfo, Initiator, Listener, Reason, Tags};
use serde::{Serialize, Serializer};

use super::record::{self, Kept};

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
    /// Those that it came in with.
    pub tags: Tags,
    /// What is so though no event says it.
    pub(super) unseen: Unseen,
}

/// What became of a client while presence was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unseen {
    /// Nothing that is not told by events.
    Nothing,
    /// It came.
    Came,
    /// It went.
    Went,
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

impl Entry {
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
        self.reason.is_none() && !matches!(self.unseen, Unseen::Went)
    }

    /// Whether it is about what happened while presence was stopped, and so no event.
    pub(in crate::presence) const fn is_unseen(&self) -> bool {
        !matches!(self.unseen, Unseen::Nothing)
    }

    /// It has gone since, as was found then.
    pub(super) fn gone(self, found_at: u64) -> Self {
        let at = if self.reason.is_none() { found_at } else { self.at };
        Self { at, unseen: Unseen::Went, ..self }
    }

    /// When bytes last came from it before it went; `None`: it is online, or nobody knows.
    pub(in crate::presence) const fn heard_until(&self) -> Option<u64> {
        if self.reason.is_some() { Some(self.last_heard) } else { None }
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

    /// The name of the node where that was, if it was another one of the cluster than this.
    pub fn node(&self) -> Option<&str> {
        self.listener.node()
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
        .with_tags(self.tags.clone())
    }

    /// As it is kept.
    pub(super) fn to_record(&self) -> Arc<[u8]> {
        let client = self.connection();
        record::write(&Kept {
            number: self.number,
            at: self.at,
            seq: self.seq,
            reason: self.reason.as_deref(),
            code: self.code,
            initiator: self.reason.is_some().then(|| self.initiator.name()),
            client: client.as_record(),
            flaps: self.flaps,
            silent: self.at.saturating_sub(self.last_heard),
            known: (self.first_seen > 0).then(|| self.at.saturating_sub(self.first_seen)),
        })
    }

    /// Bytes of client id and user name.
    pub(super) const fn text_len(&self) -> usize {
        self.texts.len()
    }

    /// `listener` is that of the event before: most share one.
    pub(super) fn from_record(record: &[u8], listener: &mut Arc<Listener>) -> Result<Self, String> {
        let kept: Kept<'_> = minicbor::decode(record).map_err(|error| error.to_string())?;
        let client = kept.client;
        if *listener.name != *client.listener || listener.port != client.port || listener.node() != client.node {
            *listener = Arc::new(Listener::new(client.listener, client.port).at(client.node));
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
            tags: Tags::from_record(client.tags),
            unseen: Unseen::Nothing,
        })
    }

    /// One by itself, of a record that was written.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        Self::from_record(record, &mut Arc::new(Listener::new("", 0))).ok()
    }
}

/// The API's form.
#[derive(Serialize)]
struct Shown<'a> {
    id: u64,
    event: &'static str,
    clientid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
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

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reason = self.reason.as_deref();
        let shown = Shown {
            id: self.number,
            event: if self.is_connected() { "connected" } else { "disconnected" },
            clientid: self.client_id(),
            node: self.node(),
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

    use super::super::Happened;
    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let peer = "[2001:db8::1]:5000".parse().unwrap();
        let odd = ConnectionInfo { client_id: "\"\\\n\u{1}é".into(), username: None, peer, ..foo() };
        let tagged = foo().with_tags(Tags::from_record(Some("=a\n?b"))).at_node(Some("b@2"));
        for client in [foo(), odd, tagged] {
            for reason in [None, Some(Reason::Kicked), Some(Reason::TakenOver), Some(Reason::Closed("tcp_closed"))] {
                let at = 1_625_572_213_999;
                let happened = Happened { client: &client, seq: 3, at, flaps: 5, last_heard: at - 90_000, reason };
                let mut record = record::draft(&happened);
                record::complete(&mut record, 7, Some(1_000_000_000));
                let kept = Entry::read(&record).unwrap();
                assert_eq!(kept.connection(), client);
                assert_eq!((kept.number, kept.at, kept.seq, kept.flaps), (7, at, 3, 5));
                assert_eq!((kept.last_heard, kept.first_seen), (at - 90_000, at - 1_000_000_000));
                let end = reason.map(|reason| End {
                    reason: reason.name().into(),
                    code: reason.code().map(|code| code.as_u8()),
                    initiator: reason.initiator(),
                });
                assert_eq!(kept.end(), end);
                let mut listener = Arc::clone(&kept.listener);
                let again = Entry::from_record(&kept.to_record(), &mut listener).unwrap();
                assert_eq!(again, kept);
                assert!(Arc::ptr_eq(&again.listener, &kept.listener));
                record::complete(&mut record, 7, None);
                assert_eq!(Entry::read(&record).unwrap().first_seen, 0, "nobody knows");
            }
        }
    }
}
