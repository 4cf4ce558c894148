//! The broker as modules see it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{Filter, Message, ReasonCode, SubscribeFilter, Topic};

use crate::{Acting, Client, ConnectionInfo, Lookup, Online, RecordTable, Stop, Task, Waiting, Wire, is_sys};

/// The broker as modules see it.
#[async_trait::async_trait]
pub trait Host: Send + Sync + 'static {
    /// The node's name, as it stands in `$SYS/brokers/${node}/...`.
    fn node(&self) -> &str;

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// The broker's even clock, which goes on where that of the last process was and is not set: milliseconds. Message
    /// expiry and timers go by it.
    fn clock_ms(&self) -> u64;

    /// The clock that never steps back, to see how long something took.
    fn instant(&self) -> Instant {
        Instant::now()
    }

    /// False: nobody subscribes to anything under `$SYS`, so that nothing need be made for it, not even a topic.
    fn is_sys_watched(&self) -> bool {
        true
    }

    /// False: nobody subscribes to anything under `$SYS` by a filter whose last level is a name, so that
    /// [`Moment::publish_state`] reaches nobody there.
    fn is_sys_named(&self) -> bool {
        true
    }

    /// False: nobody subscribes to anything under `$SYS` by a filter with this last level, so that [`Moment::publish_state`]
    /// reaches nobody on a topic that ends with it.
    fn is_sys_named_by(&self, level: &str) -> bool {
        let _ = level;
        self.is_sys_named()
    }

    /// Whether a message to this topic would reach anybody, or somebody who is away and has a session. It costs what it costs to
    /// route one: for tasks that look now and then.
    fn is_wanted(&self, topic: &Topic) -> bool {
        let _ = topic;
        self.is_sys_watched()
    }

    /// Where the broker has its files, for modules that have some too; `None`: it has none.
    fn folder(&self) -> Option<PathBuf> {
        None
    }

    /// Grows with every start of the broker: milliseconds since the Unix epoch, or more.
    fn epoch(&self) -> u64;

    /// Shows `visit` each record of a table with its key, in order of keys; see [`Records`](crate::Records).
    fn records(&self, table: &RecordTable, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()>;

    /// Says whether a client may publish to a topic, as it is said of what it publishes itself: by the broker's rules and all
    /// authorizers.
    fn may_publish(&self, client: &ConnectionInfo, topic: &Topic) -> Result<(), ReasonCode>;

    /// Whether no client publishes to a topic, for it is the broker's or a module's own.
    fn is_reserved(&self, topic: &Topic) -> bool {
        is_sys(topic.as_str())
    }

    /// Says whether a client may subscribe with a filter, in the same way.
    fn may_subscribe(&self, client: &ConnectionInfo, filter: &Filter) -> Result<(), ReasonCode> {
        let _ = (client, filter);
        Ok(())
    }

    /// The connection that a client has.
    ///
    /// This and the five that follow are for a module's tasks and its answers to requests. Within a hook they would wait for
    /// what waits for the hook; a hook hands over to a task.
    fn connection(&self, client_id: &str) -> Option<ConnectionInfo> {
        let _ = client_id;
        None
    }

    /// Whether a client was online when an earlier process died, and it is still to be told that it went.
    fn has_fallen(&self, client_id: &str) -> bool {
        let _ = client_id;
        false
    }

    /// For how long nothing but pings has come from a client that is online, to the second, less the time in which the broker itself
    /// stood still; `None`: it is not online.
    fn quiet_ms(&self, client_id: &str) -> Option<u64> {
        let _ = client_id;
        None
    }

    /// Ends a client's connection and its session, as an operator does; false if it has neither.
    fn kick(&self, client_id: &str) -> bool {
        let _ = client_id;
        false
    }

    /// Subscribes for a client that is online; no access rule applies.
    fn subscribe(&self, client_id: &str, wish: &SubscribeFilter) -> Result<(), SubscribeError> {
        let _ = (client_id, wish);
        Err(SubscribeError::Offline)
    }

    /// Gives up a subscription for a client that is online; false if it is not.
    fn unsubscribe(&self, client_id: &str, filter: &Filter) -> bool {
        let _ = (client_id, filter);
        false
    }

    /// Makes a moment of its own for what is not about a fact; for [`Actor::act`].
    fn act(&self, acting: Acting, act: &mut dyn FnMut(&mut dyn Moment));

    /// Runs a task until it ends or is stopped; for [`Ctx::spawn`](crate::Ctx::spawn).
    fn spawn(&self, task: Task) -> Box<dyn Stop>;

    /// Ends when [`Self::clock_ms`] shows this.
    fn sleep_until(&self, clock_ms: u64) -> Task;

    /// Who is online. It may block for as long as it takes to look at every client: for what answers a request, and not
    /// for hooks.
    fn online(&self, lookup: &Lookup<'_>) -> Online {
        let _ = lookup;
        Online::default()
    }

    /// Holds the subscriptions of all clients that are online to the rules there are now, and says how many were given up. For
    /// who authorizes, when what it says has changed; those of a client that is away are looked at when it comes back.
    ///
    /// It goes on for as long as it takes to look at every client; not to be awaited where a change waits for a hook.
    async fn review(&self) -> usize {
        0
    }

    /// Sends all states that modules tell of again to who is online and subscribes to them, as it takes them: for a module whose states
    /// have changed otherwise than by what it has published.
    ///
    /// It goes on for as long as it takes to look at every client.
    async fn retell(&self) {}

    /// Connects a client of a module's own.
    async fn connect(&self, client_id: &str) -> Result<Box<dyn Client>, String> {
        let _ = client_id;
        Err("this broker has no clients".to_owned())
    }

    /// Opens a connection on which a module speaks MQTT as any client does, with an id that begins with
    /// [`OWN_CLIENTS`](crate::OWN_CLIENTS). `listener` is what it came in by, for whoever looks at clients.
    ///
    /// It is let in without proof and no access rule applies to it, for the module has no more rights by that than by
    /// [`Moment::publish`] and [`Self::subscribe`]. It may have as many messages unacknowledged as there are packet ids, and no rate
    /// bounds it: it stands for many clients. For the rest it is treated as others are. `None`: this broker has no clients.
    fn open(&self, listener: &str) -> Option<Box<dyn Wire>> {
        let _ = listener;
        None
    }

    /// Levels that a topic may have.
    fn max_topic_levels(&self) -> usize {
        usize::MAX
    }

    /// Bytes that a packet on such a connection may have.
    fn max_packet_size(&self) -> u32 {
        u32::MAX
    }

    /// What a client's session holds for it; `None`: it has none.
    fn waiting(&self, client_id: &str) -> Option<Waiting> {
        let _ = client_id;
        None
    }
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

/// What became of a message to one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It is sent, or waits in the session.
    Client,
    /// The client is away, or has not taken all that it was sent: to be tried again.
    NotYet,
    /// There is no such client, or it does not subscribe to that.
    Nobody,
}

/// A module as it acts by itself, not within a hook.
#[derive(Clone)]
pub struct Actor {
    host: Arc<dyn Host>,
    acting: Acting,
}

impl Actor {
    pub(crate) const fn new(host: Arc<dyn Host>, acting: Acting) -> Self {
        Self { host, acting }
    }

    /// The broker.
    pub const fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// What `act` publishes and keeps leaves when this returns.
    ///
    /// For a module's start, its tasks and its answers to requests. Within a hook it would wait for what waits for the
    /// hook: there the hook's own moment is at hand.
    pub fn act(&self, mut act: impl FnMut(&mut dyn Moment)) {
        self.host.act(self.acting, &mut act);
    }
}

/// The broker in the middle of something. What is published and kept here leaves together, and gets into the store as a
/// whole or not at all.
pub trait Moment {
    /// Publishes a message in the module's name: no access rule applies.
    fn publish(&mut self, message: Message);

    /// Publishes to `topic` if anyone subscribes to it; only then is `build` called. Says whether it was.
    fn publish_if_wanted(&mut self, topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool;

    /// As [`Self::publish_if_wanted`]; `missed` is told of each client that has no room for it: a full queue, at QoS 0 a full
    /// socket, or a packet larger than it takes. What a shared subscription misses is not told.
    fn publish_telling(
        &mut self,
        topic: &Topic,
        build: &mut dyn FnMut() -> Message,
        missed: &mut dyn FnMut(&str),
    ) -> bool {
        let _ = missed;
        self.publish_if_wanted(topic, build)
    }

    /// Publishes to one client alone, if it subscribes to the topic by other than a shared subscription, and once it has taken what it
    /// was sent before.
    fn publish_to(&mut self, client_id: &str, message: Message) -> Reached {
        let _ = (client_id, message);
        Reached::Nobody
    }

    /// Publishes a state of [`States`](crate::States) to those who subscribe to `topic` by a filter whose last level is a name, if
    /// there are any; only then is `build` called. Says whether it was. `number` grows with each change of any of the
    /// module's states: who misses this one is sent later what has changed since.
    fn publish_state(&mut self, topic: &Topic, number: u64, build: &mut dyn FnMut() -> Message) -> bool {
        let _ = number;
        self.publish_if_wanted(topic, build)
    }

    /// As [`Self::publish_state`], but to all who subscribe to `topic`. Nothing is retained; who has asked for that is told that it
    /// is if the message says so.
    fn publish_state_to_all(&mut self, topic: &Topic, number: u64, build: &mut dyn FnMut() -> Message) -> bool {
        let _ = number;
        self.publish_if_wanted(topic, build)
    }

    /// Keeps a record, instead of what has this key; for [`Records`](crate::Records).
    fn keep(&mut self, table: &RecordTable, key: &[u8], record: &[u8]);

    /// The record with this key is not needed any more; for [`Records`](crate::Records).
    fn forget(&mut self, table: &RecordTable, key: &[u8]);

    /// On whose behalf it is used; the last that [`Self::set_acting`] was told.
    fn acting(&self) -> Acting;

    /// For who calls hooks: on whose behalf it is used from now on.
    fn set_acting(&mut self, acting: Acting);
}
