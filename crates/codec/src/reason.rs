//! Reason codes.

macro_rules! reason_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// Why something was or was not done: the codes of MQTT 5, used for every version.
        ///
        /// Three codes have more than one name in the specification; here 0x00 is [`Self::Success`] (also *normal
        /// disconnection* and *granted QoS 0*).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are those of the specification, section 2.4")]
        pub enum ReasonCode {
            $($name = $code,)*
        }

        impl ReasonCode {
            /// Every code there is, in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// `None` for a number the specification does not name.
            pub const fn from_u8(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The specification's name in `snake_case`, as events and logs show it: `keep_alive_timeout`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "success";
    GrantedQos1 = 0x01, "granted_qos_1";
    GrantedQos2 = 0x02, "granted_qos_2";
    DisconnectWithWill = 0x04, "disconnect_with_will_message";
    NoMatchingSubscribers = 0x10, "no_matching_subscribers";
    NoSubscriptionExisted = 0x11, "no_subscription_existed";
    ContinueAuthentication = 0x18, "continue_authentication";
    Reauthenticate = 0x19, "re_authenticate";
    UnspecifiedError = 0x80, "unspecified_error";
    MalformedPacket = 0x81, "malformed_packet";
    ProtocolError = 0x82, "protocol_error";
    ImplementationSpecific = 0x83, "implementation_specific_error";
    UnsupportedProtocolVersion = 0x84, "unsupported_protocol_version";
    ClientIdNotValid = 0x85, "client_identifier_not_valid";
    BadUserNameOrPassword = 0x86, "bad_user_name_or_password";
    NotAuthorized = 0x87, "not_authorized";
    ServerUnavailable = 0x88, "server_unavailable";
    ServerBusy = 0x89, "server_busy";
    Banned = 0x8A, "banned";
    ServerShuttingDown = 0x8B, "server_shutting_down";
    BadAuthenticationMethod = 0x8C, "bad_authentication_method";
    KeepAliveTimeout = 0x8D, "keep_alive_timeout";
    SessionTakenOver = 0x8E, "session_taken_over";
    TopicFilterInvalid = 0x8F, "topic_filter_invalid";
    TopicNameInvalid = 0x90, "topic_name_invalid";
    PacketIdInUse = 0x91, "packet_identifier_in_use";
    PacketIdNotFound = 0x92, "packet_identifier_not_found";
    ReceiveMaximumExceeded = 0x93, "receive_maximum_exceeded";
    TopicAliasInvalid = 0x94, "topic_alias_invalid";
    PacketTooLarge = 0x95, "packet_too_large";
    MessageRateTooHigh = 0x96, "message_rate_too_high";
    QuotaExceeded = 0x97, "quota_exceeded";
    AdministrativeAction = 0x98, "administrative_action";
    PayloadFormatInvalid = 0x99, "payload_format_invalid";
    RetainNotSupported = 0x9A, "retain_not_supported";
    QosNotSupported = 0x9B, "qos_not_supported";
    UseAnotherServer = 0x9C, "use_another_server";
    ServerMoved = 0x9D, "server_moved";
    SharedSubscriptionsNotSupported = 0x9E, "shared_subscriptions_not_supported";
    ConnectionRateExceeded = 0x9F, "connection_rate_exceeded";
    MaximumConnectTime = 0xA0, "maximum_connect_time";
    SubscriptionIdsNotSupported = 0xA1, "subscription_identifiers_not_supported";
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard_subscriptions_not_supported";
}

impl ReasonCode {
    /// The code on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// 0x80 and above.
    pub const fn is_error(self) -> bool {
        self.as_u8() >= 0x80
    }

    /// What a SUBACK grants.
    pub const fn granted(qos: crate::Qos) -> Self {
        match qos {
            crate::Qos::AtMostOnce => Self::Success,
            crate::Qos::AtLeastOnce => Self::GrantedQos1,
            crate::Qos::ExactlyOnce => Self::GrantedQos2,
        }
    }

    /// The return code of a CONNACK before MQTT 5: what has no code of its own there is 5 if it is about who the
    /// client is, else 3.
    pub(crate) const fn as_return_code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdNotValid => 2,
            Self::BadUserNameOrPassword => 4,
            Self::NotAuthorized | Self::Banned | Self::BadAuthenticationMethod => 5,
            _ => 3,
        }
    }

    /// What a CONNACK before MQTT 5 says.
    pub(crate) const fn from_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }
}
