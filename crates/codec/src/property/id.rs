//! The identifiers of section 2.2.2.2: what type of value each has and which packets may have it.

pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
pub(crate) const SESSION_EXPIRY: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
pub(crate) const REASON_STRING: u8 = 0x1F;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const MAXIMUM_QOS: u8 = 0x24;
pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub(crate) const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

/// The type of a property's value.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    U16,
    U32,
    VarInt,
    Text,
    Data,
    Pair,
}

impl Kind {
    /// `None` for an identifier the specification does not name.
    pub(crate) const fn of(id: u8) -> Option<Self> {
        Some(match id {
            PAYLOAD_FORMAT
            | REQUEST_PROBLEM_INFORMATION
            | REQUEST_RESPONSE_INFORMATION
            | MAXIMUM_QOS
            | RETAIN_AVAILABLE
            | WILDCARD_SUBSCRIPTION_AVAILABLE
            | SUBSCRIPTION_IDS_AVAILABLE
            | SHARED_SUBSCRIPTION_AVAILABLE => Self::Bool,
            SERVER_KEEP_ALIVE | RECEIVE_MAXIMUM | TOPIC_ALIAS_MAXIMUM | TOPIC_ALIAS => Self::U16,
            MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY | MAXIMUM_PACKET_SIZE => Self::U32,
            SUBSCRIPTION_ID => Self::VarInt,
            CONTENT_TYPE
            | RESPONSE_TOPIC
            | ASSIGNED_CLIENT_ID
            | AUTHENTICATION_METHOD
            | RESPONSE_INFORMATION
            | SERVER_REFERENCE
            | REASON_STRING => Self::Text,
            CORRELATION_DATA | AUTHENTICATION_DATA => Self::Data,
            USER_PROPERTY => Self::Pair,
            _ => return None,
        })
    }
}

/// A set of identifiers.
#[derive(Clone, Copy)]
pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const CONNECT: Self = Self::of(&[
        SESSION_EXPIRY,
        RECEIVE_MAXIMUM,
        MAXIMUM_PACKET_SIZE,
        TOPIC_ALIAS_MAXIMUM,
        REQUEST_RESPONSE_INFORMATION,
        REQUEST_PROBLEM_INFORMATION,
        USER_PROPERTY,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
    ]);
    pub(crate) const WILL: Self = Self::of(&[
        WILL_DELAY,
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
        USER_PROPERTY,
    ]);
    pub(crate) const CONNACK: Self = Self::of(&[
        SESSION_EXPIRY,
        RECEIVE_MAXIMUM,
        MAXIMUM_QOS,
        RETAIN_AVAILABLE,
        MAXIMUM_PACKET_SIZE,
        ASSIGNED_CLIENT_ID,
        TOPIC_ALIAS_MAXIMUM,
        REASON_STRING,
        USER_PROPERTY,
        WILDCARD_SUBSCRIPTION_AVAILABLE,
        SUBSCRIPTION_IDS_AVAILABLE,
        SHARED_SUBSCRIPTION_AVAILABLE,
        SERVER_KEEP_ALIVE,
        RESPONSE_INFORMATION,
        SERVER_REFERENCE,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
    ]);
    pub(crate) const PUBLISH: Self = Self::of(&[
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        TOPIC_ALIAS,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
        USER_PROPERTY,
        SUBSCRIPTION_ID,
        CONTENT_TYPE,
    ]);
    /// Of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
    pub(crate) const ACK: Self = Self::of(&[REASON_STRING, USER_PROPERTY]);
    pub(crate) const SUBSCRIBE: Self = Self::of(&[SUBSCRIPTION_ID, USER_PROPERTY]);
    pub(crate) const UNSUBSCRIBE: Self = Self::of(&[USER_PROPERTY]);
    // [MQTT-3.14.2-2]: no session expiry from a server. A server reference from a client makes no sense, but no rule
    // forbids it.
    pub(crate) const DISCONNECT_FROM_SERVER: Self = Self::of(&[REASON_STRING, USER_PROPERTY, SERVER_REFERENCE]);
    pub(crate) const DISCONNECT_FROM_CLIENT: Self = Self::DISCONNECT_FROM_SERVER.with(SESSION_EXPIRY);
    pub(crate) const AUTH: Self = Self::of(&[AUTHENTICATION_METHOD, AUTHENTICATION_DATA, REASON_STRING, USER_PROPERTY]);

    pub(crate) const fn of(ids: &[u8]) -> Self {
        let mut set = 0;
        let mut index = 0;
        while index < ids.len() {
            set |= 1 << ids[index];
            index += 1;
        }
        Self(set)
    }

    /// `id` must be one that [`Kind::of`] knows.
    pub(crate) const fn has(self, id: u8) -> bool {
        self.0 >> id & 1 == 1
    }

    pub(crate) const fn with(self, id: u8) -> Self {
        Self(self.0 | 1 << id)
    }
}
