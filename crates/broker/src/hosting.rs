//! The broker as modules see it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;

use mqtt_codec::{Filter, Message, ReasonCode, SubscribeFilter, Topic};
use mqtt_hooks::{
    Acting, Client, ConnectionInfo, Host, Lookup, Moment, Online, Reached, RecordTable, Rules, Stop, SubscribeError,
    Task, Waiting, Wire,
};
use mqtt_net::Pipe;
use mqtt_router::Matches;
use mqtt_storage::read_records;
use tokio::io::AsyncWrite;
use tokio::task::AbortHandle;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::coming::door;
use crate::delivery::batch::{Batch, in_batch};
use crate::delivery::states::{Told, catch_up};
use crate::loopback::Loopback;
use crate::packets::access;
use crate::packets::subscribe::give_up_forbidden;
use crate::time::clock::wall_ms;
use crate::watch::operate::messages::{subscribe_for, unsubscribe_for};
use crate::watch::operate::online::look_up;

/// The broker as modules see it.
pub(crate) struct Hosting(pub(crate) Arc<Broker>);

#[async_trait::async_trait]
impl Host for Hosting {
    fn node(&self) -> &str {
        &self.0.config.node
    }

    fn now_ms(&self) -> u64 {
        wall_ms()
    }

    fn is_sys_watched(&self) -> bool {
        self.0.routes.router.has_dollar_filters() || self.0.hooks.has_interceptors()
    }

    fn is_sys_named(&self) -> bool {
        self.0.routes.router.has_dollar_names()
    }

    fn is_sys_named_by(&self, level: &str) -> bool {
        self.0.routes.router.has_dollar_name(level)
    }

    fn is_wanted(&self, topic: &Topic) -> bool {
        let mut matches = Matches::default();
        self.0.routes.router.matches(topic, None, &mut matches);
        !matches.is_empty()
    }

    fn clock_ms(&self) -> u64 {
        self.0.clock.now().0
    }

    fn folder(&self) -> Option<PathBuf> {
        self.0.config.store.as_ref().map(|store| store.folder.clone())
    }

    fn epoch(&self) -> u64 {
        self.0.durable.serials.epoch
    }

    fn records(&self, table: &RecordTable, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let Some(journal) = self.0.durable.journal() else { return Ok(()) };
        let visit = |key: &[u8], record: &[u8]| {
            visit(key, record);
            Ok(())
        };
        read_records(&**journal.store(), table.name(), visit).map_err(io::Error::other)
    }

    fn may_publish(&self, client: &ConnectionInfo, topic: &Topic) -> Result<(), ReasonCode> {
        access::may_publish(&self.0.hooks, &self.rules(client), client, topic).map_err(|refusal| refusal.code)
    }

    fn is_reserved(&self, topic: &Topic) -> bool {
        self.0.hooks.why_reserved(topic).is_some()
    }

    fn may_subscribe(&self, client: &ConnectionInfo, filter: &Filter) -> Result<(), ReasonCode> {
        let (rules, sys) = (self.rules(client), &self.0.config.sys);
        access::may_subscribe(&self.0.hooks, &rules, sys, client, filter).map_err(|refusal| refusal.code)
    }

    fn connection(&self, client_id: &str) -> Option<ConnectionInfo> {
        self.0.connection_of(client_id).map(|connection| connection.info.clone())
    }

    fn has_fallen(&self, client_id: &str) -> bool {
        self.0.clients.get(client_id).is_some_and(|client| client.transition.lock().is_fallen())
    }

    fn quiet_ms(&self, client_id: &str) -> Option<u64> {
        self.0.connection_of(client_id).map(|connection| connection.quiet_ms())
    }

    fn kick(&self, client_id: &str) -> bool {
        self.0.kick(client_id)
    }

    fn subscribe(&self, client_id: &str, wish: &SubscribeFilter) -> Result<(), SubscribeError> {
        use mqtt_operate::SubscribeError::{Offline, Refused};
        let wishes = std::slice::from_ref(wish);
        let subscribed = in_batch(&self.0, |batch| subscribe_for(&self.0.clients, client_id, wishes, batch));
        subscribed.map_err(|error| match error {
            Offline => SubscribeError::Offline,
            Refused(code) => SubscribeError::Refused(code),
        })
    }

    fn unsubscribe(&self, client_id: &str, filter: &Filter) -> bool {
        in_batch(&self.0, |batch| unsubscribe_for(&self.0.clients, client_id, filter, batch))
    }

    fn act(&self, acting: Acting, act: &mut dyn FnMut(&mut dyn Moment)) {
        let mut batch = Batch::begin(&self.0);
        batch.acting = acting;
        let bundle = self.0.durable.bundle();
        act(&mut batch);
        drop(bundle);
        // What can't be stored now is tried again every second.
        let _ = batch.finish();
    }

    fn spawn(&self, task: Task) -> Box<dyn Stop> {
        Box::new(Spawned(tokio::spawn(task).abort_handle()))
    }

    fn sleep_until(&self, clock_ms: u64) -> Task {
        Box::pin(tokio::time::sleep(Duration::from_millis(clock_ms.saturating_sub(self.clock_ms()))))
    }

    fn online(&self, lookup: &Lookup<'_>) -> Online {
        look_up(&self.0.clients, lookup)
    }

    async fn review(&self) -> usize {
        /// Clients that are looked at before others have their turn.
        const AT_ONCE: usize = 64;
        let (mut given_up, clients) = (0, self.0.clients.all());
        for some in clients.chunks(AT_ONCE) {
            given_up += some.iter().map(|client| in_batch(&self.0, |batch| review(client, batch))).sum::<usize>();
            tokio::task::yield_now().await;
        }
        given_up
    }

    async fn retell(&self) {
        for client in self.0.clients.all() {
            in_batch(&self.0, |batch| catch_up(&client, 0, batch));
            tokio::task::yield_now().await;
        }
    }

    async fn connect(&self, client_id: &str) -> Result<Box<dyn Client>, String> {
        let pipe = door::connect_in_memory(&self.0, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let client = Loopback::connect(pipe, self.0.terms().limits.max_packet_size, client_id).await?;
        Ok(Box::new(client))
    }

    fn open(&self, listener: &str) -> Option<Box<dyn Wire>> {
        Some(Box::new(Own(door::open_own(&self.0, listener))))
    }

    fn max_topic_levels(&self) -> usize {
        self.0.terms().limits.max_topic_levels
    }

    fn max_packet_size(&self) -> u32 {
        self.0.terms().limits.max_packet_size
    }

    fn waiting(&self, client_id: &str) -> Option<Waiting> {
        let client = self.0.clients.get(client_id)?;
        let state = client.state.lock();
        let session = &state.session;
        Some(Waiting {
            queued: session.queue_len(),
            max_queued: session.config().max_queued,
            inflight: session.inflight_len(),
            dropped: session.dropped(),
        })
    }
}

impl Hosting {
    /// Those that a connection was let in by. Of a client that is gone they are not known any more.
    fn rules(&self, client: &ConnectionInfo) -> Rules {
        let connection = self.0.connection_of(&client.client_id);
        let connection = connection.filter(|connection| connection.info.conn_id == client.conn_id);
        connection.map(|connection| connection.rules()).unwrap_or_default()
    }
}

/// Of one client, if it is online.
fn review(client: &ClientRef, batch: &mut Batch<'_>) -> usize {
    let Some(connection) = client.state.lock().connection().cloned() else { return 0 };
    let bundle = batch.durable().bundle();
    let given_up = give_up_forbidden(client, &connection, batch);
    drop(bundle);
    given_up
}

/// A module's end of a connection.
struct Own(Pipe);

/// Bytes that are read at once.
const READ: usize = 16 << 10;

impl Wire for Own {
    fn poll_read(&mut self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.0.poll_read_into(context, input, READ).map(Ok)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }
}

/// A module's task.
struct Spawned(AbortHandle);

impl Stop for Spawned {
    fn stop(&self) {
        self.0.abort();
    }
}

/// What a module publishes and keeps is part of what the batch is about.
impl Moment for Batch<'_> {
    fn publish(&mut self, message: Message) {
        self.broker().announce(self.publisher(), message, self);
    }

    fn publish_if_wanted(&mut self, topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool {
        self.broker().publish_if_wanted(topic, build, self, &mut |_, _| {})
    }

    fn publish_telling(
        &mut self,
        topic: &Topic,
        build: &mut dyn FnMut() -> Message,
        missed: &mut dyn FnMut(&str),
    ) -> bool {
        use mqtt_session::{Delivered::Dropped, DropReason::OutboxFull, DropReason::QueueFull, DropReason::TooLarge};
        self.broker().publish_if_wanted(topic, build, self, &mut |client, delivered| {
            if matches!(delivered, Dropped(QueueFull | OutboxFull | TooLarge)) {
                missed(&client.id);
            }
        })
    }

    fn publish_to(&mut self, client_id: &str, message: Message) -> Reached {
        self.broker().publish_to(client_id, message, self)
    }

    fn publish_state(&mut self, topic: &Topic, number: u64, build: &mut dyn FnMut() -> Message) -> bool {
        self.broker().publish_state(topic, number, Told::Named, build, self)
    }

    fn publish_state_to_all(&mut self, topic: &Topic, number: u64, build: &mut dyn FnMut() -> Message) -> bool {
        self.broker().publish_state(topic, number, Told::All, build, self)
    }

    fn keep(&mut self, table: &RecordTable, key: &[u8], record: &[u8]) {
        /// Bytes of what is told of comings and goings, or less.
        const SMALL: usize = 1 << 10;
        // It lasts as long as the process, for what waits for a full disk has a bound.
        if self.broker().durable.is_overfull(record.len() > SMALL) {
            return;
        }
        self.stage(|stage| stage.keep_record(table.name(), key, record));
    }

    fn forget(&mut self, table: &RecordTable, key: &[u8]) {
        self.stage(|stage| stage.forget_record(table.name(), key));
    }

    fn acting(&self) -> Acting {
        self.acting
    }

    fn set_acting(&mut self, acting: Acting) {
        self.acting = acting;
    }
}
