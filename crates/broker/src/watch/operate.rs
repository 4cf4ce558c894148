//! What the admin port can see of the broker, and do to it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use mqtt_codec::{Filter, Message, SubscribeFilter, Topic};
use mqtt_operate::{
    Answering, Ban, BanKind, ClientQuery, ClientState, ClusterState, Configured, Drain, DrainState, ForgetError,
    HostState, ListenerError, ListenerState, NoReply, NodeState, Operate, Reloaded, Reply, RetainedQuery,
    RetainedState, Rows, Setting, SubscribeError, SubscriptionQuery, SubscriptionState,
};

use crate::broker::Broker;
use crate::delivery::batch::in_batch;
use crate::watch::{machine, stats, sys};

mod bans;
mod host;
mod in_order;
mod listeners;
pub(crate) mod messages;
pub(crate) mod online;
mod states;

use in_order::InOrder;
use messages::{subscribe_for, unsubscribe_for};

/// The broker as an operator sees it.
pub struct Operator {
    broker: Arc<Broker>,
    configured: Arc<dyn Configured>,
}

impl Operator {
    pub(crate) fn new(broker: &Arc<Broker>, configured: Arc<dyn Configured>) -> Self {
        Self { broker: Arc::clone(broker), configured }
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
            epoch: self.broker.durable.serials.epoch,
        }
    }

    fn node_name(&self) -> &str {
        &self.broker.config.node
    }

    fn cluster(&self) -> Option<ClusterState> {
        let mut state = self.broker.membership.roll()?.state();
        for node in &mut state.nodes {
            let is_own = node.name == self.broker.config.node;
            let other = || node.is_live && self.broker.membership.peers.is_draining(&node.name);
            node.is_draining = if is_own { self.broker.doors.draining.is_on() } else { other() };
        }
        Some(state)
    }

    fn forget_node(&self, node: &str) -> Pin<Box<dyn Future<Output = Result<(), ForgetError>> + Send>> {
        Box::pin(Arc::clone(&self.broker).forget_node(node.to_owned()))
    }

    fn node_of(&self, client_id: &str) -> Option<String> {
        self.broker.node_of(client_id)
    }

    fn ask_node(&self, node: &str, path: &str) -> Pin<Box<dyn Future<Output = Result<Reply, NoReply>> + Send>> {
        Box::pin(Arc::clone(&self.broker).ask_node(node.to_owned(), path.to_owned()))
    }

    fn answer_nodes(&self, answering: Weak<dyn Answering>) {
        self.broker.membership.peers.answer_with(answering);
    }

    fn drain(&self, drain: Drain) {
        self.broker.drain(drain);
    }

    fn end_drain(&self) -> bool {
        self.broker.end_drain()
    }

    fn draining(&self) -> Option<DrainState> {
        self.broker.drain_state()
    }

    fn host(&self) -> HostState {
        host::state(self.broker.clock.uptime_ms())
    }

    fn listeners(&self) -> Vec<ListenerState> {
        states::listeners(&self.broker.doors, &self.broker.clients)
    }

    fn start_listener(&self, name: &str) -> Result<(), ListenerError> {
        listeners::start(&self.broker.doors, name)
    }

    fn stop_listener(&self, name: &str) -> Result<(), ListenerError> {
        listeners::stop(&self.broker.doors, name)
    }

    fn restart_listener(&self, name: &str) -> Result<(), ListenerError> {
        listeners::restart(&self.broker.doors, name)
    }

    fn bans(&self) -> Vec<Ban> {
        self.all_bans()
    }

    fn ban(&self, ban: Ban) -> io::Result<()> {
        self.add_ban(ban)
    }

    fn unban(&self, kind: BanKind, who: &str) -> io::Result<()> {
        self.remove_ban(kind, who)
    }

    fn clients(&self, query: &ClientQuery<'_>) -> Rows<ClientState> {
        let is_meant = |id: &str| id.starts_with(query.prefix) && query.after.is_none_or(|after| id > after);
        let mut clients = InOrder::new(self.broker.clients.select(is_meant), query.limit);
        let mut skip = query.skip;
        if query.wanted.is_none() {
            skip -= clients.pass(skip);
        }
        let states = clients.filter_map(|client| states::client(&client, &self.broker.doors, &self.broker.hooks));
        let mut wanted = states.filter(|state| query.wanted.is_none_or(|wanted| wanted(state)));
        while skip > 0 && wanted.next().is_some() {
            skip -= 1;
        }
        let (rows, has_more) = first_of(wanted, query.limit);
        Rows { rows, has_more, skipped: query.skip - skip }
    }

    fn client(&self, client_id: &str) -> Option<ClientState> {
        states::client(&self.broker.clients.get(client_id)?, &self.broker.doors, &self.broker.hooks)
    }

    fn clients_len(&self) -> usize {
        self.broker.clients.len()
    }

    fn kick(&self, client_id: &str) -> bool {
        self.broker.kick(client_id)
    }

    fn subscriptions(&self, query: &SubscriptionQuery<'_>) -> Rows<SubscriptionState> {
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
            let mut rows = states::subscriptions(&client);
            rows.retain(|state| query.wanted.is_none_or(|wanted| wanted(state)));
            let passed = skip.min(rows.len());
            skip -= passed;
            rows.drain(..passed);
            rows
        });
        let (rows, has_more) = first_of(all, query.limit);
        Rows { rows, has_more, skipped: query.skip - skip }
    }

    fn subscriptions_len(&self) -> usize {
        self.broker.routes.router.subscriptions_len()
    }

    fn routes(&self, skip: usize, limit: usize) -> Rows<String> {
        let mut filters = Vec::new();
        self.broker.routes.router.for_each_pattern(|filter| filters.push(filter.to_owned()));
        if skip >= filters.len() {
            return Rows { rows: Vec::new(), has_more: false, skipped: filters.len() };
        }
        let (_, first, rest) = filters.select_nth_unstable(skip);
        let mut rows = vec![std::mem::take(first)];
        let has_more = rest.len() >= limit;
        if has_more {
            rest.select_nth_unstable(limit - 1);
        }
        rows.extend(rest.iter_mut().take(limit - 1).map(std::mem::take));
        rows.sort_unstable();
        Rows { rows, has_more, skipped: skip }
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
        // What is not stored yet is tried again every second; the subscription holds until then all the same.
        in_batch(&self.broker, |batch| subscribe_for(&self.broker.clients, client_id, wishes, batch))
    }

    fn unsubscribe(&self, client_id: &str, filter: &Filter) -> bool {
        in_batch(&self.broker, |batch| unsubscribe_for(&self.broker.clients, client_id, filter, batch))
    }

    fn stats(&self) -> Vec<(String, u64)> {
        let Broker { clients, routes, retained, watched, .. } = &*self.broker;
        stats::all(clients, &routes.router, retained.len(), &watched.highest)
    }

    fn metrics(&self) -> Vec<(&'static str, u64)> {
        self.broker.watched.metrics.list()
    }

    fn retained(&self, query: &RetainedQuery<'_>) -> Rows<RetainedState> {
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
                    return Rows { rows, has_more: true, skipped: 0 };
                }
                rows.push(states::retained(&publication, &self.broker.clock));
            }
            if after.is_none() {
                return Rows { rows, has_more: false, skipped: 0 };
            }
        }
    }

    fn retained_message(&self, topic: &Topic) -> Option<RetainedState> {
        let found =
            self.broker.retained.get(topic).filter(|publication| !publication.is_expired(self.broker.clock.now()))?;
        Some(states::retained(&found, &self.broker.clock))
    }

    fn forget_retained(&self, topic: &Topic) -> bool {
        in_batch(&self.broker, |batch| self.broker.forget_retained(topic, batch))
    }

    fn settings(&self) -> Vec<Setting> {
        self.configured.settings()
    }

    fn reload(&self) -> Result<Reloaded, String> {
        self.configured.reload()
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.broker.durable.note(name)
    }

    fn keep(&self, name: &str, record: &[u8]) -> io::Result<()> {
        self.broker.durable.keep_note(name, record)
    }
}

/// The first of them, and whether there are more.
fn first_of<T>(rows: impl Iterator<Item = T>, limit: usize) -> (Vec<T>, bool) {
    let mut rows: Vec<T> = rows.take(limit + 1).collect();
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}
