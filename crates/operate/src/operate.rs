//! The broker as the admin port sees it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::{Filter, Message, ReasonCode, SubscribeFilter, SubscribeOptions, Topic, Version};
use serde::{Deserialize, Serialize};

/// What an operator can see of a broker, and do to it.
///
/// Calls may take as long as it takes to look at every client; they are made where they may block.
#[async_trait::async_trait]
pub trait Operate: crate::Oversee {
    /// The broker itself.
    fn node(&self) -> NodeState;

    /// Its name, as in `$SYS/brokers/${node}`.
    fn node_name(&self) -> &str;

    /// The machine and the process it runs in.
    fn host(&self) -> HostState;

    /// What clients come in by.
    fn listeners(&self) -> Vec<ListenerState>;

    /// Who may not come in, those whose time is over left out.
    fn bans(&self) -> Vec<Ban>;

    /// Lets someone in no more, and ends the connections they have. A ban of the same one is replaced. It is in the
    /// store when this returns.
    ///
    /// # Errors
    /// There are too many, or those of the store.
    fn ban(&self, ban: Ban) -> io::Result<()>;

    /// Lets someone in again.
    ///
    /// # Errors
    /// Those of the store.
    fn unban(&self, kind: BanKind, who: &str) -> io::Result<()>;

    /// Clients in order of their ids.
    fn clients(&self, query: &ClientQuery<'_>) -> Page<ClientState>;

    /// One client, online or not.
    fn client(&self, client_id: &str) -> Option<ClientState>;

    /// How many clients there are, away or not.
    fn clients_len(&self) -> usize;

    /// Ends a client's connection and its session; false if there is neither. It may take a moment until both are gone.
    fn kick(&self, client_id: &str) -> bool;

    /// Subscriptions in order of their clients' ids, then of their filters.
    fn subscriptions(&self, query: &SubscriptionQuery<'_>) -> Page<SubscriptionState>;

    /// How many subscriptions there are.
    fn subscriptions_len(&self) -> usize;

    /// Different filters that are subscribed with, without `$share/group/`, in order; so many are skipped, and so many
    /// are listed at most.
    fn routes(&self, skip: usize, limit: usize) -> Page<String>;

    /// How many different filters there are.
    fn routes_len(&self) -> usize;

    /// True if someone has subscribed with this filter, `$share/group/` apart.
    fn has_route(&self, filter: &str) -> bool;

    /// Publishes a message in the name of `client_id`, which may be nobody's. What is to be stored of it is in the
    /// store when this returns.
    ///
    /// # Errors
    /// Those of the store.
    fn publish(&self, client_id: &str, message: Message) -> io::Result<()>;

    /// Subscribes for a client that is online, whatever it may do itself.
    ///
    /// # Errors
    /// The client is not online, or a limit is reached.
    fn subscribe(&self, client_id: &str, wishes: &[SubscribeFilter]) -> Result<(), SubscribeError>;

    /// Unsubscribes for a client, and is content if it had not subscribed; false if it is not online.
    fn unsubscribe(&self, client_id: &str, filter: &Filter) -> bool;

    /// What there is now, by EMQ X 4.3's names: `connections.count`, `connections.max`, ...
    fn stats(&self) -> Vec<(String, u64)>;

    /// What has been counted since the start, by EMQ X 4.3's names.
    fn metrics(&self) -> Vec<(&'static str, u64)>;

    /// Connects a client of the broker's own and lets it go; returns the presence events that brought, and what went
    /// wrong. Takes some seconds at the most.
    async fn test_presence(self: Arc<Self>) -> (Vec<Told>, Option<String>);

    /// Retained messages in order of their topics, level by level.
    fn retained(&self, query: &RetainedQuery<'_>) -> Page<RetainedState>;

    /// The retained message of a topic.
    fn retained_message(&self, topic: &Topic) -> Option<RetainedState>;

    /// Forgets the retained message of a topic; false if there is none. The store knows it when this returns.
    fn forget_retained(&self, topic: &Topic) -> bool;

    /// What the broker was told and where, key by key.
    fn settings(&self) -> Vec<Setting>;

    /// A small record that [`Self::keep`] has kept, maybe in an earlier process.
    fn kept(&self, name: &str) -> Option<Vec<u8>>;

    /// Keeps a small record; it is in the store when this returns.
    ///
    /// # Errors
    /// Those of the store.
    fn keep(&self, name: &str, record: &[u8]) -> io::Result<()>;
}

/// A broker and how it is.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// As in `$SYS/brokers/${node}`.
    pub name: String,
    /// Its version.
    pub version: &'static str,
    /// Since it was started, in milliseconds.
    pub uptime_ms: u64,
    /// Clients with a connection.
    pub connections: usize,
    /// Clients there may be at once.
    pub max_connections: usize,
    /// Resident memory of the process in bytes.
    pub memory_used: u64,
    /// Grows with every start.
    pub epoch: u64,
}

/// The machine and the process a broker runs in; 0 where the system does not tell.
#[derive(Clone, Debug, Default)]
pub struct HostState {
    /// Processes that wanted to run over 1, 5 and 15 minutes.
    pub load: [f32; 3],
    /// Memory of the machine in bytes.
    pub memory_total: u64,
    /// Files the process may have open, sockets among them.
    pub max_fds: u64,
    /// Tasks of the process.
    pub tasks: usize,
    /// Since the broker was started, in words.
    pub uptime: String,
}

/// What clients come in by.
#[derive(Clone, Debug)]
pub struct ListenerState {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Clients that came in by it and are there.
    pub connections: usize,
    /// Clients there may be at once, by all listeners together.
    pub max_connections: usize,
}

/// What of a client is compared with a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanKind {
    /// Its id.
    ClientId,
    /// Its user name.
    Username,
    /// The IP address it comes from.
    PeerHost,
}

/// Someone may not come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// What `who` is.
    #[serde(rename = "as")]
    pub kind: BanKind,
    /// The id, name or address.
    pub who: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// Since when: seconds since the Unix epoch.
    pub at: u64,
    /// Until when.
    pub until: u64,
}

/// Which clients.
pub struct ClientQuery<'a> {
    /// Those whose ids come after this one.
    pub after: Option<&'a str>,
    /// Only ids that start so.
    pub prefix: &'a str,
    /// How many of those that are wanted are left out first.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
    /// Which of them; asked in order of ids until there are enough. `None`: all.
    pub wanted: Option<&'a dyn Fn(&ClientState) -> bool>,
}

/// Which subscriptions.
pub struct SubscriptionQuery<'a> {
    /// Only of this client.
    pub client_id: Option<&'a str>,
    /// How many of those that are wanted are left out first.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
    /// Which of them. `None`: all.
    pub wanted: Option<&'a dyn Fn(&SubscriptionState) -> bool>,
}

/// Why a client was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// It is away, or there is none.
    #[error("the client is not online")]
    Offline,
    /// As its SUBACK would have said.
    #[error("refused: {}", .0.name())]
    Refused(ReasonCode),
}

/// A client's subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionState {
    /// Whose.
    pub client_id: String,
    /// With `$share/group/`, if it is shared.
    pub filter: Filter,
    /// What for.
    pub options: SubscribeOptions,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The part.
    pub rows: Vec<T>,
    /// There are more after it.
    pub has_more: bool,
}

/// A client and its session. What belongs to a connection is there only while there is one.
#[derive(Clone, Debug)]
pub struct ClientState {
    /// Its id.
    pub client_id: String,
    /// The connection it has.
    pub connection: Option<ConnectionState>,
    /// When its session began, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it went, in milliseconds since the Unix epoch; `None` while it is online.
    pub disconnected_at: Option<u64>,
    /// The version it last spoke.
    pub version: Version,
    /// Seconds the session outlives its connection; 4,294,967,295 is for ever.
    pub expiry_interval: u32,
    /// Filters subscribed to.
    pub subscriptions: usize,
    /// The most there may be.
    pub max_subscriptions: usize,
    /// Messages sent and not acknowledged.
    pub inflight: usize,
    /// The most there may be.
    pub max_inflight: usize,
    /// Messages that wait.
    pub queued: usize,
    /// The most there may be.
    pub max_queued: usize,
    /// Messages that could not be kept for it.
    pub dropped: u64,
    /// QoS 2 messages of it that it has not released.
    pub unreleased: usize,
    /// The most there may be.
    pub max_unreleased: usize,
}

/// A client's connection.
#[derive(Clone, Debug)]
pub struct ConnectionState {
    /// As authenticated.
    pub username: Option<String>,
    /// The peer.
    pub peer: SocketAddr,
    /// The listener's port.
    pub port: u16,
    /// The listener's name.
    pub listener: String,
    /// Seconds, as sent in CONNECT.
    pub keep_alive: u16,
    /// Clean session or clean start.
    pub clean_start: bool,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
    /// Unique within an epoch.
    pub conn_id: u64,
    /// What has gone over it.
    pub traffic: Traffic,
}

/// What has gone over a connection since it began, seen from the broker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bytes.
    pub recv_oct: u64,
    /// Reads.
    pub recv_cnt: u64,
    /// Packets.
    pub recv_pkt: u64,
    /// PUBLISH packets.
    pub recv_msg: u64,
    /// Bytes.
    pub send_oct: u64,
    /// Writes.
    pub send_cnt: u64,
    /// Packets.
    pub send_pkt: u64,
    /// PUBLISH packets.
    pub send_msg: u64,
}

/// An event as a subscriber saw it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// How long it took to come.
    pub after: Duration,
}

/// Which retained messages.
pub struct RetainedQuery<'a> {
    /// Those whose topics come after this one.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
    /// Which of them.
    pub wanted: &'a dyn Fn(&Topic) -> bool,
}

/// A retained message.
#[derive(Clone, Debug)]
pub struct RetainedState {
    /// The message; its payload is shared.
    pub message: Message,
    /// When it is forgotten, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
}

/// A key of the configuration.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Dotted.
    pub key: String,
    /// What it means.
    pub about: String,
    /// As TOML; `None`: not set, or not to be shown.
    pub value: Option<String>,
    /// Where it was said; `None`: nowhere, it is the default.
    pub place: Option<String>,
}
