//! Properties of MQTT 5: checked once, kept as the bytes that came, read on demand.

use bytes::Bytes;
use bytestring::ByteString;

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
        std::iter::from_fn(|| todo!())
    }

    /// A list without those for which `keep` says no; the rest keeps its order. Costs nothing if all stay.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(&Property) -> bool) -> Self {
        let _ = keep;
        todo!()
    }
}

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl FromIterator<Property> for Properties {
    fn from_iter<I: IntoIterator<Item = Property>>(iter: I) -> Self {
        let _ = iter.into_iter();
        todo!()
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

macro_rules! first {
    ($(#[$doc:meta] $name:ident: $variant:ident -> $value:ty;)*) => {
        impl Properties {
            $(#[$doc] pub fn $name(&self) -> Option<$value> {
                self.iter().find_map(|property| match property {
                    Property::$variant(value) => Some(value),
                    _ => None,
                })
            })*
        }
    };
}

first! {
    /// Seconds a session outlives its connection; 4,294,967,295 is for ever.
    session_expiry: SessionExpiry -> u32;
    /// Seconds a message lives.
    message_expiry: MessageExpiry -> u32;
    /// Unacknowledged QoS 1 and 2 messages the sender of this accepts; never 0.
    receive_maximum: ReceiveMaximum -> u16;
    /// Bytes of the largest packet the sender of this accepts; never 0.
    maximum_packet_size: MaximumPacketSize -> u32;
    /// The highest topic alias the sender of this accepts.
    topic_alias_maximum: TopicAliasMaximum -> u16;
    /// Stands for the topic.
    topic_alias: TopicAlias -> u16;
    /// Returned with each message the subscription brings.
    subscription_id: SubscriptionId -> u32;
    /// Extended authentication.
    authentication_method: AuthenticationMethod -> ByteString;
    /// Extended authentication.
    authentication_data: AuthenticationData -> Bytes;
    /// True unless the client wants no reason strings and user properties but in CONNACK, PUBLISH and DISCONNECT.
    request_problem_information: RequestProblemInformation -> bool;
    /// The id the server chose.
    assigned_client_id: AssignedClientId -> ByteString;
    /// Seconds the server uses in place of the client's.
    server_keep_alive: ServerKeepAlive -> u16;
    /// Text for people.
    reason_string: ReasonString -> ByteString;
}
