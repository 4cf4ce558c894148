//! What the admin port can see of the broker, and do to it.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use mqtt_admin::{
    ClientQuery, ClientState, ConnectionState, NodeState, Operate, Page, RetainedQuery, RetainedState, Setting, Told,
};
use mqtt_codec::Topic;
use mqtt_session::{Publication, Timestamp};

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::clock::wall_ms;
use crate::loopback;
use crate::memory;
use crate::sys;

/// Clients that are sorted first; each time that there are too few wanted among them, four times as many follow.
const FIRST_SORTED: usize = 1024;

#[async_trait::async_trait]
impl Operate for Broker {
    fn node(&self) -> NodeState {
        NodeState {
            name: self.config.node.name.clone(),
            version: sys::VERSION,
            uptime_ms: self.clock.uptime_ms(),
            connections: self.online(),
            max_connections: self.config.mqtt.max_connections,
            memory_used: memory::resident().unwrap_or_default() as u64,
            epoch: self.numbers.epoch,
        }
    }

    fn clients(&self, query: &ClientQuery<'_>) -> Page<ClientState> {
        let is_meant = |client: &ClientRef| {
            client.id.starts_with(query.prefix) && query.after.is_none_or(|after| &client.id[..] > after)
        };
        let mut left: Vec<_> = self.clients.all().into_iter().filter(is_meant).collect();
        let (mut rows, mut skip) = (Vec::new(), query.skip);
        // Only as many are sorted as are looked at.
        let (mut start, mut together) = (0, FIRST_SORTED.max(query.limit));
        while start < left.len() {
            let rest = &mut left[start..];
            together = together.min(rest.len());
            if together < rest.len() {
                rest.select_nth_unstable_by(together, by_id);
            }
            rest[..together].sort_unstable_by(by_id);
            for client in &rest[..together] {
                let Some(state) = self.state_of(client).filter(|state| (query.wanted)(state)) else { continue };
                if skip > 0 {
                    skip -= 1;
                } else if rows.len() == query.limit {
                    return Page { rows, has_more: true };
                } else {
                    rows.push(state);
                }
            }
            start += together;
            together *= 4;
        }
        Page { rows, has_more: false }
    }

    fn client(&self, client_id: &str) -> Option<ClientState> {
        self.state_of(&self.clients.get(client_id)?)
    }

    fn kick(&self, client_id: &str) -> bool {
        self.kick(client_id)
    }

    fn stats(&self) -> Vec<(String, u64)> {
        sys::stats(self)
    }

    fn metrics(&self) -> Vec<(&'static str, u64)> {
        self.metrics.list()
    }

    async fn test_presence(self: Arc<Self>) -> (Vec<Told>, Option<String>) {
        loopback::test_presence(&self).await
    }

    fn retained(&self, query: &RetainedQuery<'_>) -> Page<RetainedState> {
        let now = self.clock.now();
        let (mut rows, mut looked_at) = (Vec::new(), Vec::new());
        let mut after = query.after.map(str::to_owned);
        loop {
            after = self.retained.following(after.as_deref(), usize::MAX, &mut looked_at);
            for publication in looked_at.drain(..) {
                if publication.is_expired(now) || !(query.wanted)(&publication.message.topic) {
                    continue;
                }
                if rows.len() == query.limit {
                    return Page { rows, has_more: true };
                }
                rows.push(self.retained_state(&publication));
            }
            if after.is_none() {
                return Page { rows, has_more: false };
            }
        }
    }

    fn retained_message(&self, topic: &Topic) -> Option<RetainedState> {
        let found = self.retained.get(topic).filter(|publication| !publication.is_expired(self.clock.now()))?;
        Some(self.retained_state(&found))
    }

    fn forget_retained(&self, topic: &Topic) -> bool {
        self.forget_retained(topic)
    }

    fn settings(&self) -> Vec<Setting> {
        self.config.sources.to_vec()
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.settings.get(name)
    }

    fn keep(&self, name: &str, record: &[u8]) -> io::Result<()> {
        self.settings.keep(self, name, record)
    }
}

fn by_id(one: &ClientRef, other: &ClientRef) -> Ordering {
    one.id[..].cmp(&other.id[..])
}

impl Broker {
    fn retained_state(&self, publication: &Publication) -> RetainedState {
        // Kept by the broker's own clock, shown by the system's.
        let left = |at: Timestamp| at.0.saturating_sub(self.clock.now().0);
        let expires_at = publication.expires_at.map(|at| wall_ms() + left(at));
        RetainedState { message: publication.message.clone(), expires_at }
    }

    /// `None`: it is gone.
    fn state_of(&self, client: &ClientRef) -> Option<ClientState> {
        let (went_at, is_dead) = {
            let transition = client.transition.lock();
            (transition.last_fact_ms, transition.dead)
        };
        let state = client.state.lock();
        if is_dead {
            return None;
        }
        let connection = state.connection.as_ref().map(|connection| {
            let info = &connection.info;
            ConnectionState {
                username: info.username.as_deref().map(str::to_owned),
                peer: info.peer,
                port: info.port,
                listener: info.listener.to_string(),
                keep_alive: info.keep_alive,
                clean_start: info.clean_start,
                connected_at: info.connected_at,
                conn_id: info.conn_id,
            }
        });
        let (session, limits) = (&state.session, &self.config.limits);
        Some(ClientState {
            client_id: client.id.to_string(),
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
