//! What an operator sees and does.

use std::io;
use std::pin::Pin;
use std::sync::Weak;

use mqtt_codec::{Filter, Message, SubscribeFilter, Topic};

use crate::{
    Answering, Ban, BanKind, ClientQuery, ClientState, ClusterState, Drain, DrainState, ForgetError, HostState,
    ListenerError, ListenerState, NoReply, NodeState, Oversee, Reloaded, Reply, RetainedQuery, RetainedState, Rows,
    Setting, SubscribeError, SubscriptionQuery, SubscriptionState,
};

/// What an operator can see of a broker, and do to it.
///
/// Calls may take as long as it takes to look at every client; they are made where they may block.
pub trait Operate: Oversee {
    /// The broker itself.
    fn node(&self) -> NodeState;

    /// Its name, as in `$SYS/brokers/${node}`.
    fn node_name(&self) -> &str;

    /// The cluster it is a node of, if it is.
    fn cluster(&self) -> Option<ClusterState>;

    /// Has all nodes know that one, which does not live, will not come back: nobody waits for the sessions that it keeps. It may take
    /// seconds.
    fn forget_node(&self, node: &str) -> Pin<Box<dyn Future<Output = Result<(), ForgetError>> + Send>>;

    /// At which other node of the cluster a client is, or the session that is kept of it; `None`: here, or nowhere that lives.
    fn node_of(&self, client_id: &str) -> Option<String>;

    /// Asks another node of the cluster for a path of the REST API with its query. What it says may take seconds.
    fn ask_node(&self, node: &str, path: &str) -> Pin<Box<dyn Future<Output = Result<Reply, NoReply>> + Send>>;

    /// Who answers what other nodes ask, as long as it is there.
    fn answer_nodes(&self, answering: Weak<dyn Answering>);

    /// Takes no new clients from now on, and sends those elsewhere who are there: before a restart, which ends this too. Who does it
    /// again begins anew with those who are left.
    fn drain(&self, drain: Drain);

    /// Takes clients again; false if it does.
    fn end_drain(&self) -> bool;

    /// How far that has come; `None`: it takes clients.
    fn draining(&self) -> Option<DrainState>;

    /// The machine and the process it runs in.
    fn host(&self) -> HostState;

    /// What clients come in by, or will when it is started again.
    fn listeners(&self) -> Vec<ListenerState>;

    /// Has a stopped listener take its address again. Like [`Self::restart_listener`] it is called in a tokio runtime.
    ///
    /// # Errors
    /// There is none of this name, it runs, or it can't listen.
    fn start_listener(&self, name: &str) -> Result<(), ListenerError>;

    /// Closes a listener's socket, until it is started or the process is another: nobody comes in by it, and who has stays.
    ///
    /// # Errors
    /// There is none of this name, or it does not run.
    fn stop_listener(&self, name: &str) -> Result<(), ListenerError>;

    /// Closes a listener's socket, if it is open, and has it take its address again. Who has come in by it stays.
    ///
    /// # Errors
    /// There is none of this name, or it can't listen; then it is stopped.
    fn restart_listener(&self, name: &str) -> Result<(), ListenerError>;

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
    fn clients(&self, query: &ClientQuery<'_>) -> Rows<ClientState>;

    /// One client, online or not.
    fn client(&self, client_id: &str) -> Option<ClientState>;

    /// How many clients there are, away or not.
    fn clients_len(&self) -> usize;

    /// Ends a client's connection and its session; false if there is neither. It may take a moment until both are gone.
    fn kick(&self, client_id: &str) -> bool;

    /// Subscriptions in order of their clients' ids, then of their filters.
    fn subscriptions(&self, query: &SubscriptionQuery<'_>) -> Rows<SubscriptionState>;

    /// How many subscriptions there are.
    fn subscriptions_len(&self) -> usize;

    /// Different filters that are subscribed with, without `$share/group/`, in order; so many are skipped, and so many
    /// are listed at most.
    fn routes(&self, skip: usize, limit: usize) -> Rows<String>;

    /// How many different filters there are.
    fn routes_len(&self) -> usize;

    /// True if someone has subscribed with this filter, `$share/group/` apart.
    fn has_route(&self, filter: &str) -> bool;

    /// Publishes a message in the name of `client_id`, which may be nobody's. What is to be stored of it is in the
    /// store when this returns.
    ///
    /// # Errors
    /// Those of the store; [`io::ErrorKind::InvalidInput`]: its topic has more levels than any may have.
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

    /// Retained messages in order of their topics, level by level.
    fn retained(&self, query: &RetainedQuery<'_>) -> Rows<RetainedState>;

    /// The retained message of a topic.
    fn retained_message(&self, topic: &Topic) -> Option<RetainedState>;

    /// Forgets the retained message of a topic; false if there is none. The store knows it when this returns.
    fn forget_retained(&self, topic: &Topic) -> bool;

    /// What the broker was told and where, key by key.
    fn settings(&self) -> Vec<Setting>;

    /// Reads the configuration anew; see [`Configured::reload`](crate::Configured::reload).
    ///
    /// # Errors
    /// Something is wrong with it; then nothing has changed.
    fn reload(&self) -> Result<Reloaded, String>;

    /// A small record that [`Self::keep`] has kept, maybe in an earlier process.
    fn kept(&self, name: &str) -> Option<Vec<u8>>;

    /// Keeps a small record; it is in the store when this returns.
    ///
    /// # Errors
    /// Those of the store.
    fn keep(&self, name: &str, record: &[u8]) -> io::Result<()>;
}
