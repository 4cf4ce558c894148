//! A connection as it is stored.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use minicbor::{Decode, Decoder, decode};
use mqtt_codec::Version;

use crate::{ConnectionInfo, Fields, Listener, Tags};

/// A [`ConnectionInfo`] as it is stored: each field with a number of its own, so a record can be read by versions that
/// know more fields and by those that know fewer. A number is never used for something else, and who finds a field missing
/// takes its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionRecord<'a> {
    /// [`ConnectionInfo::client_id`].
    pub client_id: &'a str,
    /// [`ConnectionInfo::username`].
    pub username: Option<&'a str>,
    /// [`ConnectionInfo::version`], as its level.
    pub level: u8,
    /// [`ConnectionInfo::peer`].
    pub peer: SocketAddr,
    /// [`Listener::name`].
    pub listener: &'a str,
    /// [`Listener::port`].
    pub port: u16,
    /// [`ConnectionInfo::keep_alive`].
    pub keep_alive: u16,
    /// [`ConnectionInfo::clean_start`].
    pub clean_start: bool,
    /// [`ConnectionInfo::expiry_interval`].
    pub expiry_interval: u32,
    /// [`ConnectionInfo::connected_at`].
    pub connected_at: u64,
    /// [`ConnectionInfo::session_present`].
    pub session_present: bool,
    /// [`ConnectionInfo::epoch`].
    pub epoch: u64,
    /// [`ConnectionInfo::conn_id`].
    pub conn_id: u64,
    /// [`ConnectionInfo::is_bridge`].
    pub is_bridge: bool,
    /// [`ConnectionInfo::tags`].
    pub tags: Option<&'a str>,
    /// [`ConnectionInfo::node`].
    pub node: Option<&'a str>,
}

impl ConnectionRecord<'_> {
    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let there = [self.username.is_some(), self.is_bridge, self.tags.is_some(), self.node.is_some()];
        let mut fields = Fields::map(out, 12 + there.into_iter().map(u8::from).sum::<u8>());
        fields.text(0, self.client_id);
        if let Some(username) = self.username {
            fields.text(1, username);
        }
        fields.number(2, self.level);
        fields.address(3, self.peer);
        fields.text(4, self.listener);
        fields.number(5, self.port);
        fields.number(6, self.keep_alive);
        fields.bool(7, self.clean_start);
        fields.number(8, self.expiry_interval);
        fields.number(9, self.connected_at);
        fields.bool(10, self.session_present);
        fields.number(11, self.epoch);
        fields.number(12, self.conn_id);
        if self.is_bridge {
            fields.bool(13, true);
        }
        if let Some(tags) = self.tags {
            fields.text(14, tags);
        }
        if let Some(node) = self.node {
            fields.text(15, node);
        }
    }
}

impl<'b, C> Decode<'b, C> for ConnectionRecord<'b> {
    fn decode(input: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        // There is no level 0: a record without one is no connection's.
        let mut found = Self {
            client_id: "",
            username: None,
            level: 0,
            peer: (Ipv4Addr::UNSPECIFIED, 0).into(),
            listener: "",
            port: 0,
            keep_alive: 0,
            clean_start: false,
            expiry_interval: 0,
            connected_at: 0,
            session_present: false,
            epoch: 0,
            conn_id: 0,
            is_bridge: false,
            tags: None,
            node: None,
        };
        for _ in 0..input.map()?.unwrap_or_default() {
            match input.u8()? {
                0 => found.client_id = input.str()?,
                1 => found.username = Some(input.str()?),
                2 => found.level = input.u8()?,
                3 => found.peer = input.decode()?,
                4 => found.listener = input.str()?,
                5 => found.port = input.u16()?,
                6 => found.keep_alive = input.u16()?,
                7 => found.clean_start = input.bool()?,
                8 => found.expiry_interval = input.u32()?,
                9 => found.connected_at = input.u64()?,
                10 => found.session_present = input.bool()?,
                11 => found.epoch = input.u64()?,
                12 => found.conn_id = input.u64()?,
                13 => found.is_bridge = input.bool()?,
                14 => found.tags = Some(input.str()?),
                15 => found.node = Some(input.str()?),
                // Of a later version.
                _ => input.skip()?,
            }
        }
        Ok(found)
    }
}

/// Nobody can have written this record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the record of a connection: {0}")]
pub struct RecordError(String);

impl RecordError {
    pub(crate) fn of(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

impl ConnectionRecord<'_> {
    /// The protocol version.
    ///
    /// # Errors
    /// There is none of this level.
    pub fn version(&self) -> Result<Version, RecordError> {
        Version::from_level(self.level).ok_or_else(|| RecordError(format!("unknown protocol level {}", self.level)))
    }
}

impl ConnectionInfo {
    /// As it is stored.
    pub fn as_record(&self) -> ConnectionRecord<'_> {
        ConnectionRecord {
            client_id: &self.client_id,
            username: self.username.as_deref(),
            level: self.version.level(),
            peer: self.peer,
            listener: &self.listener.name,
            port: self.listener.port,
            keep_alive: self.keep_alive,
            clean_start: self.clean_start,
            expiry_interval: self.expiry_interval,
            connected_at: self.connected_at,
            session_present: self.session_present,
            epoch: self.epoch,
            conn_id: self.conn_id,
            is_bridge: self.is_bridge,
            tags: self.tags().as_record(),
            node: self.node(),
        }
    }

    /// The bytes of [`Self::as_record`].
    pub fn to_record(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(96 + self.client_id.len());
        self.as_record().write(&mut record);
        record
    }

    /// From those bytes.
    ///
    /// # Errors
    /// Nobody can have written them.
    pub fn from_record(record: &[u8]) -> Result<Self, RecordError> {
        let record: ConnectionRecord<'_> = minicbor::decode(record).map_err(RecordError::of)?;
        let info = Self {
            client_id: record.client_id.into(),
            username: record.username.map(Into::into),
            version: record.version()?,
            peer: record.peer,
            listener: Arc::new(Listener::new(record.listener, record.port).at(record.node)),
            keep_alive: record.keep_alive,
            clean_start: record.clean_start,
            expiry_interval: record.expiry_interval,
            connected_at: record.connected_at,
            session_present: record.session_present,
            epoch: record.epoch,
            conn_id: record.conn_id,
            is_bridge: record.is_bridge,
        };
        Ok(info.with_tags(Tags::from_record(record.tags)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::foo;

    #[test]
    fn a_connection_comes_back_as_it_was() {
        let quiet = ConnectionInfo { username: None, peer: "[2001:db8::1]:5000".parse().unwrap(), ..foo() };
        let bridge = ConnectionInfo { is_bridge: true, ..foo() };
        let tags = Tags::from_record(Some("=a\n?b"));
        let listener = Arc::new(Listener::new("mqtt", 1883).at(Some("b@2")));
        let elsewhere = ConnectionInfo { listener, ..foo() };
        let tagged = ConnectionInfo { is_bridge: true, ..elsewhere.clone() }.with_tags(tags);
        assert_eq!(tagged.node(), Some("b@2"));
        for info in [foo(), quiet, bridge, elsewhere, tagged] {
            assert_eq!(ConnectionInfo::from_record(&info.to_record()).unwrap(), info);
        }
    }

    /// What a later version adds is passed over.
    #[test]
    fn fields_that_are_not_known_do_no_harm() {
        let mut record = foo().to_record();
        // One more entry in the map: number 23 is the text "x".
        record[0] += 1;
        record.extend([23, 0x61, b'x']);
        assert_eq!(ConnectionInfo::from_record(&record).unwrap(), foo());
    }

    #[test]
    fn what_nobody_wrote_is_an_error() {
        let whole = foo().to_record();
        for len in 0..whole.len() {
            assert!(ConnectionInfo::from_record(&whole[..len]).is_err(), "{len} bytes");
        }
    }
}
