//! The file form: what may stand in a configuration, with its defaults and what each key means. Modules bring their own.
//!
//! A doc comment here is also what `rollcall print-config` writes above the key.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AuthDefault, CertName, CrlStale, DenyAction, Durability, FlappingBy, HomeDown, ListenerKind, LogFormat,
    SysSubscribe, Verify,
    list::{self, List},
    listeners::{self, Listeners},
    rate,
    schema::{Key, Section},
    value::{Bind, Expiry, Int, ListenAt, MaybeBind, Mode, Path, Secret, Size, Span, Tables},
};

/// A struct of the file form, its defaults, and its docs as data.
macro_rules! section {
    ($(#[doc = $about:literal])* $struct:ident = $section:literal {
        $($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr,)*
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $struct {
            $($(#[doc = $doc])* pub(crate) $key: $type,)*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $struct {
            pub(crate) fn section() -> Section {
                Section {
                    name: $section.to_owned(),
                    about: vec![$($about.to_owned()),*],
                    keys: vec![$(Key { name: stringify!($key).trim_start_matches("r#"), about: vec![$($doc.to_owned()),*] }),*],
                }
            }
        }
    };
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) data_dir: String,
    pub(crate) node: Node,
    pub(crate) cluster: Cluster,
    pub(crate) listeners: Listeners,
    pub(crate) mqtt: Mqtt,
    pub(crate) admin: Admin,
    pub(crate) auth: Auth,
    pub(crate) limits: Limits,
    pub(crate) session: Session,
    pub(crate) storage: Storage,
    pub(crate) sys: Sys,
    pub(crate) log: Log,
    pub(crate) runtime: Runtime,
}

impl File {
    /// Every key there is but those of modules, section by section.
    pub(crate) fn sections() -> Vec<Section> {
        let about = DATA_DIR.iter().map(|&line| line.to_owned()).collect();
        vec![
            Section { name: String::new(), about: Vec::new(), keys: vec![Key { name: "data_dir", about }] },
            Node::section(),
            Cluster::section(),
            listeners::section(listeners::MQTT),
            listeners::section(listeners::WS),
            Mqtt::section(),
            Admin::section(),
            Auth::section(),
            Limits::section().without("flapping"),
            Flapping::section(),
            Session::section(),
            Storage::section(),
            Sys::section(),
            Log::section(),
            Runtime::section(),
        ]
    }
}

const DATA_DIR: &[&str] = &[
    " The folder in which sessions, queues, retained messages and who is online are kept; one broker can use it at a",
    " time. \"memory\" keeps nothing: what clients were promised and who was online is forgotten when the broker ends.",
];

impl Default for File {
    fn default() -> Self {
        Self {
            data_dir: "data".to_owned(),
            node: Node::default(),
            cluster: Cluster::default(),
            listeners: Listeners::default(),
            mqtt: Mqtt::default(),
            admin: Admin::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            session: Session::default(),
            storage: Storage::default(),
            sys: Sys::default(),
            log: Log::default(),
            runtime: Runtime::default(),
        }
    }
}

section! {
    /// Who this broker is.
    Node = "node" {
        /// Stands in the topics below $SYS/brokers: one topic level, no spaces, at most 255 bytes.
        name: String = "rollcall@127.0.0.1".to_owned(),
        /// Where clients find it, like "mqtt1.example.org:1883": in a cluster, other nodes tell theirs of MQTT 5 so when they
        /// are drained (Server Reference). When not set they do not.
        reference: Option<String> = None,
    }
}

section! {
    /// Several brokers that are one: who comes and who goes is told alike at all of them. They agree by nats-servers
    /// with JetStream, three of 2.12 or newer with sync_interval: always. Each broker has a node.name of its own.
    Cluster = "cluster" {
        /// Where the nats-servers are: ["nats://10.0.0.1:4222", ...], or tls://. Empty: no cluster.
        nats: List<list::Nats> = List::default(),
        /// Where the nats-servers' monitoring is, host:port of each: it alone tells how they sync. Looked at at the start.
        monitors: List<list::Host> = List::default(),
        /// Letters and digits: brokers with the same name and the same nats-servers are one cluster.
        name: String = "rollcall".to_owned(),
        /// What the nats-servers ask for, if they do.
        user: Option<String> = None,
        password: Option<Secret> = None,
        /// Who signs the nats-servers' certificates; when not set, whom the system trusts.
        ca: Option<Path> = None,
        /// A certificate to show them, and its key.
        cert: Option<Path> = None,
        key: Option<Path> = None,
        /// Who comes while the node that keeps its session is down: "fresh" has a new one, and what waited there is lost;
        /// "wait" is refused until that node is back.
        on_home_down: HomeDown = HomeDown::Fresh,
        /// Goes on with nats-servers that may lose what they have promised: fewer than three, older, or slow to sync.
        r#unsafe: bool = false,
    }
}

section! {
    /// Where clients come in. [listeners.mqtt] and [listeners.ws] are there from the start; further ones are sections of
    /// their own, [listeners.NAME] with at least kind and bind; NAME is up to 32 lower-case letters, digits, "-" and "_".
    /// mqtt.bind, mqtt.backlog and ws.bind are understood too, as names for keys of the first two.
    Listener = "listeners.NAME" {
        /// What is spoken there: "mqtt" (over TCP), "mqtts" (over TLS), "ws" (over WebSocket) or "wss" (over WebSocket and TLS).
        kind: Option<ListenerKind> = None,
        /// IP address and port, or "off"; port 0 lets the system choose. Other than loopback only where clients are
        /// asked who they are, or with auth.anonymous = true. If another program has the
        /// default port of "ws", the broker goes on without. For kind "mqtt" also a socket of this machine,
        /// "unix:/run/rollcall/mqtt.sock"; who comes by it is told of as 127.0.0.1, with sockport 0.
        bind: Option<ListenAt> = None,
        /// For a socket of this machine: who may connect to it, as for chmod. When not set: "0660".
        mode: Option<Mode> = None,
        /// Connections that the kernel holds until they are accepted; its own limit applies too (net.core.somaxconn).
        backlog: Int<1, 0x7fff_ffff> = Int(1024),
        /// Bytes that the kernel holds of each client until they are read: one who is not read from, for having too much,
        /// takes of memory that all sockets of the machine share. As much comes in the time of a way there and back: at
        /// 50 ms, 256KiB are 5 MB a second. 0 leaves it to the kernel (net.ipv4.tcp_rmem, often 6 MiB and more).
        receive_buffer: Size<0, 1_073_741_824> = Size(256 << 10),
        /// For TLS: the file of the certificate and its chain, PEM. Several are told apart by the name that a client asks for;
        /// the first is shown to all others. It is read again when it changes.
        cert: List<list::File> = List::default(),
        /// For TLS: the file of its private key, PEM; of each, in the same order.
        key: List<list::File> = List::default(),
        /// For TLS: the file of who signs clients' certificates, PEM.
        ca: Option<String> = None,
        /// For TLS: the file of revoked clients' certificates, PEM. Who is revoked while connected is disconnected.
        crl: Option<String> = None,
        /// For TLS with crl: what becomes of clients with certificates when that list is out of date: "allow" (it holds all
        /// the same, and there is an alarm) or "refuse" (none comes in any more). When not set: "allow".
        crl_stale: Option<CrlStale> = None,
        /// For TLS: whether clients have to show a certificate: "none" (they aren't asked), "optional" (one that is shown has to
        /// be good) or "required".
        verify: Option<Verify> = None,
        /// For TLS with verify: what of its certificate is a client's user name: "cn" (the common name), "dn" (the whole
        /// subject), "san_dns", "san_uri" (the first alternative name of the kind) or "fingerprint" (SHA-256, in hex).
        /// A client that says another one is refused, and none that shows a good certificate is asked for a password.
        username_from: Option<CertName> = None,
        /// The same for its client id.
        clientid_from: Option<CertName> = None,
        /// For WebSocket: the path that is asked for. When not set: "/mqtt".
        path: Option<String> = None,
        /// For WebSocket: the pages that may connect, by their origins like "https://app.example.com"; "*" is all. When not set:
        /// all, but at a loopback address only pages of this machine. Programs that are no browsers always may.
        origins: Option<List<list::Origin>> = None,
        /// For WebSocket: addresses and ranges of proxies whose X-Forwarded-For tells the client's address.
        forwarded_from: List<list::Range> = List::default(),
        /// Addresses and ranges of proxies that begin each connection with a header of the PROXY protocol, version 1 or 2.
        proxy_from: List<list::Range> = List::default(),
        /// Clients at once that came in by this listener; further ones are refused, but for those that come back to a
        /// connection they have there. When not set: mqtt.max_connections alone bounds them.
        max_connections: Option<Int<1, 100_000_000>> = None,
        /// Connections that it takes, like "500/s" or "1000/10s" (a thousand at once, and a thousand every ten seconds). Further
        /// ones are refused: before TLS without a word, else when they have sent CONNECT.
        connect_rate: Option<rate::Count> = None,
        /// As limits.message_rate, for who comes in here.
        message_rate: Option<rate::Count> = None,
        /// As limits.byte_rate, for who comes in here.
        byte_rate: Option<rate::Bytes> = None,
        /// As limits.max_packet_size, for who comes in here.
        max_packet_size: Option<Size<128, 268_435_455>> = None,
        /// As limits.receive_maximum, for who comes in here.
        receive_maximum: Option<Int<1, 65_535>> = None,
        /// As limits.max_inflight, for who comes in here.
        max_inflight: Option<Int<1, 65_535>> = None,
        /// As limits.subscriptions_per_client, for who comes in here.
        subscriptions_per_client: Option<Int<1, 0xffff_ffff>> = None,
        /// As limits.max_topic_levels, for who comes in here.
        max_topic_levels: Option<Int<8, 65_536>> = None,
        /// As session.max_queued, for who comes in here.
        max_queued: Option<Int<0, 0xffff_ffff>> = None,
        /// As session.max_queued_bytes, for who comes in here.
        max_queued_bytes: Option<Size<0, 0x7fff_ffff_ffff>> = None,
    }
}

section! {
    /// What holds for all clients.
    Mqtt = "mqtt" {
        /// Time from accept to a whole CONNECT; a connection that takes longer is closed.
        connect_timeout: Span<1> = Span(Duration::from_secs(10)),
        /// Connections at once; each takes a file descriptor and some KiB of memory, and so the limit of open files bounds
        /// them too, less 320 (or an eighth) for the store and the admin port. Further ones are closed.
        max_connections: Int<1, 100_000_000> = Int(1_000_000),
        /// How long the session of an MQTT 3 client with clean session 0 is kept while it is away.
        session_expiry: Span<0> = Span(Duration::from_secs(2 * 60 * 60)),
        /// The longest session expiry an MQTT 5 client gets, in whole seconds; "never" grants what it asks for.
        max_session_expiry: Expiry = Expiry::Never,
        /// Keep alive in seconds that every MQTT 5 client is told to use; 0 lets each choose its own.
        server_keep_alive: Int<0, 65_535> = Int(0),
    }
}

section! {
    /// The dashboard and the REST API.
    Admin = "admin" {
        /// IP address and port, or "off". If another program has the default one, the broker goes on without.
        bind: MaybeBind = MaybeBind::On(Bind::loopback(18083)),
        /// For TLS: the file of the certificate and its chain, PEM; several as for listeners. The port speaks https then, and
        /// nothing else. It is read again when it changes.
        cert: List<list::File> = List::default(),
        /// For TLS: the file of its private key, PEM; of each, in the same order.
        key: List<list::File> = List::default(),
        /// For TLS: the file of who signs the certificates of browsers and scripts, PEM.
        ca: Option<String> = None,
        /// For TLS: whether those have to show one, before any password: "none", "optional" (one that is shown has to be good) or
        /// "required". Who they are is still said by a name and a password.
        verify: Option<Verify> = None,
        /// The password of the user "admin", 8 to 1024 characters. When not set: the one kept in data_dir, which the first start
        /// makes and prints once.
        password: Option<Secret> = None,
        /// Names by which browsers reach the dashboard, besides IP addresses, names without a dot and this machine's: those
        /// of a proxy before it, for instance. "NAME:PORT" if the port is not 80 or 443.
        hosts: List<list::Host> = List::default(),
        /// Addresses and ranges of proxies that say who has logged in with them, by user_header. Whoever can connect from
        /// there is believed: where that is this machine, each of its users. They must let nobody else say that header.
        trusted_proxies: List<list::Range> = List::default(),
        /// The header in which they say it, such as "X-Forwarded-User": the name of an operator, who needs no password then.
        user_header: Option<String> = None,
    }
}

section! {
    /// Who may come in.
    Auth = "auth" {
        /// Lets in clients that say neither a user name nor a password; while there is nobody to ask (no user, no
        /// password file), also those that do. When not set: true while all listeners have loopback addresses, else for
        /// peers on this machine only, and without anybody to ask the broker does not start.
        anonymous: Option<bool> = None,
        /// A file of users with their passwords' hashes, as mosquitto_passwd writes it ($7$, $6$; $argon2id$ too); read
        /// again within seconds when it changes. A file that can't be used changes nothing, and is an alarm.
        password_file: Option<Path> = None,
        /// The secret that JSON Web Tokens are signed with (HS256, HS384, HS512), which clients bring as their password, or by
        /// AUTH with the method "JWT". They have exp, and username or sub, from which a user name in CONNECT must not differ,
        /// nor its id from clientid; acl says what the client may do: { "pub": [..], "sub": [..], "all": [..] } and nothing
        /// else, or rules as below, or as EMQX 5 has them.
        jwt_secret: Option<Secret> = None,
        /// A file of public keys for tokens that are signed with RS256, RS384, RS512, ES256, ES384 or EdDSA: PEM or a JWKS;
        /// read again within seconds when it changes. Or the address of a JWKS, "https://example.com/jwks.json", asked again
        /// as its Cache-Control says (else every 15 minutes) and when a token names a key that is not known; without an
        /// answer the keys before hold, and that is an alarm.
        jwt_keys: Option<Path> = None,
        /// A service that is asked by HTTP whether a client may come in, after users and tokens: "https://example.com/auth". 200
        /// (or 204) lets it in, 4xx refuses it, the body "ignore" leaves it to others; an object may say more: { "result":
        /// "allow|deny|ignore", "is_superuser": true, "acl": [..], "expire_at": seconds since 1970 }, acl as in [[auth.rules]]
        /// or EMQX 5. Without an answer nobody is let in. Times and what is remembered: [modules.auth_http].
        http_url: Option<String> = None,
        /// Asked the same about who was let in: 200 for a client that may do everything.
        http_super_url: Option<String> = None,
        /// "post" (a form, or an object if http_headers say Content-Type: application/json) or "get". When not set: "post".
        http_method: Option<String> = None,
        /// Headers of each request, one a line: "Authorization: Bearer abc".
        http_headers: Option<Secret> = None,
        /// What the service is told: %c is the client id, %u the user name, %P the password, %a the address, %p and %l the
        /// listener's port and name, %r "mqtt". When not set: "clientid=%c,username=%u,password=%P,ipaddress=%a".
        http_params: Option<String> = None,
        /// A PEM file of who signs the certificates of https addresses. When not set: those the system trusts.
        http_ca: Option<Path> = None,
        /// What clients may do: a list of tables [[auth.rules]], of which the first that is about what a client wants decides.
        /// allow = true or false; who = { user, clientid, address, listener, tag }, each a text or a list, all that are said must
        /// be so; action = "publish", "subscribe" or "all"; topics = filters with %c (client id) and %u (user name), "eq #"
        /// is that text and no pattern. A filter is allowed if a rule covers it, forbidden if one overlaps it.
        rules: Tables = Tables(Vec::new()),
        /// A file with more rules, which come after those: EMQ X's acl.conf or mosquitto's acl_file, as they are. Read again
        /// within seconds when it changes; one that can't be used changes nothing, and is an alarm.
        acl_file: Option<Path> = None,
        /// What holds where no rule is about it: "allow" or "deny".
        default: AuthDefault = AuthDefault::Allow,
        /// A client that does what it may not: "ignore" (it is told, where its version of MQTT has a way to) or "disconnect".
        deny_action: DenyAction = DenyAction::Ignore,
    }
}

section! {
    /// Bounds. Clients are told those that MQTT has a word for.
    Limits = "limits" {
        /// Largest packet taken, in bytes with its fixed header.
        max_packet_size: Size<128, 268_435_455> = Size(16 << 20),
        /// QoS 1 and 2 publishes a client may have unacknowledged.
        receive_maximum: Int<1, 65_535> = Int(100),
        /// Topic aliases a client may set; each keeps one topic per connection.
        topic_alias_maximum: Int<0, 65_535> = Int(32),
        /// Topic aliases the broker sets towards a client that allows as many; each keeps one topic per connection.
        outgoing_aliases: Int<0, 65_535> = Int(32),
        /// QoS 1 and 2 messages sent to a client and not yet acknowledged; fewer if the client says so.
        max_inflight: Int<1, 65_535> = Int(100),
        /// Bytes that may wait for one client's socket. When full, QoS 0 messages to it are dropped and counted.
        outbox: Size<1_024, 0x7fff_ffff_ffff> = Size(1 << 20),
        /// A client that takes nothing for this long while its outbox is full is disconnected.
        slow_consumer_timeout: Span<1> = Span(Duration::from_secs(30)),
        /// Bytes held for clients: half-received packets, what waits for them, subscriptions, wills, retained messages.
        /// One client may hold a quarter of what is free, less the scarcer it gets; what does not fit is refused or
        /// dropped and counted. Sessions of one address that nobody is connected to may hold three times what is free.
        /// When not set: three quarters of the memory of the machine, or of the container.
        memory: Option<Size<1_048_576, 0x7fff_ffff_ffff>> = None,
        /// Retained messages; a new topic beyond this is not retained. One address leaves an eighth of them for others.
        retained_messages: Int<0, 0xffff_ffff> = Int(1_000_000),
        /// Bytes of a client id. The topics of events about clients have room for the longest, whatever is in it.
        max_client_id: Int<23, 16_384> = Int(1_024),
        /// Subscriptions of one session; further ones are refused.
        subscriptions_per_client: Int<1, 0xffff_ffff> = Int(100_000),
        /// Levels of a topic or a filter ("a/b/c" has three); one with more is refused.
        max_topic_levels: Int<8, 65_536> = Int(128),
        /// Levels of all different wildcard shapes among one client's filters ("a/+" and "b/+" are one shape of two; a
        /// shared filter counts with its group, and for eight more). Bounds what one client adds to the cost of
        /// looking up a topic, and how many of its filters one message matches. A filter beyond this is refused.
        shape_levels: Int<1, 0xffff_ffff> = Int(1_024),
        /// Messages that each client may publish, like "100/s" or "1000/1m" (a thousand at once, and a thousand a minute). Of who
        /// sends more nothing is read until there is room again, PINGREQ included; it is not ended for that silence.
        message_rate: Option<rate::Count> = None,
        /// Bytes that each client may send, like "64KiB/s"; as message_rate.
        byte_rate: Option<rate::Bytes> = None,
        /// Clients at once from one address, or from one network (/64) of version 6; further ones are refused, but for those
        /// that come back to a connection they have from there. Behind a proxy without proxy_from all have the proxy's address.
        connections_per_address: Option<Int<1, 100_000_000>> = None,
        /// Connections from one address that are accepted and not yet let in; further ones are closed at once.
        half_open_per_address: Option<Int<1, 100_000_000>> = None,
        /// Connections from one address, like "10/s"; as a listener's connect_rate.
        connect_rate_per_address: Option<rate::Count> = None,
        /// So late the broker's threads may be (they have more to do than they can) before those who come have to wait:
        /// for half of mqtt.connect_timeout at most, then they are refused. Those who are in stay. When not set nobody
        /// waits.
        lateness: Option<Span<10>> = None,
        /// A section of its own.
        flapping: Flapping = Flapping::default(),
    }
}

section! {
    /// Clients that come and go too often. From half of that on each is kept waiting before it is let in; who comes too
    /// often all the same is banned for a while, from its next CONNECT on. Only those count who were let in.
    Flapping = "limits.flapping" {
        /// How often a client may come, like "30/1m". When not set nobody looks.
        rate: Option<rate::Count> = None,
        /// How long it is banned that comes more often. The bans are listed with all others, and forgotten with the process.
        ban: Span<1_000> = Span(Duration::from_secs(5 * 60)),
        /// What it is known by: "clientid", "username" and "address" (or the network, /64, of version 6), one or several.
        by: List<FlappingBy> = List(vec![FlappingBy::ClientId]),
    }
}

section! {
    /// What one session keeps for its client while that is away or busy.
    Session = "session" {
        /// QoS 1 and 2 messages; what comes when the queue is full is dropped and counted.
        max_queued: Int<0, 0xffff_ffff> = Int(1_000_000),
        /// Bytes of them; limits.memory bounds them too.
        max_queued_bytes: Size<0, 0x7fff_ffff_ffff> = Size(256 << 20),
    }
}

section! {
    /// How what is in data_dir is written.
    Storage = "storage" {
        /// What an acknowledged message survives: "process" (the broker's end, kill -9 included) or "power" (the
        /// system's end too; each acknowledgement waits for the disk, many share one wait).
        durability: Durability = Durability::Process,
    }
}

section! {
    /// What the broker publishes about itself below $SYS/brokers.
    Sys = "sys" {
        /// Time between two rounds of version, sysdescr, stats and metrics.
        interval: Span<100> = Span(Duration::from_secs(60)),
        /// Time between two rounds of uptime and datetime.
        heartbeat: Span<100> = Span(Duration::from_secs(30)),
        /// Who may subscribe below $SYS/: "loopback" (clients on this machine), "all" or "none".
        subscribe: SysSubscribe = SysSubscribe::Loopback,
    }
}

section! {
    /// The log, on stderr.
    Log = "log" {
        /// "error", "warn", "info", "debug", "trace" or "off", for single targets too: "info,mqtt_session=debug".
        level: String = "info".to_owned(),
        /// "text", or "json" for an object a line.
        format: LogFormat = LogFormat::Text,
    }
}

section! {
    /// What the section of a module holds beside its own settings.
    Module = "modules.NAME" {
        /// Runs it. When not set: as the module itself has it, unless it was started or stopped while the broker ran.
        enabled: Option<bool> = None,
        /// After the broker died: how long subscribers have to come back before those who were online and have not
        /// come back are reported gone.
        recovery_grace: Span<0> = Span(Duration::from_secs(5)),
    }
}

section! {
    /// Threads.
    Runtime = "runtime" {
        /// Worker threads; 0 is one for each core.
        workers: Int<0, 1_024> = Int(0),
    }
}
