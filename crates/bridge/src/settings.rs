//! What can be set of bridges.

use mqtt_hooks::Secret;
use mqtt_hooks::Span;

mqtt_hooks::settings! {
    /// Settings of [`Bridges`](crate::Bridges).
    pub(crate) struct Settings {
        /// Bridges
        ///
        /// Other brokers to which this one is a client. Each connection costs a socket and a session, here and there.
        pub(crate) bridges: Vec<Bridge> = [] in 0..=64,
    }
}

mqtt_hooks::settings! {
    /// A bridge to another broker.
    pub(crate) struct Bridge {
        /// Name
        ///
        /// It tells bridges apart: letters, digits, '-', '_' and '.'. Its session here has it too, so another name is another queue.
        pub(crate) name: String = "",
        /// Remote broker
        ///
        /// An address like "mqtt://host:1883", or "mqtts://host:8883" for TLS.
        pub(crate) remote: String = "",
        /// Protocol
        ///
        /// 5 is MQTT 5, 4 is MQTT 3.1.1 for brokers that know no other. With 4 there are no properties of messages and no reasons.
        pub(crate) protocol: u8 = 5 in 4..=5,
        /// Client id at the remote broker
        ///
        /// Empty: the name of this node, a dot and that of the bridge. No two bridges may have one there: they would push each other out.
        pub(crate) client_id: String = "",
        /// User name at the remote broker
        ///
        /// Empty: none.
        pub(crate) username: String = "",
        /// Password at the remote broker
        ///
        /// Empty: none. Without TLS it can be read on the way.
        pub(crate) password: Secret = "",
        /// Seconds of keep alive
        ///
        /// A connection that is idle for so long is asked whether it is still there, and given up after half as long again.
        pub(crate) keep_alive: u16 = 60 in 5..=65535,
        /// Messages on the way
        ///
        /// So many may be unacknowledged in each direction; more is faster over long ways. 0: 100, or as few as the remote broker says; with
        /// protocol 4, where it can't say so, 20. mosquitto drops what goes beyond its max_inflight_messages, 20, and acknowledges it.
        pub(crate) max_inflight: u16 = 0 in 0..=65535,
        /// Largest packet for the remote broker
        ///
        /// In bytes; 0: as large as it says it takes. A broker of MQTT 3.1.1 can't say so, and most close the connection at one that is too
        /// large, each time anew. What is larger is not sent, and counted.
        pub(crate) max_packet_size: u32 = 0 in 0..=268435455,
        /// Say that it is a bridge
        ///
        /// With protocol 4: mosquitto and Rollcall send a bridge nothing of what it has brought, and keep the retain flag. Where the remote
        /// broker refuses it, it is left out.
        pub(crate) try_private: bool = true,
        /// How long the remote broker keeps the session
        ///
        /// From when the connection is gone, with protocol 5. What comes there while the bridge is away for longer is not carried over.
        pub(crate) session_expiry: Span = "7d",
        /// File of certificate authorities
        ///
        /// PEM. Empty: those that the system trusts.
        pub(crate) ca: String = "",
        /// File of a certificate to show
        ///
        /// PEM, with those between it and its authority. Empty: none.
        pub(crate) cert: String = "",
        /// File of its key
        ///
        /// PEM.
        pub(crate) key: String = "",
        /// Name in the remote broker's certificate
        ///
        /// Empty: the host of its address.
        pub(crate) server_name: String = "",
        /// Shortest time between two attempts to connect
        ///
        /// It doubles with each that fails.
        pub(crate) restart_timeout: Span = "1s",
        /// Longest time between two attempts to connect
        ///
        /// Nobody waits longer for a remote broker that is back.
        pub(crate) restart_timeout_max: Span = "30s",
        /// What goes out
        ///
        /// Topics here whose messages are published there.
        pub(crate) out: Vec<Carried> = [] in 0..=256,
        /// What comes in
        ///
        /// Topics there whose messages are published here.
        pub(crate) r#in: Vec<Carried> = [] in 0..=256,
    }
}

mqtt_hooks::settings! {
    /// What a bridge carries.
    pub(crate) struct Carried {
        /// Topic
        ///
        /// A filter, wildcards included. What it matches stays as it is on both sides; what is before it differs by the prefixes.
        pub(crate) topic: String = "",
        /// Highest quality of service
        ///
        /// Messages keep theirs up to this.
        pub(crate) qos: u8 = 2 in 0..=2,
        /// Prefix here
        ///
        /// What topics on this broker begin with, as "site1/".
        pub(crate) local_prefix: String = "",
        /// Prefix there
        ///
        /// What topics on the remote broker begin with.
        pub(crate) remote_prefix: String = "",
    }
}
