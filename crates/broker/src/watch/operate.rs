//! What the admin port can see of the broker, and do to it.

use std::io;
use std::sync::Arc;

use mqtt_codec::{Filter, Message, SubscribeFilter, Topic};
use mqtt_operate::{
    Ban, BanKind, ClientQuery, ClientState, ConnectionState, HostState, ListenerState, NodeState, Operate, Page,
    RetainedQuery, RetainedState, Setting, SubscribeError, SubscriptionQuery, SubscriptionState,
};
use mqtt_session::{Publication, Timestamp};

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::time::clock::wall_ms;
use crate::watch::{machine, stats, sys};

mod bans;
mod host;
mod in_order;
mod messages;
mod online;

use in_order::InOrder;

/// The broker as an operator sees it.
pub struct Operator {
    broker: Arc<Broker>,
    settings: Vec<Setting>,
}

impl Operator {
    pub(crate) fn new(broker: &Arc<Broker>, settings: Vec<Setting>) -> Self {
        Self { broker: Arc::clone(broker), settings }
    }

    pub(super) const fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }
}

impl Operate for Operator {
    fn node(&self) -> NodeState {
        NodeState {
            name: self.broker.config.node.clone(),
            version: sys::VERSION,
            uptime_ms: self.broker.clock.uptime_ms(),
            connections: self.broker.clients.online(),
            max_connections: self.broker.doors.max_connections(),
            memory_used: machine::resident().unwrap_or_default() as u64,
            epoch: self.broker.durable.numbers.epoch,
        }
    }

    fn node_name(&self) -> &str {
        &self.broker.config.node
    }

    fn host(&self) -> HostState {
        host::state(&self.broker)
    }

    fn listeners(&self) -> Vec<ListenerState> {
        self.broker.listener_states()
    }

    fn bans(&self) -> Vec<Ban> {
        self.broker.doors.banned.all()
    }

    fn ban(&self, ban: Ban) -> io::Result<()> {
        self.broker.add_ban(ban)
    }

    fn unban(&self, kind: BanKind, who: &str) -> io::Result<()> {
        self.broker.remove_ban(kind, who)
    }

    fn clients(&self, query: &ClientQuery<'_>) -> Page<ClientState> {
        let is_meant = |id: &str| id.starts_with(query.prefix) && query.after.is_none_or(|after| id > after);
        let mut clients = InOrder::new(self.broker.clients.select(is_meant), query.limit);
        let mut skip = query.skip;
        if query.wanted.is_none() {
            clients.pass(std::mem::take(&mut skip));
        }
        let states = clients.filter_map(|client| self.broker.state_of(&client));
        page(states.filter(|state| query.wanted.is_none_or(|wanted| wanted(state))).skip(skip), query.limit)
    }

    fn client(&self, client_id: &str) -> Option<ClientState> {
        self.broker.state_of(&self.broker.clients.get(client_id)?)
    }

    fn clients_len(&self) -> usize {
        self.broker.clients.len()
    }

    fn kick(&self, client_id: &str) -> bool {
        self.broker.kick(client_id)
    }

    fn subscriptions(&self, query: &SubscriptionQuery<'_>) -> Page<SubscriptionState> {
        let clients = match query.client_id {
            Some(id) => self.broker.clients.get(id).into_iter().collect(),
            None => self.broker.clients.all(),
        };
        let mut skip = query.skip;
        let all = InOrder::new(clients, query.limit).flat_map(|client| {
            if query.wanted.is_none() && skip > 0 {
                let count = client.state.lock().session.subscriptions_len();
                // Rows of pages before this one need not be made.
                if count <= skip {
                    skip -= count;
                    return Vec::new();
                }
            }
            let mut rows = subscriptions_of(&client);
            rows.retain(|state| query.wanted.is_none_or(|wanted| wanted(state)));
            let passed = skip.min(rows.len());
            skip -= passed;
            rows.drain(..passed);
            rows
        });
        page(all, query.limit)
    }

    fn subscriptions_len(&self) -> usize {
        self.broker.routes.router.subscriptions_len()
    }

    fn routes(&self, skip: usize, limit: usize) -> Page<String> {
        let mut filters = Vec::new();
        self.broker.routes.router.for_each_pattern(|filter| filters.push(filter.to_owned()));
        if skip >= filters.len() {
            return Page { rows: Vec::new(), has_more: false };
        }
        let (_, first, rest) = filters.select_nth_unstable(skip);
        let mut rows = vec![std::mem::take(first)];
        let has_more = rest.len() >= limit;
        if has_more {
            rest.select_nth_unstable(limit - 1);
        }
        rows.extend(rest.iter_mut().take(limit - 1).map(std::mem::take));
        rows.sort_unstable();
        Page { rows, has_more }
    }

    fn routes_len(&self) -> usize {
        self.broker.routes.router.patterns_len()
    }

    fn has_route(&self, filter: &str) -> bool {
        self.broker.routes.router.has_pattern(filter)
    }

    fn publish(&self, client_id: &str, message: Message) -> io::Result<()> {
        self.publish_for(client_id, message)
    }

    fn subscribe(&self, client_id: &str, wishes: &[SubscribeFilter]) -> Result<(), SubscribeError> {
        self.broker.subscribe_for(client_id, wishes)
    }

    fn unsubscribe(&self, client_id: &str, filter: &Filter) -> bool {
        self.broker.unsubscribe_for(client_id, filter)
    }

    fn stats(&self) -> Vec<(String, u64)> {
        stats::all(&self.broker)
    }

    fn metrics(&self) -> Vec<(&'static str, u64)> {
        self.broker.watched.metrics.list()
    }

    fn retained(&self, query: &RetainedQuery<'_>) -> Page<RetainedState> {
        let now = self.broker.clock.now();
        let (mut rows, mut looked_at) = (Vec::new(), Vec::new());
        let mut after = query.after.map(str::to_owned);
        loop {
            after = self.broker.retained.following(after.as_deref(), usize::MAX, &mut looked_at);
            for publication in looked_at.drain(..) {
                if publication.is_expired(now) || !(query.wanted)(&publication.message.topic) {
                    continue;
                }
                if rows.len() == query.limit {
                    return Page { rows, has_more: true };
                }
                rows.push(self.broker.retained_state(&publication));
            }
            if after.is_none() {
                return Page { rows, has_more: false };
            }
        }
    }

    fn retained_message(&self, topic: &Topic) -> Option<RetainedState> {
        let found =
            self.broker.retained.get(topic).filter(|publication| !publication.is_expired(self.broker.clock.now()))?;
        Some(self.broker.retained_state(&found))
    }

    fn forget_retained(&self, topic: &Topic) -> bool {
        let mut batch = Batch::begin(&self.broker);
        let is_there = self.broker.forget_retained(topic, &mut batch);
        // It is gone; what can't be stored now is tried again every second.
        let _ = batch.finish();
        is_there
    }

    fn settings(&self) -> Vec<Setting> {
        self.settings.clone()
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.broker.durable.setting(name)
    }

    fn keep(&self, name: &str, record: &[u8]) -> io::Result<()> {
        self.broker.durable.keep_setting(name, record)
    }
}

/// The first of them.
fn page<T>(rows: impl Iterator<Item = T>, limit: usize) -> Page<T> {
    let mut rows: Vec<T> = rows.take(limit + 1).collect();
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Page { rows, has_more }
}

fn subscriptions_of(client: &ClientRef) -> Vec<SubscriptionState> {
    let state = client.state.lock();
    let mut all: Vec<_> = state
        .session
        .subscriptions()
        .map(|(filter, options, _)| SubscriptionState {
            client_id: client.id.to_string(),
            filter: filter.clone(),
            options,
        })
        .collect();
    drop(state);
    all.sort_unstable_by(|one, other| one.filter.as_str().cmp(other.filter.as_str()));
    all
}

impl Broker {
    fn listener_states(&self) -> Vec<ListenerState> {
        let listeners = self.doors.listeners();
        let mut counts = vec![0; listeners.len()];
        for client in self.clients.all() {
            let state = client.state.lock();
            let origin = state.connection.as_ref().map(|connection| &connection.info.listener);
            let found =
                origin.and_then(|origin| listeners.iter().position(|(listener, _)| Arc::ptr_eq(listener, origin)));
            if let Some(found) = found {
                counts[found] += 1;
            }
        }
        let max_connections = self.doors.max_connections();
        let states = listeners.into_iter().zip(counts).map(|((listener, address), connections)| ListenerState {
            name: listener.name.to_string(),
            address,
            connections,
            max_connections,
        });
        states.collect()
    }

    fn retained_state(&self, publication: &Publication) -> RetainedState {
        // Kept by the broker's own clock, shown by the system's.
        let left = |at: Timestamp| at.0.saturating_sub(self.clock.now().0);
        let expires_at = publication.expires_at.map(|at| wall_ms() + left(at));
        RetainedState { message: publication.message.clone(), expires_at }
    }

    /// `None`: it is gone.
    fn state_of(&self, client: &ClientRef) -> Option<ClientState> {
        let (went_at, created_at) = {
            let transition = client.transition.lock();
            if !transition.has_session && transition.fallen.is_none() {
                return None;
            }
            (transition.last_fact_ms, transition.created_at)
        };
        let state = client.state.lock();
        let connection = state.connection.as_ref().map(|connection| {
            let info = &connection.info;
            ConnectionState {
                username: info.username.as_deref().map(str::to_owned),
                peer: info.peer,
                port: info.listener.port,
                listener: info.listener.name.to_string(),
                keep_alive: info.keep_alive,
                is_bridge: info.is_bridge,
                clean_start: info.clean_start,
                connected_at: info.connected_at,
                conn_id: info.conn_id,
                traffic: connection.traffic.state(),
            }
        });
        let (session, limits) = (&state.session, &self.config.limits);
        Some(ClientState {
            client_id: client.id.to_string(),
            created_at,
            disconnected_at: connection.is_none().then_some(went_at),
            connection,
            version: session.version(),
            expiry_interval: session.session_expiry(),
            subscriptions: session.subscriptions_len(),
            max_subscriptions: limits.subscriptions_per_client,
            inflight: session.inflight_len(),
            max_inflight: limits.max_inflight.into(),
            queued: session.queue_len(),
            max_queued: self.config.session.max_queued,
            dropped: session.dropped(),
            unreleased: session.unreleased_len(),
            max_unreleased: limits.receive_maximum.into(),
        })
    }
}
