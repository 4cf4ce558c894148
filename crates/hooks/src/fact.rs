//! What happens to clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{Filter, Properties, ReasonCode, SubscribeOptions, Version};

use crate::Tags;

/// What stays true of a connection from CONNECT to its end.
///
/// This is the one description of it; [`ConnectionRecord`](crate::ConnectionRecord) is how it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionInfo {
    /// After assignment, if the server made it.
    pub client_id: Arc<str>,
    /// As authenticated.
    pub username: Option<Arc<str>>,
    /// Protocol version.
    pub version: Version,
    /// It says that it is a bridge of another broker.
    pub is_bridge: bool,
    /// The peer, by the PROXY protocol where that is on.
    pub peer: SocketAddr,
    /// Where it came in; see [`Self::is_by`].
    pub listener: Arc<Listener>,
    /// Seconds, as sent in CONNECT.
    pub keep_alive: u16,
    /// Clean session or clean start.
    pub clean_start: bool,
    /// Seconds; 4,294,967,295 is for ever.
    pub expiry_interval: u32,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
    /// The client went on with a session.
    pub session_present: bool,
    /// Grows with every start of the broker.
    pub epoch: u64,
    /// Unique per connection within an epoch.
    pub conn_id: u64,
}

/// What clients come in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: Box<str>,
    /// Its port.
    pub port: u16,
    /// Of the node where that is; `None`: here.
    node: Option<Box<str>>,
    /// Most clients have no tags, and would have room for them: those of who has some stand here.
    tagged: Option<Box<Tagged>>,
}

/// What a client with tags has in place of the listener that it shares with others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tagged {
    shared: Arc<Listener>,
    tags: Tags,
}

impl Listener {
    /// One that clients share.
    pub fn new(name: &str, port: u16) -> Self {
        Self { name: name.into(), port, node: None, tagged: None }
    }

    /// One of another node of the cluster.
    #[must_use]
    pub fn at(mut self, node: Option<&str>) -> Self {
        self.node = node.map(Into::into);
        self
    }

    /// The name of the node where it is, if that is another one than this.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }
}

impl ConnectionInfo {
    /// Whether it came in by this one, and not by another one of the same name.
    pub fn is_by(&self, listener: &Arc<Listener>) -> bool {
        Arc::ptr_eq(self.shared_listener(), listener)
    }

    fn shared_listener(&self) -> &Arc<Listener> {
        self.listener.tagged.as_ref().map_or(&self.listener, |tagged| &tagged.shared)
    }

    /// The name of the node that it is connected to, if that is another one of the cluster than this.
    pub fn node(&self) -> Option<&str> {
        self.listener.node()
    }

    /// The same, connected to this node of the cluster; `None`: to this one.
    #[must_use]
    pub fn at_node(mut self, node: Option<&str>) -> Self {
        let Listener { name, port, .. } = &**self.shared_listener();
        let listener = Listener::new(name, *port).at(node);
        let tags = self.tags().clone();
        self.listener = Arc::new(listener);
        self.with_tags(tags)
    }

    /// Those that the client had when it came in.
    pub fn tags(&self) -> &Tags {
        self.listener.tagged.as_ref().map_or(&Tags::NONE, |tagged| &tagged.tags)
    }

    /// Gives the client these tags, in place of those that it has.
    pub fn set_tags(&mut self, tags: Tags) {
        let shared = Arc::clone(self.shared_listener());
        self.listener = if tags.is_empty() {
            shared
        } else {
            let Listener { name, port, node, .. } = Listener::clone(&shared);
            Arc::new(Listener { name, port, node, tagged: Some(Box::new(Tagged { shared, tags })) })
        };
    }

    /// The same with these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.set_tags(tags);
        self
    }
}

/// Something that happened to a client. Facts of one client come one at a time and in order.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// A client is in; CONNACK has not left yet.
    Connected {
        /// Who.
        client: &'a ConnectionInfo,
        /// When this is told: milliseconds since the Unix epoch. Of one client it never goes back, whatever the system's
        /// clock does.
        told_at: u64,
        /// Counts the facts of going and coming of this client id.
        seq: u64,
        /// About how often this client id came within the last minute, this time included.
        flaps: u32,
        /// Of its CONNECT; none before version 5. What it authenticates with may be among them.
        properties: &'a Properties,
        /// How many messages above QoS 0 it may be sent before it has acknowledged one: the lower of what it says and of the
        /// broker's limit.
        receive_maximum: u16,
        /// When the broker noticed.
        noticed: Instant,
    },
    /// A client is gone.
    Disconnected {
        /// Who.
        client: &'a ConnectionInfo,
        /// Why.
        reason: Reason,
        /// What the client said about that in DISCONNECT.
        reason_string: Option<&'a str>,
        /// Of its DISCONNECT, if it sent one.
        properties: &'a Properties,
        /// Milliseconds since the Unix epoch; never after the `connected_at` of the connection that replaces it.
        at: u64,
        /// When this is told: milliseconds since the Unix epoch. Later than `at` where the broker was down meanwhile; of
        /// one client it never goes back.
        told_at: u64,
        /// Counts the facts of going and coming of this client id.
        seq: u64,
        /// About how often this client id came within the last minute.
        flaps: u32,
        /// When bytes last came from it: milliseconds since the Unix epoch, never after `at`. Where the broker died, `at`.
        last_heard: u64,
        /// When the broker noticed.
        noticed: Instant,
    },
    /// A client was not let in: its CONNACK says why. It has had no session and no connection here, and nothing of what it
    /// says about itself is proven. This is told whatever happens to others of the same id meanwhile.
    Refused {
        /// As sent; empty where the broker was to choose one.
        client_id: &'a str,
        /// As sent.
        username: Option<&'a str>,
        /// Protocol version.
        version: Version,
        /// The peer, by the PROXY protocol where that is on.
        peer: SocketAddr,
        /// Where it came in.
        listener: &'a Listener,
        /// Of CONNACK, by its name in version 5.
        reason: ReasonCode,
        /// Milliseconds since the Unix epoch.
        at: u64,
    },
    /// A session has ended, after the client's last connection was told to be gone. One begins with each [`Self::Connected`] whose
    /// client did not go on with a session.
    SessionEnded {
        /// Whose.
        client_id: &'a str,
        /// By a clean start of the same client, not because its time was over.
        is_discarded: bool,
        /// Milliseconds since the Unix epoch.
        at: u64,
    },
    /// A subscription was made or changed.
    Subscribed {
        /// Who.
        client: &'a ConnectionInfo,
        /// To what.
        filter: &'a Filter,
        /// How.
        options: SubscribeOptions,
    },
    /// A subscription was given up.
    Unsubscribed {
        /// Who.
        client: &'a ConnectionInfo,
        /// From what.
        filter: &'a Filter,
    },
}

/// Which side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// The client, politely or not.
    Client,
    /// The broker.
    Server,
    /// An operator.
    Admin,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// DISCONNECT with this code from the client.
    Client(ReasonCode),
    /// The peer closed without DISCONNECT: `tcp_closed`, `ssl_closed`, `ws_closed`, `quic_closed`.
    Closed(&'static str),
    /// The POSIX name of a socket error in lower case: `econnreset`.
    Socket(&'static str),
    /// No packet for one and a half keep alives.
    KeepAliveTimeout,
    /// By an operator.
    Kicked,
    /// The same client id connected and went on with the session.
    TakenOver,
    /// The same client id connected with a clean start.
    Discarded,
    /// What the broker refused, by the code of its DISCONNECT.
    Refused(ReasonCode),
    /// Took no bytes for too long.
    SlowConsumer,
    /// The broker stops.
    ServerShuttingDown,
    /// The broker died; found at the next start.
    NodeDown,
    /// The listener was stopped.
    ListenerStopped,
    /// What it was let in by has expired.
    AuthExpired,
    /// A fault of ours.
    InternalError,
}

impl Initiator {
    /// As presence events show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Admin => "admin",
        }
    }

    /// By that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Client, Self::Server, Self::Admin].into_iter().find(|known| known.name() == name)
    }
}

impl Reason {
    /// As presence events show it: `normal`, `tcp_closed`, `keepalive_timeout`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client(ReasonCode::Success) => "normal",
            Self::Client(ReasonCode::DisconnectWithWill) => "disconnect_with_will_message",
            Self::Closed(name) | Self::Socket(name) => name,
            // One cause has one name, whichever way the broker put it.
            Self::KeepAliveTimeout | Self::Refused(ReasonCode::KeepAliveTimeout) => "keepalive_timeout",
            Self::Kicked | Self::Refused(ReasonCode::AdministrativeAction) => "kicked",
            Self::TakenOver | Self::Refused(ReasonCode::SessionTakenOver) => "takeovered",
            Self::InternalError | Self::Refused(ReasonCode::UnspecifiedError) => "internal_error",
            Self::ServerShuttingDown | Self::Refused(ReasonCode::ServerShuttingDown) => "server_shutting_down",
            Self::Client(code) | Self::Refused(code) => code.name(),
            Self::Discarded => "discarded",
            Self::SlowConsumer => "slow_consumer",
            Self::NodeDown => "node_down",
            Self::ListenerStopped => "listener_stopped",
            Self::AuthExpired => "auth_expired",
        }
    }

    /// Who ended the connection.
    pub const fn initiator(self) -> Initiator {
        match self {
            Self::Client(_) | Self::Closed(_) | Self::Socket(_) => Initiator::Client,
            Self::Kicked | Self::Refused(ReasonCode::AdministrativeAction) | Self::ListenerStopped => Initiator::Admin,
            Self::KeepAliveTimeout
            | Self::TakenOver
            | Self::Discarded
            | Self::Refused(_)
            | Self::SlowConsumer
            | Self::ServerShuttingDown
            | Self::NodeDown
            | Self::AuthExpired
            | Self::InternalError => Initiator::Server,
        }
    }

    /// The code of the DISCONNECT that says so, whichever side sends it; `None` where none can have been sent.
    pub const fn code(self) -> Option<ReasonCode> {
        match self {
            Self::Client(code) | Self::Refused(code) => Some(code),
            Self::Closed(_) | Self::Socket(_) | Self::NodeDown => None,
            Self::SlowConsumer => Some(ReasonCode::QuotaExceeded),
            Self::KeepAliveTimeout => Some(ReasonCode::KeepAliveTimeout),
            Self::Kicked | Self::ListenerStopped => Some(ReasonCode::AdministrativeAction),
            Self::TakenOver | Self::Discarded => Some(ReasonCode::SessionTakenOver),
            Self::ServerShuttingDown => Some(ReasonCode::ServerShuttingDown),
            Self::AuthExpired => Some(ReasonCode::NotAuthorized),
            Self::InternalError => Some(ReasonCode::UnspecifiedError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::foo;

    #[test]
    fn who_has_tags_came_in_where_others_did() {
        let (plain, tags) = (foo(), Tags::from_record(Some("=a")));
        let mut tagged = plain.clone().with_tags(tags.clone());
        assert_eq!((tagged.tags(), plain.tags()), (&tags, &Tags::NONE));
        assert!(tagged.is_by(&plain.listener) && plain.is_by(&plain.listener));
        assert!(!plain.is_by(&Arc::new(Listener::new("mqtt", 1883))));
        tagged.set_tags(Tags::from_record(Some("?b")));
        assert!(tagged.is_by(&plain.listener) && tagged.tags().has("b") && !tagged.tags().has("a"));
        tagged.set_tags(Tags::NONE);
        assert_eq!(tagged, plain);
    }

    #[track_caller]
    fn check(reason: Reason, name: &str, initiator: &str, code: Option<u8>) {
        assert_eq!(reason.name(), name);
        assert_eq!(reason.initiator().name(), initiator, "{name}");
        assert_eq!(reason.code().map(ReasonCode::as_u8), code, "{name}");
    }

    #[test]
    fn what_the_client_says_keeps_its_name() {
        check(Reason::Client(ReasonCode::Success), "normal", "client", Some(0x00));
        check(Reason::Client(ReasonCode::DisconnectWithWill), "disconnect_with_will_message", "client", Some(0x04));
        check(Reason::Client(ReasonCode::UnspecifiedError), "unspecified_error", "client", Some(0x80));
        check(Reason::Client(ReasonCode::QuotaExceeded), "quota_exceeded", "client", Some(0x97));
    }

    #[test]
    fn a_cut_names_its_transport_or_the_error() {
        for name in ["tcp_closed", "ssl_closed", "ws_closed", "quic_closed"] {
            check(Reason::Closed(name), name, "client", None);
        }
        for name in ["econnreset", "etimedout", "epipe"] {
            check(Reason::Socket(name), name, "client", None);
        }
    }

    #[test]
    fn what_the_broker_ends_is_named_by_cause() {
        check(Reason::AuthExpired, "auth_expired", "server", Some(0x87));
        check(Reason::KeepAliveTimeout, "keepalive_timeout", "server", Some(0x8D));
        check(Reason::Kicked, "kicked", "admin", Some(0x98));
        check(Reason::TakenOver, "takeovered", "server", Some(0x8E));
        check(Reason::Discarded, "discarded", "server", Some(0x8E));
        check(Reason::SlowConsumer, "slow_consumer", "server", Some(0x97));
        check(Reason::ServerShuttingDown, "server_shutting_down", "server", Some(0x8B));
        check(Reason::NodeDown, "node_down", "server", None);
        check(Reason::ListenerStopped, "listener_stopped", "admin", Some(0x98));
        check(Reason::InternalError, "internal_error", "server", Some(0x80));
    }

    #[test]
    fn a_refusal_is_named_by_its_code() {
        for (code, name) in [
            (ReasonCode::NotAuthorized, "not_authorized"),
            (ReasonCode::Banned, "banned"),
            (ReasonCode::ProtocolError, "protocol_error"),
            (ReasonCode::MalformedPacket, "malformed_packet"),
            (ReasonCode::PacketTooLarge, "packet_too_large"),
            (ReasonCode::ReceiveMaximumExceeded, "receive_maximum_exceeded"),
            (ReasonCode::TopicAliasInvalid, "topic_alias_invalid"),
            (ReasonCode::TopicNameInvalid, "topic_name_invalid"),
            (ReasonCode::TopicFilterInvalid, "topic_filter_invalid"),
            (ReasonCode::QuotaExceeded, "quota_exceeded"),
        ] {
            check(Reason::Refused(code), name, "server", Some(code.as_u8()));
        }
    }

    #[test]
    fn a_refusal_with_the_code_of_a_cause_has_that_cause_s_name() {
        check(Reason::Refused(ReasonCode::KeepAliveTimeout), "keepalive_timeout", "server", Some(0x8D));
        check(Reason::Refused(ReasonCode::SessionTakenOver), "takeovered", "server", Some(0x8E));
        check(Reason::Refused(ReasonCode::AdministrativeAction), "kicked", "admin", Some(0x98));
        check(Reason::Refused(ReasonCode::ServerShuttingDown), "server_shutting_down", "server", Some(0x8B));
        check(Reason::Refused(ReasonCode::UnspecifiedError), "internal_error", "server", Some(0x80));
    }
}
