//! Properties of MQTT 5: checked once, kept as the bytes that came, read on demand.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

pub(crate) mod id;
pub(crate) mod wire;

use wire::{Raw, RawValue};

pub(crate) use wire::properties;

/// A checked list of properties, in the order in which they were sent.
///
/// It is the bytes from the wire (without the length in front), so that forwarding it costs a copy and an
/// empty list nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub(crate) Bytes);

impl Properties {
    /// No properties.
    pub const EMPTY: Self = Self(Bytes::new());

    /// True for no properties.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length in bytes, without the length field.
    pub fn encoded_len(&self) -> usize {
        self.0.len()
    }

    /// The bytes on the wire, without the length field.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The properties in the order sent.
    pub fn iter(&self) -> impl Iterator<Item = Property> + '_ {
        self.raw().map(|raw| Property::from_raw(raw, &self.0))
    }

    /// A list without those for which `keep` says no; the rest keeps its order. Costs nothing if all stay.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(&Property) -> bool) -> Self {
        if self.iter().all(|property| keep(&property)) {
            return self.clone();
        }
        self.iter().filter(keep).collect()
    }

    /// The ids and values, without making strings of them.
    fn raw(&self) -> impl Iterator<Item = Raw<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            // Checked on the way in: the only thing that stops it is the end.
            let (after, raw) = wire::raw(rest).ok()?;
            rest = after;
            Some(raw)
        })
    }

    fn find(&self, id: u8) -> Option<RawValue<'_>> {
        self.raw().find(|raw| raw.id == id).map(|raw| raw.value)
    }

    fn find_u16(&self, id: u8) -> Option<u16> {
        match self.find(id)? {
            RawValue::U16(value) => Some(value),
            _ => None,
        }
    }

    fn find_u32(&self, id: u8) -> Option<u32> {
        match self.find(id)? {
            RawValue::U32(value) => Some(value),
            _ => None,
        }
    }

    fn find_bool(&self, id: u8) -> Option<bool> {
        match self.find(id)? {
            RawValue::Byte(value) => Some(value == 1),
            _ => None,
        }
    }

    fn find_bytes(&self, id: u8) -> Option<Bytes> {
        match self.find(id)? {
            RawValue::Bytes(value) => Some(self.0.slice_ref(value)),
            _ => None,
        }
    }

    fn find_text(&self, id: u8) -> Option<ByteString> {
        self.find_bytes(id).map(checked_text)
    }
}

/// `bytes` were checked when the packet came in, or were a string when the list was made.
fn checked_text(bytes: Bytes) -> ByteString {
    ByteString::try_from(bytes).expect("strings of a checked list are UTF-8")
}

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Strings and data are cut to the 65,535 bytes that fit, subscription ids to the 268,435,455 that can be written;
/// whether a packet may have these properties is for the caller to know.
impl FromIterator<Property> for Properties {
    fn from_iter<I: IntoIterator<Item = Property>>(iter: I) -> Self {
        let mut out = BytesMut::new();
        for property in iter {
            wire::write(&property, &mut out);
        }
        Self(out.freeze())
    }
}

impl<const N: usize> From<[Property; N]> for Properties {
    fn from(properties: [Property; N]) -> Self {
        properties.into_iter().collect()
    }
}

/// One property.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the specification, section 2.2.2.2")]
pub enum Property {
    PayloadFormat(bool),
    MessageExpiry(u32),
    ContentType(ByteString),
    ResponseTopic(ByteString),
    CorrelationData(Bytes),
    SubscriptionId(u32),
    SessionExpiry(u32),
    AssignedClientId(ByteString),
    ServerKeepAlive(u16),
    AuthenticationMethod(ByteString),
    AuthenticationData(Bytes),
    RequestProblemInformation(bool),
    WillDelay(u32),
    RequestResponseInformation(bool),
    ResponseInformation(ByteString),
    ServerReference(ByteString),
    ReasonString(ByteString),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQos(bool),
    RetainAvailable(bool),
    UserProperty(ByteString, ByteString),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdsAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

impl Property {
    fn from_raw(raw: Raw<'_>, all: &Bytes) -> Self {
        let data = |part: &[u8]| all.slice_ref(part);
        let text = |part: &[u8]| checked_text(data(part));
        match (raw.id, raw.value) {
            (id::PAYLOAD_FORMAT, RawValue::Byte(value)) => Self::PayloadFormat(value == 1),
            (id::REQUEST_PROBLEM_INFORMATION, RawValue::Byte(value)) => Self::RequestProblemInformation(value == 1),
            (id::REQUEST_RESPONSE_INFORMATION, RawValue::Byte(value)) => Self::RequestResponseInformation(value == 1),
            (id::MAXIMUM_QOS, RawValue::Byte(value)) => Self::MaximumQos(value == 1),
            (id::RETAIN_AVAILABLE, RawValue::Byte(value)) => Self::RetainAvailable(value == 1),
            (id::WILDCARD_SUBSCRIPTION_AVAILABLE, RawValue::Byte(value)) => {
                Self::WildcardSubscriptionAvailable(value == 1)
            }
            (id::SUBSCRIPTION_IDS_AVAILABLE, RawValue::Byte(value)) => Self::SubscriptionIdsAvailable(value == 1),
            (id::SHARED_SUBSCRIPTION_AVAILABLE, RawValue::Byte(value)) => Self::SharedSubscriptionAvailable(value == 1),
            (id::SERVER_KEEP_ALIVE, RawValue::U16(value)) => Self::ServerKeepAlive(value),
            (id::RECEIVE_MAXIMUM, RawValue::U16(value)) => Self::ReceiveMaximum(value),
            (id::TOPIC_ALIAS_MAXIMUM, RawValue::U16(value)) => Self::TopicAliasMaximum(value),
            (id::TOPIC_ALIAS, RawValue::U16(value)) => Self::TopicAlias(value),
            (id::MESSAGE_EXPIRY, RawValue::U32(value)) => Self::MessageExpiry(value),
            (id::SESSION_EXPIRY, RawValue::U32(value)) => Self::SessionExpiry(value),
            (id::WILL_DELAY, RawValue::U32(value)) => Self::WillDelay(value),
            (id::MAXIMUM_PACKET_SIZE, RawValue::U32(value)) => Self::MaximumPacketSize(value),
            (id::SUBSCRIPTION_ID, RawValue::U32(value)) => Self::SubscriptionId(value),
            (id::CONTENT_TYPE, RawValue::Bytes(value)) => Self::ContentType(text(value)),
            (id::RESPONSE_TOPIC, RawValue::Bytes(value)) => Self::ResponseTopic(text(value)),
            (id::ASSIGNED_CLIENT_ID, RawValue::Bytes(value)) => Self::AssignedClientId(text(value)),
            (id::AUTHENTICATION_METHOD, RawValue::Bytes(value)) => Self::AuthenticationMethod(text(value)),
            (id::RESPONSE_INFORMATION, RawValue::Bytes(value)) => Self::ResponseInformation(text(value)),
            (id::SERVER_REFERENCE, RawValue::Bytes(value)) => Self::ServerReference(text(value)),
            (id::REASON_STRING, RawValue::Bytes(value)) => Self::ReasonString(text(value)),
            (id::CORRELATION_DATA, RawValue::Bytes(value)) => Self::CorrelationData(data(value)),
            (id::AUTHENTICATION_DATA, RawValue::Bytes(value)) => Self::AuthenticationData(data(value)),
            (_, RawValue::Pair(key, value)) => Self::UserProperty(text(key), text(value)),
            _ => unreachable!("a value has the type its identifier tells"),
        }
    }

    /// The identifier on the wire.
    pub const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormat(_) => id::PAYLOAD_FORMAT,
            Self::MessageExpiry(_) => id::MESSAGE_EXPIRY,
            Self::ContentType(_) => id::CONTENT_TYPE,
            Self::ResponseTopic(_) => id::RESPONSE_TOPIC,
            Self::CorrelationData(_) => id::CORRELATION_DATA,
            Self::SubscriptionId(_) => id::SUBSCRIPTION_ID,
            Self::SessionExpiry(_) => id::SESSION_EXPIRY,
            Self::AssignedClientId(_) => id::ASSIGNED_CLIENT_ID,
            Self::ServerKeepAlive(_) => id::SERVER_KEEP_ALIVE,
            Self::AuthenticationMethod(_) => id::AUTHENTICATION_METHOD,
            Self::AuthenticationData(_) => id::AUTHENTICATION_DATA,
            Self::RequestProblemInformation(_) => id::REQUEST_PROBLEM_INFORMATION,
            Self::WillDelay(_) => id::WILL_DELAY,
            Self::RequestResponseInformation(_) => id::REQUEST_RESPONSE_INFORMATION,
            Self::ResponseInformation(_) => id::RESPONSE_INFORMATION,
            Self::ServerReference(_) => id::SERVER_REFERENCE,
            Self::ReasonString(_) => id::REASON_STRING,
            Self::ReceiveMaximum(_) => id::RECEIVE_MAXIMUM,
            Self::TopicAliasMaximum(_) => id::TOPIC_ALIAS_MAXIMUM,
            Self::TopicAlias(_) => id::TOPIC_ALIAS,
            Self::MaximumQos(_) => id::MAXIMUM_QOS,
            Self::RetainAvailable(_) => id::RETAIN_AVAILABLE,
            Self::UserProperty(..) => id::USER_PROPERTY,
            Self::MaximumPacketSize(_) => id::MAXIMUM_PACKET_SIZE,
            Self::WildcardSubscriptionAvailable(_) => id::WILDCARD_SUBSCRIPTION_AVAILABLE,
            Self::SubscriptionIdsAvailable(_) => id::SUBSCRIPTION_IDS_AVAILABLE,
            Self::SharedSubscriptionAvailable(_) => id::SHARED_SUBSCRIPTION_AVAILABLE,
        }
    }
}

macro_rules! first {
    ($($(#[$doc:meta])+ $name:ident: $id:ident, $find:ident -> $value:ty;)*) => {
        impl Properties {
            $($(#[$doc])+ pub fn $name(&self) -> Option<$value> {
                self.$find(id::$id)
            })*
        }
    };
}

first! {
    /// Seconds a session outlives its connection; 4,294,967,295 is for ever.
    session_expiry: SESSION_EXPIRY, find_u32 -> u32;
    /// Seconds a message lives.
    message_expiry: MESSAGE_EXPIRY, find_u32 -> u32;
    /// Unacknowledged QoS 1 and 2 messages the sender of this accepts; never 0.
    receive_maximum: RECEIVE_MAXIMUM, find_u16 -> u16;
    /// Bytes of the largest packet the sender of this accepts; never 0.
    maximum_packet_size: MAXIMUM_PACKET_SIZE, find_u32 -> u32;
    /// The highest topic alias the sender of this accepts.
    topic_alias_maximum: TOPIC_ALIAS_MAXIMUM, find_u16 -> u16;
    /// Stands for the topic; never 0.
    topic_alias: TOPIC_ALIAS, find_u16 -> u16;
    /// Returned with each message the subscription brings; never 0.
    subscription_id: SUBSCRIPTION_ID, find_u32 -> u32;
    /// Extended authentication.
    authentication_method: AUTHENTICATION_METHOD, find_text -> ByteString;
    /// Extended authentication.
    authentication_data: AUTHENTICATION_DATA, find_bytes -> Bytes;
    /// True unless the client wants no reason strings and user properties but in CONNACK, PUBLISH and DISCONNECT.
    request_problem_information: REQUEST_PROBLEM_INFORMATION, find_bool -> bool;
    /// The id the server chose.
    assigned_client_id: ASSIGNED_CLIENT_ID, find_text -> ByteString;
    /// Seconds the server uses in place of the client's.
    server_keep_alive: SERVER_KEEP_ALIVE, find_u16 -> u16;
    /// Text for people.
    reason_string: REASON_STRING, find_text -> ByteString;
    /// Seconds between the end of the connection and the will; only until decoding moves it to [`Will::delay`].
    ///
    /// [`Will::delay`]: crate::Will::delay
    will_delay: WILL_DELAY, find_u32 -> u32;
}

#[cfg(test)]
mod tests;
